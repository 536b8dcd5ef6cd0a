"""Conversion of users' arguments (data, labels, weights, penalty terms) to checked arrays."""
