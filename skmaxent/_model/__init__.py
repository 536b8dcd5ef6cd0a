"""From data to a fitted model, and from a fitted model to predictions."""
