# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Restore what is marked as bad in Raw, Epochs and Evoked."""

import mne
import numpy as np
from mne.io import BaseRaw
from mne.utils import _check_option, _validate_type, logger, verbose

from .._recording import (
    BadSpans,
    annotated_spans,
    check_data,
    collect_spans,
    find_evidence,
    load_raw,
    merge_spans,
    open_samples,
    pick_eeg,
)
from ._blocks import restore_blocks
from ._fit import fit_plan
from ._report import RestorationReport
from ._tally import Tally

__all__ = ["RestorationReport", "restore"]

_METHODS = ("auto", "spatial", "gram", "spline")
_RESTORED, _INVENTED = "RESTORED", "INVENTED"


@verbose
def restore(
    inst,
    *,
    mask=None,
    method="auto",
    output="mean",
    model="gram-tiny",
    prior=None,
    picks=None,
    line_freq=None,
    all_channel_gaps="keep",
    on_missing="warn",
    reset_bads=True,
    annotate=True,
    return_report=False,
    random_state=None,
    device=None,
    batch_size=None,
    copy=True,
    preload=True,
    verbose=None,
):
    """Restore bad channels and bad stretches of single channels.

    Good samples stay as they are, to the bit, and nothing in the result depends on what a bad
    sample held.

    Parameters
    ----------
    inst : mne.io.Raw | mne.Epochs | mne.Evoked
        The data, in volts. What is bad is taken from ``info["bads"]`` and from annotations that
        begin with ``BAD``: those with ``ch_names`` mark these channels, those without all of them.
    mask : array of bool | "auto" | None
        What is bad besides, for all channels of ``inst`` in their order: ``(n_channels, n_times)``
        for Raw and Evoked, ``(n_epochs, n_channels)`` or ``(n_epochs, n_channels, n_times)`` for
        Epochs. Labels of an ``autoreject.RejectLog`` fit: ``labels >= 1`` for the epochs that
        autoreject was given, ``labels == 1`` for those that it returned, where it filled the
        others. ``"auto"`` asks :func:`mne_gram.find_bads`; the log says what it found, and so does
        ``report.found``.
    method : "auto" | "spatial" | "gram" | "spline"
        ``"spatial"`` is a conditional Gaussian whose covariance adapts from other people's
        recordings to this one, ``"gram"`` lets the masked autoencoder change its shape, and
        ``"spline"`` is MNE's spherical spline, applied only where a channel is bad. ``"auto"``
        hides clean samples of this very recording, restores them by two experts and combines
        them as it was best there: ``"spatial"``, and the same with a model of the head in place
        of other people.
    output : "mean" | "sample"
        The conditional mean, or one draw from the posterior, which has the power that a mean lacks
        below 45 Hz.
    model : str | path-like | GramModel
        The networks for ``method="gram"``: a name, a folder, or what
        :func:`mne_gram.load_model` returned.
    prior : Prior | path-like | None
        Covariances of other people's recordings; None for those in the package.
    picks : str | array-like | slice | None
        The channels to work with; None takes all EEG channels.
    line_freq : float | None
        The power line's frequency in Hz, for the network. None takes ``info["line_freq"]``, else
        the peak in the good data, which is then named in the log.
    all_channel_gaps : "keep" | "fill"
        What to do where fewer than two channels are good: leave it alone, or continue the past
        and the future into it and annotate it as ``INVENTED``.
    on_missing : "raise" | "warn" | "ignore"
        What to do about channels that are bad all through and have neither a known name nor a
        position. They cannot be restored.
    reset_bads : bool
        Whether restored channels leave ``info["bads"]``, and channel-wise ``BAD`` annotations that
        were restored become ``RESTORED`` (so that epoching keeps these times).
    annotate : bool
        Whether to annotate restored stretches of a Raw as ``RESTORED``.
    return_report : bool
        Whether to return the report too.
    random_state : int | None
        Seed of ``output="sample"``. The same seed gives the same draw.
    device : str | torch.device | None
        Where the network runs; None for the CPU.
    batch_size : int | None
        Windows that the network sees at once; None chooses.
    copy : bool
        Whether to leave ``inst`` as it is and return a copy.
    preload : bool | path-like
        Where the samples go of a Raw that is not preloaded: True for memory, or the name of a file
        that is to be memory-mapped, as in :func:`mne.io.read_raw`. It is as large as the data in
        memory would be, and has to stay as long as the result is in use.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    inst : mne.io.Raw | mne.Epochs | mne.Evoked
        The restored data, preloaded.
    report : RestorationReport
        What was done and how far to trust it. Only with ``return_report=True``.

    Raises
    ------
    ValueError
        If there is no EEG, all of it is bad, it holds NaN where it is said to be good, it is not
        in volts, or the mask does not fit.

    Notes
    -----
    The frame of reference is the mean of the channels that are good at a time: it is taken off
    before and put back after, so that a restored channel stands in the reference of the data.
    Data that were average-referenced with a bad channel inside come out consistent; re-reference
    them after.

    Filters used inside are short and of zero phase; the data's own sampling rate is kept. The
    network sees 0.1 to 75 Hz: outside of that band a restored channel follows ``"spatial"``.

    Recordings of more than a quarter of an hour are worked on in blocks of ten minutes or less, so
    that little memory is needed besides the data's own, and none for these if the Raw was read with
    ``preload="name_of_a_file"`` and ``copy=False``, or is not preloaded and ``preload`` is the name
    of a file. For ``"spatial"`` and ``"spline"`` the result does not depend on the blocks; what the
    network adds is cross-faded from one to the next.

    Examples
    --------
    >>> import mne_gram
    >>> raw = mne_gram.datasets.sample()
    >>> restored, report = mne_gram.restore(raw, return_report=True, verbose="error")
    >>> restored.info["bads"]
    []
    """
    _check_arguments(inst, method, output, all_channel_gaps, on_missing, random_state)
    picks = pick_eeg(inst, picks)
    if copy:
        inst = inst.copy()
    _load(inst, preload)
    found = None
    if isinstance(mask, str):
        found, mask = _find_mask(inst, picks, mask, line_freq, prior)
    bad = collect_spans(inst, picks, mask)
    if not bad.n_bad.any():
        logger.info(
            "Nothing is marked as bad: the data are returned as they are. Mark channels in "
            "info['bads'] or by annotations with ch_names, or give a mask."
        )
        report = RestorationReport.from_tally(Tally(inst, picks, output=output), method=method)
        report.found = found
        return (inst, report) if return_report else inst
    names = [inst.ch_names[k] for k in picks]
    samples = open_samples(inst, picks)
    check_data(samples, bad, names, inst.info["sfreq"])
    used = find_evidence(samples, bad, names)
    samples, bad, picks = samples.select(used), bad.select(used), picks[used]
    plan = fit_plan(
        samples,
        bad,
        mne.pick_info(inst.info, picks),
        method=method,
        prior=prior,
        on_missing=on_missing,
        seed=np.random.SeedSequence(random_state) if output == "sample" else None,
        fill_gaps=all_channel_gaps == "fill",
        model=model,
        line_freq=line_freq,
        options=dict(device=device, batch_size=batch_size),
    )
    tally = Tally(inst, picks, units=plan.units, output=output)
    stretches = restore_blocks(samples, bad, plan, tally)
    report = RestorationReport.from_tally(tally, method=method, evidence=plan.evidence)
    report.found = found
    _mark(inst, picks, bad, stretches, reset_bads, annotate)
    logger.info("%s", report.summary)
    return (inst, report) if return_report else inst


