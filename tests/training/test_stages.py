"""Two stages in one budget: the switch changes what it must, and nothing else does."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import toylab as tl
from toylab.devices import parallel
from toylab.methods import AbstractTwoStageMethod, Context, Example, methods
from toylab.nets import MLPSpec, flat_net
from toylab.nets.sampling import average_velocity_trajectory, heun_trajectory
from toylab.training import Trainer
from toylab.training.ensemble import Ensemble
from toylab.training.experiment import build_experiment
from toylab.training.objective import batch_loss, draw_batch, loss_and_gradient
from toylab.training.state import in_second_stage, init_state, lane_keys

TWO_STAGES = [name for name in methods.names() if isinstance(methods.create(name), AbstractTwoStageMethod)]
POOL = 64
TINY = tl.RunConfig(
    steps=30, batch_size=16, width=16, depth=2, embed_dim=8, log_every=15, eval_samples=64, ema_decay=0.9
)


def config_of(name: str, **changes) -> tl.RunConfig:
    options = {"num_pairs": POOL, "solver_steps": 3} if "num_pairs" in methods.options(name) else {}
    return TINY.replace(method=name, method_options={"first_stage": 0.4, **options}, **changes)


SWITCH = 12
"""0.4 of 30 steps."""


def states_at(config: tl.RunConfig, *steps: int) -> list:
    ensemble = Ensemble([build_experiment(config)])
    found, done = [], 0
    for step in steps:
        ensemble.advance(step - done)
        done = step
        found.append(ensemble.states()[0])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", TWO_STAGES)
def test_the_teacher_appears_with_its_stage_and_stays(name):
    config = config_of(name)
    before, at, later = states_at(config, SWITCH - 1, SWITCH, 25)
    initial = np.asarray(init_state(build_experiment(config)).params)
    np.testing.assert_allclose(before.params_teacher, initial, rtol=1e-6, atol=1e-8)
    # By hand: the moving average over the first stage, without the share that its start still holds.
    share = 0.9**SWITCH
    ensemble = Ensemble(
        [build_experiment(config.replace(method_options={**config.method_options, "first_stage": 0.99}))]
    )
    ensemble.advance(SWITCH)
    average = (ensemble.states()[0].params_ema - share * initial) / (1 - share)
    np.testing.assert_allclose(at.params_teacher, average, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(at.params, at.params_teacher)
    np.testing.assert_array_equal(at.params_ema, at.params_teacher)
    assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(at.opt_state))
    assert not np.array_equal(later.params, at.params)
    np.testing.assert_array_equal(later.params_teacher, at.params_teacher)
    if before.pairs is not None:
        assert np.all(before.pairs == 0)
        np.testing.assert_array_equal(later.pairs, at.pairs)


@pytest.mark.parametrize(
    ("name", "trajectory", "nfe"),
    [("re_meanflow", heun_trajectory, 6), ("rectified_meanflow", average_velocity_trajectory, 3)],
)
def test_pairs_end_where_the_teacher_leads(name, trajectory, nfe):
    config = config_of(name)
    experiment = build_experiment(config)
    state = states_at(config, SWITCH)[0]
    net = flat_net(experiment.net).bind(jnp.asarray(state.params_teacher))
    ends = jax.vmap(lambda eps: trajectory(net, eps, nfe)[-1])(jnp.asarray(state.pairs[:, 1]))
    np.testing.assert_allclose(state.pairs[:, 0], ends, rtol=1e-4, atol=1e-5)
    distances = np.sum((state.pairs[:, 0] - state.pairs[:, 1]) ** 2, axis=1)
    assert np.all(np.diff(distances) >= 0)
    assert abs(state.pairs[:, 1].std() - 1) < 0.25
    # Another seed has other pairs; another step of the switch has the same noise.
    other = states_at(config.replace(seed=1), SWITCH)[0]
    assert not np.array_equal(np.sort(other.pairs[:, 1, 0]), np.sort(state.pairs[:, 1, 0]))
    sooner = config.replace(method_options={**config.method_options, "first_stage": 0.2})
    np.testing.assert_array_equal(
        np.sort(states_at(sooner, SWITCH)[0].pairs[:, 1, 0]), np.sort(state.pairs[:, 1, 0])
    )


@pytest.mark.parametrize("name", TWO_STAGES)
def test_each_stage_has_its_loss(name):
    config = config_of(name, beta=0.3)
    experiment = build_experiment(config)
    batch = draw_batch(experiment, jax.random.key(1))
    bind = flat_net(experiment.net).bind

    def loss_of(first_stage):
        return jax.jit(lambda state: batch_loss(experiment, bind(state.params), state, batch, first_stage))

    stages = [loss_of(True), loss_of(False)]
    trained = jax.jit(lambda state: loss_and_gradient(experiment, state, batch)[0])
    for state in states_at(config, 3, SWITCH - 1, SWITCH, 20):
        state = jax.tree.map(jnp.asarray, state)
        losses = [float(loss(state)) for loss in stages]
        second = bool(in_second_stage(experiment.method, experiment.steps, state.step))
        assert second == (int(state.step) >= SWITCH)
        assert losses[0] != losses[1]
        assert float(trained(state)) == pytest.approx(losses[second], rel=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("keep_programs")
@pytest.mark.parametrize("name", ["re_meanflow", "decoupled_meanflow"])
def test_stages_survive_stretches_saving_and_lanes(name, tmp_path, caplog):
    config = config_of(name)
    lanes = [
        config,
        config.replace(beta=1.2, seed=3),
        config.replace(method_options={**config.method_options, "first_stage": 0.6}),
    ]
    whole, *others = tl.train_many(lanes, progress=False)
    assert whole.status == "done"
    assert np.all(whole.history["grad_variance"] > 0)  # one row in each stage
    assert np.all(np.isfinite(whole.history))
    assert not np.array_equal(whole.state.params, others[1].state.params)
    caplog.clear()
    with jax.log_compiles(True):
        for stop in (SWITCH - 1, SWITCH, SWITCH + 1):
            trainer = Trainer([config])
            trainer.advance(stop)
            half = tl.Run(config, trainer.ensemble.states()[0], trainer.history(0))
            half.save(tmp_path / "half")
            loaded = tl.load(tmp_path / "half")
            jax.tree.map(np.testing.assert_array_equal, loaded.state, half.state)
            resumed = tl.train(config, resume=loaded, progress=False)
            jax.tree.map(np.testing.assert_array_equal, resumed.state, whole.state)
            pd.testing.assert_frame_equal(resumed.history, whole.history)
    assert not [
        record for record in caplog.records if "compilation of jit(train_lane)" in record.getMessage()
    ]
    table = tl.diagnostics.gradient_variance(loaded, betas=[0.0, 1.0], num_batches=4)
    assert np.all(table["trace"] > 0)


@pytest.mark.slow
def test_batched_lanes_switch_one_by_one(monkeypatch):
    """Accelerators batch lanes: each switches at its own step, to the same numbers up to rounding."""
    config = config_of("re_meanflow")
    later = config.replace(method_options={**config.method_options, "first_stage": 0.6})
    experiments = [build_experiment(each) for each in (config, later)]
    separate = Ensemble(experiments)
    monkeypatch.setattr(parallel, "SeparateLanes", parallel.BatchedLanes)
    batched = Ensemble(experiments)
    for ensemble in (separate, batched):
        ensemble.advance(14)
    for one, other in zip(separate.states(), batched.states(), strict=True):
        np.testing.assert_allclose(one.params, other.params, rtol=2e-3, atol=2e-5)
        np.testing.assert_allclose(one.pairs, other.pairs, rtol=2e-3, atol=1e-4)
    assert np.any(batched.states()[0].pairs)
    assert not np.any(batched.states()[1].pairs)


def test_run_if_does_nothing_until_a_lane_wants_it():
    """Batched over lanes that decline, the work is not done: a callback inside it would be heard."""
    calls = []

    def work(x):
        jax.debug.callback(lambda: calls.append(1))
        return x + 1

    run = jax.jit(jax.vmap(lambda wanted, x: parallel.run_if(wanted, work, x)))
    np.testing.assert_array_equal(run(jnp.array([False, False]), jnp.arange(2.0)), [0.0, 1.0])
    jax.effects_barrier()
    assert not calls
    np.testing.assert_array_equal(run(jnp.array([False, True]), jnp.arange(2.0)), [0.0, 2.0])
    jax.effects_barrier()
    assert calls


def test_lane_keys_are_used_for_one_thing_each():
    keys = lane_keys(build_experiment(TINY))
    assert len({tuple(jax.random.key_data(key).tolist()) for key in keys}) == len(keys)


def test_pruning_leaves_the_farthest_pairs_out():
    rng = np.random.default_rng(0)
    method = methods.create("re_meanflow", {"prune": 0.25})
    pairs = method.arrange_pairs(jnp.asarray(rng.normal(size=(POOL, 2, 2)), jnp.float32))
    distances = np.sum(np.asarray(pairs[:, 1] - pairs[:, 0]) ** 2, axis=1)
    uniforms = jnp.linspace(0, 1 - 1e-7, 1000, dtype=jnp.float32)

    def pick(uniform):
        point, time = jnp.zeros(2), jnp.zeros(())
        example = Example(point, point, time, time, uniform[None])
        found = method.coupled(example, Context(None, None, pairs=pairs))
        return jnp.sum((found.eps - found.x0) ** 2)

    picked = np.asarray(jax.vmap(pick)(uniforms))
    np.testing.assert_allclose(np.unique(picked), np.unique(distances[:48]), rtol=1e-6)


@pytest.mark.parametrize("teacher_decay", [0.0, 0.9])
def test_the_moving_teacher_follows_the_net(teacher_decay):
    config = TINY.replace(
        method="terminal_velocity_matching", method_options={"teacher_decay": teacher_decay}
    )
    start, *rest = states_at(config, 0, 1, 2, 3)
    teacher = start.params
    for state in rest:
        teacher = teacher_decay * teacher + (1 - teacher_decay) * state.params
        np.testing.assert_allclose(state.params_teacher, teacher, rtol=1e-5, atol=1e-6)


def test_split_in_the_middle_is_shortcut(x64):
    net = flat_net(MLPSpec(dim=2, width=8, depth=2, embed_dim=4, output_scale=1.0))
    rng = np.random.default_rng(2)
    params, params_ema = (jnp.asarray(rng.normal(size=net.num_params)) for _ in range(2))
    example = Example(
        *(jnp.asarray(rng.normal(size=2)) for _ in range(2)),
        jnp.asarray(0.2),
        jnp.asarray(0.9),
        jnp.array([0.3]),
    )

    def gradient(name, options):
        method = methods.create(name, options)

        def loss(params):
            context = Context(net.bind(params), net.bind(params_ema))
            return method.pair_loss(example, context, jnp.asarray(0.5))

        return np.asarray(jax.jit(jax.grad(loss))(params))

    expected = gradient("shortcut", {})
    np.testing.assert_allclose(gradient("split_meanflow", {"split": 0.5}), expected, rtol=1e-9, atol=1e-12)
    for other in ({"split": 0.4}, {}, {"split": 0.5, "teacher": "online"}):
        assert not np.allclose(gradient("split_meanflow", other), expected, rtol=1e-3)


def test_published_grid_of_shortcut():
    """Gaps 1, 1/2, ..., 1/64 equally often; times on their grid; flow matching on that of 128."""
    method = methods.create("shortcut", {"grid": True})
    seen = []

    def net(x, r, t):
        seen.append((r, t))
        return x

    uniforms = jax.random.uniform(jax.random.key(0), (20_000, 2))

    def times(loss, uniform):
        point, time = jnp.ones(2), jnp.asarray(0.5)
        loss(Example(point, point, time, time, uniform), Context(net, lambda x, r, t: x))
        return seen.pop()

    pair = jax.vmap(lambda each: times(lambda *at: method.pair_loss(*at, jnp.asarray(0.0)), each))(uniforms)
    r, t = (np.asarray(time) for time in pair)
    gaps, counts = np.unique(t - r, return_counts=True)
    np.testing.assert_array_equal(gaps, 2.0 ** np.arange(-6, 1))
    assert np.all(np.abs(counts / 20_000 - 1 / 7) < 5 * np.sqrt(6 / 49 / 20_000))
    assert np.all((t / (t - r)) % 1 == 0)
    assert r.min() == 0
    assert t.max() == 1
    r, t = (np.asarray(time) for time in jax.vmap(lambda each: times(method.equal_loss, each))(uniforms))
    np.testing.assert_array_equal(np.unique(t), np.arange(1, 129) / 128)
    np.testing.assert_array_equal(t - r, np.full(20_000, 1 / 128))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("re_meanflow", {"first_stage": 1.0}, "first_stage must lie strictly between 0 and 1, got 1.0"),
        ("decoupled_meanflow", {"first_stage": 0}, "first_stage"),
        ("re_meanflow", {"prune": 1.0}, "prune must lie in"),
        ("re_meanflow", {"num_pairs": 0}, "num_pairs must be a whole number"),
        ("rectified_meanflow", {"solver_steps": 0}, "solver_steps"),
        ("decoupled_meanflow", {"encoder_depth": 2}, "encoder_depth of a net with 2 hidden layers"),
        ("split_meanflow", {"split": 1.0}, "split must lie in"),
        ("split_meanflow", {"teacher": "oracle"}, "unknown teacher 'oracle'; choices: ema, online"),
        ("shortcut", {"clip": -1}, "clip must be at least 0"),
        ("terminal_velocity_matching", {"teacher_decay": 1.5}, "teacher_decay must lie in"),
    ],
)
def test_bad_options_are_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        build_experiment(TINY.replace(method=name, method_options=options))


@pytest.mark.parametrize("role", ["proxy", "target"])
def test_pairs_refuse_the_velocity_of_independent_ends(role):
    for proxy in ("oracle", "batch_posterior"):
        with pytest.raises(ValueError, match="choices: conditional, ema, online"):
            build_experiment(config_of("re_meanflow", **{role: proxy}))
