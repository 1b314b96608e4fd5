# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What is bad: from info, annotations and an explicit mask, sample by sample."""

import numpy as np
from mne import BaseEpochs
from mne.io import BaseRaw
from mne.utils import _validate_type

_CUTS = ("BAD BOUNDARY", "BAD_ACQ_SKIP")  # joins and holes of the file, not bad signals


def is_bad_annotation(text):
    """Tell whether an annotation marks bad signal."""
    return text.upper().startswith("BAD") and not text.upper().startswith(_CUTS)


def annotated_spans(inst):
    """List the bad annotations of a Raw or Epochs in samples.

    Parameters
    ----------
    inst : mne.io.BaseRaw | mne.BaseEpochs
        The data.

    Returns
    -------
    spans : list of tuple
        Index of the annotation, epoch (0 for Raw), start, stop and channel names (empty for all
        channels), clipped to the data.
    """
    annotations = inst.annotations
    if annotations is None or not len(annotations):
        return []
    sfreq, n_times = inst.info["sfreq"], len(inst.times)
    onsets = np.array(annotations.onset)
    if isinstance(inst, BaseRaw):
        zeros = np.array([inst.first_time])  # what MNE counts from, with and without a date
    else:
        # MNE counts epochs' annotations from the same zero as their events.
        zeros = inst.events[:, 0] / inst._raw_sfreq + inst.times[0]
    spans = []
    for index, text in enumerate(annotations.description):
        if not is_bad_annotation(text):
            continue
        first = np.round((onsets[index] - zeros) * sfreq).astype(int)
        last = np.round((onsets[index] + annotations.duration[index] - zeros) * sfreq).astype(int)
        names = tuple(annotations.ch_names[index])
        for epoch in np.flatnonzero((last > 0) & (first < n_times) & (last > first)):
            start, stop = max(0, first[epoch]), min(n_times, last[epoch])
            spans.append((index, int(epoch), int(start), int(stop), names))
    return spans


def collect_mask(inst, picks, mask=None):
    """Collect everything that is marked as bad.

    Parameters
    ----------
    inst : mne.io.BaseRaw | mne.BaseEpochs | mne.Evoked
        The data.
    picks : array of int
        The channels to look at.
    mask : array of bool | None
        What is bad besides ``info["bads"]`` and the annotations, for all channels of ``inst``:
        ``(n_channels, n_times)`` for Raw and Evoked, ``(n_epochs, n_channels)`` or
        ``(n_epochs, n_channels, n_times)`` for Epochs.

    Returns
    -------
    bad : array of bool, shape (n_picks, n_epochs * n_times)
        True where bad.

    Raises
    ------
    ValueError
        If the mask has another shape or type.
    """
    names = [inst.ch_names[pick] for pick in picks]
    n_times = len(inst.times)
    n_epochs = len(inst) if isinstance(inst, BaseEpochs) else 1
    bad = np.zeros((len(picks), n_epochs, n_times), bool)
    bad[[name in inst.info["bads"] for name in names]] = True
    if isinstance(inst, (BaseRaw, BaseEpochs)):
        for _, epoch, start, stop, ch_names in annotated_spans(inst):
            rows = [k for k, name in enumerate(names) if not ch_names or name in ch_names]
            bad[rows, epoch, start:stop] = True
    if mask is not None:
        bad |= _check_mask(mask, inst, n_epochs, n_times)[picks]
    return bad.reshape(len(picks), -1)


def _check_mask(mask, inst, n_epochs, n_times):
    """Return a mask as (n_channels, n_epochs, n_times), or say what is wrong with it."""
    _validate_type(mask, np.ndarray, "mask", "a bool array")
    n_channels = len(inst.ch_names)
    shapes = [(n_channels, n_times)]
    if isinstance(inst, BaseEpochs):
        shapes = [(n_epochs, n_channels), (n_epochs, n_channels, n_times)]
    if mask.shape not in shapes:
        raise ValueError(
            f"mask must have the shape {' or '.join(map(str, shapes))} (all channels of the data, "
            f"in their order), got {mask.shape}."
        )
    if mask.dtype != bool:
        raise ValueError(
            f"mask must be of dtype bool, True where bad, got {mask.dtype}. The labels of an "
            "autoreject.RejectLog fit after log.labels == 1."
        )
    if mask.ndim == 2 and isinstance(inst, BaseEpochs):
        mask = np.broadcast_to(mask[..., None], (*mask.shape, n_times))
    return mask.transpose(1, 0, 2) if mask.ndim == 3 else mask[:, None]