def _find_mask(inst, picks, mask, line_freq, prior):
    """Look for what is bad, and say what was found."""
    from ..detection import find_bads

    _check_option("mask", mask, ("auto",), "when it is a str")
    if isinstance(inst, mne.Evoked):
        raise ValueError("mask='auto' needs Raw or Epochs: an average hides what was bad in it.")
    names = [inst.ch_names[k] for k in picks]
    found = find_bads(inst, picks=names, line_freq=line_freq, prior=prior)
    logger.info("%s", found)
    return found, found.mask(inst)


def _load(inst, preload):
    """Load what is not loaded, into memory or into a file."""
    _validate_type(preload, (bool, "path-like"), "preload")
    if preload is True:
        if not isinstance(inst, mne.Evoked):
            inst.load_data()
    elif preload is False or not isinstance(inst, BaseRaw) or inst.preload:
        raise ValueError(
            f"Found preload={preload!r}, expected True; or the name of a file, for a Raw that is "
            "not preloaded: samples that are in memory need no file."
        )
    else:
        load_raw(inst, preload)


def _check_arguments(inst, method, output, all_channel_gaps, on_missing, random_state):
    _validate_type(inst, (BaseRaw, mne.BaseEpochs, mne.Evoked), "inst", "Raw, Epochs or Evoked")
    _check_option("method", method, _METHODS)
    _check_option("output", output, ("mean", "sample"))
    _check_option("all_channel_gaps", all_channel_gaps, ("keep", "fill"))
    _check_option("on_missing", on_missing, ("raise", "warn", "ignore"))
    _validate_type(random_state, ("int-like", None), "random_state")
    if output == "sample" and method in ("spline", "gram"):
        raise ValueError(
            f"method={method!r} has no posterior to draw from: use output='mean', or "
            "method='spatial'."
        )


