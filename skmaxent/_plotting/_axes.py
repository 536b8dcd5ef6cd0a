"""Axes, colours and legends that the displays share.

matplotlib is imported only when a display draws, so that the package works without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

import numpy as np

from skmaxent._typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Names of up to this many letters fit into a figure of matplotlib's default size.
USUAL_LENGTH = 20
# Inches that a figure gets wider for each further letter, and the most that it gets wider.
LETTER_WIDTH, MOST_EXTRA_WIDTH = 0.09, 100.0
# Properties of texts that contain names, in which "$", "_" and "\\" stand for themselves.
LITERAL_TEXT: dict[str, Any] = {"parse_math": False, "usetex": False}
# The most classes in a column of the legend of displays with panels.
LEGEND_ROWS = 16
# Panels in a row of a new figure.
PANELS_IN_ROW = 3


def new_axes(ax: Axes | None, name: str, **figure: Any) -> Axes:
    """Return `ax`, or new axes of a new figure if it is None.

    `name` is the class of the display in the error that is raised if matplotlib is missing, and
    `figure` are options of `matplotlib.pyplot.subplots`.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            f"{name} draws with matplotlib, which is not installed: pip install matplotlib."
        ) from error
    if ax is not None:
        if not isinstance(ax, plt.Axes):
            raise TypeError(f"ax must be matplotlib axes, found {ax!r}.")
        return ax
    axes: Axes = plt.subplots(layout="constrained", **figure)[1]
    return axes


def class_colours(n_classes: int) -> list[Any]:
    """Return a colour for each class: matplotlib's cycle, or a colour map if the cycle is shorter.

    The colours are no names such as "C0", which would get the cycle in use when a figure is saved.
    """
    import matplotlib as mpl

    n_cycle = len(mpl.rcParams["axes.prop_cycle"].by_key().get("color", []))
    if n_classes <= n_cycle:
        return [mpl.colors.to_hex(f"C{i}") for i in range(n_classes)]
    return list(mpl.colormaps["turbo"](np.linspace(0.03, 0.97, n_classes)))


def draw_class_legend(
    ax: Axes, handles: list[Any], classes: list[str], *, most_rows: int | None = None
) -> None:
    """Draw a legend of the classes to the right of the axes, with their names shown literally.

    `handles` are the artists, one for each class. The legend has further columns for more classes
    than `most_rows`. matplotlib leaves out labels that begin with "_" and reads mathematics between
    dollar signs. Therefore the legend is made with other labels, which are replaced afterwards.
    """
    legend = ax.legend(
        handles,
        [f"label {i}" for i in range(len(classes))],
        title="class",
        fontsize="small",
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        ncols=1 if most_rows is None else 1 + (len(classes) - 1) // most_rows,
    )
    for text, label in zip(legend.get_texts(), classes, strict=True):
        text.update({"text": label} | LITERAL_TEXT)


def extra_inches(texts: list[str]) -> float:
    """Return the inches that a figure must be wider so that the longest text fits, at least 0."""
    # East Asian wide and full-width letters count twice.
    lengths = [sum(1 + (east_asian_width(c) in "WF") for c in text) for text in texts]
    excess = max(lengths, default=0) - USUAL_LENGTH
    return float(np.clip(excess * LETTER_WIDTH, 0.0, MOST_EXTRA_WIDTH))


def panels_in_row(n_panels: int) -> int:
    """Return the number of columns of panels in a new figure: 2 for four panels, at most 3."""
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
        What each panel shows, such as "class", for errors.
    size : (float, float)
        Width and height of a new figure in inches.
    **figure : dict
        Further options of `matplotlib.pyplot.subplots`.

    Raises
    ------
    ValueError
        If `ax` has another number of axes.
    TypeError
        If `ax` has other objects than axes.
    """
    if ax is not None:
        given = np.ravel(np.asarray(ax, dtype=object))
        if len(given) != n_panels:
            raise ValueError(f"ax has {len(given)} axes; expected {n_panels}, one for each {what}.")
        return np.array([new_axes(one, name) for one in given], dtype=object)
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
