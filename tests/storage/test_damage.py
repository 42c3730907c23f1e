"""Run folders that someone or something has damaged: refused in one line that names the file."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import toylab as tl
from toylab.cli import main
from toylab.storage import run_folder

TINY = {
    "steps": 20,
    "batch_size": 8,
    "width": 8,
    "depth": 2,
    "embed_dim": 4,
    "eval_samples": 64,
    "log_every": 10,
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run on disk."""
    return tl.train(tl.RunConfig(**TINY), path=tmp_path_factory.mktemp("damage") / "run").path


@pytest.fixture
def copy(finished, tmp_path):
    """A copy to damage."""
    return shutil.copytree(finished, tmp_path / "copy")


def edit_config(path, **changes):
    content = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(content | changes))


def test_every_byte_of_a_checkpoint_counts(finished, copy):
    files = sorted(
        path for path in (copy / "checkpoint").rglob("*") if path.is_file() and path.stat().st_size
    )
    assert len(files) > 3
    for path in files:
        original = path.read_bytes()
        for place in (0, len(original) // 2, len(original) - 1):
            damaged = bytearray(original)
            damaged[place] ^= 1
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match=f"^{copy / 'checkpoint'}: damaged"):
                tl.load(copy)
        path.write_bytes(original)
    assert np.array_equal(tl.load(copy).state.params, tl.load(finished).state.params)


@pytest.mark.parametrize("change", ["renamed", "added", "missing"])
def test_so_does_every_file(copy, change):
    files = sorted(path for path in (copy / "checkpoint").rglob("*") if path.is_file())
    if change == "renamed":
        files[-1].rename(files[-1].with_name("other"))
    elif change == "added":
        (copy / "checkpoint" / "extra").write_text("1")
    else:
        files[-1].unlink()
    with pytest.raises(ValueError, match="checkpoint: damaged"):
        tl.load(copy)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"step": 10}, "checkpoint: is at step 20, config.json says 10"),
        ({"status": "unfinished"}, "checkpoint: is done, config.json says unfinished"),
        ({"settings": TINY | {"steps": 10}}, "checkpoint: is at step 20 of 10"),
    ],
)
def test_a_state_that_disagrees_with_its_config_is_refused(copy, changes, said):
    edit_config(copy, **changes)
    with pytest.raises(ValueError, match=said) as caught:
        tl.load(copy)
    assert "\n" not in str(caught.value)


def test_parameters_that_are_not_finite_are_refused(finished, tmp_path):
    run = tl.load(finished)
    good = run.sample(runs_saved := 8)
    run.state = run.state._replace(params=np.full_like(run.state.params, np.nan))
    path = run.save(tmp_path / "nan")
    with pytest.raises(ValueError, match="checkpoint: has parameters that are not finite"):
        tl.load(path)
    # Where the moving average overflowed as well the header counts samples, and the run may be looked at.
    run.state = run.state._replace(params_ema=np.full_like(run.state.params, np.nan))
    assert not np.isfinite(tl.load(run.save(tmp_path / "counted")).sample(runs_saved)).any()
    assert np.isfinite(good).all()


@pytest.mark.parametrize("status", [[1], 5, "foo", None, {}])
@pytest.mark.parametrize("schema", [1, 2])
def test_a_status_that_is_none_is_refused_everywhere(copy, capfd, status, schema):
    content = json.loads((copy / "config.json").read_text()) | {"status": status, "schema": schema}
    if schema == 1:
        content["settings"] = {"settings": content["settings"], "status": status, "step": 20}
    (copy / "config.json").write_text(json.dumps(content))
    for words in (["report", copy], ["sample", copy], ["train", "--resume", copy], ["inspect", copy]):
        assert one_line_of(capfd, words).startswith(
            f"toylab {words[0]}: {copy / 'config.json'}: status must be one of"
        )


@pytest.mark.parametrize(
    "score", ['{"value": 0.1, "stderr": 0.1, "n": 1e999, "floor": 0.1}', "[1]", '"x"', "null"]
)
def test_scores_that_are_none_are_named(copy, capfd, score):
    (copy / "scores.json").write_text(f'{{"sliced_w1": {score}}}')
    assert f"{copy / 'scores.json'}: " in one_line_of(capfd, ["report", copy])


def test_a_number_of_hundreds_of_digits_is_one_line(tmp_path, capfd):
    for digits in (40, 400, 5000):
        (tmp_path / "huge.json").write_text(f'{{"seed": 1{"0" * digits}}}')
        assert len(one_line_of(capfd, ["inspect", tmp_path / "huge.json"])) < 300


def one_line_of(capfd, words):
    capfd.readouterr()
    assert main([str(word) for word in words]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    return err.rstrip("\n")


def test_a_checkpoint_without_a_digest_is_refused(copy, capfd):
    edit_config(copy, **{run_folder.DIGEST: 5})
    assert f"{run_folder.DIGEST} must be a string, got 5" in one_line_of(capfd, ["sample", copy, "--n", "3"])
    edit_config(copy, **{run_folder.DIGEST: None})
    assert f"no {run_folder.DIGEST}" in one_line_of(capfd, ["sample", copy, "--n", "3"])


def test_a_checkpoint_of_another_net_is_one_line(copy):
    # In a process of its own: what threads of the storage library print is told from what pytest catches.
    edit_config(copy, settings=json.loads((copy / "config.json").read_text())["settings"] | {"width": 16})
    done = subprocess.run(
        [sys.executable, "-m", "toylab", "sample", str(copy), "--n", "3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1, done.stderr
    assert str(copy / "checkpoint") in done.stderr
    assert "the settings require" in done.stderr


def test_one_damaged_folder_does_not_stop_the_report(finished, tmp_path, capfd):
    for name in "abcd":
        shutil.copytree(finished, tmp_path / name)
    (tmp_path / "b" / "history.csv").write_text("step\n1,2\n")
    (tmp_path / "c" / "scores.json").write_text("{")
    capfd.readouterr()
    assert main(["report", str(tmp_path)]) == 0
    out, err = capfd.readouterr()
    assert "sw1" in out
    assert [line for line in err.splitlines() if line.startswith("damaged, left out: ")] == [
        line for line in err.splitlines() if str(tmp_path / "b") in line or str(tmp_path / "c") in line
    ]
    content = json.loads((tmp_path / "report.json").read_text())
    assert [row["path"] for row in content["runs"]] == ["a", "d"]
    assert [entry["path"] for entry in content["damaged"]] == ["b", "c"]
    assert "history.csv" in content["damaged"][0]["error"]
    assert "scores.json" in content["damaged"][1]["error"]
    # Nothing but damage: a mistake, as ever.
    assert main(["report", str(tmp_path / "b")]) == 2
