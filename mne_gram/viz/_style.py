# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Colours, axes and legends of all figures."""

import numpy as np
from mne.utils import _validate_type

# The palette of Okabe and Ito, which colour-blind readers can distinguish, and greys.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, BLACK = "#E69F00", "#56B4E9", "#000000"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
LIGHT, GREY = "#BBBBBB", "#888888"
SCALE = "cividis"  # perceptually uniform, for colour-blind readers as well


def check_report(report, kind, maker):
    """Raise an error if this is not the report that ``maker`` returns.

    The class is compared by name: reports import the figures, not the other way round.
    """
    if kind not in {cls.__name__ for cls in type(report).__mro__}:
        raise TypeError(
            f"report must be a {kind}, as returned by {maker}, got {type(report).__name__} instead."
        )


def open_axes(axes, size):
    """Return the given axes, or those of a new figure of a size in inches if they are None."""
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes

    _validate_type(axes, (Axes, None), "axes")
    return plt.subplots(figsize=size, layout="constrained")[1] if axes is None else axes


def list_axes(axes, n, what):
    """Return the given axes as a list; raise an error if there are fewer than ``n``."""
    from matplotlib.axes import Axes

    axes = list(np.ravel(np.asarray(axes, dtype=object)))
    for axis in axes:
        _validate_type(axis, Axes, "each of the axes")
    if len(axes) < n:
        raise ValueError(f"Found {len(axes)} axes, expected {n}: one per {what}.")
    return axes


def make_grid(n, n_columns, size, x_label, **options):
    """Return the ``n`` axes of a new figure in a grid with a shared horizontal axis.

    ``size`` is the width and height of each in inches.
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
    # If the last row is incomplete, columns end in different rows.
    for axis in axes[max(0, n - n_columns) : n]:
        axis.set_xlabel(x_label)
        axis.tick_params(labelbottom=True)
    return axes[:n]


def add_legend(axes):
    """Add one legend with the lines of several axes."""
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
    """Add a legend to the right of the axes, or inside if the layout leaves no room."""
    if _makes_room(axis):
        options |= dict(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    axis.legend(**options)


def _makes_room(axis):
    """Return whether the layout of the figure leaves room for legends outside the axes."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return isinstance(axis.figure.get_layout_engine(), ConstrainedLayoutEngine)


def set_title(axis, text, **options):
    """Set a title in the style of all figures."""
    axis.set_title(text, fontsize=9, **(dict(loc="left") | options))


def open_frame(axis):
    """Hide the upper and right edge of the axes."""
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
