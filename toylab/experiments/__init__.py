"""Experiments: many runs, what they add up to, and what is claimed of them."""
