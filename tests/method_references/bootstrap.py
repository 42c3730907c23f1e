"""Methods that learn from a copy of their own net: bootstrapped, terminal, and two-stage."""

from functools import partial

import jax
import jax.numpy as jnp

from method_references import Case, EqualTimes, Predicted, derivative, square, total_derivative
from toylab.methods.decoupled_meanflow import DecoupledMeanFlow
from toylab.methods.terms import AdaptiveWeight


def split_meanflow(scene, moved, frozen, teacher="ema", share=None, swapped=False, chord=False):
    """(t - r) u = (t - s) u2 + (s - r) u1, divided by the gap, with the parts frozen."""
    u = scene.net(frozen if teacher == "online" else moved if teacher == "live" else scene.params_ema)
    share = scene.uniforms[0] if share is None else share
    s = (1 - share) * scene.t + share * scene.r
    later = u(scene.x_t, s, scene.t)
    x_s = scene.at(s) if chord else scene.x_t - (scene.t - s) * later
    earlier = u(x_s, scene.r, s)
    first, second = (scene.t - s, s - scene.r) if not swapped else (s - scene.r, scene.t - s)
    target = (first * later + second * earlier) / scene.gap
    return square(scene.net(moved)(scene.x_t, scene.r, scene.t) - target)


def shortcut(scene, moved, frozen, grid=False, clip=jnp.inf, teacher=None, same_point=False):
    """Two half steps of the moving average end where one step shall end."""
    r, t = scene.r, scene.t
    if grid:
        k = jnp.floor(7 * scene.uniforms[0])
        gap = 2.0**-k
        tau = jnp.floor(scene.uniforms[1] * 2**k) * gap  # the published time, from noise to data
        r, t = 1 - (1 - gap - tau) - gap, 1 - (1 - gap - tau)
    half = (t - r) / 2
    u = scene.net(scene.params_ema if teacher is None else moved)
    x_t = scene.at(t)
    middle = jnp.clip(x_t - half * u(x_t, t - half, t), -clip, clip)
    end = (x_t if same_point else middle, r, t - half)
    target = jnp.clip((u(x_t, t - half, t) + u(*end)) / 2, -clip, clip)
    return square(scene.net(moved)(x_t, r, t) - target)


def shortcut_flow_matching(scene, moved, frozen, finest=128):
    """Flow matching on the grid of 128 steps, under the label of its finest gap."""
    t = (1 + jnp.floor(128 * scene.uniforms[0])) / 128
    return square(scene.net(moved)(scene.at(t), t - 1 / finest, t) - scene.v_cond)


def terminal(scene, moved, frozen, detach=False, through=False, conditional=False):
    """|d f / d r - u_T(f, r, r)|^2 with f(r) = x_t - (t - r) u(x_t, r, t), differentiated as a whole."""
    x_t, r, t = scene.x_t, scene.r, scene.t

    def end(params, time):
        return x_t - (t - time) * scene.net(params)(x_t, time, t)

    if detach:
        slope = derivative(lambda h: scene.net(frozen)(x_t, r + h, t))
        velocity = scene.net(moved)(x_t, r, t) - scene.gap * slope
    else:
        velocity = derivative(lambda h: end(moved, r + h))
    teacher = scene.net(scene.params_teacher)(end(moved if through else frozen, r), r, r)
    return square(velocity - (scene.v_cond if conditional else teacher))


def paired(scene, moved, frozen, prune=0.0, own=False, last=False):
    """MeanFlow with the tangent (1 - beta) v + beta u_EMA on a pair of the pool."""
    kept = round((1 - prune) * len(scene.pairs))
    index = len(scene.pairs) - 1 if last else jnp.floor(scene.uniforms[0] * kept).astype(int)
    x0, eps = scene.pairs[index]
    if own:
        x0, eps = scene.x0, scene.eps
    x_t, v = (1 - scene.t) * x0 + scene.t * eps, eps - x0
    v_hat = scene.net(scene.params_ema)(x_t, scene.t, scene.t)
    tangent = (1 - scene.beta) * v + scene.beta * v_hat
    du_dt = total_derivative(scene.net(frozen), x_t, scene.r, scene.t, tangent)
    return square(scene.net(moved)(x_t, scene.r, scene.t) - v + scene.gap * du_dt)


def flow_matching(scene, moved, frozen, at_gap=False):
    """The first stage: |u(x_t, t, t) - v_cond|^2 whatever r."""
    return square(scene.net(moved)(scene.x_t, scene.r if at_gap else scene.t, scene.t) - scene.v_cond)


def meanflow(scene, moved, frozen, velocity=None, target=None, beta=None):
    """MeanFlow; distilled, the teacher's velocity is both the tangent and the target."""
    teacher = scene.net(scene.params_teacher)(scene.x_t, scene.t, scene.t)
    ema = scene.net(scene.params_ema)(scene.x_t, scene.t, scene.t)
    v = teacher if velocity == "teacher" else scene.v_cond
    beta = scene.beta if beta is None else beta
    du_dt = total_derivative(scene.net(frozen), scene.x_t, scene.r, scene.t, (1 - beta) * v + beta * ema)
    goal = teacher if target == "teacher" else scene.v_cond
    return square(scene.net(moved)(scene.x_t, scene.r, scene.t) - goal + scene.gap * du_dt)


def log_mean(scene, moved, frozen, constant=0.01):
    """The published loss log(m + 0.01), m the mean over coordinates."""
    return jnp.log(meanflow(scene, moved, frozen) / 2 + constant)


