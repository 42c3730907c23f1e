"""An experiment is built once per config and handed down, and few layers lie between `train` and the loss."""

import sys
import threading
import traceback
import weakref
from pathlib import Path

import jax
import numpy as np
import pytest

import toylab as tl
from toylab.config import Change, with_changes
from toylab.methods.meanflow import MeanFlow
from toylab.training import Trainer, api
from toylab.training import experiment as experiments
from toylab.training.experiment import build_experiment, structure

TINY = tl.RunConfig(
    steps=4, batch_size=8, width=8, depth=2, embed_dim=4, eval_samples=16, log_every=2, beta=0.5
)
MOST_FRAMES = 15
"""Functions of toylab from `train` to the residual, both included: train, train_many, trainer, ensemble, lanes (2),
lane (2), step, gradient, batch, row, method (3)."""


@pytest.fixture
def built(monkeypatch):
    """The configs of all experiments that are built, in order, whoever builds them."""
    found = []

    def counted(config):
        found.append(config)
        return build_experiment(config)

    modules = [module for name, module in list(sys.modules.items()) if name.startswith("toylab")]
    users = [module for module in modules if vars(module).get("build_experiment") is build_experiment]
    assert experiments in users
    for module in users:
        monkeypatch.setattr(module, "build_experiment", counted)
    return found


def test_every_experiment_is_built_once(built, tmp_path):
    run = tl.train(TINY, path=tmp_path / "run", progress=False)
    assert built == [TINY]
    assert run.experiment.steps == TINY.steps
    built.clear()
    # Of one structure and of another, so that they are grouped.
    configs = [TINY.replace(seed=seed, width=width, eval_samples=0) for seed in (0, 1) for width in (8, 9)]
    tl.train_many(configs, progress=False)
    assert built == configs
    built.clear()
    assert tl.load(tmp_path / "run").config == TINY
    assert built == [TINY]


def test_a_run_to_resume_brings_its_experiment(built, tmp_path):
    trainer = Trainer([TINY])
    trainer.advance(1)
    trainer.set(0, beta=0.25)
    trainer.advance(1)
    (half,) = trainer.runs([tmp_path / "half"])
    half.save(tmp_path / "half")
    assert built == [TINY]
    built.clear()
    resumed = tl.train(TINY, resume=tl.load(tmp_path / "half"), progress=False)
    assert built == [TINY.replace(beta=0.25)]  # by `load` alone
    assert (resumed.status, resumed.changes) == ("done", (Change(1, "beta", 0.25),))


def test_configs_are_grouped_without_holding_the_data_of_all(monkeypatch):
    alive: list[weakref.ref] = []
    most = []

    def counted(config):
        experiment = build_experiment(config)
        alive.append(weakref.ref(experiment.dataset))
        most.append(sum(each() is not None for each in alive))
        return experiment

    monkeypatch.setattr(api, "build_experiment", counted)
    clouds = [np.random.default_rng(seed).normal(size=(64, 2)).tolist() for seed in range(8)]
    configs = [TINY.replace(dataset="points", dataset_options={"array": cloud}) for cloud in clouds]
    assert api.group_by_program(configs) == [list(range(8))]
    assert len(most) == 8
    assert max(most) <= 3  # that of the loop and that of `zip` may be there still while the next is built


def test_a_changed_setting_makes_the_experiment_of_its_config():
    for config in (TINY, TINY.replace(coefficient="cosine")):
        trainer = Trainer([config])
        trainer.set(0, beta=0.3, learning_rate=1e-4)
        (run,) = trainer.runs()
        other = build_experiment(with_changes(config, trainer.changes[0]))
        for experiment in (run.experiment, trainer.ensemble.experiment(0)):
            assert structure(experiment) == structure(other)
            jax.tree.map(np.testing.assert_array_equal, experiment, other)


def test_few_layers_lie_between_training_and_the_residual(monkeypatch):
    root, stacks = str(Path(tl.__file__).parent), []
    residual = MeanFlow.residual

    def traced(self, *arguments):
        threads = {threading.main_thread().ident, threading.get_ident()}
        frames = [sys._current_frames()[thread] for thread in threads]
        names = [frame.f_code for each in frames for frame, _ in traceback.walk_stack(each)]
        stacks.append([code.co_qualname for code in names if code.co_filename.startswith(root)])
        return residual(self, *arguments)

    monkeypatch.setattr(MeanFlow, "residual", traced)
    tl.train(TINY.replace(width=10, eval_samples=0), progress=False)
    assert "train_many" in stacks[0]
    assert len(stacks[0]) + 1 <= MOST_FRAMES, stacks[0]
