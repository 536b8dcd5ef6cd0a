"""The axes of displays that have several panels."""

from __future__ import annotations

from typing import Any

import numpy as np

from skmaxent._plotting._displays import new_axes
from skmaxent._typing import Array

# Panels in a row of a new figure.
PANELS_IN_ROW = 3


def panels_in_row(n_panels: int) -> int:
    """Return the number of panels in a row of a figure."""
    return 2 if n_panels == 4 else min(n_panels, PANELS_IN_ROW)


def panel_axes(
    ax: Any, name: str, n_panels: int, what: str, size: tuple[float, float], **figure: Any
) -> Array:
    """Return axes, (n_panels,): those in `ax`, or new ones of a new figure if it is None.

    Parameters
    ----------
    ax : array-like of matplotlib.axes.Axes or None
    name : str
        The class of the display, for errors.
    n_panels : int
    what : str
        What each panel shows, such as "class"; it completes "one for each" in the error message.
    size : (float, float)
        Width and height of a new figure in inches.
    **figure : dict
        Further options of `matplotlib.pyplot.subplots`.

    Raises
    ------
    ValueError
        If `ax` has another number of axes.
    """
    if ax is not None:
        given = np.ravel(np.asarray(ax, dtype=object))
        if len(given) != n_panels:
            raise ValueError(f"ax has {len(given)} axes; expected {n_panels}, one for each {what}.")
        new_axes(given[0], name)
        return given
    n_columns = panels_in_row(n_panels)
    axes: Any = new_axes(
        None,
        name,
        nrows=-(-n_panels // n_columns),
        ncols=n_columns,
        figsize=size,
        squeeze=False,
        **figure,
    )
    axes = np.ravel(axes)
    for unused in axes[n_panels:]:
        unused.remove()
    return np.asarray(axes[:n_panels])
