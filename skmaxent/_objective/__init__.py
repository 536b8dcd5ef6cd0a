"""The objective: likelihoods, penalties, standardised columns, derivatives at a point."""
