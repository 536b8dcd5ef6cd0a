"""Paths of penalties, cross-validation and calibration."""
