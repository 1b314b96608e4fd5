# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Estimate a prior from recordings, and find channels of theirs that are to be left out."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
from mne.channels.interpolation import _make_interpolation_matrix
from scipy.optimize import nnls

from ..montage import ELECTRODES, electrode_positions, template_sphere
from ._bands import N_BANDS
from ._conditional import interpolation_operators
from ._forward import fit_sources
from ._library import Library
from ._places import sphere_kernel
from ._prior import Prior, RecordingCovariance

_N_DEGREES = 16
# A channel is dropped from a recording whose error is this many times that of the same electrode in
# other data sets, in so many bands (chosen on the training subjects of the shared recordings).
_AUDIT_RATIO, _AUDIT_BANDS = 6.0, 4
_MAJORITY = 0.5  # of the recordings of a data set: then an electrode is dropped in all of them
_MIN_OTHERS = 10  # recordings of other data sets with an electrode, to know how it usually fares
_MIN_COHORT = 3  # other subjects of a cohort, to know how an electrode usually fares in it
_COHORT = 10  # subjects of a cohort that weigh as much as all other recordings together
_MIN_LEFT = 4  # channels of a recording
_MOST_JUDGED = 48  # recordings of the base, which are evenly spread


def fit_kernel(cov):
    """Fit a covariance function of the angle between electrodes, as Legendre coefficients."""
    origin, _ = template_sphere()
    units = electrode_positions() - origin
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    cosines = units @ units.T
    design = np.array([sphere_kernel(cosines, row).ravel() for row in np.eye(_N_DEGREES)]).T
    design = np.c_[design, (cosines > 1 - 1e-9).ravel()]  # noise belongs to no degree
    coefficients, _ = nnls(design, cov.ravel())
    return coefficients[:-1]


def estimate_prior(recordings, components, *, strength=10.0, n_iter=6):
    """Estimate population and library from recordings that cover different electrodes."""
    parts = estimate_population(recordings, components, strength=strength, n_iter=n_iter)
    return Prior(*parts, tuple(recordings))


def estimate_population(recordings, components, *, n_cohort=0, strength=10.0, n_iter=6):
    """Estimate the mean covariance (n_bands, 114, 114), the weights, and the kernel.

    Expectation-maximisation for the mean covariance with missing electrodes, where the forward
    model, fitted to agree with the data where both exist, says how the missing ones covary.

    ``components`` come from `forward_components`, shape (n_components, 114, 114); ``strength`` is
    the number of recordings that the forward model counts as. The last ``n_cohort`` recordings
    count more than the others.
    """
    weights = weigh_recordings(recordings, n_cohort)
    covered = np.unique(np.concatenate([r.channels for r in recordings]))
    population = np.repeat(components.mean(axis=0)[None], N_BANDS, axis=0)
    rows = np.eye(len(ELECTRODES))[covered]
    for _ in range(n_iter):
        forward = fit_sources(components, population[:, covered][:, :, covered], rows)
        forward /= np.einsum("bii->b", forward)[:, None, None] / len(ELECTRODES)
        library = Library(recordings, population, shrinkage=0.0)
        total = strength * forward + library.add_up(np.repeat(weights[None], N_BANDS, axis=0))
        population = total / (strength + weights.sum())
        population /= np.einsum("bii->b", population)[:, None, None] / len(ELECTRODES)
    return population, weights, fit_kernel(forward.mean(axis=0))


def weigh_recordings(recordings, n_cohort=0):
    """Return the weight of each recording, of which the last ``n_cohort`` are a cohort.

    Every subject counts once, whatever their number of recordings. In a cohort of ten or more, all
    subjects together count as much as the others together, in a smaller one each counts the same.
    """
    subjects = [r.source[:2] for r in recordings]
    weights = np.array([1 / subjects.count(subject) for subject in subjects])
    others = weights[: len(weights) - n_cohort].sum()
    if n_cohort and others:
        own = weights[-n_cohort:].sum()
        weights[-n_cohort:] *= others / max(own, _COHORT)
    return weights