def _mark(inst, picks, bad, stretches, reset_bads, annotate):
    """Say in the data what was done: bads, and annotations of a Raw."""
    done = [[] for _ in bad.spans]
    for stretch in stretches:
        done[stretch.channel].append((stretch.start, stretch.stop))
    done = BadSpans(tuple(merge_spans(spans) for spans in done), bad.n_times)
    is_raw = isinstance(inst, BaseRaw)
    annotations = inst.annotations.copy() if is_raw else None
    if reset_bads:
        left = bad.subtract(done)
        if is_raw:  # first, since what is added later changes the order
            _release_annotations(annotations, inst, picks, done)
            # What lies under a mark that stays is marked well enough.
            marked = [(a, b) for _, _, a, b, names in annotated_spans(inst) if not names]
            left = left.subtract(BadSpans((merge_spans(marked),) * len(bad), bad.n_times))
        _release_bads(inst, picks, bad, left)
    if is_raw:
        if annotate:
            _annotate(annotations, inst, picks, stretches)
        if annotations.orig_time is None:  # then MNE counts what it is given from the first sample
            annotations.onset -= inst.first_time
        inst.set_annotations(annotations)


def _release_bads(inst, picks, bad, left):
    """Take channels out of the bads, unless garbage is left in them."""
    names = np.array([inst.ch_names[pick] for pick in picks])
    free = set(names[(bad.n_bad > 0) & (left.n_bad == 0)])
    kept = [name for name in names[left.n_bad > 0] if name in inst.info["bads"]]
    inst.info["bads"] = [name for name in inst.info["bads"] if name not in free]
    if kept:
        logger.info("Not all of %s could be restored: still in info['bads'].", ", ".join(kept))


def _annotate(annotations, inst, picks, stretches):
    """Add an annotation for each stretch, with all channels that were restored over it."""
    spans = {}
    for stretch in stretches:
        text = _INVENTED if stretch.invented else _RESTORED
        key = (stretch.start, stretch.stop, text)
        spans.setdefault(key, []).append(inst.ch_names[picks[stretch.channel]])
    sfreq = inst.info["sfreq"]
    for (start, stop, text), channels in spans.items():
        annotations.append(
            start / sfreq + inst.first_time, (stop - start) / sfreq, text, [tuple(channels)]
        )


def _release_annotations(annotations, inst, picks, done):
    """Take restored channels out of channel-wise BAD annotations, and empty ones away."""
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
