"""What every registered method must do; a new method joins by being registered.

Its gradient equals an independent reference (`method_references`), it reduces to flow matching at r = t, the exact
solution is stationary or its bias is the predicted one, its numbers are traced, both precisions agree, and it trains.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from method_references import Predicted, Scene, Vanishing, collect, derivative
from method_references.gaussian import GaussianSolution

import toylab as tl
from toylab.data import datasets
from toylab.methods import AbstractTwoStageMethod, Context, Example, methods
from toylab.methods.flow_matching import FlowMatching
from toylab.nets import MLPSpec, flat_net
from toylab.nets.flat import FlatNet
from toylab.training.experiment import build_experiment, structure

NAMES = methods.names()
CASES = [case for name in NAMES for case in collect("CASES").get(name, [])]

TIMES = [(0.2, 0.9), (0.0, 1.0), (0.55, 0.6), (0.3, 0.7)]
BETAS = [-0.5, 0.0, 0.7, 1.0, 1.8]
PROGRESS = [0.0, 0.3, 0.5, 0.8, 1.0]
NUM_UNIFORMS = 8
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Each program of these tests runs once: compiling it is all that takes time."""
DATASET = datasets.create("eight_gaussians")


def is_builtin(name: str) -> bool:
    """A method registered from elsewhere brings no reference; it takes part in all other tests."""
    return methods.entry(name).build.__module__.startswith("toylab.methods.")


def declared(kind: str, name: str):
    """What `method_references` says about a method; a user's own method may say nothing."""
    entry = collect(kind).get(name)
    if entry is None and not is_builtin(name):
        pytest.skip(f"{name} is no method of the package and brings no {kind}")
    assert entry is not None, f"tests/method_references has no {kind} for {name!r}"
    return entry


def net_of(method) -> FlatNet:
    return flat_net(MLPSpec(dim=2, width=6, depth=3, embed_dim=4, output_scale=1.0, **method.net_options))


def scenes_of(method, equal: bool = False) -> tuple[list, dict]:
    """Stacked examples, times, betas and progress; and parameters, directions and points that they share."""
    rng = np.random.default_rng(3)
    grid = list(itertools.product(range(len(TIMES)), range(len(PROGRESS))))
    times = np.array([TIMES[i] for i, _ in grid])
    count, num_params = len(grid), net_of(method).num_params
    stacked = [
        rng.normal(size=(count, 2)),
        rng.normal(size=(count, 2)),
        times[:, 1] if equal else times[:, 0],
        times[:, 1],
        np.array([BETAS[(i + j) % len(BETAS)] for i, j in grid]),
        np.array([PROGRESS[j] for _, j in grid]),
        rng.uniform(size=(count, NUM_UNIFORMS)),
        _unit(rng.normal(size=(count, num_params))),
    ]
    shared = {
        "params": rng.normal(size=num_params) * 0.5,
        "params_ema": rng.normal(size=num_params) * 0.5,
        "params_teacher": rng.normal(size=num_params) * 0.5,
        "reference": DATASET.sample(max(16, method.num_reference), seed=1).astype(np.float64),
        "pairs": rng.normal(size=(16, 2, 2)),
    }
    return [jnp.asarray(part) for part in stacked], {key: jnp.asarray(part) for key, part in shared.items()}


def _unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def loss_of(method, stage, example, context, beta):
    """The loss of one example as the training loop takes it."""
    if isinstance(method, AbstractTwoStageMethod) and stage == "teacher":
        return method.teacher_loss(example, context, beta)
    if isinstance(method, AbstractTwoStageMethod):
        example = method.coupled(example, context)
    return (
        method.equal_loss(example, context) if stage == "equal" else method.pair_loss(example, context, beta)
    )


def gradients_of(method, stage, stacked, shared):
    """Gradient in the parameters of each scene's loss, by the implementation."""
    bind = net_of(method).bind

    def gradient(x0, eps, r, t, beta, progress, uniforms, _):
        example = Example(x0, eps, r, t, uniforms[: method.num_uniforms])

        def loss(params):
            context = Context(
                net=bind(params),
                net_ema=bind(shared["params_ema"]),
                dataset=DATASET,
                reference=shared["reference"],
                net_teacher=bind(shared["params_teacher"]),
                pairs=shared["pairs"],
                progress=progress,
            )
            return loss_of(method, stage, example, context, beta)

        return jax.grad(loss)(shared["params"])

    return np.asarray(jax.jit(jax.vmap(gradient), compiler_options=QUICK)(*stacked))


