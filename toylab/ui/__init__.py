"""The web app: pages, charts, jobs, stored runs. The only package of toylab that imports streamlit."""

from pathlib import Path

ASSETS = Path(__file__).parent / "assets"
# Stored results that pages show; made by scripts/make_*_assets.py.
