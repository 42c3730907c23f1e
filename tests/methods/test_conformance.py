"""What every registered method must do; a new method joins by being registered.

Its gradient equals an independent reference (`method_references`), it reduces to flow matching at r = t, the exact
solution is stationary or its bias is the predicted one, its numbers are traced, both precisions agree, and it trains.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conformance import (
    STD,
    gradients_at_solution,
    gradients_of,
    scenes_of,
    slopes_of,
    standard_errors,
)
from method_references import Predicted, Vanishing, collect
from method_references.gaussian import GaussianSolution

import toylab as tl
from toylab.methods import methods
from toylab.training.experiment import build_experiment, structure

NAMES = methods.names()
CASES = [case for name in NAMES for case in collect("CASES").get(name, [])]
TINY = tl.RunConfig(steps=20, batch_size=32, width=16, depth=3, embed_dim=8, log_every=10, eval_samples=0)


def is_published(name: str) -> bool:
    """A method that cites a paper must prove that it is what was published; a toy takes part in all other tests."""
    return bool(methods.entry(name).citation)


def declared(kind: str, name: str):
    """What `method_references` says about a method; a user's own method may say nothing."""
    entry = collect(kind).get(name)
    if entry is None and not is_published(name):
        pytest.skip(f"{name} cites no paper and brings no {kind}")
    assert entry is not None, f"tests/method_references has no {kind} for {name!r}"
    return entry


@pytest.mark.parametrize("name", NAMES)
def test_every_method_has_a_reference_with_mutants(name):
    assert all(case.mutants for case in declared("CASES", name))


def test_references_belong_to_methods():
    for kind in ("CASES", "EQUAL_TIMES", "BIASES"):
        assert set(collect(kind)) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_method_says_what_it_is_and_where_it_comes_from(name):
    entry, method = methods.entry(name), methods.create(name)
    build_experiment(TINY.replace(method=name, **method.published))
    if is_published(name):
        assert method.formula
        assert method.changes or name == "meanflow"
        assert f"{{{entry.citation}," in Path("references.bib").read_text()


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.method}-{case.label}")
def test_gradient_equals_the_reference_and_no_mutant(x64, case):
    method = methods.create(case.method, case.options)
    scenes, around = scenes_of(method, equal=case.stage == "equal")
    found = np.sum(gradients_of(method, case.stage, scenes, around) * np.asarray(scenes.direction), axis=1)
    expected, *wrong = slopes_of(method, [case.loss, *case.mutants.values()], scenes, around)
    allowed = case.tolerance * np.abs(expected).max()
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=0, atol=allowed)
    for label, mutant in zip(case.mutants, wrong, strict=True):
        # Far outside: a thousand times the tolerance.
        assert np.abs(found - mutant).max() > 1e3 * allowed, f"the mutant {label!r} agrees"


@pytest.mark.parametrize("name", NAMES)
def test_at_equal_times_a_method_is_flow_matching(x64, name):
    """The exceptions are declared with a reason, and are exceptions."""
    method = methods.create(name)
    scenes, around = scenes_of(method, equal=True)
    pair, equal, expected = (
        gradients_of(method, stage, scenes, around) for stage in ("pair", "equal", "flow_matching")
    )
    exception = collect("EQUAL_TIMES").get(name)
    if exception is None and not is_published(name) and not np.allclose(pair, expected, rtol=1e-6):
        pytest.skip(f"{name} is no method of the package and need not declare what it is at r = t")
    if exception is not None and exception.scale is None:
        assert not np.allclose(pair, expected, rtol=1e-3)
    else:
        scales = [exception.scale(float(share)) if exception else 1.0 for share in scenes.progress]
        assert exception is None or not np.allclose(scales, 1)
        np.testing.assert_allclose(pair, np.array(scales)[:, None] * expected, rtol=1e-9, atol=1e-10)
    if exception is None or exception.equal_loss_is_flow_matching:
        np.testing.assert_allclose(equal, expected, rtol=1e-9, atol=1e-10)
    else:
        assert not np.allclose(equal, expected, rtol=1e-3)


@pytest.mark.slow
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
        scenes, around = scenes_of(method)
        exact = gradients_of(method, "pair", scenes, around)
    found = gradients_of(method, "pair", *scenes_of(method))
    assert found.dtype == np.float32
    error = np.linalg.norm(found - exact, axis=1) / np.linalg.norm(exact, axis=1).max()
    assert error.max() < 1e-3


def moved_options(name: str) -> dict:
    """Every number among a method's options a little off its default: all are leaves of the compiled program."""
    numbers = {key: value for key, value in methods.options(name).items() if type(value) is float}
    return {key: 0.9 * value if value else 0.1 for key, value in numbers.items()}


@pytest.mark.slow
@pytest.mark.usefixtures("keep_programs")
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
