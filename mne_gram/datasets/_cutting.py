# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Windows, cut from a recording by onsets and labels."""

import mne
import numpy as np
from mne.utils import warn

from ._recordings import describe


def number_labels(labels, first=0):
    """Return the event code of each label, in their order."""
    return {label: code for code, label in enumerate(labels, start=first)}


def cut_epochs(
    raw, recording, rows, event_id, *, length, before=0.0, preload=False, reject_by_annotation=False
):
    """Cut windows from a Raw, ``before`` s ahead of each onset; return Epochs sorted by onset.

    ``rows`` has ``onset`` (s from the start), ``label`` and metadata. Equal onsets are moved apart.
    """
    rows, place = describe(recording, rows), recording.path.name
    unknown = sorted({*rows["label"]} - event_id.keys())
    if unknown:
        raise ValueError(f"{place} has labels {unknown}, expected some of {list(event_id)}.")
    rows = rows.sort_values("onset", kind="stable")
    sfreq = raw.info["sfreq"]
    n_times, n_before = round(length * sfreq), round(before * sfreq)
    starts = np.round(rows["onset"].to_numpy(float) * sfreq).astype(int) - n_before
    inside = (starts >= 0) & (starts + n_times <= raw.n_times)
    if not inside.any():
        raise ValueError(
            f"None of the {len(rows)} windows of {length:g} s lies within {place}, which lasts "
            f"{raw.n_times / sfreq:g} s."
        )
    if not inside.all():
        warn(
            f"{(~inside).sum()} of {len(rows)} windows of {length:g} s reach beyond the ends of "
            f"{place} and are left out."
        )
    rows, starts = rows[inside].reset_index(drop=True), starts[inside]
    samples = starts + n_before + raw.first_samp
    events = np.column_stack(
        [_make_unique(samples), np.zeros(len(rows), int), [event_id[x] for x in rows["label"]]]
    )
    options = dict(event_id=event_id, metadata=rows, baseline=None, on_missing="ignore")
    options["tmin"] = -n_before / sfreq
    if (np.diff(samples) > 0).all():
        epochs = mne.Epochs(
            raw,
            events,
            tmax=(n_times - 1 - n_before) / sfreq,
            preload=preload,
            reject_by_annotation=reject_by_annotation,
            proj=False,
            **options,
        )
        return epochs.set_annotations(None)  # concatenation would drop them anyway
    different, index = np.unique(starts, return_inverse=True)
    data = np.stack([raw[:, start : start + n_times][0] for start in different])
    return mne.EpochsArray(data[index], raw.info, events, proj=False, **options)


def _make_unique(samples):
    """Return sorted event samples with repeated ones moved to the next free sample."""
    steps = np.arange(len(samples))
    return np.maximum.accumulate(samples - steps) + steps


def list_windows(start, stop, length):
    """Return the onsets of the adjacent windows that fit between two times, shape (n_windows,)."""
    # A window that ends after the stop by rounding only does fit.
    return start + length * np.arange(int((stop - start) / length + 1e-6))
