"""Methods, Claims and Learn without a browser: what they show is what is registered and measured; buttons do it."""

import copy
import json
import re
import time
from pathlib import Path

import pytest
from app_pages import switch_page
from streamlit.testing.v1 import AppTest

from toylab.coefficients import coefficients
from toylab.config import RunConfig
from toylab.experiments.claims.reading import read_ledger
from toylab.methods import methods
from toylab.proxies import proxies
from toylab.ui import references as bibliography
from toylab.ui import settings
from toylab.ui.pages.claims import ledgers
from toylab.ui.pages.claims import page as claims_page
from toylab.ui.pages.learn import cards, glossary, page
from toylab.ui.pages.methods import records
from toylab.ui.racing import Entrant
from toylab.ui.widgets import links

ROOT = Path(__file__).parents[2]
APP = ROOT / "app.py"
ASSETS = ROOT / "toylab" / "ui" / "assets"


@pytest.fixture
def app(monkeypatch):
    monkeypatch.setenv("TOYLAB_WARM_UP", "0")
    return AppTest.from_file(str(APP), default_timeout=60)


def open_page(app: AppTest, name: str) -> AppTest:
    """The page, once nothing on it waits for a computation."""
    app.run()
    switch_page(app, name).run()
    return settled(app)


def settled(app: AppTest) -> AppTest:
    deadline = time.monotonic() + 60
    while any("Reading" in element.value for element in app.caption) and time.monotonic() < deadline:
        time.sleep(0.2)
        app.run()
    assert not app.exception
    assert not app.error
    return app


def words_on(app: AppTest) -> str:
    shown = (*app.header, *app.markdown, *app.caption, *app.code, *app.get("latex"))
    return "\n".join(element.value for element in shown)


# Packaged files are what they were made of


@pytest.mark.parametrize(
    ("packaged", "source"),
    [
        ("references.bib", "references.bib"),
        ("claims_quick.json", "results/claims_quick/claims.json"),
        ("compare_methods.json", "results/methods/compare.json"),
        ("compare_rules.json", "results/rules/compare.json"),
        ("separation_law.json", "results/separation_law/separation_law.json"),
    ],
)
def test_packaged_results_equal_those_in_the_repository(packaged, source):
    remake = "run scripts/make_reading_assets.py"
    assert (ASSETS / packaged).read_bytes() == (ROOT / source).read_bytes(), remake


@pytest.mark.slow
def test_packaged_costs_are_those_counted_off_the_programs():
    counted = records.count_costs()
    stale = {
        name: (value, counted.get(name))
        for name, value in records.costs().items()
        if value != pytest.approx(counted.get(name), rel=1e-3)
    }
    assert not stale, "run scripts/make_reading_assets.py"


def test_some_packaged_costs_are_those_counted():
    some = ("vanilla", "soflow", "proxy oracle", "rule constant")
    assert {name: records.costs()[name] for name in some} == pytest.approx(
        records.count_costs(some), rel=1e-3
    )
    assert records.relative_cost("vanilla") == 1
    assert records.relative_cost("no_such_method") is None


def test_every_card_was_measured_with_its_own_settings():
    measured = cards.evidence()
    assert set(measured) == {card.name for card in cards.CARDS}
    for card in cards.CARDS:
        found = measured[card.name]
        wanted = links.config_of(card.settings)
        assert RunConfig.from_dict(found.settings) == wanted, "run scripts/measure_cards.py"
        assert found.seeds == cards.NUM_SEEDS
        assert found.diverged_at or len(found.chosen) == len(found.baseline) == found.seeds


# References


def test_references_are_parsed_whole():
    text = (ROOT / "references.bib").read_text()
    found = bibliography.references()
    assert len(found) == len(re.findall(r"^@", text, re.MULTILINE))
    assert found["geng2025meanflow"].link == "https://arxiv.org/abs/2505.13447"
    assert found["bonneel2015sliced"].authors[2] == "Gabriel Peyré"
    assert found["flamary2021pot"].title == "POT: Python Optimal Transport"
    assert found["binkowski2018demystifying"].authors[0] == "Mikołaj Bińkowski"
    assert found["lu2026variance"].short == "Lu and Wang 2026"
    assert all(item.title and item.year for item in found.values())
    assert not any(set("{}\\") & set(" ".join((item.title, *item.authors))) for item in found.values())


