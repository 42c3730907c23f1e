"""Runs that pages show: finished in this tab, shipped with the app, or imported; saving and exporting them."""
