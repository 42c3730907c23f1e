"""What a notebook shows of a run: the numbers of the run itself, its picture, and nothing that is not escaped."""

import base64
import re
import sys

import matplotlib.figure
import numpy as np
import pytest
from tiny import TINY

import toylab as tl
from toylab.config import Change
from toylab.plots.figures import CHOSEN, DATA, run_figure
from toylab.plots.notebook import notebook_html

CONFIG = TINY.replace(dataset="two_gaussians", beta=0.5, seed=3, steps=40)


@pytest.fixture(scope="module")
def run():
    return tl.train(CONFIG, progress=False)


def test_a_plot_is_samples_over_data_and_the_history(run):
    figure = run.plot()
    assert type(figure) is matplotlib.figure.Figure
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    samples, *curves = figure.axes
    data, generated = samples.collections
    assert (data.get_label(), generated.get_label()) == ("data", "samples")
    np.testing.assert_array_equal(generated.get_offsets(), run.sample(4096, seed=0))
    np.testing.assert_array_equal(data.get_offsets(), run.dataset.sample(4096, seed=1))
    np.testing.assert_allclose(data.get_facecolor()[0][:3], matplotlib.colors.to_rgb(DATA))
    np.testing.assert_allclose(generated.get_facecolor()[0][:3], matplotlib.colors.to_rgb(CHOSEN))
    assert [panel.get_title() for panel in curves] == ["loss", "sw1", "grad_variance"]
    for panel in curves:
        expected = run.history[panel.get_title()]
        np.testing.assert_array_equal(panel.lines[0].get_xydata(), list(expected.items()))


def test_what_was_not_measured_has_no_panel(run):
    history = run.history.assign(sw1=np.nan, grad_variance=np.nan)
    points = np.zeros((3, 2))
    assert [panel.get_title() for panel in run_figure(points, points + 1, history).axes][1:] == ["loss"]
    assert len(run_figure(points, points + 1, history.iloc[:0]).axes) == 1


def test_samples_that_are_not_finite_are_counted(run):
    points = np.array([[0.0, 1.0], [np.nan, 1.0], [np.inf, 0.0]])
    panel = run_figure(points, np.ones((4, 2)), run.history).axes[0]
    assert panel.get_title() == "samples over data (2 of 3 not finite)"
    np.testing.assert_array_equal(panel.collections[1].get_offsets(), points[:1])


def test_a_notebook_shows_settings_score_and_picture(run):
    shown = run._repr_html_()
    cells = dict(re.findall(r"<tr><th[^>]*>([^<]*)</th><td[^>]*>([^<]*)</td></tr>", shown))
    last = run.history.iloc[-1]
    assert cells == {
        "Dataset": "two_gaussians",
        "Method": "meanflow",
        "Beta": "0.5",
        "Seed": "3",
        "Steps": "40 of 40, done",
        "Sliced W1": f"{last['sw1']:.4f} at step 40 (n 64, floor {last['sw1_floor']:.4f}, 1 evaluation per sample, "
        "one seed)",
    }
    (picture,) = re.findall(r'src="data:image/png;base64,([^"]*)"', shown)
    assert base64.b64decode(picture).startswith(b"\x89PNG")
    (alt,) = re.findall(r'alt="([^"]*)"', shown)
    assert f"Beta 0.5; Seed 3; Steps 40 of 40, done; Sliced W1 {cells['Sliced W1']}" in alt


def test_what_it_does_not_know_it_does_not_say(run):
    unscored = tl.Run(
        CONFIG.replace(eval_samples=0), run.state, run.history, changes=[Change(10, "beta", 1.0)]
    )
    shown = unscored._repr_html_()
    assert "not measured" in shown
    assert "floor" not in shown
    assert "0.5, changed while training" in shown
    lost = tl.Run(CONFIG, run.state, run.history.assign(sw1=np.nan))
    assert "not measured: some samples are not finite" in lost._repr_html_()


def test_every_text_is_escaped():
    shown = notebook_html({"<b>": '"><script>alert(1)</script>&'}, b"png")
    assert "<script" not in shown
    assert "<b>" not in shown
    assert shown.count("&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;") == 2


def test_a_dataset_shows_its_law_and_its_points():
    shown = tl.dataset("two_gaussians", separation=8.0, std=0.2)._repr_html_()
    cells = dict(re.findall(r"<tr><th[^>]*>([^<]*)</th><td[^>]*>([^<]*)</td></tr>", shown))
    spread = (16 + 0.04) ** 0.5
    assert cells == {
        "Law": "GaussianMixture", "Dimension": "2", "Modes": "2", "Mean": "0.00, 0.00",
        "Standard deviation": f"{spread:.2f}, 0.20",
    }  # fmt: skip
    assert "data:image/png;base64," in shown
    many = tl.dataset("dgmm", dim=16)._repr_html_()
    assert "Dimension" in many
    assert "Standard deviation" not in many  # sixteen numbers tell nobody anything