def extend_prior(base, cohort, components):
    """Put the recordings of a cohort beside those of a prior (None: nothing) and estimate anew.

    All values are rounded as in files, so that a prior that is saved and read is the same prior.
    """
    recordings = [*(() if base is None else base.recordings), *map(round_recording, cohort)]
    population, weights, kernel = estimate_population(recordings, components, n_cohort=len(cohort))
    population = population.astype(np.float32).astype(float)
    if base is not None and base.n_cohort:
        # All its recordings are the base of this one, be they a cohort or not.
        base = replace(base, base=None, n_cohort=0)
    return Prior(population, weights, kernel, tuple(recordings), base, len(cohort))


def round_recording(recording):
    """Return a recording with the precision that it has in files."""
    return replace(recording, cov=recording.cov.astype(np.float16).astype(np.float32))


# ---------------------------------------------------------------------------------------------
# Which channels of the recordings are left out


def measure_errors(recording, *populations):
    """Return the error with which the other channels predict each one, shape (n_bands, n).

    The smallest error counts: with each covariance, such as that of other data sets, and with
    spherical splines. It is relative to the median variance of the channels.
    """
    cov, channels = recording.cov, recording.channels
    n, everything = len(channels), np.arange(len(channels))
    within = [population[:, channels][:, :, channels] for population in populations]
    places = electrode_positions()[channels] - template_sphere()[0]
    errors = np.zeros((N_BANDS, n))
    for bad in everything:
        good = np.delete(everything, bad)
        weights = [
            interpolation_operators(covs, np.ones(n), good, np.array([bad]))[0] for covs in within
        ]
        spline = _make_interpolation_matrix(places[good], places[[bad]])
        found = []
        for weight in (*weights, np.broadcast_to(spline, (N_BANDS, *spline.shape))):
            contrast = np.zeros((N_BANDS, n))
            contrast[:, bad], contrast[:, good] = 1.0, -weight[:, 0]
            found.append(np.einsum("bi,bij,bj->b", contrast, cov, contrast))
        errors[:, bad] = np.min(found, axis=0)
    return errors / np.median(np.einsum("bii->bi", cov), axis=1)[:, None]


def audit_recordings(recordings, components):
    """Drop channels that neither other data sets nor splines predict as well as elsewhere.

    Each recording is compared with a population that is estimated without its data set; with one
    data set alone there is nothing to compare with, and all channels are kept. An electrode that is
    wrong in most recordings of a data set is dropped in all of them. Returns the recordings, and
    the names of the channels that were dropped by source.
    """
    datasets = sorted({r.source[0] for r in recordings})
    if len(datasets) < 2:
        return recordings, {}
    errors = []
    populations = {
        dataset: estimate_prior(
            [r for r in recordings if r.source[0] != dataset], components
        ).population
        for dataset in datasets
    }
    for recording in recordings:
        errors.append(measure_errors(recording, populations[recording.source[0]]))
    verdicts = []  # of each recording: which channels are wrong
    for recording, found in zip(recordings, errors, strict=True):
        others = [k for k, r in enumerate(recordings) if r.source[0] != recording.source[0]]
        pooled = np.concatenate([errors[k] for k in others], axis=1)
        wrong = np.zeros(len(recording.channels), bool)
        for k, electrode in enumerate(recording.channels):
            same = [errors[i][:, recordings[i].channels == electrode] for i in others]
            same = np.concatenate(same, axis=1)
            usual = np.median(same if same.shape[1] >= _MIN_OTHERS else pooled, axis=1)
            wrong[k] = (found[:, k] > _AUDIT_RATIO * usual).sum() >= _AUDIT_BANDS
        verdicts.append(wrong)
    verdicts = _spread_verdicts(recordings, verdicts)
    kept = [
        drop_channels(recording, wrong) if wrong.any() else recording
        for recording, wrong in zip(recordings, verdicts, strict=True)
    ]
    dropped = {
        recording.source: [ELECTRODES[k] for k in recording.channels[wrong]]
        for recording, wrong in zip(recordings, verdicts, strict=True)
        if wrong.any()
    }
    return kept, dropped


