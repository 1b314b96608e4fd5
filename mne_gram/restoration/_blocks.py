# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Long recordings, block by block.

Each block is estimated with margins that hold all that has a say in it, so that where a border lies
makes no difference. What is learnt from all gaps together, and what surrounds gaps that a border
cuts, is found before.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from mne.utils import ProgressBar

from .._recording import find_untold
from ..covariance import filter_length
from ._fit import estimate_block
from ._gaps import CONTEXT, Surroundings, look_around, measure_miss
from ._gaussian import Segment, find_gaps
from ._steps import STEP_QUANTILE, usual_steps

_BLOCK_SECONDS = 600.0
_SHORTEST_SECONDS = 60.0
_BLOCK_VALUES = 2**24  # channels x samples: 128 MB in double precision
_ONE_BLOCK = 1.5  # times the length of a block: not worth cutting
_SHIFT = 0.25  # of a block, by which a border may be moved to where little is bad
_MARGIN_SECONDS = 10.0
_FADE_SECONDS = 0.5  # after a border, from one block's estimate to the next one's
_MAX_GAPS = 100  # that are looked at to learn how estimates fare


class Stretch(NamedTuple):
    """A restored stretch of one channel.

    Attributes
    ----------
    channel : int
        Row of the channel.
    start, stop : int
        Samples.
    invented : bool
        Whether nothing but the past and the future told what it was.
    """

    channel: int
    start: int
    stop: int
    invented: bool


def choose_borders(bad, pieces, sfreq):
    """Choose where blocks begin and end.

    Parameters
    ----------
    bad : BadSpans
        What is bad.
    pieces : list of tuple of int
        Stretches of continuous time.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    borders : list of int
        In samples; the first is 0 and the last the end of the recording.
    """
    longest = min(_BLOCK_SECONDS * sfreq, _BLOCK_VALUES / max(1, len(bad)))
    length = max(longest, _SHORTEST_SECONDS * sfreq)
    if bad.n_times <= _ONE_BLOCK * length:
        return [0, bad.n_times]
    n_blocks = int(np.ceil(bad.n_times / length))
    passing = [spans for spans, whole in zip(bad.spans, bad.whole, strict=True) if not whole]
    spans = np.concatenate([*passing, np.zeros((0, 2), int)])
    starts, stops = np.sort(spans[:, 0]), np.sort(spans[:, 1])
    edges = np.array([start for start, _ in pieces])
    borders = [0]
    for ideal in np.linspace(0, bad.n_times, n_blocks + 1)[1:-1].astype(int):
        reach = _SHIFT * bad.n_times / n_blocks
        places = np.concatenate([[ideal], starts, stops, edges])
        places = places[np.abs(places - ideal) <= reach]
        cut = np.searchsorted(starts, places) - np.searchsorted(stops, places, "right")
        cut[np.isin(places, edges)] = 0  # there gaps end anyway
        borders.append(int(places[np.lexsort([np.abs(places - ideal), cut])[0]]))
    return [*borders, bad.n_times]


def learn_gaps(samples, bad, fit, borders):
    """Learn what a single block cannot tell of the gaps of a recording.

    Parameters
    ----------
    samples : Samples
        The signals, read in places.
    bad : BadSpans
        What is bad.
    fit : SpatialFit
        What has been learnt so far.
    borders : list of int
        What :func:`choose_borders` returned.

    Returns
    -------
    fit : SpatialFit
        The same with ``miss`` and ``known``.
    """
    pieces = np.array(samples.pieces)
    untold = find_untold(bad)
    cuts = np.unique(np.concatenate([pieces.ravel(), untold.ravel()]))
    passing = np.flatnonzero(~bad.whole)
    gaps = [(int(k), *span) for k in passing for span in bad.spans[k].tolist()]
    sample = np.linspace(0, len(gaps) - 1, min(len(gaps), _MAX_GAPS)).round().astype(int)
    sample, known, channels, seen = set(sample.tolist()), {}, [], []
    inner = np.array(borders[1:-1])
    for number, (channel, start, stop) in enumerate(gaps):
        is_cut = np.searchsorted(inner, start, "right") < np.searchsorted(inner, stop)
        if not is_cut and number not in sample:
            continue
        inside = cuts[(cuts > start) & (cuts < stop)].tolist()
        for a, b in zip([start, *inside], [*inside, stop], strict=True):
            piece = pieces[np.searchsorted(pieces[:, 0], a, "right") - 1]
            around = _look_around(samples, bad, fit, (channel, a, b), tuple(piece.tolist()))
            if number in sample:
                channels.append(channel)
                seen.append(around)
            if ((inner > a) & (inner < b)).any():
                known.setdefault(channel, []).append(around)
    return replace(fit, miss=measure_miss(channels, seen, fit.sfreq), known=known)


