# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""How kinds of features lie side by side, and which of them linear models are fitted to."""

import numpy as np

from ._linear_probe import Layout, View
from ._signal_features import EDGES
from ._trial_features import KINDS, as_kinds

# What the model of all bands counts before anything is known. The others share the rest.
_TOGETHER = 0.5
#: Trials up to which models of single bands are fitted. They help where there is little to learn
#: from, and the time that each takes grows faster than the trials.
MOST_TRIALS = 2000


def make_layout(kinds, parts, bands=None, n_trials=0):
    """Return how features lie side by side, and which of them models are fitted to.

    Parameters
    ----------
    kinds : str | tuple of str
        Some of `KINDS`.
    parts : list
        The fitted object of each.
    bands : sequence of tuple of float | None
        The bands that are used together; None for the six that are measured first.
    n_trials : int
        How many trials are learnt from. With more than `MOST_TRIALS` only all bands together have
        a view.

    Returns
    -------
    layout : Layout
        With a view of all bands of covariances together and of each alone, which are their names,
        and all other features in each. Without covariances there is one view without a name.
    """
    sizes = tuple(size for part in parts for size in part.sizes)
    names = [kind for kind, part in zip(as_kinds(kinds), parts, strict=True) for _ in part.sizes]
    shares = np.array([KINDS[name] for name in names])
    place = names.index("tangent") if "tangent" in names else 0
    views = []
    sets = _list_band_sets(parts, bands)
    for k, chosen in enumerate(sets):
        own = shares.copy()
        own[[name == "tangent" for name in names]] = 0.0
        start = place if k == 0 else place + k - 1
        own[start : start + len(chosen)] = KINDS["tangent"] / np.sqrt(len(chosen))
        prior = _TOGETHER if k == 0 else (1 - _TOGETHER) / (len(sets) - 1)
        views.append(View(tuple(own.tolist()), prior, chosen))
    if n_trials > MOST_TRIALS:
        views = views[:1]
    return Layout(sizes, tuple(views) or (View(tuple(shares.tolist())),))


def _list_band_sets(parts, bands):
    """List all bands together, and each alone with those that are alternatives."""
    for part in parts:
        if getattr(part, "kind", None) == "tangent":
            measured = part.inner.bands
            together = measured[: len(EDGES if bands is None else bands)]
            return [together] if len(measured) == 1 else [together, *((one,) for one in measured)]
    return []