def _spread_verdicts(recordings, verdicts):
    """Drop an electrode in all recordings of a data set if it is wrong in most of them."""
    found = {}
    for recording, wrong in zip(recordings, verdicts, strict=True):
        for electrode, is_wrong in zip(recording.channels, wrong, strict=True):
            found.setdefault((recording.source[0], electrode), []).append(is_wrong)
    everywhere = {key for key, own in found.items() if np.mean(own) > _MAJORITY}
    return [
        wrong | [(recording.source[0], k) in everywhere for k in recording.channels]
        for recording, wrong in zip(recordings, verdicts, strict=True)
    ]


def audit_cohort(cohort, base, components):
    """Drop channels of a cohort's recordings that nothing predicts as well as it usually does.

    Each recording is judged with the covariances of the base (a Prior or None) and of half of the
    cohort's other subjects. An error is unusual only if it is so among the other subjects too: what
    all of them have in common is how electrodes covary there. Returns the recordings, None for
    those with too few channels left, and the names of the channels that were dropped of each.
    """
    halves = _split_subjects(cohort)
    own = [None, None]
    if min(len({r.source[:2] for r in half}) for half in halves) >= _MIN_COHORT:
        own = [estimate_population(half, components)[0] for half in halves]
    known = [] if base is None else [base.population]
    if not known and own[0] is None:
        return list(cohort), [[] for _ in cohort]
    first = {r.source[:2] for r in halves[0]}
    errors = []
    for recording in cohort:
        other = own[1 if recording.source[:2] in first else 0]
        errors.append(measure_errors(recording, *known, *([] if other is None else [other])))
    usual_elsewhere = _find_usual(base)
    kept, dropped = [], []
    for recording, found in zip(cohort, errors, strict=True):
        others = [
            (r, e)
            for r, e in zip(cohort, errors, strict=True)
            if r.source[:2] != recording.source[:2]
        ]
        usual = usual_elsewhere[recording.channels].T
        for k, electrode in enumerate(recording.channels):
            same = [e[:, r.channels == electrode] for r, e in others if electrode in r.channels]
            if len(same) >= _MIN_COHORT:
                # The quartile, so that channels which are bad in half of the subjects are dropped.
                here = np.quantile(np.concatenate(same, axis=1), 0.25, axis=1)
                usual[:, k] = np.maximum(usual[:, k], here)
        wrong = (found > _AUDIT_RATIO * usual).sum(axis=0) >= _AUDIT_BANDS
        wrong &= (usual > 0).any(axis=0)  # otherwise nothing is known of that electrode
        dropped.append([ELECTRODES[k] for k in recording.channels[wrong]])
        enough = (~wrong).sum() >= _MIN_LEFT
        kept.append(drop_channels(recording, wrong) if enough else None)
    return kept, dropped


def _split_subjects(recordings):
    """Return the recordings of every second subject, and those of the others."""
    subjects = sorted({r.source[:2] for r in recordings})
    first = set(subjects[::2])
    return [[r for r in recordings if (r.source[:2] in first) == side] for side in (True, False)]


@lru_cache(maxsize=2)  # priors are equal only if they are the same object
def _find_usual(base):
    """Return the usual error of each electrode in a base (a Prior or None), (114, n_bands)."""
    usual = np.zeros((len(ELECTRODES), N_BANDS))
    if base is None:
        return usual
    step = -(-len(base.recordings) // _MOST_JUDGED)
    judged = base.recordings[::step]
    errors = np.concatenate([measure_errors(r, base.population) for r in judged], axis=1)
    channels = np.concatenate([r.channels for r in judged])
    usual[:] = np.median(errors, axis=1)
    for electrode, number in zip(*np.unique(channels, return_counts=True), strict=True):
        if number >= _MIN_OTHERS:
            usual[electrode] = np.median(errors[:, channels == electrode], axis=1)
    usual.flags.writeable = False
    return usual


def drop_channels(recording, wrong):
    """Return a recording without some channels, relative to the average of the others."""
    cov = recording.cov[:, ~wrong][:, :, ~wrong]
    return RecordingCovariance(
        recording.source, recording.channels[~wrong], normalise_covariance(cov)
    )


def normalise_covariance(cov):
    """Return covariances relative to the average of the channels, of mean variance 1."""
    n = cov.shape[-1]
    average = np.eye(n) - 1 / n
    cov = average @ cov @ average
    return cov / np.trace(cov, axis1=1, axis2=2)[:, None, None] * n
