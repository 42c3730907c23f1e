"""The app's parts: pages, controls, charts. The only package that imports streamlit."""
