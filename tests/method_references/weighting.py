"""Methods that weigh MeanFlow's rows, or lift its stop-gradient: gap curriculum, trace weights, modular MeanFlow."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from method_references import Case, EqualTimes, Predicted, adaptive, derivative, square, total_derivative
from method_references.meanflow import WEIGHT, meanflow


def residual(scene, params, target_params, beta=0.0, sign=1.0):
    """u - v + (t - r) D u along (1 - beta) v + beta u_EMA(x_t, t, t)."""
    v_hat = scene.net(scene.params_ema)(scene.x_t, scene.t, scene.t)
    tangent = (1 - beta) * scene.v_cond + beta * v_hat
    du_dt = total_derivative(scene.net(target_params), scene.x_t, scene.r, scene.t, tangent)
    return scene.net(params)(scene.x_t, scene.r, scene.t) - scene.v_cond + sign * scene.gap * du_dt


def kim(scene, moved, frozen, lam=1.5, power=0.0, sign=1.0, stop_gradient=True):
    """b(D, k) adp(|u - sg[v - D du/dt]|^2), b = k + lam (1 - k) (1 - D), in the share k of training done."""
    k, gap = scene.progress, scene.gap
    value = square(residual(scene, moved, frozen if stop_gradient else moved, sign=sign))
    weighted = adaptive(value, square(residual(scene, frozen, frozen)), power, 0.01)
    return (k + lam * (1 - k) * (1 - gap)) * weighted


def kim_equal(scene, moved, frozen, strength=1.0):
    """alpha(t) |u(x_t, t, t) - v|^2; the mean of alpha over the later of two uniform times is one, by quadrature."""

    def snr_weight(t):
        return np.minimum(((1 - t) / t) ** 2, 5) * t**2

    grid = (np.arange(200_000) + 0.5) / 200_000
    t = scene.t
    stand_in = jnp.minimum(((1 - t) / t) ** 2, 5) * t**2 / np.mean(2 * grid * snr_weight(grid))
    return (1 + strength * (stand_in - 1)) * square(scene.net(moved)(scene.x_t, t, t) - scene.v_cond)


def modular(scene, moved, frozen, warm_up=0.5, power=0.0, sign=1.0):
    """|u + (t - r) (l D u + (1 - l) sg[D u]) - v|^2."""
    share = jnp.minimum(1.0, scene.progress / warm_up)

    def value(params):
        def slope(weights):
            return total_derivative(scene.net(weights), scene.x_t, scene.r, scene.t, scene.v_cond)

        du_dt = share * slope(params) + (1 - share) * slope(frozen)
        u = scene.net(params)(scene.x_t, scene.r, scene.t)
        return square(u + sign * scene.gap * du_dt - scene.v_cond)

    return adaptive(value(moved), value(frozen), power, 0.01)


SIGMAS = {
    "one": lambda t: 1.0,
    "t": lambda t: t,
    "t2": lambda t: t**2,
    "sqrt": lambda t: (t * (1 - t)) ** 0.5,
    "gaussian": lambda t: ((1 - t) ** 2 + t**2) ** -0.5,
}


def trace_weighted(scene, moved, frozen, sigma="one", power=0.0, sign=-1.0, stop_gradient=True):
    """|residual|^2 / (1 + sigma_t^2 Tr(J J^T) / 2), the trace from finite differences along both axes."""
    net = scene.net(frozen if stop_gradient else moved)

    def column(axis):
        return derivative(lambda h: net(scene.x_t + h * axis, scene.r, scene.t))

    jacobi = scene.gap * jnp.stack([column(axis) for axis in jnp.eye(2)], axis=1) + sign * jnp.eye(2)
    weight = 1 / (1 + SIGMAS[sigma](scene.t) ** 2 * jnp.trace(jacobi @ jacobi.T) / 2)
    value = square(residual(scene, moved, frozen, scene.beta))
    return weight * adaptive(value, square(residual(scene, frozen, frozen, scene.beta)), power, 0.01)


def trace_weighted_equal(scene, moved, frozen, sigma="one"):
    """At r = t the trace of J J^T = I is d."""
    residual = scene.net(moved)(scene.x_t, scene.t, scene.t) - scene.v_cond
    return square(residual) / (1 + SIGMAS[sigma](scene.t) ** 2)


CASES = [
    Case(
        "kim_gap_weighting",
        kim,
        mutants={
            "flipped sign": partial(kim, sign=-1.0),
            "another lam": partial(kim, lam=1.4),
            "no stop-gradient": partial(kim, stop_gradient=False),
        },
    ),
    Case(
        "kim_gap_weighting",
        partial(kim, power=1.0, lam=1.305),
        mutants={"no weight": partial(kim, lam=1.305)},
        options={**WEIGHT, "lam": 1.305},
        label="published weight",
    ),
    Case(
        "kim_gap_weighting",
        kim_equal,
        mutants={"switched off": partial(kim_equal, strength=0.0)},
        options={"velocity_weight": 1.0},
        stage="equal",
        label="stand-in for alpha(t)",
    ),
    Case(
        "modular_meanflow",
        modular,
        mutants={
            "flipped sign": partial(modular, sign=-1.0),
            "another warm-up": partial(modular, warm_up=0.6),
            "never lifted": partial(modular, warm_up=1e9),
        },
    ),
    Case(
        "modular_meanflow",
        partial(modular, power=1.0, warm_up=1.0),
        mutants={"no weight": partial(modular, warm_up=1.0)},
        options={**WEIGHT, "warm_up": 1.0},
        label="weight",
    ),
    *[
        Case(
            "trace_weighted",
            partial(trace_weighted, sigma=sigma),
            mutants={
                "no trace": meanflow,
                "J + 2 I": partial(trace_weighted, sigma=sigma, sign=1.0),
            },
            options={"sigma": sigma},
            label=sigma,
        )
        for sigma in SIGMAS
    ],
    Case(
        "trace_weighted",
        partial(trace_weighted, power=1.0),
        mutants={
            "no weight": trace_weighted,
            "no stop-gradient": partial(trace_weighted, power=1.0, stop_gradient=False),
        },
        options=WEIGHT,
        label="weight",
    ),
    Case(
        "trace_weighted",
        partial(trace_weighted_equal, sigma="gaussian"),
        mutants={"another sigma": trace_weighted_equal},
        options={"sigma": "gaussian"},
        stage="equal",
        label="equal times",
    ),
]

EQUAL_TIMES = {
    "kim_gap_weighting": EqualTimes(
        "a gap of zero weighs more than the mean gap early on",
        scale=lambda progress: 1 + 0.5 * (1 - progress),
    ),
    "trace_weighted": EqualTimes(
        "J = -I has a trace too, at every sigma_t",
        scale=lambda progress: 0.5,
        equal_loss_is_flow_matching=False,
    ),
}


def modular_bias(solution, r, t):
    """Gradient of Tr(J Sigma J^T) in theta, J = -sigma(r) / sigma(t) I, Sigma = (s / sigma(t))^2 I: the residual at
    the exact solution is J v', whose mean square only the lifted derivative sees."""
    jacobi = -solution.sigma(r) / solution.sigma(t)
    covariance = (solution.std / solution.sigma(t)) ** 2
    features = jax.vmap(solution.features)(r, t)
    return (2 * 2 * jacobi * covariance * (t - r))[:, None] * features


BIASES = {"modular_meanflow": Predicted({}, modular_bias)}
