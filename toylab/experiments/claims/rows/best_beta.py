"""The best beta: for samples, for variance, and by the published formulas."""

import math

from toylab.experiments.claims.base import AbstractClaim, Effect, claims
from toylab.experiments.claims.budgets import Budget
from toylab.experiments.claims.comparisons import best_beta, seeded
from toylab.formatting import finite_or_none

# Tolerance between a formula and the exact minimiser: a step of the published grid.
TOLERANCE = 0.1


def _grid_base(budget: Budget, dataset: str):
    if budget.name == "paper":
        return budget.paper(dataset=dataset)
    return budget.short(dataset=dataset)


def _grid_configs(budget: Budget):
    return [
        config
        for name in budget.grid_sets
        for beta in budget.betas
        for config in seeded(_grid_base(budget, name).replace(beta=beta), budget.seeds)
    ]


def _grid_protocol(budget: Budget) -> str:
    base = _grid_base(budget, budget.grid_sets[0])
    grid = ", ".join(f"{beta:g}" for beta in budget.betas)
    return f"beta in {grid}; {base.steps:,} steps, batch {base.batch_size}, max_gap {base.max_gap:g}"


@claims.register("best_beta")
class BestBeta(AbstractClaim):
    """The best beta of samples."""

    statement = "The beta of the lowest sliced W1 lies between 0.8 and 1, but at 0 on two_spirals."
    source = "section 2-D experiments, grid of 11 betas"
    position = 7

    def protocol(self, budget: Budget) -> str:
        """How."""
        return _grid_protocol(budget) + "; the minimum on the grid, per seed"

    def configs(self, budget: Budget):
        """The grid."""
        return _grid_configs(budget)

    def measure(self, store, budget: Budget):
        """Where the minimum lies, per set."""
        effects = []
        for name in budget.grid_sets:
            values, arms, base, lost = best_beta(store, _grid_base(budget, name), budget.betas, budget.seeds)
            claimed = (-0.05, 0.05) if name == "two_spirals" else (0.75, 1.05)
            effects.append(
                Effect(name, values, "within", None, claimed, "number", arms,
                       finite_or_none(base.value), finite_or_none(base.floor), base.n, lost=lost)
            )  # fmt: skip
        return effects


@claims.register("variance_vs_quality")
class VarianceVsQuality(AbstractClaim):
    """The two optima, on the same runs."""

    statement = "The beta of least gradient noise lies above the beta of the best samples."
    source = "section on DiT: the FID-MSE landscape mismatch (gradient MSE prefers 0.9, FID prefers 0); in 2-D here"
    position = 8

    def protocol(self, budget: Budget) -> str:
        """How."""
        return _grid_protocol(budget) + (
            f"; exact minimiser of f(beta) on {budget.points:,} pairs of the run at beta = 1, "
            "clipped to the grid, minus the grid's minimum of sliced W1, per seed"
        )

    def configs(self, budget: Budget):
        """The grid."""
        return _grid_configs(budget)

    def measure(self, store, budget: Budget):
        """Difference of the two optima, per set."""
        effects = []
        for name in budget.grid_sets:
            base = _grid_base(budget, name)
            quality, _, scored, lost = best_beta(store, base, budget.betas, budget.seeds)
            optima = {
                seed: store.optimum(base.replace(beta=1.0, seed=seed)).exact.minimiser for seed in quality
            }
            # Samples cannot prefer what the grid does not have: nor may the variance.
            first, last = min(budget.betas), max(budget.betas)
            variance = {seed: min(max(value, first), last) for seed, value in optima.items()}
            values = {seed: variance[seed] - quality[seed] for seed in quality}
            arms = {"variance": variance, "samples": quality}
            effects.append(
                Effect(f"{name}: difference of the best betas", values, unit="number", arms=arms, n=scored.n,
                       baseline=finite_or_none(scored.value), floor=finite_or_none(scored.floor), lost=lost)
            )  # fmt: skip
        return effects


class OfFormula(AbstractClaim):
    """Claims on the closed-form coefficient, measured on trained nets."""

    budgets = ("smoke", "quick", "paper")

    def _bases(self, budget: Budget):
        if budget.name == "smoke":
            return {"two_gaussians": budget.separated(beta=1.0)}
        return {name: _grid_base(budget, name).replace(beta=1.0) for name in budget.grid_sets}

    def protocol(self, budget: Budget) -> str:
        """How."""
        names = ", ".join(self._bases(budget))
        return f"nets trained at beta = 1 on {names}; {budget.points:,} pairs, exact Sigma, Jacobian and bias"

    def configs(self, budget: Budget):
        """The nets."""
        return [config for base in self._bases(budget).values() for config in seeded(base, budget.seeds)]

    def _found(self, store, budget: Budget, base):
        whole = dict(zip(budget.seeds, seeded(base, budget.seeds), strict=True))
        return {seed: store.optimum(c) for seed, c in whole.items() if not store.diverged(c)}


@claims.register("kappa_sign")
class KappaSign(OfFormula):
    """The sign that the theorem takes."""

    statement = (
        "The Jacobi factor is J = kappa I with kappa > 0, as the theorem on the best coefficient takes it."
    )
    source = "theorem on the optimal coefficient, assumptions"
    position = 9

    def measure(self, store, budget: Budget):
        """E Tr J / d, per set."""
        effects = []
        for name, base in self._bases(budget).items():
            values = {seed: found.published.kappa for seed, found in self._found(store, budget, base).items()}
            lost = len(budget.seeds) - len(values)
            effects.append(
                Effect(f"{name}: kappa = E Tr J / d", values, unit="number", n=budget.points, lost=lost)
            )
        return effects


class FormulaError(OfFormula):
    """A published formula minus the exact minimiser."""

    formula = ""

    def measure(self, store, budget: Budget):
        """The miss, per set."""
        effects = []
        for name, base in self._bases(budget).items():
            found = self._found(store, budget, base)
            formula = {seed: getattr(each.published, self.formula) for seed, each in found.items()}
            formula = {seed: value for seed, value in formula.items() if math.isfinite(value)}
            exact = {seed: found[seed].exact.minimiser for seed in formula}
            effects.append(
                Effect(
                    name=f"{name}: formula minus exact minimiser",
                    values={seed: formula[seed] - exact[seed] for seed in formula},
                    kind="within",
                    range=(-TOLERANCE, TOLERANCE),
                    unit="number",
                    arms={"formula": formula, "exact": exact},
                    n=budget.points,
                    lost=len(budget.seeds) - len(formula),
                )
            )
        return effects


@claims.register("beta_formula_scalar")
class ScalarFormula(FormulaError):
    """The scalar formula."""

    statement = (
        "beta* = kappa / (kappa + 1) * s2 d / (s2 d + |b|^2) is the coefficient of least noise (to 0.1)."
    )
    source = "theorem on the optimal coefficient, scalar form"
    position = 10
    formula = "scalar"


@claims.register("beta_formula_matrix")
class MatrixFormula(FormulaError):
    """The matrix formula."""

    statement = "The matrix form of beta*, at the mean matrices, is the coefficient of least noise (to 0.1)."
    source = "theorem on the optimal coefficient, matrix form"
    position = 11
    formula = "matrix"
    note = (
        "With its two expectations averaged apart it is the exact minimiser; at the mean matrices it is not."
    )
