# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Fit a prior to the recordings of a laboratory or data set."""

import mne
import numpy as np
from mne.utils import ProgressBar, _check_option, _validate_type, logger, verbose

from .._counts import count
from .._docs import fill_doc
from .._workers import end_workers
from ..covariance import (
    audit_cohort,
    extend_prior,
    forward_components,
    resolve_prior,
    round_recording,
)
from ..montage import ELECTRODES
from ._inputs import list_inputs, measure_input
from ._measure import Measurement

_FEW = 3  # subjects


@verbose
@fill_doc
def fit_prior(insts, *, subjects=None, base="bundled", mask=None, n_jobs=1, verbose=None):
    """Fit a prior to the recordings of a laboratory: how electrodes covary in these subjects.

    A bad channel of one subject is good in most others. With such a prior,
    :func:`mne_gram.restore` learns from them, in addition to the recordings in the package. Five
    subjects already help much in data that are unlike those in the package.

    Parameters
    ----------
    insts : iterable of (Raw | Epochs | path-like) | path-like | mne_bids.BIDSPath
        The recordings: a list, or a generator, of which one recording at a time is in memory for
        each job. Files are read as needed. Alternatively, the root of a BIDS data set, or a
        :class:`mne_bids.BIDSPath` whose root, subject, session, task and run select recordings.
        Bad channels in ``info["bads"]`` and bad segments, also of single channels, are left out.
    subjects : list of str | None
        The subject of each recording. With None it is taken from the name of the file
        (``sub-01``) or ``info["subject_info"]["his_id"]``, unless this is the ``"0"`` or ``"X"`` of
        anonymized data; a recording without either is a subject of its own. The prior stores the
        subjects. For a BIDS data set, the labels of the subjects to use; None uses all.
    base : "bundled" | Prior | path-like | None
        The prior to add these recordings to. None uses these recordings alone.
    mask : "auto" | None
        With ``"auto"``, :func:`mne_gram.find_bads` finds bad channels and segments in each
        recording, which are left out as well; None leaves out only what is marked as bad.
    n_jobs : int
        The number of recordings that are measured in parallel. The result does not depend on it.
    %(verbose)s

    Returns
    -------
    prior : Prior
        The prior, for ``restore(..., prior=prior)`` and the like. Save it with ``prior.save``.

    Raises
    ------
    ValueError
        If there is no recording, none can be used, or ``subjects`` has another length.

    See Also
    --------
    mne_gram.read_prior : Read a prior that was saved.
    mne_gram.run_bids : Restore a whole data set with a prior of its own.

    Notes
    -----
    Each recording is reduced to one covariance per frequency band at its electrodes, relative to
    their average. So sampling rate, unit and reference may differ between recordings, and data that
    were average-referenced with a bad channel inside are usable. A subject counts once, however
    many recordings there are. Electrodes are recognised by name or, within 1 cm, by position;
    bipolar derivations are not used. What a recording lacks is completed from the others.

    Channels that are flat, far louder than the others, or clean in few segments only are left out
    of their recording. So are channels that the others fail to predict with every covariance at
    hand and with spherical splines, with an error that is much larger than usual for this
    electrode. These, and recordings that cannot be used, are logged.

    Do not fit a prior to restored recordings: their restored channels are estimates, and no
    measurements.

    Examples
    --------
    >>> import mne_gram
    >>> raw = mne_gram.datasets.sample()
    >>> parts = [raw.copy().crop(k, k + 6) for k in (0, 6, 12)]
    >>> prior = mne_gram.fit_prior(parts, subjects=["a", "b", "c"], verbose="error")
    >>> prior.n_cohort
    3
    """
    _validate_type(mask, (str, None), "mask", "'auto' or None")
    if mask is not None:
        _check_option("mask", mask, ("auto",))
    _validate_type(n_jobs, "int", "n_jobs")
    base = None if base is None else resolve_prior(base, "base")
    inputs, number = list_inputs(insts, subjects)
    prior, _ = combine_measurements(_measure_all(inputs, number, mask, n_jobs), base)
    return prior


