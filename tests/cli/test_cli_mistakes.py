"""Every mistake on the command line is one line and exit code 2."""

import shutil

import pytest


def test_a_run_cannot_change_while_it_resumes(call, trained_folder):
    code, _, err = call("train", "--resume", trained_folder, "--batch-size", "64")
    assert code == 2
    assert "batch-size cannot change" in err


def bad_points(tmp_path, text):
    (tmp_path / "points.csv").write_text(text)
    return ["train", "--points", tmp_path / "points.csv"]


ROWS = "\n".join(f"{i},{i % 3}" for i in range(20))


BAD = {
    "unknown command": (["trian"], "trian"),
    "no command": ([], "no command given"),
    "unknown flag": (["train", "--stpes", "3"], "--stpes"),
    "unknown kind": (["list", "things"], "things"),
    "missing kind": (["list"], "KIND"),
    "missing value": (["train", "--beta"], "--beta"),
    "text for a number": (["train", "--steps", "many"], "many"),
    "unknown dataset": (["train", "--dataset", "nine_gaussians"], "eight_gaussians"),
    "unknown method": (["train", "--method", "meanfow"], "meanfow"),
    "unknown proxy": (["train", "--proxy", "emma"], "emma"),
    "unknown option": (["train", "--dataset-options", "sepration=8"], "sepration"),
    "option without value": (["train", "--dataset-options", "std"], "key=value"),
    "broken json": (["train", "--dataset-options", '{"std": '], "JSON"),
    "unknown preset": (["train", "--preset", "slow"], "slow"),
    "proxy without use": (["train", "--method", "flow_matching", "--proxy", "oracle"], "does not use proxy"),
    "the same in a sweep": (
        ["sweep", "--method", "flow_matching", "--proxy", "oracle", "--out", "{tmp}/s"],
        "does not use proxy",
    ),
    "text as an option": (
        ["train", "--coefficient", "linear", "--coefficient-options", "until=x"],
        "until must be a finite number, got 'x'",
    ),
    "nan as an option": (["train", "--coefficient", "linear", "--coefficient-options", "end=NaN"], "end"),
    "beta nan": (["train", "--beta", "nan"], "beta must be finite"),
    "beta infinite": (["train", "--beta", "inf"], "beta must be finite"),
    "negative steps": (["train", "--steps", "-1"], "steps must lie in"),
    "broken steps": (["train", "--steps", "1.5"], "whole number"),
    "empty batch": (["train", "--batch-size", "0"], "batch_size must lie in"),
    "negative rate": (["train", "--learning-rate", "-1"], "learning_rate must lie in"),
    "unknown schedule": (["train", "--lr-schedule", "square"], "square"),
    "missing points": (["train", "--points", "nowhere.csv"], "nowhere.csv"),
    "folder as points": (["train", "--points", "{tmp}"], "{name}"),
    "nowhere to resume": (["train", "--resume", "nowhere"], "not a run folder"),
    "resume and out": (["train", "--resume", "{run}", "--out", "x"], "--out"),
    "file as out": (["train", "--out", "{tmp}/file"], "already exists"),
    "out inside a file": (["train", "--out", "{tmp}/file/run"], "{tmp}/file"),
    "unwritable out": (["train", "--out", "/proc/runs/x"], "/proc"),
    "unwritable sweep": (["sweep", "--out", "/proc/runs"], "/proc"),
    "sample of nothing": (["sample", "nowhere"], "not a run folder"),
    "no samples": (["sample", "{run}", "--n", "0"], "--n"),
    "no evaluations": (["sample", "{run}", "--nfe", "-1"], "--nfe"),
    "unknown ending": (["sample", "{run}", "--out", "x.txt"], ".npz, .csv or .png"),
    "sample into nowhere": (["sample", "{run}", "--out", "{tmp}/no/x.csv"], "{tmp}/no/x.csv"),
    "evaluate a file": (["evaluate", "{tmp}/file"], "not a run folder"),
    "unknown metric": (["evaluate", "{run}", "--metrics", "fid"], "fid"),
    "too many samples": (["evaluate", "{run}", "--metrics", "energy_distance", "--n", "1000000"], "at most"),
    "bad shard": (["sweep", "--shard", "2/2", "--out", "{tmp}/s"], "shard 2/2"),
    "shard in words": (["sweep", "--shard", "first", "--out", "{tmp}/s"], "first"),
    "empty list": (["sweep", "--beta", "0,,1"], "empty item"),
    "nan in a list": (["sweep", "--beta", "0,nan"], "beta must be finite"),
    "empty range": (["sweep", "--seed", "8:8"], "8:8"),
    "unknown dataset in a list": (["sweep", "--dataset", "dgmm,foo", "--out", "{tmp}/s"], "foo"),
    "metric in a sweep": (["sweep", "--metrics", "fid", "--out", "{tmp}/s"], "fid"),
    "report of nothing": (["report", "{tmp}"], "no run folder"),
    "report of nowhere": (["report", "nowhere"], "nowhere"),
    "bench without lanes": (["bench", "--lanes", "0"], "--lanes"),
    "bench for no time": (["bench", "--seconds", "nan"], "--seconds"),
    "inspect nothing": (["inspect", "nothing"], "nothing"),
    "inspect text": (["inspect", "{tmp}/file"], "not JSON"),
    "inspect a folder": (["inspect", "{tmp}"], "not a run folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_is_one_line_and_exit_code_2(call, trained_folder, tmp_path, monkeypatch, case):
    words, expected = BAD[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("not a run")
    names = {"tmp": tmp_path, "run": trained_folder, "name": tmp_path.name}
    words = [word.format(**names) if word.startswith(("{tmp", "{run")) else word for word in words]
    assert_refused(call, words, expected.format(**names) if expected.startswith("{") else expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]  # nothing is left behind


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ROWS + "\nnan,0", "NaN"),
        ("\n".join(f"{i},1,2" for i in range(20)), "3 columns"),
        ("a,b\nc,d", "'c'"),
        ("1,2", "has 1 point,"),
        ("", "0 points"),
    ],
)
def test_points_that_are_none_are_refused(call, tmp_path, text, expected):
    assert_refused(call, bad_points(tmp_path, text), expected)


@pytest.mark.parametrize(
    "name", ["config.json", "history.csv", "samples.npz", "environment.json", "checkpoint"]
)
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_run_is_refused(call, trained_folder, tmp_path, name, damage):
    path = shutil.copytree(trained_folder, tmp_path / "run")
    target = path / name
    if target.is_dir() and damage == "gone":
        shutil.rmtree(target)
    elif target.is_dir():
        for file in [file for file in target.rglob("*") if file.is_file()]:
            file.write_bytes(file.read_bytes()[:3])
    elif damage == "gone":
        target.unlink()
    else:
        target.write_bytes(target.read_bytes()[: target.stat().st_size // 2])
    assert_refused(call, ["sample", path, "--n", "3"], "run" if name == "checkpoint" else name)


def assert_refused(call, words, expected):
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1, err
    assert expected in err
    assert not any(word in err for word in ("Traceback", "╭", "│", "---"))
