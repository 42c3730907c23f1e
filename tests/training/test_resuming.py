"""Stopping, saving and going on: the same bits as without."""

import json

import jax
import numpy as np
import pandas as pd
import pytest
from tiny import TINY, params_of

import toylab as tl
from toylab.storage.run_folder import read_run
from toylab.training import Trainer


def test_resume_is_bit_identical(tmp_path):
    config = TINY.replace(beta=0.7)
    whole = tl.train(config, progress=False)
    trainer = Trainer([config])
    while trainer.step < 33:  # in the middle of a logging interval
        trainer.advance(33 - trainer.step)
    half = tl.Run(config, trainer.ensemble.states()[0], trainer.history(0))
    half.save(tmp_path / "half")
    loaded = tl.load(tmp_path / "half")
    assert loaded.status == "unfinished"
    resumed = tl.train(config, resume=loaded, progress=False)
    np.testing.assert_array_equal(params_of(resumed), params_of(whole))
    pd.testing.assert_frame_equal(resumed.history, whole.history)
    with pytest.raises(ValueError, match="other settings"):
        tl.train(config.replace(beta=0.1), resume=loaded, progress=False)


def test_changes_are_saved_and_replayed_on_resuming(tmp_path):
    config = TINY.replace(beta=0.0)

    def steer(trainer):
        trainer.advance(20)
        trainer.set(0, beta=0.5)
        trainer.set(0, beta=1.0)  # at the same step: the last one acts
        trainer.set(0, learning_rate=config.learning_rate)  # no change

    whole, half = Trainer([config]), Trainer([config])
    for trainer in (whole, half):
        steer(trainer)
    while not whole.done:
        whole.advance(20)
    half.advance(13)
    run = tl.Run(config, half.ensemble.states()[0], half.history(0), changes=half.changes[0])
    run.save(tmp_path / "half")
    written = json.loads((tmp_path / "half" / "config.json").read_text())
    assert written["settings"]["beta"] == 0.0
    assert written["changes"] == [[20, "beta", 1.0]]
    loaded = tl.load(tmp_path / "half")
    assert loaded.config == config
    assert loaded.changes == ((20, "beta", 1.0),)
    assert float(loaded.experiment.coefficient.beta) == 1.0
    resumed = tl.train(config, resume=loaded, progress=False)
    assert resumed.changes == loaded.changes
    assert resumed.history["beta"].tolist() == [0.0, 1.0, 1.0]
    np.testing.assert_array_equal(params_of(resumed), np.asarray(whole.ensemble.states()[0].params))


def test_a_change_taken_back_is_none_and_a_bad_one_is_refused():
    trainer = Trainer([TINY])
    trainer.advance(20)
    trainer.set(0, beta=1.0)
    trainer.set(0, beta=TINY.beta)
    assert trainer.changes == [()]
    for changes in ({"beta": 1e9}, {"width": 32}):
        with pytest.raises(ValueError, match="beta"):
            trainer.set(0, **changes)
    assert trainer.current(0) == TINY


def test_advancing_after_the_end_records_nothing():
    trainer = Trainer([TINY])
    while not trainer.done:
        trainer.advance(100)
    before = trainer.history(0)
    assert trainer.advance(5) == 0
    pd.testing.assert_frame_equal(trainer.history(0), before)


@pytest.mark.parametrize("status", ["done", "diverged"])
@pytest.mark.parametrize("lost", [7, 4096])
def test_samples_that_are_not_finite_are_counted_not_hidden(tmp_path, monkeypatch, status, lost):
    trained = tl.train(TINY, progress=False)
    state = trained.state
    if status == "diverged":
        state = state._replace(diverged_at=np.asarray(5, np.int32))
    run = tl.Run(TINY, state, trained.history)
    points = trained.sample(4096).copy()
    points[:lost] = np.inf
    monkeypatch.setattr(tl.Run, "sample", lambda *_, **__: points)
    folder = read_run(run.save(tmp_path / "run"))
    assert (folder.header.status, folder.header.nonfinite) == (status, lost)
    assert len(folder.generated) == (4096 - lost if status == "diverged" else 0)
    assert tl.load(tmp_path / "run").status == status


def test_save_and_load_round_trip(tmp_path):
    run = tl.train(TINY, path=tmp_path / "run", progress=False)
    loaded = tl.load(tmp_path / "run")
    assert loaded.config == run.config
    pd.testing.assert_frame_equal(loaded.history, run.history)
    np.testing.assert_array_equal(loaded.sample(128, nfe=2, seed=4), run.sample(128, nfe=2, seed=4))
    jax.tree.map(np.testing.assert_array_equal, loaded.state, run.state)
    for file in (tmp_path / "run" / "checkpoint").rglob("*"):
        if file.is_file():
            file.write_bytes(b"x")
    with pytest.raises(ValueError, match="checkpoint"):
        tl.load(tmp_path / "run")
