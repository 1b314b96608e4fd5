# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The RejectLog of autoreject as a mask, without that package."""

import numpy as np
from mne.utils import _pl, warn

_ATTRIBUTES = ("labels", "ch_names", "bad_epochs")
_LABELS = (0, 1, 2)  # good, bad, interpolated by autoreject; NaN where it did not look


def is_reject_log(mask):
    """Return whether something has the attributes of an ``autoreject.RejectLog``."""
    return all(hasattr(mask, name) for name in _ATTRIBUTES)


def read_reject_log(log, ch_names, n_epochs):
    """Return the mask of a RejectLog for epochs with these channels, bool (n_epochs, n_channels).

    Labels 1 and 2 are bad, also in epochs that autoreject returned: what it interpolated there was
    not measured. Channels are matched by name.
    """
    labels, names = np.asarray(log.labels, float), [str(name) for name in log.ch_names]
    dropped = np.asarray(log.bad_epochs, bool)
    if labels.shape != (len(dropped), len(names)):
        raise ValueError(
            f"The labels of the RejectLog have the shape {labels.shape}, expected "
            f"{(len(dropped), len(names))} (epochs x channels), as its bad_epochs and ch_names."
        )
    if not (np.isnan(labels) | np.isin(labels, _LABELS)).all():
        raise ValueError(
            "The labels of the RejectLog must be 0 (good), 1 (bad), 2 (interpolated) or NaN (not "
            "checked)."
        )
    bad = _select_epochs(np.isin(labels, (1, 2)), dropped, n_epochs)
    rows = {name: row for row, name in enumerate(ch_names)}
    known = [k for k, name in enumerate(names) if name in rows]
    if not known:
        raise ValueError(
            "The RejectLog and the data have no channel in common. Found "
            f"{', '.join(names[:5])}, ... in the log, expected {', '.join(ch_names[:5])}, ..."
        )
    missing = [name for k, name in enumerate(names) if name not in rows and bad[:, k].any()]
    if missing:
        warn(
            f"Found bad epochs of {', '.join(missing)} in the RejectLog. These data do not contain "
            f"{_pl(missing, 'that channel', 'these channels')}: if renamed, rename "
            f"{_pl(missing, 'it', 'them')} in log.ch_names, too."
        )
    mask = np.zeros((n_epochs, len(rows)), bool)
    mask[:, [rows[names[k]] for k in known]] = bad[:, known]
    return mask


def _select_epochs(bad, dropped, n_epochs):
    """Return the rows of the epochs at hand: those that autoreject was given, or returned."""
    n_given, n_returned = len(dropped), int((~dropped).sum())
    if n_epochs == n_given:
        return bad
    if n_epochs == n_returned:
        return bad[~dropped]
    raise ValueError(
        f"Found {n_epochs} epochs, expected the {n_given} that autoreject was given (before it "
        f"dropped bad epochs) or the {n_returned} that it returned (after dropping the "
        f"{n_given - n_returned} in bad_epochs). If you dropped others, do so after restoring."
    )
