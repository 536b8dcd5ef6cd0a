"""Formulas: a transformer that makes the columns of a formula, and fits from a formula."""
