"""Settings: what is wrong with them is named, and they survive JSON."""

import json
import subprocess
import sys

import numpy as np
import pytest
from tiny import TINY

import toylab as tl


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "nope"}, "unknown dataset 'nope'; choices: checkerboard"),
        ({"proxy": "nope"}, "unknown proxy 'nope'; choices: batch_posterior"),
        ({"method": "nope"}, "unknown method 'nope'"),
        ({"method_options": {"x": 1}}, "unknown option 'x' of method 'meanflow'"),
        ({"dataset_options": {"radius": "wide"}}, "radius|dataset"),
        ({"coefficient_options": {"until": 3}}, "until"),
        (
            {"coefficient": "linear", "coefficient_options": {"until": "x"}},
            "until must be a finite number, got 'x'",
        ),
        ({"coefficient_options": {"beta": 0.1}}, "that is the setting beta"),
        (
            {"coefficient": "linear", "coefficient_options": {"end": float("nan")}},
            "coefficient_options: end must",
        ),
        (
            {"method": "flow_matching", "proxy": "oracle"},
            "'flow_matching' does not use proxy; it takes target",
        ),
        ({"method": "flow_matching", "anchor_weight": 0.5}, "does not use anchor_weight"),
        ({"method": "flow_matching", "proxy_options": {"x": 1}}, "does not use proxy_options"),
    ],
)
def test_bad_names_and_options_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        tl.train(TINY.replace(**changes), progress=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beta": float("nan")}, "beta must be finite"),
        ({"steps": -1}, r"steps must lie in \[1"),
        ({"steps": 1.5}, "whole number"),
        ({"batch_size": 0}, "batch_size"),
        ({"learning_rate": "fast"}, "learning_rate must be a number"),
        ({"optimizer": "magic"}, "unknown optimizer 'magic'; choices: adam"),
        ({"p_equal": 1.2}, "p_equal"),
        ({"anchor_min": 0.5, "anchor_max": 0.1}, "anchor_min"),
        ({"colour": "red"}, "unknown setting 'colour'; choices: dataset"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        TINY.replace(**changes)


def test_config_survives_json():
    config = TINY.replace(
        dataset_options={"radius": np.float64(2.0)}, beta=np.float32(0.5), steps=np.int64(10)
    )
    assert tl.RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_importing_the_package_does_not_start_jax():
    code = "import sys, toylab, toylab.storage.run_folder; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
