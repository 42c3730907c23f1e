"""The look of pages of texts: a heading, and a radio group as a list, chosen by click or arrow keys."""

import streamlit as st

STYLE = """
[class*="st-key-list_"], [class*="st-key-list_"] .stRadio, [class*="st-key-list_"] .stElementContainer { width: 100%; }
[class*="st-key-list_"] [role="radiogroup"] { gap: 0; width: 100%; }
[class*="st-key-list_"] [role="radiogroup"] > div {
  width: 100%; padding: 0.22rem 0.5rem; border-radius: 6px; box-sizing: border-box;
}
[class*="st-key-list_"] [role="radiogroup"] > div:hover {
  background: color-mix(in srgb, var(--edge) 40%, transparent);
}
[class*="st-key-list_"] [role="radiogroup"] > div:has(label[data-selected]) {
  background: color-mix(in srgb, var(--chosen) 13%, transparent);
}
[class*="st-key-list_"] label { margin: 0; }
[class*="st-key-list_"] [data-testid="stRadioCaption"] { margin: 0; padding: 0; min-width: 0; }
[class*="st-key-list_"] [data-testid="stCaptionContainer"] { opacity: 1; color: var(--faint); }
[class*="st-key-about_"] h2 { font-size: 1.25rem; padding: 0; }
[class*="st-key-about_"] li { margin: 0.1rem 0 0.1rem 1rem; font-size: 0.92rem; }
[class*="st-key-about_"] table { font-size: 0.86rem; font-variant-numeric: tabular-nums; }
[class*="st-key-about_"] td, [class*="st-key-about_"] th { padding: 0.3rem 0.55rem; }
[class*="st-key-about_"] td:first-child { overflow-wrap: anywhere; }
@media (max-width: 640px) {
  [class*="st-key-about_"] table { font-size: 0.8rem; }
  [class*="st-key-about_"] td, [class*="st-key-about_"] th { padding: 0.25rem 0.3rem; }
}
"""


def heading(title: str, line: str) -> None:
    """The page's title and one line on what it is for."""
    with st.container(key="title"):
        st.title(title, anchor=False)
        st.markdown(line)
