"""Charts as Vega-Lite dictionaries, and their colours."""
