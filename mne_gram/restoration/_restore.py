# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Restore bad channels and segments of Raw, Epochs and Evoked."""

import mne
import numpy as np
from mne.io import BaseRaw
from mne.utils import _check_option, _validate_type, logger, verbose

from .._checks import check_content, check_line_freq, check_positions, check_type, pick_eeg
from .._docs import fill_doc
from .._recording import (
    check_recording,
    collect_spans,
    find_evidence,
    leave_out_strays,
    load_raw,
    merge_spans,
    open_recording,
)
from .._threads import one_blas_thread
from ..covariance import describe_prior, resolve_prior
from ._blocks import restore_blocks
from ._fit import Settings
from ._mark import mark
from ._methods import METHODS, check_options
from ._rank import find_rank
from ._report import RestorationReport
from ._tally import Tally


@one_blas_thread
@verbose
@fill_doc
def restore(
    inst,
    *,
    mask=None,
    method="auto",
    output="mean",
    model="gram-tiny",
    prior=None,
    picks=None,
    exclude=(),
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
    """Restore bad channels and bad segments of single channels.

    Good samples are left unchanged, bit for bit, and the result does not depend on the values of
    bad samples.

    Parameters
    ----------
    inst : mne.io.Raw | mne.Epochs | mne.Evoked
        The data, in volts. Bad channels are those in ``info["bads"]``. Bad segments are given by
        annotations that begin with ``BAD``, for the channels in their ``ch_names``, or for all
        channels if there are none.
    mask : array of bool | autoreject.RejectLog | "auto" | None
        Additional bad samples, True where bad, for all channels of ``inst`` in their order, of
        shape ``(n_channels, n_times)`` for Raw and Evoked, ``(n_epochs, n_channels)`` or
        ``(n_epochs, n_channels, n_times)`` for Epochs. A ``RejectLog`` is for the epochs that
        autoreject was given or for those that it returned, see the Notes. With ``"auto"``,
        :func:`mne_gram.find_bads` finds bad channels and segments; they are logged, and returned
        as ``report.found``.
    method : "auto" | "spatial" | "gram" | "spline"
        ``"spatial"`` is a conditional Gaussian whose covariance, estimated from recordings of other
        subjects, is adapted to this one. ``"gram"`` lets the masked autoencoder change the waveform
        of that estimate. ``"spline"`` is MNE's spherical spline, applied only where a channel is
        bad. ``"auto"`` combines several estimates ("experts"): ``"spatial"``; the same without the
        cohort of ``prior``, with a forward model of the head in place of other subjects, and for
        noisier electrodes; and ``"spline"``. Their weights depend on how well each restores clean
        samples of the recording that are hidden from it.
    %(restoration_output)s
    %(restoration_model)s
    %(restoration_prior)s
    picks : str | array-like | slice | None
        The EEG channels to restore and to estimate from; None takes all.
    exclude : list of str
        Channels to leave out, as in :meth:`mne.io.Raw.interpolate_bads`: they are left unchanged,
        bad ones stay in ``info["bads"]``, and no other channel is estimated from them.
    %(restoration_line_freq)s
        With ``mask="auto"`` it is passed to :func:`mne_gram.find_bads` too.
    all_channel_gaps : "keep" | "fill"
        What to do where fewer than two channels are good: leave the data unchanged, or extrapolate
        the signals before and after into the gap and annotate it as ``INVENTED``.
    on_missing : "raise" | "warn" | "ignore"
        What to do about channels that are bad throughout the recording and have neither a known
        name nor a position. They cannot be restored.
    reset_bads : bool
        Whether to remove restored channels from ``info["bads"]``, and from channel-wise ``BAD``
        annotations (so that epoching keeps these times). An average reference projector that is not
        applied yet then includes these channels.
    annotate : bool
        Whether to annotate restored segments of a Raw as ``RESTORED``, and to mark what ``mask``
        contains and could not be restored: channels in ``info["bads"]``, segments of a Raw by the
        annotation ``BAD_unrestored``.
    %(return_report)s
    %(restoration_seed)s
    %(restoration_network)s
    copy : bool
        Whether to leave ``inst`` unchanged and return a copy.
    preload : bool | path-like
        Where to load the samples of a Raw that is not preloaded: True for memory, or the name of a
        file to memory-map, as in :func:`mne.io.read_raw`. The file is as large as the data would be
        in memory, and must be kept as long as the result is in use.
    %(verbose)s

    Returns
    -------
    inst : mne.io.Raw | mne.Epochs | mne.Evoked
        The restored data, preloaded.
    report : RestorationReport
        What was restored, and the expected errors. Only returned if ``return_report=True``.

    Raises
    ------
    ValueError
        If there is no EEG, all channels are bad, samples that are not marked as bad are NaN, the
        data are not in volts, the mask has the wrong shape or type, or ``exclude`` contains
        unknown channels.

    See Also
    --------
    mne_gram.harmonize : Add missing electrodes.

    Notes
    -----
    At each time, the mean of the channels that are good then is subtracted first and added back at
    the end, so that a restored channel has the reference of the data. If the data have an average
    reference that included a bad channel, restored and good channels still share that reference;
    set the average reference again after restoring.

    Of a ``RejectLog``, labels 1 (bad) and 2 (interpolated by autoreject) count as bad, also in the
    epochs that autoreject returned: what it interpolated is restored again, from the measured
    channels. To keep its interpolation, pass ``log.labels[~log.bad_epochs] == 1``. Channels are
    matched by name; those that autoreject did not check are good unless marked otherwise. Epochs
    that it would drop (``log.bad_epochs``) are restored like the others.

    Channels that are far too large to be EEG are left unchanged and not used to estimate others,
    with a warning that names them. These are channels whose standard deviation, in windows of one
    second, is more than 30 times that of the median electrode (in the median window, or over all
    windows if a channel has neither a known name nor a position), or whose offset is more than 1 V.
    Segments of such electrodes that are marked as bad are restored as if the whole channel was bad.
    The same applies to channels that have neither a known name nor a position, but the name of
    another signal, such as ``"EKG1-REF"`` or ``"PHOTIC"``.

    Internal filters are short and have zero phase; the sampling rate of the data is kept. The
    network processes 0.1 to 75 Hz: outside that band a restored channel is that of ``"spatial"``.

    Recordings of more than 15 minutes are processed in blocks of 10 minutes or less. Little memory
    is needed in addition to that of the data. The data themselves need none if the Raw was read
    with ``preload="name_of_a_file"`` and ``copy=False``, or is not preloaded and ``preload`` is the
    name of a file. For ``"spatial"`` and ``"spline"`` the result does not depend on the blocks;
    what the network adds is cross-faded from one to the next.

    Examples
    --------
    >>> import mne_gram
    >>> raw = mne_gram.datasets.sample()
    >>> restored, report = mne_gram.restore(raw, return_report=True, verbose="error")
    >>> restored.info["bads"]
    []
    """
    check_type(inst, ("Raw", "Epochs", "Evoked"))
    _check_option("on_missing", on_missing, ("raise", "warn", "ignore"))
    check_options(
        method=method,
        output=output,
        all_channel_gaps=all_channel_gaps,
        random_state=random_state,
        exclude=exclude,
    )
    check_line_freq(line_freq)
    picks = _leave_out(inst, pick_eeg(inst, picks), exclude)
    if prior is not None:
        resolve_prior(prior)  # a file that is not a prior is an error before any computation
    if copy:
        inst = inst.copy()
    _load(inst, preload)
    check_content(inst)
    found = None
    if isinstance(mask, str):
        found, mask = _find_mask(inst, picks, mask, line_freq, prior)
    bad = collect_spans(inst, picks, mask)
    if not bad.n_bad.any():
        logger.info(
            "Nothing is marked as bad: the data are returned unchanged. Mark channels in "
            "info['bads'], annotate segments with ch_names, or give a mask."
        )
        report = RestorationReport(
            Tally(inst, picks, output=output),
            method=method,
            found=found,
            rank=find_rank(inst) if return_report else None,
        )
        return (inst, report) if return_report else inst
    if found is None:  # else they were checked there
        check_positions(inst.info)
    recording, kept = leave_out_strays(open_recording(inst, picks, bad))
    check_recording(recording, picked=len(picks) < len(pick_eeg(inst)))
    used = find_evidence(recording)
    recording, kept = recording.select(used), kept[used]
    used, wanted = picks[kept], bad.select(kept)
    settings = Settings(
        prior=prior,
        on_missing=on_missing,
        seed=np.random.SeedSequence(random_state) if output == "sample" else None,
        fill_gaps=all_channel_gaps == "fill",
        model=model,
        line_freq=line_freq,
        device=device,
        batch_size=batch_size,
    )
    plan = METHODS[method].fit(recording, settings)
    tally = Tally(inst, used, carries_reference=plan.carries_reference, output=output)
    spans = restore_blocks(recording, METHODS[method], plan, tally, wanted)
    spans = [span._replace(channel=int(kept[span.channel])) for span in spans]
    left = mark(inst, picks, bad, spans, reset_bads, annotate)
    report = RestorationReport(
        tally,
        method=method,
        evidence=plan.evidence,
        found=found,
        prior=_describe_used(prior, plan) if METHODS[method].needs_prior else None,
        rank=_find_rank(inst, picks, bad, left) if return_report else None,
    )
    logger.info("%s", report.summary)
    return (inst, report) if return_report else inst


def _leave_out(inst, picks, exclude):
    """Return the picks without excluded channels, which have to exist."""
    unknown = [str(name) for name in exclude if name not in inst.ch_names]
    if unknown:
        raise ValueError(f"exclude contains unknown channels: {', '.join(unknown)}.")
    kept = [pick for pick in picks if inst.ch_names[pick] not in exclude]
    if not kept:
        raise ValueError("exclude contains all channels to work with: nothing is left to restore.")
    return np.array(kept)


def _find_rank(inst, picks, bad, left):
    """Return the rank of the data, given the spans of the picks that were bad, and are left so."""
    lost = [inst.ch_names[pick] for pick in picks[bad.whole]]
    some = np.flatnonzero(~bad.whole)
    spans = [merge_spans(np.concatenate(each.select(some).spans)) for each in (bad, left)]
    return find_rank(inst, restored=lost, bad=spans[0], left=spans[1])


def _describe_used(prior, plan):
    """Return what the report shows of the prior."""
    weight = None if plan.spatial is None else plan.spatial.cohort_weight
    return dict(**describe_prior(prior), cohort_weight=weight)


def _find_mask(inst, picks, mask, line_freq, prior):
    """Find bad channels and segments; return the report of that and the mask."""
    from ..detection import find_bads

    _check_option("mask", mask, ("auto",), "when it is a str")
    if isinstance(inst, mne.Evoked):
        raise ValueError(
            "mask='auto' needs Raw or Epochs: bad channels cannot be found in Evoked data."
        )
    names = [inst.ch_names[k] for k in picks]
    found = find_bads(inst, picks=names, line_freq=line_freq, prior=prior)
    logger.info("%s", found)
    return found, found.mask(inst)


def _load(inst, preload):
    """Load data that are not loaded, into memory or into a file."""
    _validate_type(preload, (bool, "path-like"), "preload")
    if preload is True:
        if not isinstance(inst, mne.Evoked):
            inst.load_data()
    elif preload is False or not isinstance(inst, BaseRaw) or inst.preload:
        raise ValueError(
            f"Found preload={preload!r}, expected True. The name of a file can only be given for a "
            "Raw that is not preloaded."
        )
    else:
        load_raw(inst, preload)
