"""Independent references of the methods: what the shared tests of `test_conformance.py` compare with.

Every module of this package is imported; it may define

- ``CASES``: a list of `Case`, the gradient of a loss written once more from its formula;
- ``EQUAL_TIMES``: name -> `EqualTimes`, for a method whose pair loss at r = t is not plain flow matching;
- ``BIASES``: name -> `Vanishing` or `Predicted`, for a method whose ``unbiased`` is False.

A reference is a function ``loss(scene, moved, frozen)`` of two parameter vectors. The harness moves ``moved`` along a
direction and leaves ``frozen`` alone: what the formula puts under a stop-gradient is evaluated at ``frozen``.
Derivatives inside the loss are finite differences (`derivative`, `total_derivative`): no jvp, no grad, no
stop_gradient. Scenes are stacked, so a condition is a ``jnp.where``, not an ``if``.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

Reference = Callable[["Scene", Any, Any], Any]
"""(scene, moved parameters, frozen parameters) -> loss of one example."""


@dataclass(frozen=True)
class Scene:
    """One example and all that surrounds it, in plain numbers."""

    net: Callable
    """Parameters -> u(x, r, t); with a second head also ``.with_velocity(x, r, t) -> (u, v)``."""
    params_ema: Any
    params_teacher: Any
    x0: Any
    eps: Any
    r: Any
    t: Any
    beta: Any
    progress: Any
    uniforms: Any
    """At least as many as the method asks for."""
    reference: Any
    """Fresh data points, (n, 2)."""
    pairs: Any
    """Pairs (x0, eps) of a teacher, (n, 2, 2)."""
    dataset: Any

    @property
    def gap(self):
        return self.t - self.r

    @property
    def x_t(self):
        return self.at(self.t)

    @property
    def v_cond(self):
        return self.eps - self.x0

    def at(self, time):
        """The point of the straight path at another time."""
        return (1 - time) * self.x0 + time * self.eps


@dataclass(frozen=True)
class Case:
    """A reference of one method with some options, and mutants of it that must disagree.

    A mutant disagrees if at one scene at least it is far outside the tolerance.
    """

    method: str
    loss: Reference
    mutants: Mapping[str, Reference]
    options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the method's class."""
    stage: Literal["pair", "equal", "teacher"] = "pair"
    """Which loss: ``pair_loss``, ``equal_loss`` (the scene has r = t) or ``teacher_loss`` of a two-stage method.
    Of a two-stage method the example passes through ``coupled`` first, except in stage "teacher"."""
    label: str = "default"
    tolerance: float = 1e-7
    """Largest difference of directional derivatives, relative to the largest one."""


class EqualTimes(NamedTuple):
    """What the gradient of ``pair_loss`` becomes at r = t: ``scale(progress)`` times that of flow matching."""

    reason: str
    scale: Callable[[float], float] | None = None
    """None where it is no multiple of flow matching at all (which is tested too)."""
    equal_loss_is_flow_matching: bool = True
    """Whether ``equal_loss`` has the gradient of flow matching."""


class Vanishing(NamedTuple):
    """A bias of the given order in a step: at the exact solution, the mean gradient less that of a limit method (the
    same examples) shrinks by 2^order from ``coarse`` to ``fine``, where the step is halved."""

    coarse: Mapping[str, Any]
    fine: Mapping[str, Any]
    order: int
    limit: str = "meanflow"
    limit_options: Mapping[str, Any] = {}
    beta: float = 0.0
    progress: float = 0.5
    factor: float = 1.0
    """The method's gradient tends to ``factor`` times the limit's."""


class Predicted(NamedTuple):
    """A bias known in closed form on Gaussian data: ``gradient(solution, r, t)``, see `gaussian.GaussianSolution`."""

    options: Mapping[str, Any]
    gradient: Callable
    progress: float = 0.5


def derivative(f: Callable, h: float = 1e-3):
    """f'(0) to fourth order; the four values stacked, so that a program holds f once."""
    values = jax.vmap(f)(h * jnp.array([1.0, -1.0, 2.0, -2.0]))
    return jnp.tensordot(jnp.array([8.0, -8.0, -1.0, 1.0]) / (12 * h), values, 1)


def total_derivative(u: Callable, x, r, t, tangent):
    """d/dt of u(x, r, t) along dx/dt = tangent at fixed r."""
    return derivative(lambda h: u(x + h * tangent, r, t + h))


def square(vector):
    """|vector|^2, summed over coordinates."""
    return jnp.sum(vector**2)


def adaptive(moved, frozen, power, constant):
    """The adaptively weighted loss, from its value at moved and at frozen parameters."""
    return moved / (frozen + constant) ** power


@lru_cache(maxsize=8)
def collect(kind: str) -> dict:
    """All ``CASES`` (name -> list), ``EQUAL_TIMES`` or ``BIASES`` (name -> entry) of this package."""
    found: dict = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        if kind == "CASES":
            for case in getattr(module, "CASES", []):
                found.setdefault(case.method, []).append(case)
        else:
            found.update(getattr(module, kind, {}))
    return found
