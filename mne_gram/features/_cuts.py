# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Cut preprocessed recordings into the windows of the networks."""

from dataclasses import dataclass, replace

import mne
import numpy as np
from mne.io import BaseRaw
from mne.utils import _check_option, _validate_type, logger

from .._checks import check_content, check_type, find_segments, pick_eeg
from .._marks import empty_broken, fill_missing, find_broken, find_holes
from .._recording import BadSpans, collect_spans, count_times, merge_spans
from .._strays import find_strays_of, warn_of_strays
from ..models import PATCH_LENGTH
from ..montage import check_matched, find_derivations, match_channels
from ..preprocessing import (
    SFREQ,
    VOLTS_TO_MODEL,
    check_samples,
    pick_good_eeg,
    process,
)


@dataclass(frozen=True)
class Cuts:
    """The windows of a recording, and its bad channels and segments."""

    data: np.ndarray  # (n_epochs, n_channels, n_times) in volts at 200 Hz; 1 epoch for Raw
    epoch: np.ndarray  # (n_windows,)
    start: np.ndarray  # (n_windows,) samples
    length: np.ndarray  # (n_windows,) patches, at least 1
    bad: object  # BadSpans of all channels, epochs concatenated; None if bads are ignored
    referenced: np.ndarray  # the channels of the average reference
    rows: np.ndarray  # the channels that the network gets

    def __len__(self):
        return len(self.epoch)

    def select(self, rows):
        """Return the Cuts of some windows."""
        cut = {name: getattr(self, name)[rows] for name in ("epoch", "start", "length")}
        return replace(self, **cut)

    def mask(self, n_patches):
        """Return a mask (n_windows, n_channels, n_patches), True where bad or beyond the end."""
        patch = np.arange(n_patches)
        mask = np.repeat((patch >= self.length[:, None])[:, None], self.data.shape[1], axis=1)
        if self.bad is None:
            return mask
        first = (self.epoch * self.data.shape[2] + self.start)[:, None] + PATCH_LENGTH * patch
        for k, spans in enumerate(self.bad.spans):
            if len(spans):  # the first one that ends after the start of the patch
                near = np.searchsorted(spans[:, 1], first, "right")
                starts = np.append(spans[:, 0], np.iinfo(int).max)[near]
                mask[:, k] |= starts < first + PATCH_LENGTH
        return mask

    def cut(self, n_patches):
        """Return windows (n_windows, n_channels, n_patches * 200) in 0.1 mV, and their mask."""
        mask = self.mask(n_patches)
        shape = (*mask.shape, PATCH_LENGTH)
        x = np.full((*mask.shape[:2], n_patches * PATCH_LENGTH), np.nan, np.float32)
        for window, epoch, start, length in zip(
            x, self.epoch, self.start, self.length * PATCH_LENGTH, strict=True
        ):
            window[:, :length] = self.data[epoch, :, start : start + length] * VOLTS_TO_MODEL
        self._correct_reference(x.reshape(shape), mask)
        return x[:, self.rows], mask[:, self.rows]

    def get_good(self, mask):
        """Return the share of good patches of each window (n_windows,), given the mask of `cut`."""
        return (~mask).sum(axis=(1, 2)) / (len(self.rows) * self.length)

    def _correct_reference(self, patches, mask):
        """Exclude bad segments from the average reference, in place."""
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
    """Preprocess a recording and plan its windows; parameters as in `compute_embedding`.

    ``longest`` is the number of patches that the network takes at once. Returns Cuts, the montage
    indices of their channels, and the fields of the feature set (names, times, events).
    """
    check_type(inst, ("Raw", "Epochs"))
    _check_option("on_bads", on_bads, ("mask", "ignore"))
    _validate_type(preprocess, bool, "preprocess")
    length, step = _check_window(inst, window, overlap, longest)
    if isinstance(inst, mne.BaseEpochs) and not inst.preload:
        inst = inst.copy().load_data()  # which drops bad epochs
    eeg, _ = pick_good_eeg(inst)
    check_content(inst)
    picks = pick_eeg(inst, picks)
    names = [inst.ch_names[k] for k in eeg]
    cmap = match_channels(inst.info, picks=picks, on_missing=on_missing, verbose="warning")
    taken = check_matched(cmap)
    ch_names = [name for name, ok in zip(cmap.ch_names, taken, strict=True) if ok]
    _check_length(inst)
    first_time = inst.first_time if isinstance(inst, BaseRaw) else None
    inst = _get_ready(inst, names, line_freq, on_bads, preprocess)
    cuts = Cuts(
        data=inst._data if inst._data.ndim == 3 else inst._data[None],
        **_find_windows(inst, length, step),
        bad=_find_bad(inst) if on_bads == "mask" else None,
        referenced=_find_referenced(inst) if preprocess else np.zeros(0, int),
        rows=np.array([inst.ch_names.index(name) for name in ch_names]),
    )
    return cuts, cmap.indices[taken], dict(ch_names=ch_names, **_describe(inst, cuts, first_time))


