"""Reports of folders whose numbers are known: every entry of the tables against its own formula."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats

import toylab as tl
from toylab.cli import main
from toylab.config import Change, RunConfig
from toylab.data import dataset
from toylab.experiments.report import make_report
from toylab.metrics import sliced_wasserstein
from toylab.plots.figures import CHOSEN, DATA, history_figure, samples_figure, sweep_figure
from toylab.storage import run_folder

BASE = RunConfig(dataset="two_gaussians", steps=40)


def write(
    root,
    name,
    config,
    status="done",
    sw1=None,
    variances=(8.0, 4.0, 2.0),
    n=1000,
    nfe=1,
    changes=(),
    nonfinite=0,
):
    """A run folder with a history, and scores.json where ``sw1`` is given."""
    rng = np.random.default_rng(0)
    path = run_folder.write_run(
        root / name,
        header=run_folder.Header(config.to_dict(), status, 40, changes, nfe, nonfinite),
        history=pd.DataFrame({"grad_variance": variances}, index=[10, 20, 40]),
        generated=rng.normal(size=(200, 2)),
        reference=dataset("two_gaussians").sample(300, seed=1),
        environment={},
    )
    if sw1 is not None:
        value = sw1 if math.isfinite(sw1) else None
        score = {"value": value, "stderr": None, "n": n, "floor": 0.01, "num_keys": 1, "nfe": nfe}
        (path / "scores.json").write_text(json.dumps({"sliced_w1": score}))
    return path


@pytest.fixture
def folder(tmp_path):
    """Two betas on three common seeds, one beta with a fourth; on another seed both diverged; one run is unfinished."""
    for seed, sw1 in enumerate([0.5, 0.7, 0.6]):
        write(tmp_path, f"vanilla/{seed}", BASE.replace(beta=0.0, seed=seed), sw1=sw1)
        write(tmp_path, f"half/{seed}", BASE.replace(beta=0.5, seed=seed), sw1=sw1 - 0.1 - 0.01 * seed)
    write(tmp_path, "half/3", BASE.replace(beta=0.5, seed=3), sw1=0.9)
    write(tmp_path, "half/4", BASE.replace(beta=0.5, seed=4), status="diverged", sw1=1e9)
    write(tmp_path, "vanilla/4", BASE.replace(beta=0.0, seed=4), status="diverged")
    write(tmp_path, "half/5", BASE.replace(beta=0.5, seed=5), status="unfinished")
    return tmp_path


def test_means_intervals_and_counts(folder):
    table = make_report(folder).table.set_index("beta")
    half = [0.4, 0.59, 0.48, 0.9]
    low, high = scipy.stats.t.interval(0.95, 3, loc=np.mean(half), scale=scipy.stats.sem(half))
    row = table.loc[0.5]
    assert [row.sw1, row.low, row.high] == pytest.approx([np.mean(half), low, high], rel=1e-12)
    assert [row.seeds, row.runs, row.diverged, row.unfinished, row.n] == [4, 6, 1, 1, 1000]
    assert table.loc[0.0, "seeds"] == 3
    assert table.loc[0.0, "floor"] == pytest.approx(0.01)
    assert table.loc[0.0, "grad_variance"] == pytest.approx(3.0)  # the mean of 4 and 2, the second half


def test_differences_are_paired_by_seed(folder):
    (row,) = make_report(folder).differences.to_dict("records")
    differences = [-0.1, -0.11, -0.12]
    low, high = scipy.stats.t.interval(0.95, 2, loc=np.mean(differences), scale=scipy.stats.sem(differences))
    assert [row["beta"], row["baseline"], row["seeds"]] == [0.5, 0.0, 3]
    assert [row["difference"], row["low"], row["high"]] == pytest.approx([-0.11, low, high])


def test_scores_of_another_n_are_not_averaged(folder):
    write(folder, "vanilla/9", BASE.replace(beta=0.0, seed=9), sw1=5.0, n=64)
    table = make_report(folder).table
    assert table[table.beta == 0.0].sort_values("n")[["n", "seeds"]].to_numpy().tolist() == [
        [64, 1],
        [1000, 3],
    ]


def test_settings_that_differ_are_shown(folder):
    write(folder, "wide", BASE.replace(beta=0.0, seed=0, width=64), sw1=0.2)
    report = make_report(folder)
    assert report.shown == ("dataset", "method", "beta", "width")
    assert sorted(report.table["width"]) == [64, 128, 128]


def test_without_scores_the_samples_are_measured(tmp_path):
    path = write(tmp_path, "run", BASE)
    (row,) = make_report(tmp_path).table.to_dict("records")
    saved = run_folder.read_run(path)
    assert row["n"] == 200
    assert row["sw1"] == sliced_wasserstein(saved.generated, saved.reference[:200])
    assert 0 < row["floor"] < 1
    assert math.isnan(row["low"])


def test_other_scores_of_a_sweep_leave_the_samples_to_be_measured(tmp_path):
    path = write(tmp_path, "run", BASE)
    (path / "scores.json").write_text(json.dumps({"energy_distance": {"value": 1.0}}))
    (row,) = make_report(tmp_path).runs.to_dict("records")
    assert row["source"] == "samples.npz"
    assert row["status"] == "done"


def test_changed_runs_stand_apart_and_are_in_no_mean(folder, capsys):
    expected = make_report(folder).table[["sw1", "low", "high", "seeds"]]
    write(folder, "steered", BASE.replace(beta=0.5, seed=9), sw1=77.0, changes=(Change(20, "beta", 1.0),))
    report = make_report(folder)
    pd.testing.assert_frame_equal(report.table[["sw1", "low", "high", "seeds"]], expected)
    assert report.table.set_index("beta")["changed"].to_dict() == {0.0: 0, 0.5: 1}
    assert set(report.differences["seeds"]) == {3}
    (row,) = report.runs[report.runs["status"] == "changed"].to_dict("records")
    assert (row["path"], row["sw1"], row["beta"]) == ("steered", 77.0, 0.5)
    assert main(["report", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "changed while training, in no mean" in text
    assert "beta=1 at step 20" in text


def test_survivors_are_never_scored(folder):
    expected = make_report(folder).table[["sw1", "low", "high", "seeds"]]
    write(folder, "lost in scores", BASE.replace(beta=0.5, seed=8), sw1=math.nan)
    write(folder, "lost in samples", BASE.replace(beta=0.5, seed=9), nonfinite=3)
    report = make_report(folder)
    pd.testing.assert_frame_equal(report.table[["sw1", "low", "high", "seeds"]], expected)
    assert report.table.set_index("beta")["unscored"].to_dict() == {0.0: 0, 0.5: 2}
    assert report.runs[report.runs["status"] == "unscored"]["sw1"].isna().all()


def test_scores_of_another_nfe_are_not_averaged(folder):
    write(folder, "vanilla/9", BASE.replace(beta=0.0, seed=9), sw1=5.0, nfe=32)
    table = make_report(folder).table
    assert table[table.beta == 0.0].sort_values("nfe")[["nfe", "seeds"]].to_numpy().tolist() == [
        [1, 3],
        [32, 1],
    ]


def test_files_and_json_hold_the_tables(folder, capsys):
    assert main(["report", str(folder), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((folder / "report.json").read_text())
    assert len(printed["runs"]) == 10
    csv = pd.read_csv(folder / "report.csv")
    np.testing.assert_allclose(csv["sw1"], [row["sw1"] for row in printed["table"]])
    assert (folder / "report.png").read_bytes().startswith(b"\x89PNG")
    assert main(["report", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "0.5 - 0" in text
    assert "-0.11" in text


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"sliced_w1": {"value": NaN, "stderr": null, "n": 5, "floor": 0}}']
)
def test_damaged_scores_are_named(folder, capsys, content):
    (folder / "half" / "0" / "scores.json").write_text(content)
    assert main(["report", str(folder / "half" / "0")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "scores.json" in captured.err
    assert main(["report", str(folder)]) == 0  # all others are intact
    captured = capsys.readouterr()
    assert "sw1" in captured.out
    (line,) = [line for line in captured.err.splitlines() if "scores.json" in line]
    assert line.startswith("damaged, left out: ")


def test_the_figure_shows_means_intervals_and_floor(folder):
    figure = sweep_figure(make_report(folder).table.assign(series="meanflow"))
    (panel,) = figure.axes
    line, *_ = panel.containers[0].lines
    np.testing.assert_allclose(line.get_xdata(), [0.0, 0.5])
    np.testing.assert_allclose(line.get_ydata(), [0.6, np.mean([0.4, 0.59, 0.48, 0.9])])
    floor = panel.lines[-1]
    assert set(floor.get_ydata()) == {0.01}
    assert floor.get_color() == DATA


def test_samples_lie_over_data_on_one_frame():
    data = np.array([[-1.0, 0.0], [3.0, 0.0], [0.0, 2.0]])
    figure = samples_figure({"a": data + 1, "b": data * 100}, data)
    assert [panel.get_title() for panel in figure.axes] == ["a", "b"]
    assert figure.axes[0].get_xlim() == figure.axes[1].get_xlim() == pytest.approx((1 - 2.4, 1 + 2.4))
    np.testing.assert_allclose(figure.axes[0].collections[1].get_offsets(), data + 1)
    with pytest.raises(ValueError, match="dim >= 2"):
        samples_figure({"a": np.zeros((3, 1))})


def test_plots_are_part_of_the_library():
    assert tl.plots.sweep_figure is sweep_figure


def test_histories_are_curves_over_steps():
    history = pd.DataFrame({"loss": [40.0, 2.0], "sw1": [1.0, 0.5], "sw1_floor": [0.1, 0.1]}, index=[10, 20])
    figure = history_figure({"run": history}, ["loss", "sw1"])
    loss, sw1 = figure.axes
    assert loss.lines[0].get_xydata().tolist() == [[10, 40], [20, 2]]
    assert loss.lines[0].get_color() == CHOSEN
    assert sw1.lines[1].get_ydata().tolist() == [0.1, 0.1]
    assert (loss.get_yscale(), sw1.get_yscale()) == ("log", "linear")  # a decade, and less
    with pytest.raises(ValueError, match="no column 'foo'"):
        history_figure({"run": history}, ["foo"])
