"""Run folders that someone or something has damaged: refused in one line that names the file."""

import json
import shutil

import numpy as np
import pytest

import toylab as tl
from toylab import runs

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


def test_a_folder_without_a_digest_is_still_read(finished, copy):
    edit_config(copy, **{runs.DIGEST: None})
    assert np.array_equal(tl.load(copy).state.params, tl.load(finished).state.params)
    edit_config(copy, **{runs.DIGEST: 5})
    with pytest.raises(ValueError, match=r"config\.json: checkpoint_sha256 must be text, got 5"):
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
