"""axe-core on a page: what keeps people out."""

from typing import Any

GRAVE = {"serious", "critical"}
NOT_OURS: dict[str, tuple[str, ...]] = {}
"""Rule -> selectors of Streamlit's own elements that no option or style of ours can mend; a comment says why."""


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
    selectors = NOT_OURS.get(rule, ())
    return any(
        page.locator(target[-1]).first.evaluate("(node, s) => !!node.closest(s)", s) for s in selectors
    )


def _why(node: dict[str, Any]) -> str:
    return "; ".join(check["message"] for kind in ("any", "all", "none") for check in node[kind])
