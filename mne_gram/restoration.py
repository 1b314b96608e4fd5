# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Restore what is marked as bad in Raw, Epochs and Evoked."""

import mne
import numpy as np
from mne.io import BaseRaw
from mne.utils import _check_option, _validate_type, logger, verbose, warn

from ._experts import repair_gram, repair_spline
from ._input import check_data, find_evidence, get_data, pick_eeg
from ._masks import annotated_spans, collect_mask
from ._repair import repair_spatial
from ._restoration_report import RestorationReport
from ._seams import limit_steps
from ._windows import cut_windows, group_moments
from .montage import match_channels
from .preprocessing import find_line_freq
from .prior import Prior, channel_rows, load_prior
from .spatial import adapt_covariance

__all__ = ["RestorationReport", "restore"]

_METHODS = ("auto", "spatial", "gram", "spline")
_MAX_WINDOWS = 240  # for statistics; two minutes of half-overlapping windows say enough
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
    mask : array of bool | None
        What is bad besides, for all channels of ``inst`` in their order: ``(n_channels, n_times)``
        for Raw and Evoked, ``(n_epochs, n_channels)`` or ``(n_epochs, n_channels, n_times)`` for
        Epochs. Labels of an ``autoreject.RejectLog`` fit after ``== 1``.
    method : "auto" | "spatial" | "gram" | "spline"
        ``"spatial"`` is a conditional Gaussian whose covariance adapts from other people's
        recordings to this one, ``"gram"`` lets the network change the shape of that estimate,
        ``"spline"`` is MNE's spherical spline, applied only where a channel is bad. ``"auto"`` is
        ``"spatial"``.
    output : "mean" | "sample"
        The conditional mean, or one draw from the posterior, which has the power that a mean lacks.
    model : str | path-like | GramModel
        The network for ``method="gram"``: a name, a folder, or what
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

    The data are loaded into memory, and a few copies of the EEG are made while this runs.

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
    if not isinstance(inst, mne.Evoked):
        inst.load_data()
    bad = collect_mask(inst, picks, mask)
    if not bad.any():
        logger.info(
            "Nothing is marked as bad: the data are returned as they are. Mark channels in "
            "info['bads'] or by annotations with ch_names, or give a mask."
        )
        report = RestorationReport(inst, picks, bad, [], method=method)
        return (inst, report) if return_report else inst
    data, pieces = get_data(inst, picks)
    check_data(data, bad, [inst.ch_names[k] for k in picks], inst.info["sfreq"])
    used = find_evidence(data, bad, [inst.ch_names[k] for k in picks])
    if len(used) < len(picks):
        data, bad, picks = data[used], bad[used], picks[used]
    info = mne.pick_info(inst.info, picks)
    fill_gaps = all_channel_gaps == "fill"
    if method == "spline":
        segments, units = repair_spline(data, bad, pieces, info), None
    else:
        prior = prior if isinstance(prior, Prior) else load_prior(prior)
        cmap = match_channels(info, on_missing="ignore", verbose="error")
        places = channel_rows(cmap, prior)
        units = places.units
        seed = np.random.SeedSequence(random_state) if output == "sample" else None
        segments = _repair(data, bad, pieces, info, prior, places, on_missing, seed, fill_gaps)
        if method == "gram":
            options = dict(device=device, batch_size=batch_size)
            _add_network(data, bad, pieces, info, cmap, segments, model, line_freq, options)
    report = RestorationReport(inst, picks, bad, segments, method=method, data=data, units=units)
    _write(inst, picks, segments)
    _mark(inst, picks, bad, segments, reset_bads, annotate)
    logger.info("%s", report.summary)
    return (inst, report) if return_report else inst


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


def _find_lost(names, bad, known, moments, on_missing):
    """Find bad channels of which nothing tells how they go with the others."""
    heard = np.zeros(len(names), bool)
    for m in moments:
        heard[m.good] = True
    lost = np.flatnonzero(bad.any(axis=1) & ~known & ~heard)
    if len(lost):
        message = (
            f"Cannot restore {', '.join(names[k] for k in lost)}: bad (nearly) all through, and "
            "neither name nor position tells where they are. Rename them to 10-05 names "
            "(inst.rename_channels) or give them positions (inst.set_montage)."
        )
        if on_missing == "raise":
            raise ValueError(message)
        if on_missing == "warn":
            warn(f"{message} They are left as they are.")
    return set(lost.tolist())


