"""Runs that pages show: finished in this tab, shipped with the app, or imported; and how they are saved and exported."""
