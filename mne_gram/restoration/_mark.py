# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What the data say of themselves after they were restored: bads, annotations, projectors."""

import mne
import numpy as np
from mne.baseline import rescale
from mne.io import BaseRaw
from mne.io.constants import FIFF
from mne.utils import logger, warn

from .._recording import BadSpans, annotated_spans, collect_spans, count_times, merge_spans

_RESTORED, _INVENTED, _LEFT = "RESTORED", "INVENTED", "BAD_unrestored"


def mark(inst, picks, bad, spans, reset_bads, annotate):
    """Update the bads of the data, and the annotations of a Raw; return what is left bad."""
    done = [[] for _ in bad.spans]
    for span in spans:
        done[span.channel].append((span.start, span.stop))
    done = BadSpans(tuple(merge_spans(spans) for spans in done), bad.n_times)
    _correct_baseline(inst, picks, done)
    is_raw = isinstance(inst, BaseRaw)
    annotations = inst.annotations.copy() if is_raw else None
    if reset_bads:
        left = bad.subtract(done)
        if is_raw:  # first, since what is added later changes the order
            _release_annotations(annotations, inst, picks, done)
            # What is left under an annotation that stays is marked well enough.
            marked = [(a, b) for _, _, a, b, names in annotated_spans(inst) if not names]
            left = left.subtract(BadSpans((merge_spans(marked),) * len(bad), bad.n_times))
        _release_bads(inst, picks, bad, left)
        renew_average(inst)
    if is_raw:
        if annotate:
            _annotate(annotations, inst, picks, spans)
        if annotations.orig_time is None:  # then MNE counts onsets from the first sample
            annotations.onset -= inst.first_time
        inst.set_annotations(annotations)
    if annotate:
        _mark_left(inst, picks, bad.subtract(done))
    return bad.subtract(done)


def _correct_baseline(inst, picks, done):
    """Correct what was restored throughout an epoch as the baseline of Epochs or Evoked says."""
    if getattr(inst, "baseline", None) is None:
        return
    n_times, data = count_times(inst), inst._data if inst._data.ndim == 3 else inst._data[None]
    for row, pick in enumerate(picks):
        for epoch in range(len(data)):
            if done.covers(row, epoch * n_times, (epoch + 1) * n_times):
                own = data[epoch, pick : pick + 1]
                rescale(own, inst.times, inst.baseline, copy=False, verbose="error")


def _mark_left(inst, picks, left):
    """Mark what was left undone and nothing marks yet, in the bads or by annotations of a Raw."""
    names = [inst.ch_names[pick] for pick in picks]
    left = left.subtract(collect_spans(inst, picks))
    inst.info["bads"] += [name for name, whole in zip(names, left.whole, strict=True) if whole]
    gaps = [(a, b, name) for name, own in zip(names, left.spans, strict=True) for a, b in own]
    gaps = [gap for gap in gaps if gap[2] not in inst.info["bads"]]
    if not gaps:
        return
    together = {}
    for start, stop, name in gaps:
        together.setdefault((int(start), int(stop)), []).append(name)
    if not isinstance(inst, BaseRaw):
        n_times = count_times(inst)
        epochs = sorted({k for a, b in together for k in range(a // n_times, -(-b // n_times))})
        warn(
            "Bad segments are left as they are, because too few channels are good at these times: "
            f"{', '.join(dict.fromkeys(name for *_, name in gaps))} in epochs "
            f"{', '.join(map(str, epochs))}. Drop these epochs, or set all_channel_gaps='fill'."
        )
        return
    sfreq = inst.info["sfreq"]
    onset, stop = np.array(list(together)).T / sfreq
    annotations = mne.Annotations(
        onset + (inst.first_time if inst.annotations.orig_time is not None else 0),
        stop - onset,
        _LEFT,
        inst.annotations.orig_time,
        [tuple(channels) for channels in together.values()],
    )
    inst.set_annotations(inst.annotations + annotations)


def renew_average(inst):
    """Renew average reference projectors that are not applied, unless of all good channels."""
    projectors = inst.info["projs"]
    waiting = [
        k
        for k, proj in enumerate(projectors)
        if proj["kind"] == FIFF.FIFFV_PROJ_ITEM_EEG_AVREF and not proj["active"]
    ]
    good = {inst.ch_names[k] for k in mne.pick_types(inst.info, eeg=True, exclude="bads")}
    if all(good == set(projectors[k]["data"]["col_names"]) for k in waiting):
        return
    inst.del_proj(waiting)
    inst.set_eeg_reference("average", projection=True)


def _release_bads(inst, picks, bad, left):
    """Remove channels from the bads, unless bad samples are left in them."""
    names = np.array([inst.ch_names[pick] for pick in picks])
    free = set(names[(bad.n_bad > 0) & (left.n_bad == 0)])
    kept = [name for name in names[left.n_bad > 0] if name in inst.info["bads"]]
    inst.info["bads"] = [name for name in inst.info["bads"] if name not in free]
    if kept:
        logger.info(
            "Not all bad samples of %s could be restored, so info['bads'] keeps these channels.",
            ", ".join(kept),
        )


def _annotate(annotations, inst, picks, spans):
    """Add an annotation for each span, with all channels that were restored in it."""
    together = {}
    for span in spans:
        text = _INVENTED if span.invented else _RESTORED
        key = (span.start, span.stop, text)
        together.setdefault(key, []).append(inst.ch_names[picks[span.channel]])
    if not together:
        return
    starts, stops, texts = zip(*together, strict=True)
    starts, stops = np.array(starts), np.array(stops)
    # All at once, since MNE sorts them each time.
    annotations.append(
        starts / inst.info["sfreq"] + inst.first_time,
        (stops - starts) / inst.info["sfreq"],
        list(texts),
        [tuple(channels) for channels in together.values()],
    )


def _release_annotations(annotations, inst, picks, done):
    """Remove restored channels from channel-wise BAD annotations, and empty annotations."""
    row = {inst.ch_names[pick]: k for k, pick in enumerate(picks)}
    empty = []
    for index, _, start, stop, channels in annotated_spans(inst):
        if not channels:
            continue
        left = [n for n in channels if n not in row or not done.covers(row[n], start, stop)]
        if left:
            annotations.ch_names[index] = tuple(left)
        else:
            empty.append(index)
    annotations.delete(empty)
