"""Presets: each makes a valid run, the default is the default, and the protocols stand on their own."""

import pytest

from toylab.config import FIELDS, PRESETS, RunConfig, preset
from toylab.training.experiment import build_experiment

FREE = {
    "dataset",
    "beta",
    "seed",
    "log_every",
    "eval_samples",
    "anchor_min",
    "anchor_max",
    "adaptive_constant",
    # Of images and transformers: at their defaults they play no part, and `build_experiment` refuses others in 2-D.
    "adam_beta2",
    "label_dropout",
    "guidance",
    "guidance_mix",
    "net",
}
"""What a protocol leaves open, or what plays no part in it."""


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_run(name):
    config = RunConfig(**preset(name))
    assert build_experiment(config).net.activation == config.activation


def test_the_preset_called_default_is_the_default():
    assert RunConfig(**preset("default")) == RunConfig()


def test_the_papers_protocol_depends_on_no_default():
    left = {name for name in FIELDS if name not in preset("paper_2d") and not name.endswith("_options")}
    assert left == FREE


def test_settings_of_measured_results_stay():
    """results/separated and the regression test were measured with these."""
    config = RunConfig(**preset("separated"))
    assert (config.activation, config.steps, config.batch_size) == ("silu", 15_000, 32)
