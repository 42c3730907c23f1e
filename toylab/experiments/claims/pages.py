"""A ledger as Markdown and as one self-contained HTML page, from its JSON alone."""

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from toylab.experiments.claims.rules import FAILS, HOLDS, PARTLY, UNMEASURED, UNRESOLVED
from toylab.formatting import interval, number, percent

COLOURS = {HOLDS: "yes", PARTLY: "part", FAILS: "no", UNRESOLVED: "open", UNMEASURED: "open"}
MARK = " *"
FOOTNOTE = (
    "The numbers are those of a claim's first effect. "
    "* Not the published settings: the verdict is on those named in the row, not on the paper's runs."
)


def markdown(content: Mapping[str, Any]) -> str:
    """The ledger as claims.md."""
    lines = [
        f"# Claims, budget {content['budget']}",
        "",
        f"{content['summary'].capitalize()}. Made {content['date']}, {_versions(content)}.",
        "",
        "| claim | verdict | effects that hold | claimed | measured | 95% interval | seeds | n | floor |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in content["claims"]:
        cells = [f"[{row['id']}](#{row['id']})", verdict_text(row), num_held(row), *headline(row)]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", FOOTNOTE, "", "How a verdict is reached: " + content["rule"], ""]
    for row in content["claims"]:
        lines += _section(row)
    return "\n".join(lines).rstrip() + "\n"


def _section(row: Mapping[str, Any]) -> list[str]:
    lines = [f"## {row['id']}", "", f"{row['statement']} **{row['verdict'].capitalize()}.**", ""]
    lines += [f"- Source: {_source(row)}", f"- Protocol: {row['protocol']}"]
    lines += [f"- Not as published: {'; '.join(row['deviations'])}"] if row["deviations"] else []
    lines += [f"- Not measured: {row['reason']}"] if row["reason"] else []
    lines += [f"- Note: {row['note']}"] if row["note"] else []
    lines += [f"- `{row['command']}`, {row['num_runs']} runs, {row['seconds']:.0f} s", ""]
    if row["effects"]:
        lines += ["| " + " | ".join(EFFECT_HEADER) + " |", "|---" * len(EFFECT_HEADER) + "|"]
        lines += ["| " + " | ".join(effect_cells(effect)) + " |" for effect in row["effects"]]
        lines += ["", f"![{row['id']}]({row['figure']})", ""]
        if arms := arm_rows(row["effects"]):
            lines += ["| " + " | ".join(ARM_HEADER) + " |", "|---" * len(ARM_HEADER) + "|"]
            lines += [*("| " + " | ".join(cells) + " |" for cells in arms), ""]
    return lines


EFFECT_HEADER = (
    "effect", "claimed", "measured", "95% t", "95% bootstrap", "lowest to highest seed", "seeds", "lost", "n",
    "baseline", "floor", "seeds needed", "verdict",
)  # fmt: skip
ARM_HEADER = (
    "effect",
    "arm",
    "mean over seeds",
    "standard deviation",
    "lowest seed",
    "highest seed",
    "seeds",
)


def effect_cells(effect: Mapping[str, Any]) -> list[str]:
    """The cells of one effect under `EFFECT_HEADER`."""
    unit = effect["unit"]
    return [
        effect["name"],
        claimed_text(effect),
        _value(effect["mean"], unit),
        _interval(effect["interval"], unit),
        _interval(effect["bootstrap"], unit),
        _interval([min(values), max(values)], unit) if (values := effect["values"].values()) else "-",
        str(len(values)),
        str(effect["lost"]),
        f"{effect['n']:,}",
        _value(effect["baseline"], "number"),
        _value(effect["floor"], "number"),
        "-" if effect["seeds_needed"] is None else str(effect["seeds_needed"]),
        effect["verdict"],
    ]


def arm_rows(effects: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The cells of every arm under `ARM_HEADER`: what varies between seeds, beside what varies between arms."""
    rows = []
    for effect in effects:
        for label, scores in effect["arms"].items():
            values = np.array(list(scores.values()), float)
            if len(values) > 1:
                found = (values.mean(), values.std(ddof=1), values.min(), values.max())
                numbers = [_value(float(value), "number") for value in found]
                rows.append([effect["name"], label, *numbers, str(len(values))])
    return rows


def headline(row: Mapping[str, Any]) -> list[str]:
    """Claimed, measured, interval, seeds, n and floor of a row: those of its first effect."""
    if not row["effects"]:
        return [_value(row["claimed"], "share"), "-", "-", "0", "-", "-"]
    effect = row["effects"][0]
    return [
        claimed_text(effect),
        _value(effect["mean"], effect["unit"]),
        _interval(effect["interval"], effect["unit"]),
        str(len(effect["values"])),
        f"{effect['n']:,}",
        _value(effect["floor"], "number"),
    ]


def num_held(row: Mapping[str, Any]) -> str:
    """How many of a claim's effects hold; the numbers beside it are those of the first."""
    if not row["effects"]:
        return "-"
    return f"{sum(effect['verdict'] == HOLDS for effect in row['effects'])} of {len(row['effects'])}"


def verdict_text(row: Mapping[str, Any]) -> str:
    """The verdict, marked where the runs were not those of the published protocol."""
    return row["verdict"] + (MARK if row["deviations"] else "")


def claimed_text(effect: Mapping[str, Any]) -> str:
    """What is claimed of an effect."""
    if effect["kind"] == "within":
        return "within " + _interval(effect["range"], effect["unit"])
    return "above 0" if effect["claimed"] is None else _value(effect["claimed"], effect["unit"])


def page(content: Mapping[str, Any], figures: Mapping[str, bytes]) -> str:
    """The ledger as one HTML page; ``figures`` are PNG files by claim, kept inside the page."""
    rows = "".join(
        f'<tr><td><a href="#{row["id"]}">{row["id"]}</a></td>'
        f"<td class=text>{_safe(row['statement'])}</td>"
        f"<td>{_badge(row['verdict'])}{MARK if row['deviations'] else ''}</td>"
        f"{_cells('td', [num_held(row), *headline(row)])}</tr>"
        for row in content["claims"]
    )
    head = (
        "claim",
        "statement",
        "verdict",
        "hold",
        "claimed",
        "measured",
        "95% interval",
        "seeds",
        "n",
        "floor",
    )
    sections = "".join(_html_section(row, figures.get(row["id"])) for row in content["claims"])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Claims, budget {_safe(content['budget'])}</title><style>{STYLE}</style></head><body><main>"
        f"<h1>Claims, budget {_safe(content['budget'])}</h1>"
        f"<p>{_safe(content['summary'].capitalize())}. Made {_safe(content['date'])}, {_safe(_versions(content))}.</p>"
        f"<div class=scroll><table><thead><tr>{_cells('th', head)}</tr></thead><tbody>{rows}</tbody></table></div>"
        f"<p>{FOOTNOTE}</p>"
        f"<details><summary>How a verdict is reached</summary><p>{_safe(content['rule'])}</p></details>"
        f"{sections}</main></body></html>\n"
    )


def _html_section(row: Mapping[str, Any], figure: bytes | None) -> str:
    facts = {"Source": _source(row), "Protocol": row["protocol"]}
    facts |= {"Not as published": "; ".join(row["deviations"])} if row["deviations"] else {}
    facts |= {"Not measured": row["reason"]} if row["reason"] else {}
    facts |= {"Note": row["note"]} if row["note"] else {}
    parts = [
        f'<section id="{row["id"]}"><h2>{row["id"]} {_badge(row["verdict"])}</h2><p>{_safe(row["statement"])}</p><dl>',
        *(f"<dt>{name}</dt><dd>{_safe(text)}</dd>" for name, text in facts.items()),
        f"<dt>Command</dt><dd><code>{_safe(row['command'])}</code></dd></dl>",
    ]
    if row["effects"]:
        body = "".join(f"<tr>{_cells('td', effect_cells(effect))}</tr>" for effect in row["effects"])
        parts.append(
            f"<div class=scroll><table><thead><tr>{_cells('th', EFFECT_HEADER)}</tr></thead>"
            f"<tbody>{body}</tbody></table></div>"
        )
    if arms := arm_rows(row["effects"]):
        body = "".join(f"<tr>{_cells('td', cells)}</tr>" for cells in arms)
        parts.append(
            f"<details><summary>Scores of each arm over seeds</summary><div class=scroll><table><thead>"
            f"<tr>{_cells('th', ARM_HEADER)}</tr></thead><tbody>{body}</tbody></table></div></details>"
        )
    if figure is not None:
        data = base64.b64encode(figure).decode()
        parts.append(f'<img alt="{row["id"]}: effects and scores" src="data:image/png;base64,{data}">')
    return "".join([*parts, "</section>"])


STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#59636e;--page:#fff;--line:#d8dee4;--card:#f6f8fa}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa4af;--page:#0f1318;--line:#2d343c;--card:#161c23}}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:72rem;margin:0 auto;padding:2rem 1rem}h2{font-size:1.15rem;margin:0 0 .5rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;margin:.8rem 0;width:100%}
th,td{padding:.35rem .6rem;border-bottom:1px solid var(--line);text-align:left;white-space:nowrap}
th{color:var(--soft);font-weight:600}td{font-variant-numeric:tabular-nums}
td.text{white-space:normal;min-width:16rem}a{color:inherit}
section{border-top:1px solid var(--line);padding:1.5rem 0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;font-size:.9rem}
dt{color:var(--soft)}dd{margin:0}code{background:var(--card);padding:.1rem .3rem;border-radius:4px}
img{max-width:100%;height:auto;background:#fff;border-radius:6px;padding:.5rem;box-sizing:border-box}
.badge{display:inline-block;padding:.05rem .5rem;border-radius:1rem;font-size:.8rem;font-weight:600;color:#fff}
.yes{background:#00704f}.part{background:#8a5a00}.no{background:#b03a00}.open{background:#5b6570}
""".replace("\n", "")


def _badge(verdict: str) -> str:
    return f'<span class="badge {COLOURS[verdict]}">{_safe(verdict)}</span>'


def _source(row: Mapping[str, Any]) -> str:
    return f"{row['source']} ({row['citation']})" if row["citation"] else row["source"]


def _cells(tag: str, texts) -> str:
    return "".join(f"<{tag}>{_safe(text)}</{tag}>" for text in texts)


def _safe(text: Any) -> str:
    return html.escape(str(text))


def _versions(content: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {content['versions'].get(name)}" for name in ("toylab", "jax", "numpy"))


def _value(value: float | None, unit: str) -> str:
    return percent(value) if unit == "share" else number(value)


def _interval(ends: Sequence[float | None], unit: str) -> str:
    return interval(*ends, show=lambda end: _value(end, unit), form="{} to {}")
