"""One run: its state, its decisions, and the two loops that carry them out."""
