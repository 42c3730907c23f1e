"""What a transformer's step costs, counted from shapes alone, against counts made elsewhere from the published code."""

from pathlib import Path

import pytest

from toylab.configs import config_names, named_config, read_config_file
from toylab.data.images import fashion
from toylab.training.cost import cost
from toylab.training.experiment import build_experiment

FORWARD = 11.18e9
"""Operations of DiT-B/4 on one image of 32 x 32 x 4, from the lowered program of a rebuilt published net."""
STEPS = {
    "no guidance": ({"guidance_mix": 0.0}, 4.03, 3.29),
    "guidance": ({}, 6.03, 4.54),
    "guidance and a moving average": ({"proxy": "ema"}, 7.03, 4.79),
}
"""Changes -> forward passes per image of a step, all rows with a derivative and a quarter of them."""


@pytest.mark.slow
@pytest.mark.parametrize("name", STEPS)
def test_operations_of_a_step(name):
    changes, plain, split = STEPS[name]
    config = named_config("imagenet-latent-dit-B4").replace(**changes)
    facts = cost(config)
    assert facts["params"] == 131_165_248
    assert facts["flops_forward"] == pytest.approx(FORWARD, rel=0.02)
    per_image = {kind: flops / config.batch_size for kind, flops in facts["flops_step"].items()}
    assert per_image == pytest.approx({"plain": plain * FORWARD, "split": split * FORWARD}, rel=0.02)
    # Parameters, their average, two moments of Adam; and a handful of counters.
    assert facts["bytes"] == pytest.approx(16 * facts["params"], abs=100)


@pytest.mark.parametrize("name", config_names())
def test_every_config_builds_and_says_what_it_is(name):
    config = named_config(name)
    head = (Path(__file__).parents[2] / "toylab/configs" / f"{name}.toml").read_text().split("\n\n")[0]
    for word in (f"toylab train {name}", "run time", "score"):
        assert word in head
    if config.dataset != "fashion" or (fashion.FOLDER / "train-images-idx3-ubyte.gz").is_file():
        build_experiment(config)


def test_a_config_file_that_is_wrong_is_named(tmp_path):
    path = tmp_path / "mine.toml"
    for text, said in (
        ("steps = ", "mine.toml: "),
        ("stepz = 3", "unknown setting 'stepz'"),
        ("steps = 0", "steps"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=said):
            read_config_file(path)
    with pytest.raises(ValueError, match="unknown config 'dit'; choices: digits-dit-tiny"):
        named_config("dit")
