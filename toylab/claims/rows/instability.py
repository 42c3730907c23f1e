"""Runs that blow up."""

from toylab.claims.base import AbstractClaim, Effect, claims
from toylab.claims.budgets import Budget
from toylab.claims.comparisons import seeded


@claims.register("instability")
class Instability(AbstractClaim):
    """Diverged runs over learning rate, beta and weight."""

    statement = "beta = 1 makes training more stable: fewer runs diverge than at beta = 0."
    source = "motivation of variance reduction; loss spikes and NaN as users report them"
    position = 22
    note = "Divergence is a loss that is not finite or 1e8 times that of a net that says zero, or infinite samples."

    def _base(self, budget: Budget, power: float):
        steps = max(1, budget.steps // 2)
        return budget.short(dataset="two_gaussians", dataset_options={"separation": 8.0, "std": 0.2}).replace(
            batch_size=32, adaptive_power=power, steps=steps, log_every=steps, eval_samples=0
        )

    def protocol(self, budget: Budget) -> str:
        """How."""
        rates = ", ".join(f"{rate:g}" for rate in budget.rates)
        steps = self._base(budget, 0.0).steps
        return f"two_gaussians(8, 0.2), batch 32, {steps:,} steps, learning rates {rates}; Adam, float32"

    def configs(self, budget: Budget):
        """Learning rate crossed with beta and weight."""
        return [
            config
            for power in (0.0, 1.0)
            for rate in budget.rates
            for beta in (0.0, 1.0)
            for config in seeded(
                self._base(budget, power).replace(learning_rate=rate, beta=beta), budget.seeds
            )
        ]

    def measure(self, store, budget: Budget):
        """Share of rates at which beta = 0 diverged minus that at beta = 1, per seed."""
        effects = []
        for power in (0.0, 1.0):
            arms = {
                f"beta={beta:g}": {
                    seed: sum(
                        store.diverged(
                            self._base(budget, power).replace(learning_rate=rate, beta=beta, seed=seed)
                        )
                        for rate in budget.rates
                    )
                    / len(budget.rates)
                    for seed in budget.seeds
                }
                for beta in (0.0, 1.0)
            }
            values = {seed: arms["beta=0"][seed] - arms["beta=1"][seed] for seed in budget.seeds}
            effects.append(
                Effect(f"adaptive power {power:g}: share diverged at beta=0 minus beta=1", values,
                       unit="number", arms=arms, n=len(budget.rates))
            )  # fmt: skip
        return effects


@claims.register("instability_precision")
class InstabilityPrecision(AbstractClaim):
    """Half precision."""

    statement = "Training in bfloat16 or float16 diverges more often than in float32."
    source = "loss spikes and NaN as users report them"
    position = 23
    unmeasured = "the engine trains in float32 only"

    def protocol(self, budget: Budget) -> str:
        """How."""
        return "the runs of instability in three precisions"

    def configs(self, budget: Budget):
        """None."""
        return []

    def measure(self, store, budget: Budget):
        """Nothing."""
        return []
