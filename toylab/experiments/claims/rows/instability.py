"""Diverging runs and loss spikes."""

from collections.abc import Callable, Mapping

from toylab.config import RunConfig
from toylab.experiments.claims.base import AbstractClaim, Effect, claims
from toylab.experiments.claims.budgets import Budget
from toylab.experiments.claims.comparisons import seeded
from toylab.experiments.claims.spikes import RULE, count_spikes

BETAS = (0.0, 1.0)
# Powers of the adaptive weight: off and on.
POWERS = (0.0, 1.0)
# Steps per row of the history; its loss is their mean.
ROW = 10
Arms = dict[str, dict[int, float]]


class OfInstability(AbstractClaim):
    """Claims on a map of learning rates and beta, two far modes, a small batch, few steps."""

    score_n = 1024
    """Few samples: only whether the score is finite matters here, since samples may run to infinity."""

    def base(self, budget: Budget, power: float, dtype: str = "float32") -> RunConfig:
        """Settings that all runs of one weight and precision share."""
        steps = max(1, budget.steps // 2)
        config = budget.short(dataset="two_gaussians", dataset_options={"separation": 8.0, "std": 0.2})
        # One spelling of float32: claims share runs by their settings.
        options = {} if dtype == "float32" else {"dtype": dtype}
        logged = {"log_every": ROW, "eval_samples": 0}
        return config.replace(batch_size=32, adaptive_power=power, steps=steps, net_options=options, **logged)

    def map_of(self, budget: Budget, base: RunConfig) -> Mapping[str, RunConfig]:
        """Learning rate crossed with beta: label -> settings."""
        return {
            f"beta={beta:g}, rate {rate:g}": base.replace(beta=beta, learning_rate=rate)
            for beta in BETAS
            for rate in budget.rates
        }

    def protocol(self, budget: Budget) -> str:
        """How."""
        rates = ", ".join(f"{rate:g}" for rate in budget.rates)
        steps = self.base(budget, 0.0).steps
        return f"two_gaussians(8, 0.2), batch 32, {steps:,} steps, learning rates {rates}; Adam"

    def read(self, budget: Budget, base: RunConfig, value: Callable[[RunConfig], float]) -> Arms:
        """``value`` of every run of a map: label -> seed -> value."""
        return {
            label: {seed: float(value(config.replace(seed=seed))) for seed in budget.seeds}
            for label, config in self.map_of(budget, base).items()
        }


@claims.register("instability")
class Instability(OfInstability):
    """Diverged runs and spikes over learning rate, beta and weight."""

    statement = "beta = 1 makes training more stable: fewer runs diverge than at beta = 0, and losses spike less often."
    source = "motivation of variance reduction; loss spikes and NaN as users report them"
    position = 22
    note = (
        "Divergence is a loss that is not finite or 1e8 times that of a net that says zero, or infinite samples. "
        f"Of losses averaged over {ROW} steps {RULE}."
    )

    def protocol(self, budget: Budget) -> str:
        """How."""
        return super().protocol(budget) + ", float32"

    def configs(self, budget: Budget):
        """Learning rate crossed with beta and weight."""
        return [
            config
            for power in POWERS
            for arm in self.map_of(budget, self.base(budget, power)).values()
            for config in seeded(arm, budget.seeds)
        ]

    def measure(self, store, budget: Budget):
        """What beta = 0 has more than beta = 1, mean over the rates, per seed: diverged runs, spikes."""

        def spikes(config: RunConfig) -> float:
            losses = store.history(config)["loss"]
            return 1000 * count_spikes(losses) / (ROW * max(1, len(losses)))

        effects = []
        for power in POWERS:
            for name, value in (("share diverged", store.diverged), ("spikes in 1,000 steps", spikes)):
                arms = self.read(budget, self.base(budget, power), value)
                none, full = (_mean_over(arms, f"beta={beta:g},") for beta in BETAS)
                effects.append(
                    Effect(
                        name=f"adaptive power {power:g}: {name} at beta=0 minus beta=1",
                        values={seed: none[seed] - full[seed] for seed in budget.seeds},
                        unit="number",
                        arms=arms,
                        n=len(budget.rates),
                    )
                )
        return effects


@claims.register("instability_precision")
class InstabilityPrecision(OfInstability):
    """Half precision."""

    statement = "Training in bfloat16 or float16 diverges more often than in float32."
    source = "loss spikes and NaN as users report them"
    position = 23
    precisions = ("bfloat16", "float16")
    note = (
        "The layers are computed in half precision; parameters, averages, embeddings of times, losses and the "
        "optimiser are float32, and nothing scales the loss. The runs in float32 are those of the row instability."
    )

    def protocol(self, budget: Budget) -> str:
        """How."""
        return f"{super().protocol(budget)}; float32, {', '.join(self.precisions)}"

    def configs(self, budget: Budget):
        """The map of instability, in three precisions."""
        return [
            config
            for dtype in ("float32", *self.precisions)
            for power in POWERS
            for arm in self.map_of(budget, self.base(budget, power, dtype)).values()
            for config in seeded(arm, budget.seeds)
        ]

    def measure(self, store, budget: Budget):
        """Share of the map that diverged beyond what did in float32, per seed."""
        effects = []
        for dtype in self.precisions:
            for power in POWERS:
                whole, half = (
                    self.read(budget, self.base(budget, power, each), store.diverged)
                    for each in ("float32", dtype)
                )
                before, after = _mean_over(whole), _mean_over(half)
                effects.append(
                    Effect(
                        name=f"{dtype}, adaptive power {power:g}: share diverged minus that in float32",
                        values={seed: after[seed] - before[seed] for seed in budget.seeds},
                        unit="number",
                        arms=half,
                        n=len(half),
                    )
                )
        return effects


def _mean_over(arms: Arms, prefix: str = "") -> dict[int, float]:
    """Seed -> mean over the arms whose label begins so."""
    chosen = [scores for label, scores in arms.items() if label.startswith(prefix)]
    return {seed: sum(scores[seed] for scores in chosen) / len(chosen) for seed in chosen[0]}
