"""Covariances, tests, intervals, effects and tables of a fitted model."""
