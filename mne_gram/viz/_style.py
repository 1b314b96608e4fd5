# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What the figures have in common: colours, axes and legends."""

import numpy as np
from mne.utils import _validate_type

# Okabe and Ito's palette, which colour-blind readers can tell apart, and greys.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, BLACK = "#E69F00", "#56B4E9", "#000000"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
LIGHT, GREY = "#BBBBBB", "#888888"
SCALE = "cividis"  # of numbers; even in lightness, and made for colour-blind readers


def check_report(report, kind, maker):
    """Raise an error if what was given is not the report that a function returns.

    This goes by the name of the class: reports plot themselves, so the figures import none.
    """
    if kind not in {cls.__name__ for cls in type(report).__mro__}:
        raise TypeError(
            f"report must be a {kind}, what {maker} returns, got {type(report).__name__} instead."
        )


def check_axis(axes):
    """Raise an error if what was given is neither one axis nor None."""
    from matplotlib.axes import Axes

    _validate_type(axes, (Axes, None), "axes")


def list_axes(axes, n, what):
    """Return given axes as a list, of which there must be ``n`` at least: one for each thing."""
    from matplotlib.axes import Axes

    axes = list(np.ravel(np.asarray(axes, dtype=object)))
    for axis in axes:
        _validate_type(axis, Axes, "each of the axes")
    if len(axes) < n:
        raise ValueError(f"Found {len(axes)} axes, expected {n}: one a {what}.")
    return axes


def make_grid(n, n_columns, size, x_label, **options):
    """Make a figure of ``n`` axes in rows, with one horizontal scale.

    Parameters
    ----------
    n : int
        How many axes.
    n_columns : int
        At most this many are in a row.
    size : tuple of float
        Width and height of each in inches.
    x_label : str
        What the horizontal axis tells.
    **options
        For :func:`matplotlib.pyplot.subplots`.

    Returns
    -------
    axes : list of matplotlib.axes.Axes
        The axes, row by row.
    """
    import matplotlib.pyplot as plt

    n_columns = min(n_columns, n)
    n_rows = -(-n // n_columns)
    _, axes = plt.subplots(
        n_rows,
        n_columns,
        sharex=True,
        squeeze=False,
        figsize=(size[0] * n_columns + 0.4, size[1] * n_rows + 0.5),
        layout="constrained",
        **options,
    )
    axes = list(axes.flat)
    for axis in axes[n:]:
        axis.axis("off")
    # In a ragged grid, the lowest axis of each column tells the scale.
    for axis in axes[max(0, n - n_columns) : n]:
        axis.set_xlabel(x_label)
        axis.tick_params(labelbottom=True)
    return axes[:n]


def add_legend(axes):
    """Add one legend for several axes: not all of them need to show every kind of line."""
    handles = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    outside = _makes_room(axes[0])
    (axes[0].figure if outside else axes[0]).legend(
        handles.values(),
        handles,
        loc="outside upper center" if outside else "upper right",
        ncols=len(handles),
        fontsize=8,
    )


def add_legend_beside(axis, **options):
    """Add a legend to the right of an axis, or upon it where there is no room for that."""
    if _makes_room(axis):
        options |= dict(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    axis.legend(**options)


def _makes_room(axis):
    """Whether the layout of the figure makes room for what lies outside of the axes."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return isinstance(axis.figure.get_layout_engine(), ConstrainedLayoutEngine)


def set_title(axis, text, **options):
    """Write a title as all figures have it."""
    axis.set_title(text, fontsize=9, **(dict(loc="left") | options))


def open_frame(axis):
    """Take away the upper and right edge of an axis."""
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