def _find_bad(inst):
    """Return the BadSpans of all channels; epochs are bad where they contain a hole."""
    bad = collect_spans(inst, np.arange(len(inst.ch_names)))
    holes = merge_spans(find_holes(inst))
    return bad.join(BadSpans((holes,) * len(bad), bad.n_times))


def _check_window(inst, window, overlap, longest):
    """Return length and step of the windows of a Raw in patches and samples."""
    if not isinstance(inst, BaseRaw):
        if window is not None or overlap != 0:
            raise ValueError(
                "window and overlap apply to Raw: Epochs are already windows. Pass the Raw, or "
                "other Epochs."
            )
        return None, None
    window = longest if window is None else window
    check_window(window, overlap)
    return int(window), round((window - overlap) * SFREQ)


def check_window(window, overlap):
    """Raise for a length of windows (None: unknown) or an overlap with which nothing can be cut."""
    _validate_type(window, ("numeric", None), "window")
    _validate_type(overlap, "numeric", "overlap")
    if window is None:
        if overlap < 0:
            raise ValueError(f"overlap must be at least 0, got {overlap}.")
        return
    if window < 1 or window != int(window):
        raise ValueError(
            f"window must be a whole number of seconds (patches) of at least 1, got {window}."
        )
    if overlap < 0 or round((window - overlap) * SFREQ) < 1:
        raise ValueError(f"overlap must be from 0 to below window = {window:g} s, got {overlap}.")


def _check_length(inst):
    """Raise if no patch fits into the recording."""
    seconds = count_times(inst) / inst.info["sfreq"]
    if round(seconds * SFREQ) < PATCH_LENGTH:
        what = "Raw is" if isinstance(inst, BaseRaw) else "Epochs are"
        raise ValueError(
            f"The {what} {seconds:.3g} s long, expected at least 1 s (one patch). Use longer ones "
            "(tmin, tmax): they are not padded with zeros."
        )


def _get_ready(inst, names, line_freq, on_bads, preprocess):
    """Return a preprocessed copy of the EEG channels at 200 Hz."""
    # Channels are dropped before samples are loaded.
    inst = inst.copy().pick(names).load_data()
    if on_bads == "ignore":
        inst.info["bads"] = []
    fill_missing(inst, holes_only=on_bads == "ignore")
    broken = find_broken(inst._data).any(axis=-1).reshape(-1, len(names)).any(axis=0)
    if on_bads == "ignore" and broken.any():
        raise ValueError(
            "Found NaN, infinite or impossible samples (above 1 kV) in "
            f"{', '.join(np.array(names)[broken])}, which would be used like "
            "good ones. Set on_bads='mask', or restore them with mne_gram.restore."
        )
    if on_bads == "mask":
        strays = find_strays_of(inst, mne.pick_types(inst.info, eeg=True, exclude="bads"))
        warn_of_strays(strays)
        inst.info["bads"] += strays
    if preprocess:
        process(inst, line_freq)
        return inst
    if inst.info["sfreq"] != SFREQ:
        raise ValueError(
            f"The sampling rate is {inst.info['sfreq']:g} Hz, expected {SFREQ:g} Hz with "
            "preprocess=False. Apply mne_gram.preprocess first, or set preprocess=True."
        )
    check_samples(inst, mne.pick_types(inst.info, eeg=True, exclude="bads"))
    empty_broken(inst, np.arange(len(names)))
    return inst


def _find_windows(inst, length, step):
    """Return epoch, first sample and length in patches of each window, each (n_windows,)."""
    n_times = count_times(inst)
    if length is None:
        n_patches, left = divmod(n_times, PATCH_LENGTH)
        if left:
            logger.info("The last %g s of each epoch are left out.", left / SFREQ)
        epoch = np.arange(len(inst))
        return dict(epoch=epoch, start=0 * epoch, length=np.full(len(inst), n_patches))
    windows, left, n_short = [], 0, 0
    for first, last in find_segments(inst):
        # Up to the end of the segment; the last window may be shorter.
        end = first
        for start in range(first, last - PATCH_LENGTH + 1, step):
            if end + PATCH_LENGTH > last:
                break
            n_patches = min(length, (last - start) // PATCH_LENGTH)
            end = start + n_patches * PATCH_LENGTH
            windows.append((0, start, n_patches))
            n_short += n_patches < length
        left += last - end
    if not windows:
        raise ValueError(
            "All segments of the Raw between 'edge' and 'BAD_ACQ_SKIP' annotations are shorter "
            "than 1 s, the length of one patch."
        )
    logger.info(
        "Cut %d windows, %d of them shorter than %d s; %g s at the ends of segments are left out.",
        *(len(windows), n_short, length, left / SFREQ),
    )
    return dict(zip(("epoch", "start", "length"), np.array(windows).T, strict=True))


def _find_referenced(inst):
    """Return the channels of the average reference: good ones, no bipolar derivations."""
    good = ~np.isin(inst.ch_names, inst.info["bads"])
    return np.flatnonzero(good & ~find_derivations(inst.ch_names))


def _describe(inst, cuts, first_time):
    """Return times of the windows, and events and metadata of Epochs."""
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
