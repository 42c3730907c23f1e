"""MeanFlow and flow matching."""

from functools import partial

from method_references import Case, adaptive, square, total_derivative
from toylab.methods.terms import AdaptiveWeight, Anchor


def meanflow(scene, moved, frozen, sign=1.0, shift=0.0, power=0.0, anchor=0.0, stop_gradient=True):
    """|u - sg[v_cond - (t - r) D u]|^2 with D along (1 - beta) v_cond + beta u_EMA(x_t, t, t)."""
    beta = scene.beta + shift
    v_hat = scene.net(scene.params_ema)(scene.x_t, scene.t, scene.t)
    tangent = (1 - beta) * scene.v_cond + beta * v_hat

    def loss(params, target_params):
        du_dt = total_derivative(scene.net(target_params), scene.x_t, scene.r, scene.t, tangent)
        u = scene.net(params)(scene.x_t, scene.r, scene.t)
        return square(u - scene.v_cond + sign * scene.gap * du_dt)

    value = adaptive(loss(moved, frozen if stop_gradient else moved), loss(frozen, frozen), power, 0.01)
    delta = 0.01 + 0.04 * scene.uniforms[0]
    small = scene.net(moved)(scene.x_t, scene.t - delta, scene.t)
    return value + anchor * square(small - scene.v_cond)


def flow_matching(scene, moved, frozen, time_of_target=0.0, power=0.0):
    """|u(x_t, t, t) - v_cond|^2."""

    def loss(params):
        return square(scene.net(params)(scene.x_t, scene.t - time_of_target, scene.t) - scene.v_cond)

    return adaptive(loss(moved), loss(frozen), power, 0.01)


WEIGHT = {"weight": AdaptiveWeight(1.0, 0.01)}

CASES = [
    Case(
        "meanflow",
        meanflow,
        mutants={
            "flipped sign": partial(meanflow, sign=-1.0),
            "no stop-gradient": partial(meanflow, stop_gradient=False),
            "another beta": partial(meanflow, shift=0.1),
        },
    ),
    Case(
        "meanflow",
        partial(meanflow, power=1.0, anchor=0.5),
        mutants={
            "no weight": partial(meanflow, anchor=0.5),
            "no anchor": partial(meanflow, power=1.0),
        },
        options={**WEIGHT, "anchor": Anchor(0.5, 0.01, 0.05)},
        label="weight and anchor",
    ),
    Case(
        "flow_matching",
        flow_matching,
        mutants={"at a gap": partial(flow_matching, time_of_target=0.1)},
    ),
    Case(
        "flow_matching",
        partial(flow_matching, power=1.0),
        mutants={"no weight": flow_matching},
        options=WEIGHT,
        stage="equal",
        label="equal times",
    ),
]