PUBLISHED_WEIGHT = AdaptiveWeight(
    *(DecoupledMeanFlow.published[f"adaptive_{name}"] for name in ("power", "constant"))
)
DISTILLED = partial(meanflow, velocity="teacher", target="teacher", beta=0.0)

CASES = [
    Case(
        "split_meanflow",
        split_meanflow,
        mutants={
            "swapped shares": partial(split_meanflow, swapped=True),
            "middle": partial(split_meanflow, share=0.5),
            "online": partial(split_meanflow, teacher="online"),
            "chord in the place of the step": partial(split_meanflow, chord=True),
        },
    ),
    Case(
        "split_meanflow",
        partial(split_meanflow, teacher="online", share=0.3),
        mutants={
            "no stop-gradient": partial(split_meanflow, teacher="live", share=0.3),
            "drawn split": partial(split_meanflow, teacher="online"),
            "moving average": partial(split_meanflow, share=0.3),
        },
        options={"teacher": "online", "split": 0.3},
        label="online, fixed split",
    ),
    Case(
        "shortcut",
        shortcut,
        mutants={
            "gradient through the target": partial(shortcut, teacher="live"),
            "second half from the start": partial(shortcut, same_point=True),
        },
    ),
    Case(
        "shortcut",
        partial(shortcut, grid=True, clip=0.5),
        mutants={
            "times of the run": partial(shortcut, clip=0.5),
            "no clip": partial(shortcut, grid=True),
        },
        options={"grid": True, "clip": 0.5},
        label="grid and clip",
    ),
    Case(
        "shortcut",
        shortcut_flow_matching,
        mutants={"another label": partial(shortcut_flow_matching, finest=64)},
        options={"grid": True},
        stage="equal",
        label="flow matching on the grid",
    ),
    Case(
        "terminal_velocity_matching",
        terminal,
        mutants={
            "detached derivative": partial(terminal, detach=True),
            "gradient through the end": partial(terminal, through=True),
            "conditional velocity": partial(terminal, conditional=True),
        },
    ),
    Case(
        "terminal_velocity_matching",
        partial(terminal, detach=True),
        mutants={"second order": terminal},
        options={"detach": True},
        label="detached",
    ),
    Case("decoupled_meanflow", meanflow, mutants={"distilled": DISTILLED}),
    Case(
        "decoupled_meanflow",
        log_mean,
        mutants={"no weight": meanflow, "constant of the sum": partial(log_mean, constant=0.02)},
        options={"weight": PUBLISHED_WEIGHT},
        label="published weighting",
    ),
    Case(
        "decoupled_meanflow",
        DISTILLED,
        mutants={
            "target of data": partial(meanflow, velocity="teacher", beta=0.0),
            "tangent of data": partial(meanflow, target="teacher", beta=0.0),
            "mixed tangent": partial(meanflow, velocity="teacher", target="teacher"),
        },
        options={"distill": True},
        label="distilled",
    ),
]

for name in ("re_meanflow", "rectified_meanflow"):
    CASES += [
        Case(
            name,
            paired,
            mutants={"own pair": partial(paired, own=True), "last pair": partial(paired, last=True)},
        ),
        Case(
            name,
            partial(paired, prune=0.25),
            mutants={"whole pool": paired},
            options={"prune": 0.25},
            label="pruned",
        ),
    ]

for name in ("re_meanflow", "decoupled_meanflow"):
    CASES.append(
        Case(
            name,
            flow_matching,
            mutants={"at the gap": partial(flow_matching, at_gap=True), "second stage": meanflow},
            stage="teacher",
            label="first stage",
        )
    )
CASES.append(
    Case(
        "rectified_meanflow",
        meanflow,
        mutants={"flow matching": flow_matching},
        stage="teacher",
        label="first stage",
    )
)

EQUAL_TIMES = {
    "split_meanflow": EqualTimes("the two parts of an empty interval are the teacher's velocity"),
    "shortcut": EqualTimes("two half steps of nothing are the moving average's velocity"),
    "terminal_velocity_matching": EqualTimes("a step of nothing ends where it began: the teacher's velocity"),
}


def of_paired_gaussian(solution, r, t):
    """d/d theta of E|u - sg[...]|^2 at the average velocity of INDEPENDENT ends, on the pairs (s eps, eps).

    There x_t = l eps with l = (1 - t) s + t, and all is linear: u = a(r, t) x, so the residual is
    [a l - (1 - s) + (t - r)(a (1 - s) + da/dt l)] eps, without the proxy's share beta, which replaces (1 - s) in the
    tangent by the velocity a(t, t) l. The feature is f(r, t) l eps, and E|eps|^2 = 2.
    """
    beta, s = 0.7, solution.std
    point = jnp.array([1.0, 0.0])

    def a(earlier, later):
        return solution(point, earlier, later)[0]

    def one(r, t):
        scale = (1 - t) * s + t
        da_dt = derivative(lambda h: a(r, t + h))
        tangent = (1 - beta) * (1 - s) + beta * a(t, t) * scale
        residual = a(r, t) * scale - (1 - s) + (t - r) * (a(r, t) * tangent + da_dt * scale)
        return 2 * residual * solution.features(r, t) * scale * 2

    return jax.vmap(one)(r, t)


BIASES = {
    "re_meanflow": Predicted({}, of_paired_gaussian),
    "rectified_meanflow": Predicted({}, of_paired_gaussian),
}
