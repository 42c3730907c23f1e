"""The loss as a measure of training, and one-step samples of nets that were trained on shorter gaps."""

from toylab.diagnostics.loss_parts import loss_decomposition
from toylab.experiments.claims.base import AbstractClaim, Effect, claims
from toylab.experiments.claims.budgets import Budget
from toylab.experiments.claims.comparisons import arm_of, gain, seeded, shares
from toylab.experiments.results import finite_mean
from toylab.formatting import finite_or_none


@claims.register("non_decreasing_loss")
class NonDecreasingLoss(AbstractClaim):
    """The loss is no measure of progress."""

    statement = (
        "At beta = 0 the loss need not fall while samples improve: its noise part rises as the map sharpens."
    )
    source = "theorem on the semi-gradient gap"
    position = 12

    def _base(self, budget: Budget):
        return budget.short(dataset="eight_gaussians", beta=0.0)

    def protocol(self, budget: Budget) -> str:
        """How."""
        return (
            f"eight_gaussians, batch 64, {budget.steps:,} steps; first fifth of training against the last fifth; "
            f"parts of the last loss on {budget.points:,} pairs"
        )

    def configs(self, budget: Budget):
        """Vanilla runs."""
        return seeded(self._base(budget), budget.seeds)

    def measure(self, store, budget: Budget):
        """Growth of the loss, fall of sliced W1, share of noise in the loss."""
        growth, fall, noise, lost = {}, {}, {}, 0
        for config in self.configs(budget):
            if store.diverged(config):
                lost += 1
                continue
            rows = store.history(config)
            fifth = max(1, len(rows) // 5)
            early, late = rows.iloc[:fifth].mean(), rows.iloc[-fifth:].mean()
            parts = loss_decomposition(store.run(config), num_points=budget.points)
            growth[config.seed] = float(late["loss"] / early["loss"] - 1)
            fall[config.seed] = float(1 - late["sw1"] / early["sw1"])
            noise[config.seed] = parts.noise / parts.total - 0.5
        return [
            Effect("growth of the loss", growth, n=budget.points, lost=lost),
            Effect("fall of sliced W1 meanwhile", fall, n=1024, lost=lost),
            Effect("share of noise in the last loss, above one half", noise, n=budget.points, lost=lost),
        ]


@claims.register("extrapolation")
class Extrapolation(AbstractClaim):
    """One step of gap 1 by nets that were trained on gaps up to 0.5."""

    statement = (
        "The published one-step score measures the gap that was trained: two steps of gap 0.5 are no better than one, "
        "and show the same gain of beta = 1."
    )
    source = "implied by the published protocol (max_gap 0.5, sampled at gap 1)"
    claimed = 0.54
    position = 13

    def _arms(self, budget: Budget):
        base = budget.paper(dataset="swiss_roll")
        return base.replace(beta=1.0), base.replace(beta=0.0)

    def protocol(self, budget: Budget) -> str:
        """How."""
        return f"the runs of fifty_four_paper ({budget.paper_steps:,} steps), sampled in one step and in two"

    def configs(self, budget: Budget):
        """Both arms."""
        return [config for arm in self._arms(budget) for config in seeded(arm, budget.seeds)]

    def measure(self, store, budget: Budget):
        """The gain in two steps, and what the second step takes away, claimed to be nothing."""
        treated, baseline = self._arms(budget)

        def in_two(config):
            return store.score_at(config, 2, budget.score_n)

        effects = [
            gain(store, treated, baseline, budget.seeds, name="gain of beta=1 in two steps",
                 labels=("beta=1, 2 steps", "beta=0, 2 steps"), claimed=self.claimed, read=in_two)
        ]  # fmt: skip
        for config in (baseline, treated):
            one = arm_of("1 step", config, budget.seeds, store.score)
            two = arm_of("2 steps", config, budget.seeds, in_two)
            values = shares(two.by_seed(), one.by_seed())
            whole = [result for result in one.counted if result.seed in values]
            effects.append(
                Effect(
                    name=f"beta={config.beta:g}: share of sliced W1 gone with the second step",
                    values=values,
                    kind="within",
                    range=(-0.1, 0.1),
                    arms={arm.key: {seed: arm.by_seed()[seed] for seed in values} for arm in (one, two)},
                    floor=whole[0].score.floor if whole else None,
                    baseline=finite_or_none(finite_mean(result.value for result in whole)),
                    n=budget.score_n,
                    lost=len(budget.seeds) - len(values),
                )
            )
        return effects