def slopes_of(method, reference, stacked, shared):
    """Directional derivatives of a reference by finite differences alone."""

    def slope(x0, eps, r, t, beta, progress, uniforms, direction):
        scene = Scene(
            net=net_of(method).bind,
            params_ema=shared["params_ema"],
            params_teacher=shared["params_teacher"],
            x0=x0,
            eps=eps,
            r=r,
            t=t,
            beta=beta,
            progress=progress,
            uniforms=uniforms,
            reference=shared["reference"],
            pairs=shared["pairs"],
            dataset=DATASET,
        )
        frozen = shared["params"]
        return derivative(lambda h: reference(scene, frozen + h * direction, frozen))

    return np.asarray(jax.jit(jax.vmap(slope), compiler_options=QUICK)(*stacked))


@pytest.mark.parametrize("name", NAMES)
def test_every_method_has_a_reference_with_mutants(name):
    assert all(case.mutants for case in declared("CASES", name))


def test_references_belong_to_methods():
    for kind in ("CASES", "EQUAL_TIMES", "BIASES"):
        assert set(collect(kind)) <= set(NAMES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.method}-{case.label}")
def test_gradient_equals_the_reference_and_no_mutant(x64, case):
    method = methods.create(case.method, case.options)
    stacked, shared = scenes_of(method, equal=case.stage == "equal")
    found = np.sum(gradients_of(method, case.stage, stacked, shared) * np.asarray(stacked[-1]), axis=1)
    expected = slopes_of(method, case.loss, stacked, shared)
    allowed = case.tolerance * np.abs(expected).max()
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=0, atol=allowed)
    for label, mutant in case.mutants.items():
        wrong = slopes_of(method, mutant, stacked, shared)
        # Far outside: a thousand times the tolerance.
        assert np.abs(found - wrong).max() > 1e3 * allowed, f"the mutant {label!r} agrees"


@pytest.mark.parametrize("name", NAMES)
def test_at_equal_times_a_method_is_flow_matching(x64, name):
    """The exceptions are declared with a reason, and are exceptions."""
    method = methods.create(name)
    stacked, shared = scenes_of(method, equal=True)
    expected = gradients_of_flow_matching(method, stacked, shared)
    exception = collect("EQUAL_TIMES").get(name)
    pair = gradients_of(method, "pair", stacked, shared)
    if exception is None:
        np.testing.assert_allclose(pair, expected, rtol=1e-9, atol=1e-10)
    elif exception.scale is None:
        assert not np.allclose(pair, expected, rtol=1e-3)
    else:
        scales = np.array([exception.scale(float(progress)) for progress in stacked[5]])
        assert not np.allclose(scales, 1)
        np.testing.assert_allclose(pair, scales[:, None] * expected, rtol=1e-9, atol=1e-10)
    equal = gradients_of(method, "equal", stacked, shared)
    if exception is None or exception.equal_loss_is_flow_matching:
        np.testing.assert_allclose(equal, expected, rtol=1e-9, atol=1e-10)
    else:
        assert not np.allclose(equal, expected, rtol=1e-3)


def gradients_of_flow_matching(method, stacked, shared):
    """Of flow matching with the method's net, on the example that the method sees."""
    bind = net_of(method).bind

    def gradient(x0, eps, r, t, beta, progress, uniforms, _):
        example = Example(x0, eps, r, t, uniforms[: method.num_uniforms])
        if isinstance(method, AbstractTwoStageMethod):
            teacher = bind(shared["params_teacher"])
            context = Context(
                teacher, teacher, DATASET, net_teacher=teacher, pairs=shared["pairs"], progress=progress
            )
            example = method.coupled(example, context)

        def loss(params):
            return FlowMatching().equal_loss(example, Context(bind(params), bind(params)))

        return jax.grad(loss)(shared["params"])

    return np.asarray(jax.jit(jax.vmap(gradient), compiler_options=QUICK)(*stacked))


STD = 0.6


def gradients_at_solution(method, key, std=STD, beta=0.7, progress=0.5, n=20_000):
    """d loss / d theta at theta = 0 for examples of N(0, STD^2 I), around the solution for the width ``std``.

    Copies of the net and pairs are exact: between copies of a wrong flow a bootstrapped method sees no contradiction.
    """
    dataset = datasets.create("two_gaussians", {"separation": 0.0, "std": STD})
    key_data, key_eps, key_times, key_uniforms, key_pairs = jax.random.split(key, 5)
    times = jnp.sort(jax.random.uniform(key_times, (n, 2), jnp.float64), axis=1)
    examples = Example(
        x0=dataset.draw(key_data, n).astype(jnp.float64),
        eps=jax.random.normal(key_eps, (n, 2), jnp.float64),
        r=times[:, 0],
        t=times[:, 1],
        uniforms=jax.random.uniform(key_uniforms, (n, method.num_uniforms), jnp.float64),
    )
    exact = GaussianSolution(STD, jnp.zeros(3))
    noise = jax.random.normal(key_pairs, (n, 2), jnp.float64)
    pairs = jnp.stack([STD * noise, noise], axis=1)  # x0 = sigma(0) / sigma(1) eps
    reference = dataset.draw(key_pairs, max(1, method.num_reference)).astype(jnp.float64)

    def gradient(example):
        def loss(theta):
            net = GaussianSolution(std, theta)
            context = Context(net, exact, dataset, reference, exact, pairs, jnp.asarray(progress))
            return loss_of(method, "pair", example, context, jnp.asarray(beta))

        return jax.grad(loss)(jnp.zeros(3))

    return np.asarray(jax.jit(jax.vmap(gradient), compiler_options=QUICK)(examples)), examples


