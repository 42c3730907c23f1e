"""axe-core on a page: what keeps people out."""

from typing import Any

GRAVE = {"serious", "critical"}
NOT_OURS: dict[str, tuple[str, ...]] = {
    # Vega gives a layer without data a role and no name; there is nothing in it to name.
    "svg-img-alt": ("g[aria-roledescription$='mark container']:empty",),
}
"""Rule -> selectors of elements of Streamlit's and Vega's own that we cannot mend; a comment says why."""


def violations(page) -> list[str]:
    """One line per grave violation: rule, what is wrong, the element."""
    from axe_playwright_python.sync_playwright import Axe

    found: list[dict[str, Any]] = (
        Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    )
    return [
        f"{rule['id']}: {_why(node)} | {node['html'][:160]}"
        for rule in found
        if rule["impact"] in GRAVE
        for node in rule["nodes"]
        if not _excused(page, rule["id"], node["target"])
    ]


def _excused(page, rule: str, target: list[str]) -> bool:
    # The page may have been drawn anew since: what is gone is not excused.
    return page.evaluate(
        "([target, selectors]) => selectors.some(one => !!document.querySelector(target)?.closest(one))",
        [target[-1], list(NOT_OURS.get(rule, ()))],
    )


def _why(node: dict[str, Any]) -> str:
    return "; ".join(check["message"] for kind in ("any", "all", "none") for check in node[kind])
