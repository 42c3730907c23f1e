"""Arguments that cannot be meant, from Python and on the command line: one readable line."""

import subprocess
import sys

import jax
import numpy as np
import pytest

import toylab as tl
from toylab.cli import main
from toylab.training import cost
from toylab.training.experiment import build_experiment

SCRIPT = """
import json, sys
import numpy as np
import toylab as tl
config = tl.RunConfig(steps=5, batch_size=8, width=8, depth=2, embed_dim=4, eval_samples=0)
run = tl.train(config)
calls = {
    "beta must be a number, got array([1., 2.])": lambda: tl.RunConfig(beta=np.array([1, 2.])),
    "a config must be a RunConfig, got NoneType": lambda: tl.train(None),
    "a config must be a RunConfig, got dict": lambda: tl.train({}),
    "resume takes a run, got str: tl.load(path) makes one of a folder": lambda: tl.train(config, resume="path"),
    "n must be a whole number in [1, 10000000], got 1.5": lambda: run.sample(1.5),
    "n must be a whole number in [1, 10000000], got 1000000000000": lambda: run.sample(10**12),
    "nfe must be a whole number in [1, 10000], got 1.5": lambda: run.sample(4, nfe=1.5),
    "seed must be a whole number in [0, 2147483647], got 'x'": lambda: run.sample(4, seed="x"),
    "seed must be a whole number in [0, 2147483647], got -1": lambda: run.sample(4, seed=-1),
    "seed must be a whole number in [0, 2147483647], got 1099511627776": lambda: run.sample(4, seed=2**40),
    "betas must be a sequence of numbers, got 0.5: write [0.5] for one":
        lambda: tl.diagnostics.gradient_variance(run, betas=0.5),
    "path must be the path of a run folder, got NoneType": lambda: tl.load(None),
    "dataset_options: std must be plain JSON without NaN": lambda: tl.RunConfig(dataset_options={"std": np.nan}),
    "seed must lie in [0, 2147483647], got 2147483648": lambda: tl.RunConfig(seed=2**31),
}
for said, call in calls.items():
    try:
        call()
    except ValueError as error:
        assert str(error).startswith(said) and "\\n" not in str(error), (said, str(error))
    else:
        raise AssertionError(said)
"""


@pytest.mark.slow
def test_python_arguments_that_cannot_be_meant_are_one_line():
    # A process of its own: here all types are checked at run time, as users do not.
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_the_oracle_refuses_points_that_are_none(bad):
    oracle = tl.oracle("two_gaussians")
    x = np.zeros((3, 2))
    x[1, 0] = bad
    for call in (
        lambda: oracle.velocity(x, 0.5),
        lambda: oracle.flow_map(x, 1.0, 0.0),
        lambda: oracle.average_velocity(x, 0.0, 1.0),
    ):
        with pytest.raises(ValueError, match=r"x must be finite, got .* in row 1"):
            call()
    assert np.isnan(np.asarray(jax.jit(lambda x: oracle.velocity(x, 0.5))(x))[1]).any()


@pytest.mark.parametrize(
    "changes", [{"width": 8192, "depth": 64}, {"batch_size": 1_048_576, "width": 1024, "depth": 64}]
)
def test_sizes_that_do_not_fit_are_refused_with_the_numbers(changes, monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(cost, "physical_memory", lambda: 8 * 2**30)
    with pytest.raises(ValueError, match=r"need about \d+\.\d GiB, this machine has 8\.0 GiB"):
        tl.train(tl.RunConfig(**changes))
    words = [word for name, value in changes.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    assert main(["train", *words, "--out", str(tmp_path / "run")]) == 2
    assert capfd.readouterr().err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_estimate_of_the_state_is_that_of_the_program():
    config = tl.RunConfig(width=64, depth=4)
    params = cost.cost(config)["params"]
    experiment = build_experiment(config)
    assert cost.state_bytes(experiment) == pytest.approx(4 * cost.STATE_COPIES * params, rel=0.05)
    many = [tl.RunConfig(seed=seed) for seed in range(1000)]
    cost.check_memory(many, [build_experiment(each) for each in many])
    cost.check_memory([], [])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("sample x --n 1e3", "not a run folder"),
        ("sample x --n 1.5", "'1.5' is not a whole number"),
        ("sweep --lanes 1e9", "--lanes must lie in [0, 4096], got 1000000000"),
        ("sweep --shard 0/0", "shard 0/0: the number of shards must be at least 1, got 0"),
        ("train --seed 1e10", "seed must lie in [0, 2147483647], got 10000000000"),
        ("list foo", "unknown kind 'foo'; choices: datasets, methods, proxies"),
        ("train --points some/where.csv", "some/where.csv: no such file"),
        ("train --points some/file", "some/file: unknown file type"),
    ],
)
def test_messages_say_what_is_wrong(capfd, monkeypatch, tmp_path, words, said):
    (tmp_path / "some").mkdir()
    (tmp_path / "some" / "file").write_text("1,2")
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    err = capfd.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_long_path_leaves_room_for_the_reason():
    from toylab.storage.untrusted import one_line, with_place

    path = "/".join(["folder"] * 300)
    assert one_line(ValueError(f"{path}: is not JSON")).endswith("folder: is not JSON")
    error = PermissionError(13, "Permission denied", "/root/x")
    assert (one_line(error), with_place(error)) == ("Permission denied", "/root/x: Permission denied")