def _measure_all(inputs, number, mask, n_jobs):
    """Measure all inputs, in parallel; return Measurements in their order."""
    from joblib import Parallel, delayed, parallel_config

    bar = ProgressBar(number, mesg="Recordings") if number else None
    found = []
    with parallel_config("loky", inner_max_num_threads=1):
        # No more recordings are taken from a generator than there are jobs.
        parallel = Parallel(n_jobs, pre_dispatch="n_jobs", batch_size=1, return_as="generator")
        for measurement in parallel(delayed(measure_input)(each, mask) for each in inputs):
            found.append(measurement)
            _log(measurement)
            if bar is not None:
                bar.update(len(found))
    end_workers()
    return found


def _log(measurement):
    """Log what was left out of a recording."""
    if measurement.recording is None:
        logger.info("%s is left out: %s", measurement.name, measurement.reason)
    elif measurement.dropped:
        names = ", ".join(f"{name} ({why})" for name, why in measurement.dropped)
        logger.info("%s: without %s", measurement.name, names)


def combine_measurements(measurements, base):
    """Make a prior of Measurements and a base, a Prior or None.

    Returns the prior, and the Measurements of which the audit dropped channels or that it left out.
    Raises ValueError if there is nothing to make a prior of.
    """
    usable = [m.recording for m in measurements if m.recording is not None]
    if not usable:
        raise ValueError(_explain_nothing(measurements))
    components = forward_components()
    kept, dropped = audit_cohort([round_recording(r) for r in usable], base, components)
    audited = []
    for recording, after, names in zip(usable, kept, dropped, strict=True):
        if names:
            reason = "" if after is not None else "too few of its channels predict each other"
            pairs = tuple((name, "not predicted by the others") for name in names)
            audited.append(Measurement(recording.source, after, reason, pairs))
            _log(audited[-1])
    cohort = [recording for recording in kept if recording is not None]
    if not cohort:
        raise ValueError(_explain_nothing(audited))
    prior = extend_prior(base, cohort, components)
    _log_unknown([m for m in measurements if m.recording is not None], base)
    _summarise(prior, cohort, len(measurements))
    return prior, audited


def _explain_nothing(measurements):
    """Return the message of the error that no recording can be used."""
    if not measurements:
        return "Found no recording to fit a prior to. Give at least one Raw, Epochs or file name."
    reasons = [f"  {m.name}: {m.reason}" for m in measurements[:5]]
    more = [f"  and {len(measurements) - 5} more"] if len(measurements) > 5 else []
    return "\n".join(
        [f"None of {len(measurements)} recordings can be used to fit a prior:", *reasons, *more]
    )


def _log_unknown(measurements, base):
    """Log channels that are usable in none of several recordings."""
    never = set.intersection(*({name for name, _ in m.dropped} for m in measurements))
    if len(measurements) > 1 and never:
        logger.info(
            "No recording has a usable %s. What is known of it comes from %s.",
            ", ".join(sorted(never)),
            "a model of the head" if base is None else "the base and a model of the head",
        )


def _summarise(prior, cohort, number):
    """Log how many recordings and subjects a prior has, and warn of very few."""
    subjects = {r.source[:2] for r in cohort}
    covered = np.unique(np.concatenate([r.channels for r in cohort]))
    logger.info(
        "Prior: %d of %s of %s, with %d of %d electrodes, %s.",
        len(cohort),
        count(number, "recording"),
        count(len(subjects), "subject"),
        len(covered),
        len(ELECTRODES),
        "no others" if prior.base is None else f"and {count(len(prior.base.recordings), 'other')}",
    )
    if len(subjects) < _FEW and prior.base is None:
        mne.utils.warn(
            f"The prior is fitted to {count(len(subjects), 'subject')} alone, so it will fit "
            "others poorly. Add subjects, or use base='bundled'."
        )
