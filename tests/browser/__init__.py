"""The app in a real browser on a real server. Everything here is marked `e2e` (see conftest.py)."""
