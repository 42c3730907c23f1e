"""The slider of beta: a widget where there can be one, the same runs as a picture everywhere."""

import base64
import sys

import ipywidgets
import pytest
from tiny import TINY

import toylab as tl
from toylab.plots.figures import png_bytes


@pytest.fixture(scope="module")
def runs():
    return tl.train_many([TINY.replace(steps=20, beta=beta) for beta in (1.0, 0.0)], progress=False)


def test_it_slides_over_the_runs_in_the_order_of_beta(runs):
    slider, image = tl.BetaSlider(runs).widget().children
    assert slider.options == ("0", "1")
    pictures = {f"{run.config.beta:g}": png_bytes(run.plot(), dpi=80) for run in runs}
    for value in ("0", "1"):
        slider.value = value
        assert image.value == pictures[value]


def test_without_ipywidgets_it_is_a_picture(runs, monkeypatch):
    shown = tl.BetaSlider(runs)._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in shown
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    still = tl.BetaSlider(runs)._repr_mimebundle_()
    assert set(still) == {"text/plain", "image/png"}
    assert still["image/png"] == shown["image/png"]
    assert base64.b64decode(still["image/png"]).startswith(b"\x89PNG")
    assert [panel.get_title() for panel in tl.BetaSlider(runs).figure().axes] == ["beta = 0", "beta = 1"]


def test_two_runs_of_one_beta_are_refused(runs):
    with pytest.raises(ValueError, match="a distinct beta for each"):
        tl.BetaSlider([runs[0], runs[0]])
    with pytest.raises(ValueError, match="at least one run"):
        tl.BetaSlider([])


def test_the_box_is_a_widget(runs):
    assert isinstance(tl.BetaSlider(runs[:1]).widget(), ipywidgets.VBox)
