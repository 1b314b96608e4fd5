# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Cut recordings into the windows that the encoders get."""

from dataclasses import dataclass, replace

import mne
import numpy as np
from mne.io import BaseRaw
from mne.utils import _check_option, _validate_type, logger

from .._recording import collect_spans, count_times, pick_eeg
from ..montage import match_channels, settle_names
from ..preprocessing import (
    SFREQ,
    VOLTS_TO_MODEL,
    check_finite,
    check_units,
    find_segments,
    pick_good_eeg,
)
from ..preprocessing import preprocess as _preprocess

_PATCH = 200


@dataclass(frozen=True)
class Cuts:
    """Where a recording is cut, and what is bad there."""

    data: np.ndarray  # (n_epochs, n_channels, n_times) in volts at 200 Hz; 1 epoch for Raw
    epoch: np.ndarray  # (n_windows,)
    start: np.ndarray  # (n_windows,) samples
    length: np.ndarray  # (n_windows,) patches, at least 1
    bad: object  # BadSpans of all channels, epochs end to end; None looks at nothing
    referenced: np.ndarray  # the channels that make the average reference
    rows: np.ndarray  # the channels that the network gets

    def __len__(self):
        return len(self.epoch)

    def select(self, rows):
        """Return some of the windows."""
        cut = {name: getattr(self, name)[rows] for name in ("epoch", "start", "length")}
        return replace(self, **cut)

    def mask(self, n_patches):
        """Return which patches (n_windows, n_channels, n_patches) are bad or not there."""
        patch = np.arange(n_patches)
        mask = np.repeat((patch >= self.length[:, None])[:, None], self.data.shape[1], axis=1)
        if self.bad is None:
            return mask
        first = (self.epoch * self.data.shape[2] + self.start)[:, None] + _PATCH * patch
        for k, spans in enumerate(self.bad.spans):
            if len(spans):  # the first one that ends behind the start of the patch
                near = np.searchsorted(spans[:, 1], first, "right")
                starts = np.append(spans[:, 0], np.iinfo(int).max)[near]
                mask[:, k] |= starts < first + _PATCH
        return mask

    def cut(self, n_patches):
        """Return windows (n_windows, n_channels, n_patches * 200) in 0.1 mV, and the mask."""
        mask = self.mask(n_patches)
        shape = (*mask.shape, _PATCH)
        x = np.full((*mask.shape[:2], n_patches * _PATCH), np.nan, np.float32)
        for window, epoch, start, length in zip(
            x, self.epoch, self.start, self.length * _PATCH, strict=True
        ):
            window[:, :length] = self.data[epoch, :, start : start + length] * VOLTS_TO_MODEL
        self._take_off_reference(x.reshape(shape), mask)
        return x[:, self.rows], mask[:, self.rows]

    def get_good(self, mask):
        """Return the share of the patches of each window that are good, by the mask of `cut`."""
        return (~mask).sum(axis=(1, 2)) / (len(self.rows) * self.length)

    def _take_off_reference(self, patches, mask):
        """Take what is bad for a while out of the average reference too, in place."""
        if self.bad is None or len(self.referenced) < 2:
            return
        bad = mask[:, self.referenced].transpose(0, 2, 1)  # (n_windows, n_patches, n_channels)
        partly = bad.any(axis=-1) & (bad.sum(axis=-1) <= bad.shape[-1] - 2)
        for window, patch in zip(*np.nonzero(partly), strict=True):
            good = self.referenced[~bad[window, patch]]
            patches[window, self.referenced, patch] -= patches[window, good, patch].mean(axis=0)


def cut_recording(
    inst,
    longest,
    *,
    picks,
    window,
    overlap,
    line_freq,
    on_bads,
    on_missing,
    preprocess,
):
    """Preprocess a recording and find out where to cut it.

    Parameters
    ----------
    inst : mne.io.Raw | mne.Epochs
        The recording.
    longest : int
        How many patches the network takes at once.
    picks, window, overlap, line_freq, on_bads, on_missing, preprocess
        As in :func:`mne_gram.compute_embedding`.

    Returns
    -------
    cuts : Cuts
        The windows.
    channels : array of int, shape (n_channels,)
        The montage index of each channel that the network gets.
    fields : dict
        Names of channels, times and what belongs to Epochs, as a feature set takes them.
    """
    _validate_type(inst, (BaseRaw, mne.BaseEpochs), "inst", "Raw or Epochs")
    _check_option("on_bads", on_bads, ("mask", "ignore"))
    _validate_type(preprocess, bool, "preprocess")
    length, step = _check_window(inst, window, overlap, longest)
    eeg, _ = pick_good_eeg(inst)
    picks = pick_eeg(inst, picks)
    names = [inst.ch_names[k] for k in eeg]
    cmap = match_channels(inst.info, picks=picks, on_missing=on_missing, verbose="warning")
    taken = cmap.indices >= 0
    if not taken.any():
        raise ValueError(
            f"None of the {len(picks)} EEG channels takes an entry of the montage. Rename them to "
            "10-05 names (inst.rename_channels) or give them positions (inst.set_montage)."
        )
    ch_names = [name for name, ok in zip(cmap.ch_names, taken, strict=True) if ok]
    if isinstance(inst, mne.BaseEpochs) and not inst.preload:
        inst = inst.copy().load_data()  # only then it is known which of them there are
    _check_length(inst)
    first_time = inst.first_time if isinstance(inst, BaseRaw) else None
    inst = _get_ready(inst, names, line_freq, on_bads, preprocess)
    cuts = Cuts(
        data=inst._data if inst._data.ndim == 3 else inst._data[None],
        **_find_windows(inst, length, step),
        bad=collect_spans(inst, np.arange(len(names))) if on_bads == "mask" else None,
        referenced=_find_referenced(inst) if preprocess else np.zeros(0, int),
        rows=np.array([inst.ch_names.index(name) for name in ch_names]),
    )
    return cuts, cmap.indices[taken], dict(ch_names=ch_names, **_describe(inst, cuts, first_time))


