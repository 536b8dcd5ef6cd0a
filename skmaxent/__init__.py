"""Multinomial logistic regression, the maximum-entropy classifier."""
