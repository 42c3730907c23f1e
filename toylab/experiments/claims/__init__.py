"""The ledger of claims: what the paper says, what was measured, and a verdict by a stated rule."""

from toylab.experiments.claims.base import AbstractClaim, Effect, claims
from toylab.experiments.claims.budgets import BUDGETS, Budget, budget
from toylab.experiments.claims.ledger import chosen_claims, planned_cells, run_ledger
from toylab.experiments.claims.power import power, seeds_needed
from toylab.experiments.claims.rules import RULE, claim_verdict, effect_verdict

__all__ = [
    "BUDGETS",
    "RULE",
    "AbstractClaim",
    "Budget",
    "Effect",
    "budget",
    "chosen_claims",
    "claim_verdict",
    "claims",
    "effect_verdict",
    "planned_cells",
    "power",
    "run_ledger",
    "seeds_needed",
]
