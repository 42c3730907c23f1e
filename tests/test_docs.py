"""The pages of texts: links lead somewhere, generated pages are current, and every example runs."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny import TINY

import toylab as tl
from toylab.coefficients import coefficients
from toylab.experiments.claims import budget, claims
from toylab.experiments.claims.ledger import cells_of
from toylab.metrics import metrics
from toylab.proxies import proxies
from toylab.times import time_samplers

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "results/**/*.md", "notebooks/*.ipynb")
    for page in ROOT.glob(pattern)
)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def prose(page: Path) -> str:
    """What a reader sees as text: of a notebook its cells of Markdown, of a page all but its code."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def headings(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue  # another site
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor and target.suffix == ".md":
            assert anchor in headings(target), f"{page.name} links to {link}"


def test_method_cards_are_current():
    page = _module("make_method_cards", ROOT / "scripts" / "make_method_cards.py").page()
    stored = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert page == stored, "run python scripts/make_method_cards.py"


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """The files of docs/extending.md, imported; what they registered is forgotten at the end."""
    families = (proxies, coefficients, time_samplers, metrics, claims)
    before = {family: (family.names(), dict(family._entries))[1] for family in families}
    folder = tmp_path_factory.mktemp("examples")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "extending.md").read_text(), re.DOTALL)
    for index, block in enumerate(blocks):
        path = folder / f"docs_example_{index}.py"
        path.write_text(block)
        _module(path.stem, path)
    yield len(blocks)
    for family, entries in before.items():
        family._entries.clear()
        family._entries.update(entries)


def test_every_example_registers_one_thing(examples):
    assert examples == 5


@pytest.mark.slow
def test_the_example_proxy_rule_and_times_train(examples):
    config = TINY.replace(steps=8, proxy="shrunk", coefficient="by_gap", beta=0.5, time_sampler="triangle")
    run = tl.train(config, progress=False)
    assert run.status == "done"
    assert np.all(np.isfinite(run.sample(16)))


def test_the_example_metric_measures(examples):
    points = np.random.default_rng(0).standard_normal((100, 2))
    assert metrics.create("mean_shift")(points + np.array([3.0, 4.0]), points) == pytest.approx(5.0)


def test_the_example_claim_plans_pairs(examples):
    cells = cells_of(claims.create("small_batch"), budget("quick"))
    assert {(cell.config.beta, cell.config.seed) for cell in cells} == {
        (b, s) for b in (0.0, 1.0) for s in range(5)
    }


def _module(name: str, path: Path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