def test_a_reference_whose_brace_does_not_close_is_named():
    with pytest.raises(ValueError, match="'a'"):
        bibliography.parse("@article{a, title = {never")


# Methods


FAMILIES = {"methods": methods, "proxies": proxies, "rules": coefficients}


def test_the_lists_are_the_registries(app):
    open_page(app, "methods")
    for kind, registry in FAMILIES.items():
        shown = app.radio(key=f"chosen_{kind}")
        assert shown.options == [name.replace("_", " ") for name in registry.names()]


def test_a_method_registered_later_is_listed_and_shown(app):
    meanflow = methods.entry("meanflow").build

    @methods.register("thrice")
    class Thrice(meanflow):
        """Three times <b>nothing</b>."""

        formula = r"3 \cdot 0"

    try:
        open_page(app, "methods")
        app.radio(key="chosen_methods").set_value("thrice").run()
        assert not app.exception
        assert not app.error
        assert "3 \\cdot 0" in words_on(app)
        assert "\\<b\\>" in words_on(app)
        assert "Not measured yet" in words_on(app)
    finally:
        del methods._entries["thrice"]


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_member_is_shown_with_its_own_facts(app, kind):
    open_page(app, "methods")
    for name in FAMILIES[kind].names():
        app.radio(key=f"chosen_{kind}").set_value(name).run()
        assert not app.exception, name
        assert not app.error, name
        item, text = records.member(kind, name), words_on(app)
        assert item.formula, name
        assert item.formula in text
        assert f"{records.costs()[item.contestant]:.2f} network evaluations" in text
        if item.reference:
            assert item.reference.link in text
        for row in records.measured(item.contestant):
            assert f"{row.score:.3f}" in text if row.score is not None else "diverged" in text


def test_facts_are_those_of_the_class():
    item = records.member("methods", "shortcut")
    build = methods.entry("shortcut").build
    assert (item.changes, dict(item.adapted)) == (build.changes, dict(build.adapted))
    assert item.summary.startswith("Regression of u over [r, t]")
    assert item.body[0].startswith("m = (r + t) / 2")
    assert "clip: largest coordinate" in item.arguments
    assert item.source.startswith("Frans et al. 2024")
    assert records.member("methods", "re_meanflow").two_stages
    assert not records.member("methods", "alphaflow").unbiased


def test_measured_results_are_those_of_the_table():
    (row,) = [row for row in records.measured("tim") if row.dataset == "checkerboard"]
    table = json.loads((ROOT / "results/methods/compare.json").read_text())["table"]
    (raw,) = [row for row in table if (row["contestant"], row["dataset"]) == ("tim", "checkerboard")]
    assert (row.score, row.low, row.floor, row.n) == (raw["sw1"], raw["low"], raw["floor"], raw["n"])
    assert records.measured("no such thing") == ()


def test_without_a_race_its_button_is_off(app, monkeypatch):
    monkeypatch.setattr(links, "has_race", lambda: False)
    assert open_page(app, "methods").button(key="load_methods").disabled


@pytest.mark.parametrize(
    ("kind", "name", "entrant"),
    [
        ("methods", "soflow", Entrant("soflow")),
        ("proxies", "oracle", Entrant(proxy="oracle", target="oracle")),
        ("rules", "linear", Entrant(rule="linear")),
    ],
)
def test_the_button_loads_the_chosen_one_into_the_race(app, kind, name, entrant):
    open_page(app, "methods")
    app.radio(key=f"chosen_{kind}").set_value(name).run()
    app.button(key=f"load_{kind}").click().run()
    assert not app.exception
    assert app.title[0].value == "Race"
    assert app.session_state["race_entrants"] == (Entrant(beta=0.0), entrant)


