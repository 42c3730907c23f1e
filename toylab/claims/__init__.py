"""The ledger of claims: what the paper says, what was measured, and a verdict by a stated rule."""

from toylab.claims.base import AbstractClaim, Effect, claims
from toylab.claims.budgets import BUDGETS, Budget, budget
from toylab.claims.ledger import chosen_claims, planned_cells, run_ledger
from toylab.claims.power import power, seeds_needed
from toylab.claims.rules import RULE, claim_verdict, effect_verdict

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