def _repair(data, bad, pieces, info, prior, places, on_missing, seed, fill_gaps):
    """Run the spatial expert."""
    rows, own, units, known = places
    sfreq = info["sfreq"]
    windows, good = cut_windows(data, bad, pieces, sfreq, _MAX_WINDOWS)
    moments = group_moments(windows, good, sfreq, units)
    lost = _find_lost(info["ch_names"], bad, known, moments, on_missing)
    power = _typical_power(data, bad)
    cov = adapt_covariance(prior, rows, own, units, known, moments, power=power)
    segments = repair_spatial(data, bad, pieces, sfreq, cov, units, seed=seed, fill_gaps=fill_gaps)
    return [segment for segment in segments if segment.channel not in lost]


def _typical_power(data, bad):
    """Return the median over channels of the variance of their good samples."""
    step = max(1, data.shape[1] // 20_000)
    good = ~bad[:, ::step]
    part = np.where(good, data[:, ::step], 0.0)
    count = np.maximum(good.sum(axis=1), 1)
    mean = part.sum(axis=1) / count
    variance = (((part - mean[:, None]) ** 2) * good).sum(axis=1) / count
    return np.median(variance[good.any(axis=1)])


def _add_network(data, bad, pieces, info, cmap, segments, model, line_freq, options):
    """Let the network change the estimate."""
    from ._model_io import GramModel
    from .weights import load_model

    if not isinstance(model, GramModel):
        model = load_model(model)
    sfreq = info["sfreq"]
    line_freq = info["line_freq"] if line_freq is None else line_freq
    if line_freq is None:
        line_freq = find_line_freq(np.where(bad, np.nan, data), sfreq)
        if line_freq is not None:
            logger.info("Found the power line at %g Hz; give line_freq to choose.", line_freq)
    repair_gram(data, bad, pieces, sfreq, cmap, segments, model, line_freq=line_freq, **options)
    limit_steps(data, bad, segments, pieces, sfreq)
    for segment in segments:
        data[segment.channel, segment.start : segment.stop] = segment.values


def _write(inst, picks, segments):
    """Put the estimates in place; nothing else is touched."""
    n_times = len(inst.times)
    for segment in segments:
        pick = picks[segment.channel]
        if not isinstance(inst, mne.BaseEpochs):
            inst._data[pick, segment.start : segment.stop] = segment.values
            continue
        for epoch in range(segment.start // n_times, -(-segment.stop // n_times)):
            offset = epoch * n_times
            a, b = max(segment.start, offset), min(segment.stop, offset + n_times)
            values = segment.values[a - segment.start : b - segment.start]
            inst._data[epoch, pick, a - offset : b - offset] = values


def _mark(inst, picks, bad, segments, reset_bads, annotate):
    """Say in the data what was done: bads, and annotations of a Raw."""
    done = np.zeros_like(bad)
    for segment in segments:
        done[segment.channel, segment.start : segment.stop] = True
    is_raw = isinstance(inst, BaseRaw)
    annotations = inst.annotations.copy() if is_raw else None
    if reset_bads:
        left = bad & ~done
        if is_raw:  # first, since what is added later changes the order
            _release_annotations(annotations, inst, picks, done)
            for _, _, start, stop, channels in annotated_spans(inst):
                if not channels:  # what lies under a mark that stays is marked well enough
                    left[:, start:stop] = False
        _release_bads(inst, picks, bad, left)
    if is_raw:
        if annotate:
            _annotate(annotations, inst, picks, segments)
        if annotations.orig_time is None:  # then MNE counts what it is given from the first sample
            annotations.onset -= inst.first_time
        inst.set_annotations(annotations)


def _release_bads(inst, picks, bad, left):
    """Take channels out of the bads, unless garbage is left in them."""
    names = [inst.ch_names[pick] for pick in picks]
    free = {
        n for n, was, rest in zip(names, bad, left, strict=True) if was.any() and not rest.any()
    }
    kept = [n for n, rest in zip(names, left, strict=True) if rest.any() and n in inst.info["bads"]]
    inst.info["bads"] = [name for name in inst.info["bads"] if name not in free]
    if kept:
        logger.info("Not all of %s could be restored: still in info['bads'].", ", ".join(kept))


def _annotate(annotations, inst, picks, segments):
    """Add an annotation for each stretch, with all channels that were restored over it."""
    stretches = {}
    for segment in segments:
        text = _INVENTED if segment.invented else _RESTORED
        key = (segment.start, segment.stop, text)
        stretches.setdefault(key, []).append(inst.ch_names[picks[segment.channel]])
    sfreq = inst.info["sfreq"]
    for (start, stop, text), channels in stretches.items():
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
        left = [n for n in channels if n not in row or not done[row[n], start:stop].all()]
        if left:
            annotations.ch_names[index] = tuple(left)
        else:
            empty.append(index)
    annotations.delete(empty)