def test_a_proxy_is_loaded_into_the_lab(app):
    open_page(app, "methods")
    app.radio(key="chosen_proxies").set_value("batch_posterior").run()
    app.button(key="load_lab").click().run()
    assert lab_config(app) == links.config_of({"proxy": "batch_posterior", "beta": 1.0})


def lab_config(app: AppTest):
    assert not app.exception
    assert app.slider(key="beta")  # the Lab is shown
    return settings.read_config({name: app.session_state[name] for name in settings.DEFAULTS})


# Claims


@pytest.fixture
def ledger():
    return json.loads(ledgers.PACKAGED.read_text())


def test_claims_and_counts_are_those_of_the_ledger(app, ledger):
    row = next(row for row in ledger["claims"] if row["id"] == "fifty_four_separated")
    app.run()
    app.query_params["claim"] = row["id"]
    open_page(app, "claims")
    assert len(app.radio(key="claims_chosen").options) == len(ledger["claims"])
    text = words_on(app)
    assert row["command"] in text
    assert "75.8%" in text
    assert "66.2% to 85.4%" in text
    assert "max\\_gap 1.0 instead of 0.5" in text


def test_the_filter_keeps_what_was_asked_for(app, ledger):
    open_page(app, "claims")
    app.get("button_group")[0].set_value(["does not hold"]).run()
    fails = [row["statement"] for row in ledger["claims"] if row["verdict"] == "does not hold"]
    assert len(app.radio(key="claims_chosen").options) == len(fails) > 0
    assert not app.exception


@pytest.mark.parametrize("name", ["kappa_sign", "anchor"])
def test_the_address_names_a_claim(app, name):
    app.run()
    app.query_params["claim"] = name
    switch_page(app, "claims").run()
    settled(app)
    assert app.session_state["claims_chosen"] == name
    assert f"--only {name}" in words_on(app)


@pytest.mark.parametrize(
    "name", ["", "no_such_claim", "<script>alert(1)</script>", "../../etc/passwd", "x" * 5000]
)
def test_a_hostile_claim_in_the_address_falls_back_to_the_first(app, ledger, name):
    app.run()
    app.query_params["claim"] = name
    switch_page(app, "claims").run()
    settled(app)
    assert app.session_state["claims_chosen"] == ledger["claims"][0]["id"]
    assert "claim" not in app.query_params


def test_choosing_a_claim_writes_the_address(app):
    open_page(app, "claims")
    app.radio(key="claims_chosen").set_value("anchor").run()
    assert app.query_params["claim"] in ("anchor", ["anchor"])
    assert app.session_state["claims_chosen"] == "anchor"


def test_without_a_ledger_one_line_says_how_to_make_one(app, monkeypatch):
    monkeypatch.setattr(ledgers, "sources", lambda: [])
    open_page(app, "claims")
    assert "toylab claims --budget quick" in app.info[0].value


def test_the_newest_ledger_of_ones_own_comes_first(tmp_path, monkeypatch):
    monkeypatch.setattr(ledgers, "RUNS", tmp_path)
    assert [source.path for source in ledgers.sources()] == [ledgers.PACKAGED]
    for name in ("claims_smoke", "claims_paper"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "claims.json").write_bytes(ledgers.PACKAGED.read_bytes())
    assert {source.name for source in ledgers.sources()} >= {
        str(tmp_path / "claims_smoke"),
        "shipped with toylab",
    }
    assert ledgers.sources()[-1].path == ledgers.PACKAGED


BAD = {
    "empty": lambda content: content.clear(),
    "no claims": lambda content: content.update(claims=3),
    "an id that is a path": lambda content: content["claims"][0].update(id="../x"),
    "an unknown verdict": lambda content: content["claims"][0].update(verdict="wonderful"),
    "a verdict that does not follow": lambda content: content["claims"][3].update(verdict="holds"),
    "an effect's verdict that does not follow": lambda content: content["claims"][3]["effects"][0].update(
        verdict="holds"
    ),
    "no number": lambda content: content["claims"][0]["effects"][0].update(mean="1"),
    "not finite": lambda content: content["claims"][0]["effects"][0]["values"].update({"0": float("nan")}),
    "a text as long as a book": lambda content: content["claims"][0].update(statement="x" * 10**6),
    "twice": lambda content: content["claims"].append(copy.deepcopy(content["claims"][0])),
}  # fmt: skip


