"""Arrays to matplotlib figures. Never pyplot: nothing global, nothing left open, safe in threads.

Colours are those of Okabe and Ito, distinct for every kind of colour vision: grey for data, blue for what was
chosen, vermilion for the baseline, green for the oracle.
"""

import io
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

DATA, CHOSEN, BASELINE, ORACLE = "#999999", "#0072B2", "#D55E00", "#009E73"
SERIES = (CHOSEN, BASELINE, ORACLE, "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours of series in their order; they repeat after the seventh."""
MARKERS = "osD^vPX"

PANEL = 3.4
"""Side of a panel in inches."""
MAX_COLUMNS = 4
MAX_DOTS = 4096
HISTORY_PANELS = ("loss", "sw1", "grad_variance")
"""Columns of a history that are drawn where nobody says which."""


def samples_figure(
    samples: Mapping[str, Float[np.ndarray, "n dim"]], data: Float[np.ndarray, "m dim"] | None = None
) -> Figure:
    """One panel per entry: samples in blue over data in grey, two coordinates, the same axes everywhere.

    Raises:
        ValueError: no samples, or points of fewer than two coordinates.
    """
    figure, panels = panel_grid(len(samples))
    _draw_samples(panels, samples, data)
    return figure


def data_figure(points: Float[np.ndarray, "n dim"]) -> Figure:
    """Data points in grey, two coordinates, axes of one scale.

    Raises:
        ValueError: points of fewer than two coordinates.
    """
    figure, (panel,) = panel_grid(1)
    _draw_samples([panel], {f"{len(points):,} data points": points[:0]}, points)
    return figure


def history_figure(histories: Mapping[str, pd.DataFrame], columns: Sequence[str] = HISTORY_PANELS) -> Figure:
    """One panel per column, one curve per history, log scale where positive values span a decade; floors dashed.

    Raises:
        ValueError: no history, no column, or a column that a history does not have.
    """
    if not histories:
        raise ValueError("no history to draw")
    figure, panels = panel_grid(len(columns))
    _draw_histories(panels, histories, columns)
    if len(histories) > 1:
        panels[0].legend(fontsize="small", frameon=False)
    return figure


def run_figure(
    samples: Float[np.ndarray, "n dim"], data: Float[np.ndarray, "m dim"], history: pd.DataFrame
) -> Figure:
    """A run at a glance: its samples over data, then loss, sliced W1 and gradient variance, those that were taken.

    Samples that are not finite are left out, and counted in the title.

    Raises:
        ValueError: points of fewer than two coordinates.
    """
    columns = _measured(history)
    figure, panels = panel_grid(1 + len(columns))
    finite = samples[np.all(np.isfinite(samples), axis=1)]
    lost = (
        f" ({len(samples) - len(finite)} of {len(samples)} not finite)" if len(finite) < len(samples) else ""
    )
    _draw_samples(panels[:1], {f"samples over data{lost}": finite}, data)
    _draw_histories(panels[1:], {"run": history}, columns)
    return figure


def image_run_figure(pictures: Mapping[str, UInt8[np.ndarray, "..."]], history: pd.DataFrame) -> Figure:
    """A run on images at a glance: pictures in a row, and below them what was taken of the history.

    Args:
        pictures: title -> bytes (height, width) of grey or (height, width, 3) of colours, of one size.
        history: indexed by step.

    Raises:
        ValueError: no picture.
    """
    if not pictures:
        raise ValueError("nothing to draw")
    columns = _measured(history)
    height, width = next(iter(pictures.values())).shape[:2]
    side = 1.5 * PANEL
    above = side * height / width + 0.3
    below = PANEL * 0.75 if columns else 0.0
    figure = Figure(figsize=(side * len(pictures), above + below), layout="constrained")
    rows = figure.subfigures(
        1 + bool(columns), 1, height_ratios=[above, below][: 1 + bool(columns)], squeeze=False
    )
    panels = rows[0, 0].subplots(1, len(pictures), squeeze=False)[0]
    for panel, (name, picture) in zip(panels, pictures.items(), strict=True):
        panel.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        panel.set(title=name, xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
    if columns:
        curves = list(rows[1, 0].subplots(1, len(columns), squeeze=False)[0])
        for panel in curves:
            panel.spines[["top", "right"]].set_visible(False)
        _draw_histories(curves, {"run": history}, columns)
    return figure


def _measured(history: pd.DataFrame) -> list[str]:
    """The usual columns of a history, those that were taken."""
    return [name for name in HISTORY_PANELS if name in history and np.isfinite(history[name]).any()]


def sweep_figure(table: pd.DataFrame, score: str = "sliced W1") -> Figure:
    """A score against beta, a panel per dataset and a line per series, intervals over seeds, floor dashed.

    Args:
        table: columns dataset, series, beta, sw1, low, high (NaN for a single seed), floor.
        score: what the column sw1 is of.

    Raises:
        ValueError: an empty table.
    """
    names = list(dict.fromkeys(table["dataset"]))
    figure, panels = panel_grid(len(names))
    series = list(dict.fromkeys(table["series"]))
    for panel, name in zip(panels, names, strict=True):
        rows = [row for row in table.to_dict("records") if row["dataset"] == name]
        for index, label in enumerate(series):
            _interval_line(panel, [row for row in rows if row["series"] == label], label, index, len(series))
        for floor in sorted({row["floor"] for row in rows if row["floor"] == row["floor"]}):
            panel.axhline(floor, color=DATA, ls="--", lw=1)
        panel.set(title=name, xlabel="beta", ylabel=score)
        panel.set_ylim(bottom=0)
    if len(series) > 1:
        panels[0].legend(fontsize="small", frameon=False)
    return figure


def compare_figure(table: pd.DataFrame) -> Figure:
    """A row per dataset, best contestant on top: sliced W1 with intervals and floor, gradient variance, seconds.

    Of the last two, those that were measured.

    Args:
        table: columns dataset, contestant, sw1, low, high (NaN for a single seed), floor, grad_variance, seconds; as
            from `toylab compare`.

    Raises:
        ValueError: an empty table.
    """
    names = list(dict.fromkeys(table["dataset"]))
    if not names:
        raise ValueError("nothing to draw")
    tallest = max(int((table["dataset"] == name).sum()) for name in names)
    figure = Figure(figsize=(3.2 * PANEL, len(names) * (1.0 + 0.24 * tallest)), layout="constrained")
    shown = [
        each for each in _COMPARED if each[0] == "sw1" or np.isfinite(np.asarray(table[each[0]], float)).any()
    ]
    widths = [2, *[1] * (len(shown) - 1)]
    rows = figure.subplots(len(names), len(shown), squeeze=False, sharey="row", width_ratios=widths)
    for panels, name in zip(rows, names, strict=True):
        part = table[(table["dataset"] == name) & table["sw1"].notna()].iloc[::-1]
        heights = np.arange(len(part))
        colours = [BASELINE if contestant == "vanilla" else CHOSEN for contestant in part["contestant"]]
        for panel, (column, label) in zip(panels, shown, strict=True):
            values = np.asarray(part[column], float)
            panel.barh(heights, np.nan_to_num(values), color=colours, height=0.6)
            panel.set(xlabel=label, yticks=heights, yticklabels=list(part["contestant"]))
            panel.tick_params(axis="y", labelsize="small")
            panel.spines[["top", "right"]].set_visible(False)
        mean, low, high = (np.asarray(part[column], float) for column in ("sw1", "low", "high"))
        spread = np.clip(np.nan_to_num(np.stack([mean - low, high - mean])), 0, None)
        panels[0].errorbar(mean, heights, xerr=spread, fmt="none", ecolor="black", lw=1, capsize=2)
        panels[0].axvline(float(part["floor"].mean()), color=DATA, ls="--", lw=1)
        panels[0].set_title(name, loc="left")
        panels[0].set_xlim(0, _UNBROKEN * float(np.nanmedian(mean)) if len(mean) else None)
        for panel, (column, _) in zip(panels, shown, strict=True):
            if column == "grad_variance" and (np.asarray(part[column], float) > 0).any():
                panel.set_xscale("log")
    return figure


_COMPARED = (
    ("sw1", "sliced W1 (dashed: floor)"),
    ("grad_variance", "gradient variance"),
    ("seconds", "seconds"),
)
"""Columns of the figure, and what stands below them."""
_UNBROKEN = 4.0
"""Bars longer than so many medians leave the panel: one failure must not squeeze all others."""


def png_bytes(figure: Figure, dpi: int = 150) -> bytes:
    """A figure as the content of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def _interval_line(panel: Axes, rows: Sequence[Mapping], label: str, index: int, num_series: int) -> None:
    """Means joined by a line, with error bars; series stand a little apart, or bars would hide each other."""
    if not rows:
        return
    columns = ("beta", "sw1", "low", "high")
    beta, mean, low, high = np.array(sorted(tuple(row[name] for name in columns) for row in rows), float).T
    span = float(np.ptp(beta)) or 1.0
    # A single seed has no interval: its bar has length zero, its marker stays hollow.
    spread = np.nan_to_num(np.stack([mean - low, high - mean]))
    colour = SERIES[index % len(SERIES)]
    panel.errorbar(
        beta + 0.012 * span * (index - (num_series - 1) / 2), mean, spread, label=label, color=colour,
        mfc="white" if np.isnan(low).any() else colour, marker=MARKERS[index % len(MARKERS)],
        lw=1.2, ms=5, capsize=3,
    )  # fmt: skip


def panel_grid(count: int) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` square panels, at most four side by side.

    Raises:
        ValueError: ``count`` below 1.
    """
    if count < 1:
        raise ValueError("nothing to draw")
    columns = min(count, MAX_COLUMNS)
    rows = -(-count // columns)
    figure = Figure(figsize=(PANEL * columns, PANEL * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[count:]:
        panel.remove()
    return figure, panels[:count]


def _draw_samples(
    panels: Sequence[Axes],
    samples: Mapping[str, Float[np.ndarray, "n dim"]],
    data: Float[np.ndarray, "m dim"] | None,
) -> None:
    arrays = [*samples.values(), *([] if data is None else [data])]
    if any(array.ndim != 2 or array.shape[1] < 2 for array in arrays):
        raise ValueError("a scatter needs points (n, dim) with dim >= 2")
    frame = np.concatenate(arrays if data is None else [data])[:, :2]
    (x, y), half = (frame.max(0) + frame.min(0)) / 2, 0.6 * float(np.ptp(frame, axis=0).max() or 1.0)
    for panel, (name, points) in zip(panels, samples.items(), strict=True):
        if data is not None:
            panel.scatter(*data[:MAX_DOTS, :2].T, s=2, color=DATA, alpha=0.5, linewidths=0, label="data")
        panel.scatter(*points[:MAX_DOTS, :2].T, s=2, color=CHOSEN, alpha=0.5, linewidths=0, label="samples")
        panel.set(title=name, aspect="equal", xlim=_around(float(x), half), ylim=_around(float(y), half))


def _draw_histories(
    panels: Sequence[Axes], histories: Mapping[str, pd.DataFrame], columns: Sequence[str]
) -> None:
    for panel, column in zip(panels, columns, strict=True):
        for name, history in histories.items():
            if column not in history:
                raise ValueError(
                    f"the history {name!r} has no column {column!r}; choices: {', '.join(history)}"
                )
        values = np.concatenate([np.asarray(history[column], float) for history in histories.values()])
        for index, (name, history) in enumerate(histories.items()):
            panel.plot(history.index, history[column], color=SERIES[index % len(SERIES)], lw=1.2, label=name)
            if (floor := f"{column}_floor") in history:
                panel.plot(history.index, history[floor], color=DATA, ls="--", lw=1)
        panel.set(title=column, xlabel="step", yscale="log" if _spans_a_decade(values) else "linear")


def _spans_a_decade(values: np.ndarray) -> bool:
    """Whether a log axis would show more than one tick."""
    finite = values[np.isfinite(values)]
    return bool(finite.size and finite.min() > 0 and finite.max() >= 10 * finite.min())


def _around(centre: float | np.floating, half: float) -> tuple[float, float]:
    return float(centre - half), float(centre + half)
