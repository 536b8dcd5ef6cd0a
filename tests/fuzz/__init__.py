"""A differential fuzz: random problems, fitted by the package and by an independent reference.

`python -m tests.fuzz --problems 10000 --seed 0`, from the root of the repository.
"""
