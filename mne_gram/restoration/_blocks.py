# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Restore long recordings block by block.

Each block is estimated with margins that contain all that influences it, so that the borders make
no difference. What all gaps contribute together, and what surrounds gaps that a border cuts, is
measured before.
"""

from dataclasses import replace

import numpy as np
from mne.utils import ProgressBar

from .._recording import find_all_channel_gaps
from ..covariance import filter_length
from ._gaps import (
    CONTEXT,
    Estimate,
    Surroundings,
    measure_miss,
)
from ._gaussian import find_gaps
from ._runs import list_gaps
from ._seams import find_limit, usual_steps

_BLOCK_SECONDS = 600.0
_SHORTEST_SECONDS = 60.0
_BLOCK_VALUES = 2**24  # channels x samples: 128 MB in double precision
_ONE_BLOCK = 1.5  # times the length of a block: not worth cutting
_SHIFT = 0.25  # of a block, by which a border may be moved to where little is bad
_MARGIN_SECONDS = 10.0
_FADE_SECONDS = 0.5  # after a border, from one block's estimate to the next one's
_MAX_GAPS = 100  # in which the miss of estimates is measured


def restore_blocks(recording, method, plan, tally, wanted):
    """Restore a recording in place, block by block, and count every block in the tally.

    Only ``wanted`` BadSpans are written. Returns the restored spans as RestoredSpans, not cut by
    the borders between blocks.
    """
    borders = choose_borders(recording.bad, recording.segments, recording.sfreq)
    blocks = list(zip(borders[:-1], borders[1:], strict=True))
    if len(blocks) > 1:
        if plan.spatial is not None:
            plan = replace(plan, spatial=_learn_gaps(recording, plan.spatial, borders))
        blocks = ProgressBar(blocks, mesg="Restoring")
    earlier = {}
    for start, stop in blocks:
        bad = wanted.paint(start, stop)
        if not bad.any():
            earlier = {}
            continue
        block, estimates, earlier = _restore_block(recording, method, plan, start, stop, earlier)
        estimates = _cut_estimates(estimates, bad, block.mask)
        tally.add(block, estimates, bad)
        for estimate in estimates:
            recording.samples.write(estimate.channel, start + estimate.start, estimate.values)
        recording.samples.release()
    return join_spans(tally.spans, borders, recording.segments, recording.bad.whole)


def choose_borders(bad, segments, sfreq):
    """Choose where blocks begin and end, in samples; first is 0, last the end of the recording."""
    longest = min(_BLOCK_SECONDS * sfreq, _BLOCK_VALUES / max(1, len(bad)))
    length = max(longest, _SHORTEST_SECONDS * sfreq)
    if bad.n_times <= _ONE_BLOCK * length:
        return [0, bad.n_times]
    n_blocks = int(np.ceil(bad.n_times / length))
    intermittent = [spans for spans, whole in zip(bad.spans, bad.whole, strict=True) if not whole]
    spans = np.concatenate([*intermittent, np.zeros((0, 2), int)])
    starts, stops = np.sort(spans[:, 0]), np.sort(spans[:, 1])
    edges = np.array([start for start, _ in segments])
    borders = [0]
    for ideal in np.linspace(0, bad.n_times, n_blocks + 1)[1:-1].astype(int):
        reach = _SHIFT * bad.n_times / n_blocks
        places = np.concatenate([[ideal], starts, stops, edges])
        places = places[np.abs(places - ideal) <= reach]
        cut = np.searchsorted(starts, places) - np.searchsorted(stops, places, "right")
        cut[np.isin(places, edges)] = 0  # there gaps end anyway
        borders.append(int(places[np.lexsort([np.abs(places - ideal), cut])[0]]))
    return [*borders, bad.n_times]


# ---------------------------------------------------------------------------------------------
# Gaps that no single block shows


def _learn_gaps(recording, spatial, borders):
    """Return the fit with the miss of the whole recording, and the surroundings of cut gaps."""
    bad, segments = recording.bad, np.array(recording.segments)
    cuts = np.unique(np.concatenate([segments.ravel(), find_all_channel_gaps(bad).ravel()]))
    intermittent = np.flatnonzero(~bad.whole)
    gaps = [(int(k), *span) for k in intermittent for span in bad.spans[k].tolist()]
    sample = np.linspace(0, len(gaps) - 1, min(len(gaps), _MAX_GAPS)).round().astype(int)
    sample, known, seen = set(sample.tolist()), {}, []
    inner = np.array(borders[1:-1])
    for number, (channel, start, stop) in enumerate(gaps):
        is_cut = np.searchsorted(inner, start, "right") < np.searchsorted(inner, stop)
        if not is_cut and number not in sample:
            continue
        inside = cuts[(cuts > start) & (cuts < stop)].tolist()
        for a, b in zip([start, *inside], [*inside, stop], strict=True):
            segment = segments[np.searchsorted(segments[:, 0], a, "right") - 1]
            around = _look_around(recording, spatial, channel, (a, b), tuple(segment.tolist()))
            if number in sample:
                seen.append(around)
            if ((inner > a) & (inner < b)).any():
                known.setdefault(channel, []).append(around)
    return replace(spatial, miss=measure_miss(seen, recording.sfreq), known=known)


def _look_around(recording, spatial, channel, gap, segment):
    """Find what surrounds a gap of the recording, reading no more than its ends."""
    sfreq, (start, stop) = recording.sfreq, gap
    reach = round(CONTEXT * sfreq) + filter_length(sfreq)
    windows = [(start - reach, stop + reach)]
    if stop - start > 4 * reach:
        windows = [(start - reach, start + reach), (stop - reach, stop + reach)]
    parts, steps = [], []
    for left, right in windows:
        left, right = max(left, segment[0]), min(right, segment[1])
        block = recording.block(left, right)
        inside = max(start, left) - left, min(stop, right) - left
        steps.append(usual_steps(block, channel, inside, (0, right - left)))
        for row, baseline in spatial.baselines.items():
            block.data[row] -= baseline(block.times)
        for gaps, around in zip(*find_gaps(block, spatial)[1:], strict=True):
            here = np.flatnonzero((gaps.channel == channel) & (gaps.start == inside[0]))
            parts += [around.select(number).shift(-left) for number in here.tolist()]
    steps = np.concatenate(steps)
    return Surroundings(
        *(np.array([value]) for value in (channel, start, stop, (start, stop) == segment)),
        counts=np.array([sum(len(part.times) for part in parts)]),
        times=np.concatenate([part.times for part in parts]),
        miss=np.concatenate([part.miss for part in parts]),
        step=find_limit(steps) if len(steps) else None,
    )


# ---------------------------------------------------------------------------------------------
# One block


def _restore_block(recording, method, plan, start, stop, earlier):
    """Estimate one block; return it, its estimates, and how these continue beyond its end.

    ``earlier`` is how those of the block before continue, by channel.
    """
    sfreq = recording.sfreq
    margin, fade = round(_MARGIN_SECONDS * sfreq), round(_FADE_SECONDS * sfreq)
    left, right = max(0, start - margin), min(recording.n_times, stop + margin)
    wide = recording.block(left, right)
    estimates, later = [], {}
    for found in method.estimate(wide, plan):
        a, b = found.start + left, found.stop + left
        first, last = max(a, start), min(b, stop)
        if a < stop < b:
            later[found.channel] = found.values[stop - a : stop - a + fade].copy()
        if first >= last:
            continue
        values, std = found.values[first - a : last - a], found.std[first - a : last - a]
        if a < start and found.channel in earlier:
            before = earlier[found.channel][: len(values)]
            weight = (np.arange(len(before)) + 1) / (fade + 1)
            values[: len(before)] += (1 - weight) * (before - values[: len(before)])
        wide.data[found.channel, first - left : last - left] = values
        estimates.append(
            Estimate(found.channel, first - start, last - start, values, std, found.invented)
        )
    estimates.sort(key=lambda estimate: estimate.start)
    inside = slice(start - left, stop - left)
    block = replace(
        wide, data=wide.data[:, inside], mask=wide.mask[:, inside], segments=[], first=start
    )
    return block, estimates, later


def _cut_estimates(estimates, bad, mask):
    """Cut estimates to what is ``bad``, where more than that was masked, (n_channels, n_times)."""
    if (bad == mask).all():
        return estimates
    cut = []
    for estimate in estimates:
        start, stop = estimate.start, estimate.stop
        for _, a, b, _ in list_gaps(bad[estimate.channel, None, start:stop], [(0, stop - start)]):
            values, std = estimate.values[a:b], estimate.std[a:b]
            cut.append(replace(estimate, start=start + a, stop=start + b, values=values, std=std))
    return sorted(cut, key=lambda estimate: estimate.start)


def join_spans(spans, borders, segments, whole):
    """Join restored spans that were cut by nothing but a border between blocks."""
    edges, inner = {start for start, _ in segments}, set(borders[1:-1])
    joined, last = [], {}
    for span in spans:
        before = last.get(span.channel)
        cut = span.start in inner and (whole[span.channel] or span.start not in edges)
        if (
            cut
            and before is not None
            and (joined[before].stop, joined[before].invented) == (span.start, span.invented)
        ):
            joined[before] = joined[before]._replace(stop=span.stop)
            continue
        last[span.channel] = len(joined)
        joined.append(span)
    return joined