def _look_around(samples, bad, fit, gap, piece):
    """Find what surrounds one gap, reading no more than its ends."""
    channel, start, stop = gap
    reach = round(CONTEXT * fit.sfreq) + filter_length(fit.sfreq)
    windows = [(start - reach, stop + reach)]
    if stop - start > 4 * reach:
        windows = [(start - reach, start + reach), (stop - reach, stop + reach)]
    times, misses, steps = [], [], []
    for left, right in windows:
        left, right = max(left, piece[0]), min(right, piece[1])
        data, mask = samples.read(left, right), bad.paint(left, right)
        whole = (0, right - left)
        inside = Stretch(channel, max(start, left) - left, min(stop, right) - left, False)
        steps.append(usual_steps(data, mask, inside, whole, fit.sfreq))
        for row, baseline in fit.baselines.items():
            data[row] -= baseline(np.arange(left, right))
        _, found = find_gaps(data, mask, [whole], fit, left)
        found = next(g for g in found if (g.channel, g.start) == (channel, inside.start))
        around = look_around(data, mask, found, fit.sfreq)
        times.append(around.times + left)
        misses.append(around.miss)
    steps = np.concatenate(steps)
    return Surroundings(
        start,
        stop,
        np.concatenate(times),
        np.concatenate(misses),
        lonely=(start, stop) == piece,
        step=np.quantile(steps, STEP_QUANTILE) if len(steps) else None,
    )


def restore_blocks(samples, bad, plan, tally):
    """Restore a recording in place, block by block.

    Parameters
    ----------
    samples : Samples
        The signals.
    bad : BadSpans
        What is bad.
    plan : Plan
        What was learnt from the recording.
    tally : Tally
        Told of every block.

    Returns
    -------
    stretches : list of Stretch
        What was restored.
    """
    sfreq = plan.info["sfreq"]
    borders = choose_borders(bad, samples.pieces, sfreq)
    blocks = list(zip(borders[:-1], borders[1:], strict=True))
    if len(blocks) > 1:
        if plan.spatial is not None:
            plan = replace(plan, spatial=learn_gaps(samples, bad, plan.spatial, borders))
        blocks = ProgressBar(blocks, mesg="Restoring")
    stretches, earlier = [], {}
    for start, stop in blocks:
        wrong = bad.paint(start, stop)
        if not wrong.any():
            earlier = {}
            continue
        data, segments, earlier = _restore_block(samples, bad, plan, start, stop, earlier)
        tally.add(data, wrong, segments, offset=start)
        for segment in segments:
            samples.write(segment.channel, start + segment.start, segment.values)
            stretches.append(
                Stretch(
                    segment.channel, start + segment.start, start + segment.stop, segment.invented
                )
            )
        samples.release()
    return _join_stretches(stretches, borders, samples.pieces, bad.whole)


def _restore_block(samples, bad, plan, start, stop, earlier):
    """Estimate one block; return its signals, its segments, and how they go on after it."""
    sfreq = plan.info["sfreq"]
    margin, fade = round(_MARGIN_SECONDS * sfreq), round(_FADE_SECONDS * sfreq)
    left, right = max(0, start - margin), min(samples.n_times, stop + margin)
    data, mask = samples.read(left, right), bad.paint(left, right)
    pieces = [
        (max(a, left) - left, min(b, right) - left)
        for a, b in samples.pieces
        if a < right and b > left
    ]
    segments, later = [], {}
    for found in estimate_block(data, mask, pieces, plan, left):
        a, b = found.start + left, found.stop + left
        first, last = max(a, start), min(b, stop)
        if a < stop < b:
            goes_on = found.values[stop - a : stop - a + fade].copy()
            later[found.channel] = goes_on
        if first >= last:
            continue
        values, std = found.values[first - a : last - a], found.std[first - a : last - a]
        if a < start and found.channel in earlier:
            before = earlier[found.channel][: len(values)]
            weight = (np.arange(len(before)) + 1) / (fade + 1)
            values[: len(before)] += (1 - weight) * (before - values[: len(before)])
        data[found.channel, first - left : last - left] = values
        segments.append(
            Segment(found.channel, first - start, last - start, values, std, found.invented)
        )
    segments.sort(key=lambda segment: segment.start)
    return data[:, start - left : stop - left], segments, later


def _join_stretches(stretches, borders, pieces, whole):
    """Join stretches that were cut by nothing but a border between blocks."""
    edges = {start for start, _ in pieces}
    inner = set(borders[1:-1])
    joined, last = [], {}
    for stretch in stretches:
        before = last.get(stretch.channel)
        cut = stretch.start in inner and (whole[stretch.channel] or stretch.start not in edges)
        if (
            cut
            and before is not None
            and (joined[before].stop, joined[before].invented) == (stretch.start, stretch.invented)
        ):
            joined[before] = joined[before]._replace(stop=stretch.stop)
            continue
        last[stretch.channel] = len(joined)
        joined.append(stretch)
    return joined
