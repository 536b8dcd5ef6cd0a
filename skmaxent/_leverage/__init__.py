"""Leverages of rows, and what follows from them: fits that leave rows out, and their influence."""