@pytest.mark.parametrize("harm", BAD.values(), ids=BAD)
def test_a_ledger_that_cannot_be_believed_is_refused_in_one_line(tmp_path, ledger, harm):
    path = tmp_path / "claims.json"
    path.write_text(json.dumps(ledger))
    assert read_ledger(path) == ledger
    harm(ledger)
    path.write_text(json.dumps(ledger))
    with pytest.raises(ValueError) as refused:
        read_ledger(path)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b"null"], ids=lambda content: repr(content[:8])
)
def test_a_file_that_is_no_ledger_is_an_error_on_the_page(app, tmp_path, monkeypatch, content):
    (tmp_path / "claims_mine").mkdir()
    (tmp_path / "claims_mine" / "claims.json").write_bytes(content[:200_000])
    monkeypatch.setattr(ledgers, "RUNS", tmp_path)
    app.run()
    switch_page(app, "claims").run()
    for _ in range(100):
        if app.error:
            break
        time.sleep(0.2)
        app.run()
    assert not app.exception
    (error,) = app.error
    assert "claims_mine" in error.value
    assert "internal error" not in error.value


def test_every_verdict_has_a_shape_and_words():
    from toylab.experiments.claims.reading import VERDICTS

    assert list(claims_page.MARKS) == list(VERDICTS)
    assert all(verdict in mark for verdict, mark in claims_page.MARKS.items())
    shapes = [re.sub(r"^:\w+\[", "", mark)[0] for mark in claims_page.MARKS.values()]
    assert len(set(shapes)) == len(shapes)


# Learn


@pytest.mark.parametrize("card", cards.CARDS, ids=lambda card: card.name)
def test_a_card_sets_the_lab_and_shows_it(app, card):
    app.run()
    # What was set before does not leak into the card.
    app.slider(key="beta").set_value(-0.5).run()
    app.number_input(key="seed").set_value(7).run()
    switch_page(app, "learn").run()
    assert not app.exception
    app.button(key=f"load_{card.name}").click().run()
    assert lab_config(app) == links.config_of(card.settings)
    app._page_hash = ""  # AppTest stays where it was sent, whatever the script has switched to
    app.run()
    assert lab_config(app) == links.config_of(card.settings)
    for name, value in card.settings.items():
        (shown,) = (
            [app.query_params[name]] if isinstance(app.query_params[name], str) else app.query_params[name]
        )
        assert shown == value if isinstance(value, str) else float(shown) == value


def test_a_card_names_controls_that_exist():
    with pytest.raises(ValueError, match="no control 'betta'"):
        links.raw_settings({"betta": 1})


def test_what_a_card_says_was_measured(app):
    open_page(app, "learn")
    text = words_on(app)
    assert f"{cards.NUM_SEEDS} seeds" in text
    assert f"n = {cards.SCORE_N:,}" in text
    for card in cards.CARDS:
        found = cards.evidence()[card.name]
        line = page.measured_line(found)
        assert line in text
        if found.diverged_at:
            assert "diverged" in line
        else:
            assert found.n == cards.SCORE_N
            assert "floor" in line
            assert "95% interval" in line


def test_the_glossary_has_every_name_of_the_design():
    section = (ROOT / "DESIGN.md").read_text().split("\n- Names: ")[1].split("\n- ")[0]
    names = {name for name in re.findall(r"`([^`]+)`", section) if name.isidentifier()}
    known = {name for term in glossary.TERMS for name in term.names}

    assert {"x0", "beta", "jacobi_factor"} <= names <= known
    rows = glossary.as_table().splitlines()
    assert {row.count("|") for row in rows} == {4}


def test_sources_link_to_arxiv(app):
    open_page(app, "learn")
    text = words_on(app)
    for item in bibliography.references().values():
        assert item.link in text
