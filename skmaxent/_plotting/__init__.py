"""Displays. Matplotlib is imported when something is drawn."""
