"""Methods that must coincide: at a value of an option, or as a step goes to zero."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conformance import gradients_of, scenes_of

from toylab.methods import Example, methods
from toylab.methods.alphaflow import AlphaFlow
from toylab.methods.euler_mean_flows import EulerMeanFlows
from toylab.methods.improved_meanflow import ImprovedMeanFlow
from toylab.methods.kim_gap_weighting import KimGapWeighting
from toylab.methods.meanflow import MeanFlow
from toylab.methods.modular_meanflow import ModularMeanFlow
from toylab.methods.soflow import SoFlow
from toylab.methods.terms import AdaptiveWeight
from toylab.methods.tim import TiM
from toylab.proxies import Context
from toylab.proxies.builtin import Online

pytestmark = pytest.mark.usefixtures("x64")


def gradients(method, **fixed):
    """Gradients on all scenes, with beta or progress fixed."""
    scenes, around = scenes_of(method)
    fixed = {name: jnp.full_like(getattr(scenes, name), value) for name, value in fixed.items()}
    return gradients_of(method, "pair", scenes._replace(**fixed), around)


def distance(one, other) -> float:
    return float(np.abs(one - other).max() / np.abs(other).max())


def vanilla():
    return gradients(MeanFlow(), beta=0.0)


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_head_free_improved_meanflow_is_meanflow_along_its_own_velocity(power):
    weight = AdaptiveWeight(power, 0.01)
    same = gradients(MeanFlow(tangent=Online(), weight=weight), beta=1.0)
    assert distance(gradients(ImprovedMeanFlow(head=False, weight=weight)), same) < 1e-12
    assert distance(gradients(MeanFlow(tangent=Online(), weight=weight), beta=0.9), same) > 1e-3


@pytest.mark.parametrize("progress", [0.3, 0.5, 0.6])
@pytest.mark.parametrize("power", [0.0, 1.0])
def test_soflow_is_alphaflow_at_equal_steps(progress, power):
    alpha = float(AlphaFlow().alpha(progress))
    assert 0.05 < alpha < 1
    # Over the published weights the constants differ by the square of the step.
    one = AlphaFlow(weight=AdaptiveWeight(power, 0.01 * alpha**2))
    other = SoFlow(weight=AdaptiveWeight(power, 0.01), start=alpha, decay=1.0, scale=1.0)
    assert distance(gradients(one, progress=progress), gradients(other)) < 1e-12
    wrong = SoFlow(weight=AdaptiveWeight(power, 0.01), start=0.9 * alpha, decay=1.0, scale=1.0)
    assert distance(gradients(one, progress=progress), gradients(wrong)) > 1e-3


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_alphaflow_ends_as_meanflow_and_begins_as_flow_matching_at_every_gap(power):
    weight = AdaptiveWeight(power, 0.01)
    end = gradients(AlphaFlow(weight=weight), progress=1.0)
    assert distance(end, gradients(MeanFlow(weight=weight), beta=0.0)) < 1e-12
    whole = gradients(SoFlow(weight=weight, start=1.0, decay=1.0, scale=1.0))
    assert distance(gradients(AlphaFlow(weight=weight), progress=0.0), whole) < 1e-12


@pytest.mark.parametrize(
    ("share", "alpha"), [(0.0, 1.0), (0.28, 1.0), (0.29, 0.9948), (0.5, 0.5), (0.71, 0.0052), (0.72, 0.0)]
)
def test_alphaflow_follows_the_published_schedule(share, alpha):
    """Exactly one for the first 28.8% of [start, end], exactly zero for the last."""
    assert float(AlphaFlow().alpha(share)) == pytest.approx(alpha, abs=1e-4)
    assert float(AlphaFlow(start=0.2, end=0.7).alpha(0.2 + 0.5 * share)) == pytest.approx(alpha, abs=1e-4)


def test_schedules_without_gap_weight_or_lifted_gradient_are_meanflow():
    assert distance(gradients(KimGapWeighting(), progress=1.0), vanilla()) < 1e-12
    assert distance(gradients(ModularMeanFlow(), progress=0.0), vanilla()) < 1e-12
    assert distance(gradients(KimGapWeighting(), progress=0.5), vanilla()) > 1e-3
    assert distance(gradients(ModularMeanFlow(), progress=0.5), vanilla()) > 1e-3


@pytest.mark.parametrize(
    ("build", "limit", "order"),
    [
        (lambda h: TiM(step=h), {"beta": 0.0}, 2),
        (lambda h: EulerMeanFlows(delta=h), {"beta": 1.0}, 1),
        (lambda h: SoFlow(start=h, decay=1.0, scale=1.0), {"beta": 0.0}, 1),
    ],
    ids=["tim", "euler_mean_flows", "discrete residual over its step"],
)
def test_a_small_step_tends_to_the_derivative(build, limit, order):
    exact = gradients(MeanFlow(tangent=Online()), **limit)
    coarse, fine = (distance(gradients(build(h)), exact) for h in (2e-3, 1e-3))
    assert fine < 0.02
    assert coarse / fine == pytest.approx(2**order, rel=0.05)


def test_the_clip_of_alphaflow_bounds_the_target():
    scenes, around = scenes_of(AlphaFlow())
    far = scenes._replace(x0=10 * scenes.x0, progress=jnp.full_like(scenes.progress, 0.3))
    with jax.disable_jit():  # to the last bit, which two programs need not share
        free, wide, tight = (gradients_of(AlphaFlow(clip=c), "pair", far, around) for c in (0.0, 1e6, 4.0))
    np.testing.assert_array_equal(free, wide)
    assert distance(tight, free) > 0.1


def test_a_net_without_a_second_head_is_refused_by_name():
    scenes, _ = scenes_of(AlphaFlow())
    example = Example(scenes.x0[0], scenes.eps[0], scenes.r[0], scenes.t[0], jnp.zeros(0))
    with pytest.raises(ValueError, match="head=False"):
        methods.create("improved_meanflow").pair_loss(
            example, Context(lambda x, r, t: x, lambda x, r, t: x), jnp.asarray(1.0)
        )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("alphaflow", {"start": 0.5, "end": 0.5}, "start < end"),
        ("alphaflow", {"clamp": 0.5}, r"clamp must lie in \[0, 0.5\), got 0.5"),
        ("alphaflow", {"clip": -1.0}, "clip must be at least 0"),
        ("soflow", {"start": 0.0}, r"start must lie in \(0, 1\], got 0.0"),
        ("soflow", {"decay": 2.0}, "decay must lie in"),
        ("tim", {"step": 0.0}, "step must lie in"),
        ("euler_mean_flows", {"delta": 1.0}, "delta must lie in"),
        ("kim_gap_weighting", {"velocity_weight": 2.0}, "velocity_weight must lie in"),
        ("modular_meanflow", {"warm_up": 0.0}, "warm_up must be above 0"),
        ("trace_weighted", {"sigma": "two"}, "unknown sigma 'two'; choices: gaussian, one, sqrt, t, t2"),
    ],
)
def test_bad_options_are_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        methods.create(name, options)
