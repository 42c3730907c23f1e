"""Make the files that the pages Methods, Claims and Learn read: copies of measured results, and counted costs.

    python scripts/make_reading_assets.py

Writes into toylab/ui/assets: references.bib, claims_quick.json, compare_*.json and separation_law.json (copies, since
neither results/ nor references.bib is in the wheel) and costs.json (network evaluations of every contestant). A test
compares all of them with what they are made of. The numbers on the cards are made by scripts/measure_cards.py.
"""

import json
import shutil
from pathlib import Path

from toylab.ui import ASSETS
from toylab.ui.pages.methods.records import count_costs

ROOT = Path(__file__).parents[1]
COPIES = {
    "references.bib": "references.bib",
    "claims_quick.json": "results/claims_quick/claims.json",
    "compare_methods.json": "results/methods/compare.json",
    "compare_rules.json": "results/rules/compare.json",
    "separation_law.json": "results/separation_law/separation_law.json",
}


def main() -> None:
    """Write all files."""
    for name, source in COPIES.items():
        shutil.copyfile(ROOT / source, ASSETS / name)
        print(f"{name}: copied from {source}")
    counted = count_costs()
    (ASSETS / "costs.json").write_text(json.dumps(counted, indent=1) + "\n")
    print(f"costs.json: {len(counted)} contestants")


if __name__ == "__main__":
    main()
