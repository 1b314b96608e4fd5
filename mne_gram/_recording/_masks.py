# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Bad spans of channels, from info, annotations and an explicit mask.

A day of recording has a billion samples and a few hundred bad spans, so spans are what is kept.
Masks, sample by sample, are painted where they are needed.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from mne import BaseEpochs
from mne.io import BaseRaw
from mne.utils import _validate_type

from .._marks import annotated_spans, count_times
from ..covariance import MIN_GOOD
from ._reject_log import is_reject_log, read_reject_log

_FEW = 1000  # spans, which are painted faster one by one


@dataclass(frozen=True, eq=False)
class BadSpans:
    """Spans of each channel that are bad; epochs are laid end to end."""

    spans: tuple  # per channel (n_spans, 2): starts and stops in samples, ordered, no overlap
    n_times: int

    def __len__(self):
        """Return the number of channels."""
        return len(self.spans)

    @cached_property
    def n_bad(self):
        """How many samples of each channel are bad, an array of int, read-only."""
        channels, spans = self._listed
        n_bad = np.bincount(channels, spans[:, 1] - spans[:, 0], len(self.spans)).astype(int)
        n_bad.flags.writeable = False
        return n_bad

    @cached_property
    def _listed(self):
        """The channel of each span, and all spans (n_spans, 2)."""
        channels = np.repeat(np.arange(len(self.spans)), [len(rows) for rows in self.spans])
        return channels, np.concatenate([np.zeros((0, 2), int), *self.spans])

    @property
    def whole(self):
        """Which channels are bad throughout the recording, an array of bool."""
        return self.n_bad == self.n_times

    def select(self, channels):
        """Return the spans of some channels."""
        return BadSpans(tuple(self.spans[k] for k in channels), self.n_times)

    def join(self, other):
        """Return the spans that are bad in either."""
        joined = (
            merge_spans(np.concatenate([mine, theirs])) if len(theirs) else mine
            for mine, theirs in zip(self.spans, other.spans, strict=True)
        )
        return BadSpans(tuple(joined), self.n_times)

    def subtract(self, other):
        """Return the spans that are bad here and not there."""
        spans = []
        for mine, theirs in zip(self.spans, other.spans, strict=True):
            if not len(mine) or not len(theirs):
                spans.append(mine)
                continue
            cuts = np.unique(np.concatenate([mine, theirs]))
            left = is_inside(mine, cuts) & ~is_inside(theirs, cuts)
            spans.append(merge_spans(np.stack([cuts[:-1], cuts[1:]], axis=1)[left[:-1]]))
        return BadSpans(tuple(spans), self.n_times)

    def covers(self, channel, start, stop):
        """Return whether a channel is bad throughout from ``start`` to ``stop``."""
        rows = self.spans[channel]
        return bool(((rows[:, 0] <= start) & (rows[:, 1] >= stop)).any())

    def paint(self, start=0, stop=None, step=1):
        """Return the mask of every ``step``-th sample, shape (n_channels, n_samples)."""
        stop = self.n_times if stop is None else stop
        shape = len(self.spans), max(0, -(-(stop - start) // step))
        channels, spans = self._listed
        near = (spans[:, 1] > start) & (spans[:, 0] < stop)
        # The first sample at or after a border, channels laid end to end.
        edges = -(-(spans[near].clip(start, stop) - start) // step)
        edges += shape[1] * channels[near, None]
        if len(edges) > _FEW:
            lengths = np.diff(edges.ravel(), prepend=0, append=shape[0] * shape[1])
            return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(shape)
        mask = np.zeros(shape, bool)
        flat = mask.ravel()
        for first, last in edges.tolist():
            flat[first:last] = True
        return mask


def merge_spans(spans):
    """Sort spans and join those that touch, shape (n, 2) to (n_merged, 2)."""
    spans = np.asarray(spans, int).reshape(-1, 2)
    spans = spans[spans[:, 1] > spans[:, 0]]
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    stops = np.maximum.accumulate(spans[:, 1]) if len(spans) else spans[:, 1]
    first = np.flatnonzero(np.r_[True, spans[1:, 0] > stops[:-1]][: len(spans)])
    last = np.r_[first[1:] - 1, len(spans) - 1][: len(first)]
    return np.stack([spans[first, 0], stops[last]], axis=1)


def is_inside(spans, samples):
    """Return which samples lie inside merged spans."""
    if not len(spans):
        return np.zeros(len(samples), bool)
    before = np.searchsorted(spans[:, 0], samples, "right") - 1
    return (before >= 0) & (samples < spans[before, 1])


def find_spans(mask):
    """Return the spans of a mask, shape (n_channels, n_times)."""
    spans = []
    for row in mask:
        changes = np.flatnonzero(row[1:] != row[:-1]) + 1
        edges = np.r_[[0] * bool(row[:1].any()), changes, [len(row)] * bool(row[-1:].any())]
        spans.append(edges.astype(int).reshape(-1, 2))
    return BadSpans(tuple(spans), mask.shape[1])


def find_all_channel_gaps(bad):
    """List the spans in which too few channels are good to estimate the others, shape (n, 2)."""
    borders = np.concatenate([spans.ravel() for spans in bad.spans])
    steps = np.tile([1, -1], len(borders) // 2)
    times, inverse = np.unique(borders, return_inverse=True)
    n_good = len(bad) - np.cumsum(np.bincount(inverse.ravel(), weights=steps)).round().astype(int)
    too_few = n_good[:-1] < MIN_GOOD  # from each border to the next
    return merge_spans(np.stack([times[:-1], times[1:]], axis=1)[too_few])


def collect_spans(inst, picks, mask=None):
    """Collect everything that is marked as bad, as BadSpans of the channels in ``picks``.

    The mask adds to ``info["bads"]`` and the annotations; it is for all channels of ``inst``, as
    in :func:`mne_gram.restore`. Raises a ValueError if it has another shape or type.
    """
    names = [inst.ch_names[pick] for pick in picks]
    n_times = count_times(inst)
    n_epochs = len(inst) if isinstance(inst, BaseEpochs) else 1
    total = n_epochs * n_times
    found = [[(0, total)] if name in inst.info["bads"] else [] for name in names]
    if isinstance(inst, (BaseRaw, BaseEpochs)):
        for _, epoch, start, stop, ch_names in annotated_spans(inst):
            offset = epoch * n_times
            for name, spans in zip(names, found, strict=True):
                if not ch_names or name in ch_names:
                    spans.append((offset + start, offset + stop))
    bad = BadSpans(tuple(merge_spans(spans) for spans in found), total)
    if mask is not None:
        given = _check_mask(mask, inst, n_epochs, n_times)
        # Row by row: all at once would be a copy of the mask.
        rows = [find_spans(given[pick].reshape(1, -1)).spans[0] for pick in picks]
        bad = bad.join(BadSpans(tuple(rows), total))
    return bad


def collect_mask(inst, picks, mask=None):
    """Collect everything that is marked as bad, sample by sample: (n_picks, n_epochs * n_times)."""
    return collect_spans(inst, picks, mask).paint()


def _check_mask(mask, inst, n_epochs, n_times):
    """Return a mask or RejectLog as (n_channels, n_epochs, n_times), or raise a ValueError."""
    if is_reject_log(mask):
        _validate_type(inst, BaseEpochs, "The data that a RejectLog is for", "Epochs")
        mask = read_reject_log(mask, inst.ch_names, n_epochs)
    _validate_type(mask, np.ndarray, "mask", "a bool array or an autoreject.RejectLog")
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
            f"mask must be of dtype bool, True where bad, got {mask.dtype}. For an "
            "autoreject.RejectLog, pass the log itself."
        )
    if mask.ndim == 2 and isinstance(inst, BaseEpochs):
        mask = np.broadcast_to(mask[..., None], (*mask.shape, n_times))
    return mask.transpose(1, 0, 2) if mask.ndim == 3 else mask[:, None]