def _check_window(inst, window, overlap, longest):
    """Return length and step of the windows of a Raw in patches and samples."""
    if not isinstance(inst, BaseRaw):
        if window is not None or overlap != 0:
            raise ValueError(
                "window and overlap are for Raw: Epochs are windows already. Cut the Raw, or make "
                "other Epochs."
            )
        return None, None
    _validate_type(window, ("numeric", None), "window")
    _validate_type(overlap, "numeric", "overlap")
    window = longest if window is None else window
    if window < 1 or window != int(window):
        raise ValueError(
            f"window must be a whole number of seconds, at least 1, because a patch lasts one "
            f"second, got {window}."
        )
    step = round((window - overlap) * SFREQ)
    if overlap < 0 or step < 1:
        raise ValueError(f"overlap must be from 0 to below window = {window:g} s, got {overlap}.")
    return int(window), step


def _check_length(inst):
    """Refuse what no patch fits into."""
    if isinstance(inst, mne.BaseEpochs) and len(inst) == 0:
        raise ValueError("The Epochs are empty: there is nothing to encode.")
    seconds = count_times(inst) / inst.info["sfreq"]
    if round(seconds * SFREQ) < _PATCH:
        what = "Raw is" if isinstance(inst, BaseRaw) else "Epochs are"
        raise ValueError(
            f"The {what} {seconds:.3g} s long, expected at least 1 s, which is one patch. Take "
            "longer ones (tmin, tmax): shorter ones are not filled up with zeros."
        )


def _get_ready(inst, names, line_freq, on_bads, preprocess):
    """Return a copy with the EEG channels at 200 Hz."""
    # Channels go before the samples are read, where they are not in memory yet.
    inst = inst.copy().pick(names)
    if on_bads == "ignore":
        inst.info["bads"] = []
    if preprocess:
        return _preprocess(inst, line_freq=line_freq)
    if inst.info["sfreq"] != SFREQ:
        raise ValueError(
            f"The sampling rate is {inst.info['sfreq']:g} Hz, expected {SFREQ:g} Hz with "
            "preprocess=False. Pass the recording through mne_gram.preprocess first, or give "
            "preprocess=True."
        )
    inst.load_data()
    good = mne.pick_types(inst.info, eeg=True, exclude="bads")
    data = inst.get_data(picks=good)
    check_finite(data, [inst.ch_names[k] for k in good])
    check_units(data)
    return inst


def _find_windows(inst, length, step):
    """Return epoch, first sample and length in patches of each window."""
    n_times = count_times(inst)
    if length is None:
        n_patches, left = divmod(n_times, _PATCH)
        if left:
            logger.info("Left out the last %g s of each epoch.", left / SFREQ)
        epoch = np.arange(len(inst))
        return dict(epoch=epoch, start=0 * epoch, length=np.full(len(inst), n_patches))
    windows, left, n_short = [], 0, 0
    for first, last in find_segments(inst):
        # As many as it takes to come to the end, the last one as long as there are patches.
        end = first
        for start in range(first, last - _PATCH + 1, step):
            if end + _PATCH > last:
                break
            n_patches = min(length, (last - start) // _PATCH)
            end = start + n_patches * _PATCH
            windows.append((0, start, n_patches))
            n_short += n_patches < length
        left += last - end
    if not windows:
        raise ValueError(
            "No stretch of the Raw is a second long without a cut ('edge' and 'BAD_ACQ_SKIP' "
            "annotations): not a patch fits in."
        )
    logger.info(
        "Cut %d windows, %d of them shorter than %d s; %g s at the ends of stretches are left out.",
        *(len(windows), n_short, length, left / SFREQ),
    )
    return dict(zip(("epoch", "start", "length"), np.array(windows).T, strict=True))


def _find_referenced(inst):
    """Return the channels that make the average reference: good ones, no derivations."""
    bads = inst.info["bads"]
    said = zip(inst.ch_names, settle_names(inst.ch_names), strict=True)
    return np.array(
        [
            k
            for k, (name, (_, how, _)) in enumerate(said)
            if name not in bads and how not in ("bipolar", "pair")
        ],
        int,
    )


def _describe(inst, cuts, first_time):
    """Return times of the windows, and what belongs to Epochs."""
    fields = dict(durations=cuts.length * 1.0, first_time=first_time)
    if isinstance(inst, BaseRaw):
        return dict(onsets=first_time + cuts.start / SFREQ, **fields)
    metadata = inst.metadata
    return dict(
        onsets=inst.events[:, 0] / inst._raw_sfreq + inst.times[0],
        events=inst.events.copy(),
        event_id={name: int(code) for name, code in inst.event_id.items()},
        metadata=None if metadata is None else metadata.copy(),
        **fields,
    )