def standard_errors(values) -> float:
    """The largest mean of the columns, in standard errors."""
    return float(np.max(np.abs(values.mean(axis=0)) / (values.std(axis=0) / len(values) ** 0.5 + 1e-12)))


@pytest.mark.parametrize("name", NAMES)
def test_the_exact_solution_is_stationary_or_biased_as_predicted(x64, key, name):
    method = methods.create(name)
    if method.unbiased:
        gradients, _ = gradients_at_solution(method, key)
        assert standard_errors(gradients) < 5
        # The check can fail: the solution for data of another width is no stationary point.
        wrong, _ = gradients_at_solution(method, key, std=0.9)
        assert standard_errors(wrong) > 10
        return
    bias = declared("BIASES", name)
    check_vanishing(name, bias, key) if isinstance(bias, Vanishing) else check_predicted(name, bias, key)


def check_vanishing(name: str, bias: Vanishing, key):
    """The bias is there, and shrinks with the step at its order."""
    limit, _ = gradients_at_solution(
        methods.create(bias.limit, bias.limit_options), key, beta=bias.beta, progress=bias.progress
    )

    def excess(options):
        method = methods.create(name, options)
        gradients, _ = gradients_at_solution(method, key, beta=bias.beta, progress=bias.progress)
        # The limit's mean is zero: subtracting it example by example takes away the noise that both share.
        return gradients - bias.factor * limit

    coarse, fine = excess(bias.coarse), excess(bias.fine)
    assert standard_errors(coarse) > 10
    column = np.argmax(np.abs(coarse.mean(axis=0)) / coarse.std(axis=0))
    ratio = coarse[:, column].mean() / fine[:, column].mean()
    assert ratio == pytest.approx(2**bias.order, rel=0.15)


def check_predicted(name: str, bias: Predicted, key):
    """The mean gradient is the predicted one, which is far from zero."""
    method = methods.create(name, bias.options)
    gradients, examples = gradients_at_solution(method, key, progress=bias.progress)
    predicted = np.asarray(bias.gradient(GaussianSolution(STD, jnp.zeros(3)), examples.r, examples.t))
    assert standard_errors(gradients) > 10
    assert standard_errors(gradients - predicted) < 5


@pytest.mark.parametrize("name", NAMES)
def test_both_precisions_agree(name):
    method = methods.create(name)
    with jax.enable_x64(True):
        stacked, shared = scenes_of(method)
        exact = gradients_of(method, "pair", stacked, shared)
    single = [jnp.asarray(np.asarray(part, np.float32)) for part in stacked]
    points = {key: jnp.asarray(np.asarray(part, np.float32)) for key, part in shared.items()}
    found = gradients_of(method, "pair", single, points)
    assert found.dtype == np.float32
    error = np.linalg.norm(found - exact, axis=1) / np.linalg.norm(exact, axis=1).max()
    assert error.max() < 1e-3


TINY = tl.RunConfig(steps=20, batch_size=32, width=16, depth=2, embed_dim=8, log_every=10, eval_samples=0)


def moved_options(name: str) -> dict:
    """Every number among a method's options a little off its default: all are leaves of the compiled program."""
    numbers = {key: value for key, value in methods.options(name).items() if type(value) is float}
    return {key: 0.9 * value if value else 0.1 for key, value in numbers.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_method_trains_and_its_numbers_share_one_program(name, caplog):
    config = TINY.replace(method=name)
    first = tl.train_many([config], progress=False)[0]
    assert first.status == "done"
    assert np.all(np.isfinite(first.history["loss"]))
    assert np.all(np.isfinite(first.state.params))
    changed = config.replace(
        beta=-0.3, seed=9, learning_rate=1e-3, steps=30, method_options=moved_options(name)
    )
    assert structure(build_experiment(config)) == structure(build_experiment(changed))
    caplog.clear()
    with jax.log_compiles(True):
        second = tl.train_many([changed], progress=False)[0]
    compiled = [record.getMessage() for record in caplog.records if "compilation" in record.getMessage()]
    assert not [message for message in compiled if "train_lane" in message], compiled
    assert np.all(np.isfinite(second.history["loss"]))
    assert not np.array_equal(first.state.params, second.state.params)
