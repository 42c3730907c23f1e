"""Methods whose tangent is the net's own velocity: improved MeanFlow and Euler mean flows."""

from functools import partial

import jax.numpy as jnp

from method_references import Case, EqualTimes, Vanishing, adaptive, square, total_derivative
from method_references.meanflow import WEIGHT


def two_heads(
    scene, moved, frozen, power=0.0, head_weight=1.0, head_time="r", asked_at="t", frozen_tangent=True
):
    """|u - sg[v - (t - r) D u]|^2 + |v_head(x_t, r, t) - v|^2 along a = sg v_head(x_t, t, t)."""
    x_t, r, t, v = scene.x_t, scene.r, scene.t, scene.v_cond

    def terms(params, target_params):
        net = scene.net(target_params)
        tangent = net.with_velocity(x_t, t if asked_at == "t" else r, t)[1]
        du_dt = total_derivative(net, x_t, r, t, tangent)
        u = scene.net(params)(x_t, r, t)
        velocity = scene.net(params).with_velocity(x_t, r if head_time == "r" else t, t)[1]
        return square(u - v + scene.gap * du_dt), square(velocity - v)

    average, head = terms(moved, frozen if frozen_tangent else moved)
    average_frozen, head_frozen = terms(frozen, frozen)
    return adaptive(average, average_frozen, power, 0.01) + head_weight * adaptive(
        head, head_frozen, power, 0.01
    )


def two_heads_at_equal_times(scene, moved, frozen, head_weight=1.0):
    """|u(x_t, t, t) - v|^2 + |v_head(x_t, t, t) - v|^2."""
    u, velocity = scene.net(moved).with_velocity(scene.x_t, scene.t, scene.t)
    return square(u - scene.v_cond) + head_weight * square(velocity - scene.v_cond)


def head_free(scene, moved, frozen, sign=1.0, frozen_tangent=True):
    """|u - sg[v - (t - r) D u]|^2 along a = sg u(x_t, t, t); read as |u + (t - r) sg[D u] - v|^2."""
    net = scene.net(frozen if frozen_tangent else moved)
    tangent = net(scene.x_t, scene.t, scene.t)
    du_dt = total_derivative(net, scene.x_t, scene.r, scene.t, tangent)
    return square(scene.net(moved)(scene.x_t, scene.r, scene.t) + sign * scene.gap * du_dt - scene.v_cond)


def euler(scene, moved, frozen, delta=0.05, sign=1.0, full_gap=False, stop_gradient=True):
    """|u - sg[v - (t - r - delta)_+ (u - u(x_t - delta u(x_t, t, t), r, t - delta)) / delta]|^2."""
    net = scene.net(frozen if stop_gradient else moved)
    here = net(scene.x_t, scene.r, scene.t)
    step = scene.x_t - delta * net(scene.x_t, scene.t, scene.t)
    slope = (here - net(step, scene.r, scene.t - delta)) / delta
    left = scene.gap if full_gap else jnp.where(scene.gap > delta, scene.gap - delta, 0.0)
    target = scene.v_cond - sign * left * slope
    return square(scene.net(moved)(scene.x_t, scene.r, scene.t) - target)


CASES = [
    Case(
        "improved_meanflow",
        two_heads,
        mutants={
            "head trained at r = t": partial(two_heads, head_time="t"),
            "head asked at (r, t)": partial(two_heads, asked_at="r"),
            "no stop-gradient": partial(two_heads, frozen_tangent=False),
            "no loss of the head": partial(two_heads, head_weight=0.0),
        },
    ),
    Case(
        "improved_meanflow",
        partial(two_heads, power=1.0),
        mutants={"no weight": two_heads},
        options=WEIGHT,
        label="weight",
    ),
    Case(
        "improved_meanflow",
        two_heads_at_equal_times,
        mutants={"no loss of the head": partial(two_heads_at_equal_times, head_weight=0.0)},
        stage="equal",
        label="equal times",
    ),
    Case(
        "improved_meanflow",
        head_free,
        mutants={
            "flipped sign": partial(head_free, sign=-1.0),
            "no stop-gradient": partial(head_free, frozen_tangent=False),
        },
        options={"head": False},
        label="head-free",
    ),
    Case(
        "euler_mean_flows",
        euler,
        mutants={
            "flipped sign": partial(euler, sign=-1.0),
            "the whole gap": partial(euler, full_gap=True),
            "another step": partial(euler, delta=0.04),
            "no stop-gradient": partial(euler, stop_gradient=False),
        },
    ),
]

EQUAL_TIMES = {
    "improved_meanflow": EqualTimes(
        "the second head is taught at every pair of times", equal_loss_is_flow_matching=False
    )
}

BIASES = {"euler_mean_flows": Vanishing({"delta": 0.02}, {"delta": 0.01}, order=1, beta=1.0)}
