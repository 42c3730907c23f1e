"""Methods with a finite step in the place of the derivative: AlphaFlow, SoFlow, TiM."""

from functools import partial

import jax.numpy as jnp
import numpy as np

from method_references import Case, EqualTimes, Vanishing, adaptive, square, total_derivative
from toylab.methods.terms import AdaptiveWeight


def published_alpha(progress, start=0.0, end=1.0, clamp=0.005):
    """1 - sigmoid(25 (k - mid) / (end - start)), snapped to 0 and 1 near them."""
    alpha = 1 - 1 / (1 + jnp.exp(-25 * (progress - (start + end) / 2) / (end - start)))
    return jnp.where(alpha < clamp, 0.0, jnp.where(alpha > 1 - clamp, 1.0, alpha))


def shifted(scene, net, alpha):
    """u(x_t - alpha (t - r) v, r, t - alpha (t - r))."""
    step = alpha * scene.gap
    return net(scene.x_t - step * scene.v_cond, scene.r, scene.t - step)


def alphaflow(
    scene, moved, frozen, schedule=published_alpha, power=0.0, constant=0.01, clip=np.inf, sign=1.0,
    stop_gradient=True, factor=True,
):  # fmt: skip
    """|u - sg[alpha v + (1 - alpha) u(shifted)]|^2 / alpha, and MeanFlow along v at alpha = 0."""
    alpha = schedule(scene.progress)
    safe = jnp.where(alpha > 0, alpha, 1.0)

    def distances(params, target_params):
        net = scene.net(target_params)
        discrete = safe * scene.v_cond + (1 - safe) * shifted(scene, net, sign * safe)
        du_dt = total_derivative(net, scene.x_t, scene.r, scene.t, scene.v_cond)
        u = scene.net(params)(scene.x_t, scene.r, scene.t)
        return (
            square(u - jnp.clip(discrete, -clip, clip)),
            square(u - scene.v_cond + sign * scene.gap * du_dt),
        )

    discrete, limit = distances(moved, frozen if stop_gradient else moved)
    discrete_frozen, limit_frozen = distances(frozen, frozen)
    # Published: alpha e / (e + c) with the weight; e / alpha without it.
    scale = (safe if power else 1 / safe) if factor else 1.0
    return jnp.where(
        alpha > 0,
        scale * adaptive(discrete, discrete_frozen, power, constant),
        adaptive(limit, limit_frozen, power, constant),
    )


def soflow(
    scene, moved, frozen, start=0.1, decay=0.02, power=0.0, constant=0.01, half=0.5, stop_gradient=True
):
    """The linear surrogate: gradient (u - target) / rho, over (|u - target|^2 / rho^2 + c)^p, without the factor 2."""
    rho = start * jnp.exp(scene.progress * np.log(decay))
    net = scene.net(frozen if stop_gradient else moved)
    target = rho * scene.v_cond + (1 - rho) * shifted(scene, net, rho)
    residual = scene.net(moved)(scene.x_t, scene.r, scene.t) - target
    fixed = (
        scene.net(frozen)(scene.x_t, scene.r, scene.t)
        - rho * scene.v_cond
        - (1 - rho) * shifted(scene, scene.net(frozen), rho)
    )
    return 2 * half * jnp.dot(residual, fixed) / rho / (square(fixed) / rho**2 + constant) ** power


def tim(
    scene, moved, frozen, step=0.005, power=0.0, constant=0.01, time_power=0.0, sign=1.0, own_path=True,
    stop_gradient=True,
):  # fmt: skip
    """|u - sg[v - (t - r) (u(x_{t+e}, r, t+e) - u(x_{t-e}, r, t-e)) / (2 e)]|^2."""

    def distance(params, target_params):
        net = scene.net(target_params)
        ends = [
            net(scene.at(scene.t + k * step) if own_path else scene.x_t, scene.r, scene.t + k * step)
            for k in (1, -1)
        ]
        slope = (ends[0] - ends[1]) / (2 * step)
        return square(
            scene.net(params)(scene.x_t, scene.r, scene.t) - scene.v_cond + sign * scene.gap * slope
        )

    value = adaptive(
        distance(moved, frozen if stop_gradient else moved), distance(frozen, frozen), power, constant
    )
    return value / (jnp.tan(scene.t) - jnp.tan(scene.r) + 1) ** time_power


CASES = [
    Case(
        "alphaflow",
        alphaflow,
        mutants={
            "flipped sign": partial(alphaflow, sign=-1.0),
            "no stop-gradient": partial(alphaflow, stop_gradient=False),
            "no factor": partial(alphaflow, factor=False),
            "another schedule": partial(alphaflow, schedule=partial(published_alpha, end=0.9)),
            "another clamp": partial(alphaflow, schedule=partial(published_alpha, clamp=0.01)),
        },
    ),
    Case(
        "alphaflow",
        partial(alphaflow, power=1.0, constant=0.002, clip=0.4),
        mutants={
            "no clip": partial(alphaflow, power=1.0, constant=0.002),
            "no weight": partial(alphaflow, clip=0.4),
        },
        options={"weight": AdaptiveWeight(1.0, 0.002), "clip": 0.4},
        label="published weight and clip",
    ),
    Case(
        "soflow",
        soflow,
        mutants={
            "factor 2": partial(soflow, half=1.0),
            "another schedule": partial(soflow, decay=0.03),
            "no stop-gradient": partial(soflow, stop_gradient=False),
        },
    ),
    Case(
        "soflow",
        partial(soflow, power=1.0, constant=0.02),
        mutants={
            "no weight": soflow,
            "another constant": partial(soflow, power=1.0, constant=0.01),
        },
        options={"weight": AdaptiveWeight(1.0, 0.02)},
        label="published weight",
    ),
    Case(
        "tim",
        tim,
        mutants={
            "flipped sign": partial(tim, sign=-1.0),
            "off the path": partial(tim, own_path=False),
            "another step": partial(tim, step=0.1),
            "no stop-gradient": partial(tim, stop_gradient=False),
        },
    ),
    Case(
        "tim",
        partial(tim, power=1.0, time_power=0.5),
        mutants={"no time weight": partial(tim, power=1.0)},
        options={"weight": AdaptiveWeight(1.0, 0.01), "time_power": 0.5},
        label="published weights",
    ),
]

EQUAL_TIMES = {
    "soflow": EqualTimes("its loss is linear in u, without the 2 of a square", scale=lambda progress: 0.5)
}


def sharpness_for(alpha: float) -> float:
    """The sharpness with which a schedule that ended at half of training has this alpha at its end."""
    return 2 * float(np.log(1 / alpha - 1))


BIASES = {
    "alphaflow": Vanishing(
        {"end": 0.5, "sharpness": sharpness_for(0.02)},
        {"end": 0.5, "sharpness": sharpness_for(0.01)},
        order=1,
    ),
    "soflow": Vanishing({"start": 0.02, "decay": 1.0}, {"start": 0.01, "decay": 1.0}, order=1, factor=0.5),
    "tim": Vanishing({"step": 0.02}, {"step": 0.01}, order=2),
}
