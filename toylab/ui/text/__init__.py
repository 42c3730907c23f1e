"""Words of the app: sentences, numbers, and foreign text made safe."""
