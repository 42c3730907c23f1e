"""What a notebook shows: facts in a table of HTML, with a picture. Nothing of the lab: any row may show itself."""

import base64
import html
from collections.abc import Mapping


def notebook_html(facts: Mapping[str, str], png: bytes | None = None, picture: str = "Picture") -> str:
    """A table of ``facts`` and a PNG below it, every text escaped; ``picture`` says what is to be seen there."""
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left">{html.escape(label)}</th>'
        f'<td style="text-align:left">{html.escape(text)}</td></tr>'
        for label, text in facts.items()
    )
    image = ""
    if png is not None:
        said = html.escape(f"{picture}: " + "; ".join(f"{label} {text}" for label, text in facts.items()))
        data = base64.b64encode(png).decode("ascii")
        image = f'<img alt="{said}" style="max-width:100%" src="data:image/png;base64,{data}">'
    return f"<div><table>{rows}</table>{image}</div>"
