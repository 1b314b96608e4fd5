# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Held-out recordings as the truth, and the masks that hide parts of them."""

import mne
import numpy as np
from mne_bids import read_raw_bids

from mne_gram._files import list_recordings
from mne_gram.montage import (
    ELECTRODES,
    electrode_positions,
    match_channels,
    template_sphere,
)
from mne_gram.training import split_subjects

DATASETS = ("adhd", "alcohol", "eegmat", "eegmmi", "mdd")
WHOLE = {"one": None, "10%": 0.10, "25%": 0.25, "50%": 0.50, "cluster": None}
REGIMES = (*WHOLE, "segments", "patches")
SECONDS = 60.0
BAND = (0.5, 45.0)  # Hz


def list_held_out(root, *, quick=False, most=None, everyone=False):
    """List the recordings of held-out subjects, or of all with ``everyone``, sorted.

    ``quick`` takes one recording per subject.
    """
    paths = list_recordings(root)
    _, held_out = split_subjects([path.subject for path in paths])
    if not everyone:
        paths = [path for path in paths if path.subject in held_out]
    if quick:
        paths = list({path.subject: path for path in paths}.values())
    return paths[:most]


def load_truth(path, dataset, unfiltered=False, *, seconds=SECONDS, events=False):
    """Read one recording as the truth: Raw in 0.5-45 Hz, or the Epochs of ``alcohol`` unfiltered.

    Contains the EEG channels of the montage, with its names and positions, and no bad channels.
    """
    raw = read_raw_bids(path, verbose="error").load_data()
    raw.pick("eeg", exclude=())
    cmap = match_channels(raw.info, on_missing="ignore")
    raw.pick([n for n, e in zip(cmap.ch_names, cmap.entries, strict=True) if e is not None])
    entries = match_channels(raw.info).entries
    raw.rename_channels(dict(zip(raw.ch_names, entries, strict=True)))
    raw.info["bads"] = []
    places = dict(zip(ELECTRODES, electrode_positions(), strict=True))
    montage = mne.channels.make_dig_montage(
        {name: places[name] for name in raw.ch_names}, coord_frame="head"
    )
    if dataset == "alcohol":
        length = int(raw.info["sfreq"])
        data = raw.get_data()
        data = data[:, : data.shape[1] // length * length].reshape(len(data), -1, length)
        inst = mne.EpochsArray(data.transpose(1, 0, 2), raw.info)
    else:
        inst = raw.crop(0, min(seconds, raw.times[-1]))
        if not events:
            inst.set_annotations(None)
        if not unfiltered:
            inst.filter(*BAND)
    return inst.set_montage(montage)


def draw_mask(regime, inst, rng):
    """Draw which samples are hidden, shape (n_channels, n_samples)."""
    n_channels = len(inst.ch_names)
    n_times = flat(inst).shape[1]
    sfreq = inst.info["sfreq"]
    mask = np.zeros((n_channels, n_times), bool)
    if regime == "one":
        mask[rng.choice(n_channels)] = True
    elif regime == "cluster":
        places = np.array([ch["loc"][:3] for ch in inst.info["chs"]]) - template_sphere()[0]
        places /= np.linalg.norm(places, axis=1, keepdims=True)
        near = np.argsort(-places @ places[rng.choice(n_channels)])
        mask[near[: 3 if n_channels < 32 else 6]] = True
    elif regime in WHOLE:
        n_bad = max(1, round(WHOLE[regime] * n_channels))
        mask[rng.choice(n_channels, n_bad, replace=False)] = True
    elif regime == "segments":
        for channel in rng.choice(n_channels, 4, replace=False):
            for _ in range(4):
                length = round(rng.uniform(0.5, 4.0) * sfreq)
                start = rng.integers(0, n_times - length)
                mask[channel, start : start + length] = True
    else:
        length = round(sfreq)
        hidden = rng.random((n_channels, n_times // length)) < 0.3
        mask[:, : hidden.shape[1] * length] = np.repeat(hidden, length, axis=1)
    return mask


def flat(inst):
    """Return data of shape (n_channels, n_samples), epochs end to end."""
    data = inst.get_data(copy=False) if isinstance(inst, mne.BaseEpochs) else inst.get_data()
    return data if data.ndim == 2 else data.transpose(1, 0, 2).reshape(data.shape[1], -1)


def fill(inst, data):
    """Return a copy of an instance with other data (n_channels, n_samples)."""
    inst = inst.copy()
    if isinstance(inst, mne.BaseEpochs):
        data = data.reshape(len(data), len(inst), -1).transpose(1, 0, 2)
    inst._data[:] = data
    return inst
