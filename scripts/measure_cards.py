"""Measure the numbers on the cards of the page Learn: both lanes of every card, over several seeds.

    python scripts/measure_cards.py

Trains the same runs as the Lab and writes toylab/ui/assets/cards.json after every card. Cards with unchanged settings
keep their numbers.
"""

import json
import os
import warnings

import toylab as tl
from toylab.metrics.statistics import mean_interval
from toylab.storage.provenance import environment
from toylab.ui import ASSETS
from toylab.ui.pages.learn.cards import CARDS, NUM_SEEDS, SCORE_N
from toylab.ui.widgets.links import config_of

PATH = ASSETS / "cards.json"
SCORED: dict[str, tuple[float, float, int | None]] = {}
"""Settings as JSON -> score, floor and step of divergence, for runs that several cards share."""


def main() -> None:
    """Measure the cards that changed and write the file."""
    warnings.filterwarnings("ignore", message=".*diverged")
    known = json.loads(PATH.read_text())["cards"] if PATH.is_file() else {}
    cards = {}
    for card in CARDS:
        wanted = config_of(card.settings).to_dict()
        old = known.get(card.name)
        cards[card.name] = old if old and old["settings"] == wanted else measure(card.settings)
        print(f"{card.name}: {cards[card.name]}")
        content = {"environment": environment(), "cards": cards}
        PATH.write_text(json.dumps(content, indent=1) + "\n")


def measure(settings) -> dict:
    """One card: the record of `toylab.ui.pages.learn.cards.Evidence`."""
    chosen = config_of(settings)
    seeds = range(NUM_SEEDS)
    # At beta = 0 the proxy has no effect, so cards that differ only in the proxy share their baseline.
    lanes = {"chosen": chosen, "baseline": chosen.replace(beta=0.0, proxy="ema")}
    configs = [lane.replace(seed=seed, eval_samples=0) for lane in lanes.values() for seed in seeds]
    new = [config for config in configs if _key(config) not in SCORED]
    for config, run in zip(new, tl.train_many(new) if new else (), strict=True):
        SCORED[_key(config)] = _score(run)
    scored = [SCORED[_key(config)] for config in configs]
    ends = dict(zip(lanes, (scored[:NUM_SEEDS], scored[NUM_SEEDS:]), strict=True))
    diverged = [step for _, _, step in ends["chosen"] if step is not None]
    if diverged and len(diverged) < NUM_SEEDS:
        raise SystemExit(f"{settings}: only some seeds diverged, which a card cannot show: {diverged}")
    values = {
        name: [] if diverged else [round(value, 5) for value, _, _ in found] for name, found in ends.items()
    }
    changes = [a / b - 1 for a, b in zip(values["chosen"], values["baseline"], strict=True)]
    return {
        "settings": chosen.to_dict(),
        "beta": chosen.beta,
        "steps": chosen.steps,
        **values,
        "change": [round(end, 4) for end in mean_interval(changes)[:3]] if changes else None,
        "floor": None if diverged else round(ends["chosen"][0][1], 5),
        "diverged_at": diverged,
        "n": 0 if diverged else SCORE_N,
        "seeds": NUM_SEEDS,
    }


def _key(config) -> str:
    return json.dumps(config.to_dict(), sort_keys=True)


def _score(run) -> tuple[float, float, int | None]:
    if run.diverged_at is not None:
        return float("nan"), float("nan"), run.diverged_at
    found = tl.evaluate(run, ("sliced_w1",), n=SCORE_N)["sliced_w1"]
    return float(found.value), float(found.floor), None


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    main()
