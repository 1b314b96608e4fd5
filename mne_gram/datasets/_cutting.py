# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Windows: cut from a recording by a table of onsets and labels."""

import mne
import numpy as np
from mne.utils import warn


def cut_windows(
    raw, rows, event_id, *, length, before=0.0, preload=False, reject_by_annotation=False, place=""
):
    """Cut windows from a recording.

    Parameters
    ----------
    raw : mne.io.Raw
        The recording; it need not be loaded.
    rows : pandas.DataFrame
        A row a window: ``onset`` in seconds from the start of the recording, ``label``, and what
        else is known. It becomes the metadata.
    event_id : dict
        Event codes of all labels.
    length, before : float
        Length of the windows, and how long before the onset they start, in seconds.
    preload : bool
        Whether to read the samples now.
    reject_by_annotation : bool
        Whether windows that ``BAD`` annotations touch are left out.
    place : str
        Which recording, for messages.

    Returns
    -------
    epochs : mne.Epochs | mne.EpochsArray
        The windows by time, of ``round(length * sfreq)`` samples each. Where several have one
        onset they are loaded, and the event samples of the later ones are the next that are free.

    Raises
    ------
    ValueError
        If a label is unknown, or no window lies within the recording.
    """
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
        return epochs.set_annotations(None)  # which would not survive a concatenation anyway
    different, index = np.unique(starts, return_inverse=True)
    data = np.stack([raw[:, start : start + n_times][0] for start in different])
    return mne.EpochsArray(data[index], raw.info, events, proj=False, **options)


def _make_unique(samples):
    """Return sorted event samples with repeated ones moved to the next free place."""
    steps = np.arange(len(samples))
    return np.maximum.accumulate(samples - steps) + steps


def list_windows(start, stop, length):
    """Return the onsets of as many windows as fit between two times, one after another.

    Parameters
    ----------
    start, stop : float
        Where the first may start and the last has to end, in seconds.
    length : float
        Length of a window in seconds.

    Returns
    -------
    onsets : array, shape (n_windows,)
        Seconds.
    """
    # A stop that misses a window by rounding still holds it.
    return start + length * np.arange(int((stop - start) / length + 1e-6))
