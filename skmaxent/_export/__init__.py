"""Fitted models in other formats."""
