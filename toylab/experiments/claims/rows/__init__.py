"""One file per claim or small family of claims; each registers itself."""
