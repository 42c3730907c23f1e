"""The benchmark of a config: executed small, numbers that agree with each other, targets judged on an H100 only."""

import json

import pytest
from tiny import UNMEASURED

from toylab.bench import training
from toylab.bench.speed import Speed, ensemble_speed
from toylab.bench.targets import H100, TARGETS
from toylab.bench.training import config_benchmark, kinds_of_step, targets, with_data_at_hand
from toylab.configs import named_config
from toylab.data import dataset
from toylab.data.images import fashion
from toylab.training.cost import cost


def test_a_tiny_benchmark_is_whole(call, tmp_path):
    config, path = tmp_path / "tiny.json", tmp_path / "new" / "bench.json"
    config.write_text(json.dumps(UNMEASURED.to_dict()))
    code, out, err = call(
        "bench", config, "--batch-sizes", 8, "--steps", 40, "--num-rounds", 2, "--out", path, "--json"
    )
    assert code == 0, err
    facts = json.loads(out)
    assert facts == json.loads(path.read_text())
    assert facts["data"] == "eight_gaussians"
    assert [row["step"] for row in facts["rows"]] == ["split", "plain"]
    for row in facts["rows"]:
        assert len(row["all_steps_per_second"]) == 2
        assert row["examples_per_second"] == pytest.approx(8 * row["steps_per_second"])
        assert row["flops_per_second"] == pytest.approx(row["flops_per_step"] * row["steps_per_second"])
        assert row["loss"] > 0
        assert row["compile_seconds"] > 0
    assert facts["rows"][0]["flops_per_step"] < facts["rows"][1]["flops_per_step"]
    assert facts["targets"] == []
    assert facts["environment"]["versions"]["jax"]
    assert facts["environment"]["date"]


def test_a_run_that_would_be_over_goes_on_while_it_is_timed():
    config = UNMEASURED.replace(lr_schedule="constant")
    short, long = (ensemble_speed([config.replace(steps=steps)], 20, 2) for steps in (3, 500))
    assert short.loss == pytest.approx(long.loss, rel=1e-6)


def test_images_that_are_not_at_hand_are_stood_in_for(tmp_path, monkeypatch):
    """What is timed is the same, and the file says so."""
    monkeypatch.setenv("TOYLAB_FASHION", str(tmp_path))
    fashion._built.cache_clear()
    config, data = with_data_at_hand(named_config("fashion32-dit-B4"))
    assert data == "synthetic, in the shape of fashion"
    assert dataset(config.dataset, **config.dataset_options).is_stand_in
    missing = named_config("imagenet-latent-dit-B4").replace(dataset_options={"folder": str(tmp_path)})
    with pytest.raises(FileNotFoundError):
        with_data_at_hand(missing)


def test_the_kinds_of_a_step_cost_what_the_ledger_counts():
    config = UNMEASURED.replace(beta=0.0)
    flops = cost(config.replace(proxy="conditional"))["flops_step"]
    counted = {
        kind: cost(config.replace(**changes))["flops_step"]["split"]
        for kind, changes in kinds_of_step(config).items()
    }
    assert (counted["split"], counted["plain"]) == (flops["split"], flops["plain"])
    assert counted["split"] < counted["split, ema tangent"]
    assert list(kinds_of_step(config.replace(beta=0.5))) == ["split", "plain"]
    assert kinds_of_step(config.replace(beta=0.5))["split"] == {}


def facts_of(device, split, plain):
    rows = [
        {"batch_size": 256, "step": "split", "examples_per_second": split, "peak_bytes": 20e9},
        {"batch_size": 256, "step": "plain", "examples_per_second": plain, "peak_bytes": 20e9},
        {"batch_size": 1024, "step": "plain", "error": "out of memory"},
    ]
    return {"device": device, "rows": rows, "split_over_plain": {"256": split / plain}}


def test_targets_are_judged_by_what_was_measured():
    reached = [aim["reached"] for aim in targets("fashion32-dit-B4", facts_of(H100, 5_300.0, 4_100.0))]
    assert reached == [True, True, True, None, True]
    reached = [aim["reached"] for aim in targets("fashion32-dit-B4", facts_of(H100, 4_700.0, 3_950.0))]
    assert reached == [False, True, False, None, False]
    assert {aim["reached"] for aim in targets("fashion32-dit-B4", facts_of("cpu", 9e9, 1e9))} == {None}
    assert targets("digits-dit-tiny", facts_of(H100, 1.0, 1.0)) == []
    assert set(TARGETS["fashion32-dit-B4"]) <= set(kinds_of_step(named_config("fashion32-dit-B4")))


def test_a_smaller_net_has_no_targets_and_small_batches_come_first(monkeypatch):
    def speed(configs, steps, repeats):
        return Speed(1.0, (1.0,), 1.0, 1.0, None)

    monkeypatch.setattr(training, "ensemble_speed", speed)
    monkeypatch.setattr(training, "cost", lambda config: {"flops_step": {"split": 1.0}, "flops_forward": 1.0})
    monkeypatch.setitem(TARGETS, "digits-dit-tiny", TARGETS["fashion32-dit-B4"])
    config = named_config("digits-dit-tiny")
    facts = config_benchmark(config, "digits-dit-tiny", (16, 8))
    assert list(facts["split_over_plain"]) == ["8", "16"]
    assert len(facts["targets"]) == 6
    smaller = config.replace(net_options={**config.net_options, "size": "nano"})
    assert config_benchmark(smaller, "digits-dit-tiny", (8,))["targets"] == []


def test_a_row_that_does_not_fit_leaves_the_others(monkeypatch):
    from jax.errors import JaxRuntimeError

    def speed(configs, steps, repeats):
        raise JaxRuntimeError(
            "RESOURCE_EXHAUSTED: Out of memory" if configs[0].batch_size > 8 else "INTERNAL: broken"
        )

    monkeypatch.setattr(training, "ensemble_speed", speed)
    config = named_config("digits-dit-tiny")
    rows = config_benchmark(config, batch_sizes=(16,))["rows"]
    assert [row["error"] for row in rows] == ["out of memory"] * 3
    with pytest.raises(JaxRuntimeError, match="broken"):
        config_benchmark(config, batch_sizes=(8,))


def test_a_stand_in_has_the_shape_of_the_images_and_is_not_trained_on(call, tmp_path):
    stand_in = dataset("fashion", stand_in=True)
    assert stand_in.is_stand_in
    assert stand_in.shape == (1024, (32, 32, 1), 10)
    assert stand_in.pixels.shape == (60_000, 1024)
    code, _, err = call(
        "train", "fashion32-dit-S4", "--dataset-options", "stand_in=true", "--net-options", "size=nano",
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert code == 2
    assert "is a stand-in here, with nothing to train on" in err
    assert (
        with_data_at_hand(named_config("imagenet-latent-dit-B4"))[1] == "synthetic, in the shape of latents"
    )
    assert with_data_at_hand(named_config("digits-dit-tiny"))[1] == "digits"


def test_a_folder_is_no_file_to_write_to(call, tmp_path):
    code, out, err = call("bench", "digits-dit-tiny", "--out", tmp_path)
    assert (code, out) == (2, "")
    assert f"--out {tmp_path} is a folder: name a file, such as {tmp_path}/bench.json" in err
