"""The page of maps: what it shows is what the diagnostics say, and another beta asks for nothing new."""

import time
from pathlib import Path

import numpy as np
import pytest
from app_pages import switch_page
from streamlit.testing.v1 import AppTest

from toylab.diagnostics import maps
from toylab.ui.pages.maps import map_charts
from toylab.ui.pages.maps import page as page_of_maps
from toylab.ui.runs import stored

APP = Path(__file__).parents[2] / "app.py"


@pytest.fixture(scope="module")
def found():
    return maps("two_gaussians", t=(0.5, 1.0), beta=0.0, resolution=10)


def test_another_beta_changes_the_noise_alone_and_exactly(found):
    direct = maps("two_gaussians", t=(0.5, 1.0), beta=0.7, resolution=10)
    changed = found.with_beta(0.7)
    np.testing.assert_allclose(changed.noise, direct.noise, rtol=1e-12)
    np.testing.assert_array_equal(changed.expansion, direct.expansion)
    assert not np.allclose(changed.noise, found.noise)
    with pytest.raises(ValueError, match="finite"):
        found.with_beta(float("nan"))


def test_unlikely_places_are_left_out_and_the_scale_spans_what_is_shown(found):
    shown = map_charts.shown(found, "noise", 0)
    assert np.array_equal(np.isnan(shown), found.mask[0])
    low, high = map_charts.scale_of(shown.ravel(), "noise")
    assert 0 < low < high <= np.nanmax(shown)
    assert map_charts.scale_of(np.array([np.nan, 0.0]), "noise") == (1e-6, 1.0)


def test_the_sentence_compares_the_noise_where_points_are(found):
    def mean(one):
        weights = np.where(one.mask[0], 0, one.density[0])
        return np.sum(weights * one.noise[0])

    right = found.with_beta(1.0)
    ratio = mean(found) / mean(right)
    text = page_of_maps.sentence("noise", found, right, 0)
    assert ("less" if ratio > 1 else "more") in text
    assert page_of_maps.short(max(ratio, 1 / ratio)) in text


def test_the_stored_maps_are_those_of_the_stored_net():
    found = maps(
        stored.first_runs()[0], r=0.0, t=page_of_maps.TIMES[4], beta=0.7, resolution=page_of_maps.RESOLUTION
    )
    kept = stored.first_maps().with_beta(0.7)
    assert kept.t == page_of_maps.TIMES
    np.testing.assert_allclose(kept.axis, found.axis, rtol=1e-3)
    for name in ("noise", "bias", "expansion", "density"):
        np.testing.assert_allclose(getattr(kept, name)[4], getattr(found, name)[0], rtol=0.02, atol=1e-4)


def test_the_page_maps_the_stored_net_and_moves_without_computing(monkeypatch):
    monkeypatch.setenv("TOYLAB_WARM_UP", "0")
    at = AppTest.from_file(str(APP), default_timeout=60)
    at.run()
    switch_page(at, "maps").run()
    assert not at.exception
    assert at.session_state["computations"]["maps"][1].result() is stored.first_maps()
    assert not at.error
    assert len(at.get("vega_lite_chart") or at.get("arrow_vega_lite_chart")) == 2
    asked = at.session_state["computations"]["maps"]
    at.number_input(key="maps_beta_b").set_value(1.5).run()
    at.select_slider(key="maps_t_0").set_value(1.0).run()
    at.segmented_control(key="maps_field").set_value("best_beta").run()
    assert not at.exception
    assert at.session_state["computations"]["maps"] is asked
    assert "**β = 1.5**" in "\n".join(element.value for element in at.markdown)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("the dataset has no density\nmore"), "No maps: the dataset has no density"),
        (RuntimeError("INTERNAL: dot_general at /home/x"), "This part of the page failed"),
    ],
)
def test_maps_that_fail_are_told_in_words_of_ours(monkeypatch, error, said):
    def broken(*_):
        raise error

    monkeypatch.setenv("TOYLAB_WARM_UP", "0")
    monkeypatch.setattr(page_of_maps, "_compute", broken)
    at = AppTest.from_file(str(APP), default_timeout=60)
    at.run()
    switch_page(at, "maps").run()
    at.select_slider(key="maps_r").set_value(0.25).run()
    deadline = time.monotonic() + 60
    while not at.error and time.monotonic() < deadline:
        time.sleep(0.1)
        at.run()
    (line,) = [element.value for element in at.error]
    assert line.startswith(said)
    assert "INTERNAL" not in line
