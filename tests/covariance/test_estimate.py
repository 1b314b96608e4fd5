# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The estimate of a prior from recordings, and the audit of their channels."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram.covariance import (
    N_BANDS,
    RecordingCovariance,
    audit_cohort,
    audit_recordings,
    estimate_prior,
    fit_kernel,
    forward_components,
    normalise_covariance,
    sphere_kernel,
)
from mne_gram.covariance._estimate import weigh_recordings
from mne_gram.montage import ELECTRODES, INDEX, electrode_positions, template_sphere

NAMES = "Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2".split()
AUDITED = "Fp1 Fp2 F3 Fz F4 C3 Cz C4 P3 Pz P4 O1 O2".split()


@pytest.fixture(scope="module")
def components():
    return forward_components()


def indices(names):
    """Return the montage indices of names."""
    return np.array([INDEX[name.upper()] for name in names])


def test_kernel_is_found():
    truth = np.zeros(16)
    truth[[1, 2, 4]] = [0.6, 0.3, 0.1]
    origin, _ = template_sphere()
    units = electrode_positions() - origin
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    cosines = units @ units.T
    noise = 0.2 * (cosines > 1 - 1e-9)  # which belongs to no degree
    assert_allclose(fit_kernel(sphere_kernel(cosines, truth) + noise), truth, atol=1e-6)


def draw_recordings(truth, channels, dataset, n, seed):
    """Draw recordings of subjects whose covariances scatter around a truth."""
    rng = np.random.default_rng(seed)
    average = np.eye(len(channels)) - 1 / len(channels)
    recordings = []
    for person in range(n):
        covs = []
        for cov in truth[:, channels][:, :, channels]:
            root = np.linalg.cholesky(cov + 1e-6 * np.eye(len(channels)))
            x = root @ rng.standard_normal((len(channels), 400))
            cov = average @ (x @ x.T) @ average
            covs.append(cov / np.trace(cov) * len(channels))
        source = (dataset, f"sub-{person}", f"sub-{person}_eeg.edf")
        recordings.append(RecordingCovariance(source, channels, np.array(covs)))
    return recordings


def test_estimate_from_subjects_with_different_electrodes(components):
    """What two groups share is found, at the electrodes of either and between them."""
    rng = np.random.default_rng(0)
    amounts = rng.exponential(size=(N_BANDS, len(components))) ** 3
    truth = np.tensordot(amounts, components, axes=1)
    truth /= np.einsum("bii->b", truth)[:, None, None] / 114
    first = indices([*NAMES, "Cz", "Pz", "Fz", "T7", "T8"])
    second = indices([*NAMES, "FC1", "FC2", "CP5", "CP6", "POz", "Oz", "FC6"])
    recordings = [
        *draw_recordings(truth, first, "a", 12, seed=1),
        *draw_recordings(truth, second, "b", 12, seed=2),
    ]
    prior = estimate_prior(recordings, components, n_iter=3)
    assert prior.library.shape == (24, N_BANDS, 114, 114)
    assert prior.sources == tuple(r.source for r in recordings)
    assert_array_equal(prior.weights, 1)
    assert_allclose(np.einsum("bii->b", prior.population), 114)
    covered = np.union1d(first, second)
    start = components.mean(axis=0)
    for found, true in zip(prior.population, truth, strict=True):
        assert np.linalg.eigvalsh(found).min() > -1e-8
        for channels in (covered, np.arange(114)):
            average = np.eye(len(channels)) - 1 / len(channels)
            a, b, c = (
                average @ x[np.ix_(channels, channels)] @ average for x in (found, true, start)
            )
            assert np.linalg.norm(a - b) < 0.5 * np.linalg.norm(c - b)
            assert np.linalg.norm(a - b) < 0.35 * np.linalg.norm(b)


def test_subjects_count_once(components):
    recordings = draw_recordings(components[:N_BANDS], indices(NAMES), "a", 3, seed=0)
    again = RecordingCovariance(
        ("a", "sub-0", "sub-0_run-2_eeg.edf"), recordings[0].channels, recordings[0].cov
    )
    prior = estimate_prior(recordings, components, n_iter=2)
    twice = estimate_prior([*recordings, again], components, n_iter=2)
    assert_array_equal(twice.weights, [0.5, 1, 1, 0.5])
    assert_allclose(twice.population, prior.population, atol=1e-8)


# ---------------------------------------------------------------------------------------------
# The audit


@pytest.mark.parametrize(("n", "share"), [(1, 0.1), (5, 0.5), (10, 1.0), (40, 1.0)])
def test_weight_of_a_cohort(n, share):
    """Each subject of a small cohort counts the same; a large one counts as much as the base."""
    cov = np.repeat(np.eye(3)[None], N_BANDS, axis=0)
    base = [RecordingCovariance(("a", f"sub-{k}", "x"), np.arange(3), cov) for k in range(30)]
    own = [RecordingCovariance(("b", f"sub-{k}", "x"), np.arange(3), cov) for k in range(n)]
    twice = [*base, *own, replace(own[0], source=("b", "sub-0", "y"))]
    for recordings, number in (([*base, *own], n), (twice, n + 1)):
        weights = weigh_recordings(recordings, number)
        assert_allclose(weights[:30], 1.0)
        assert_allclose(weights[30:].sum(), 30 * share)
    assert_allclose(weigh_recordings(own, n), 1.0)  # nothing but the cohort


def make_recordings(components, noisy, n_recordings=4, n_noisy=4):
    """Return recordings of three data sets; in some of the first one electrodes are noisy."""
    channels, recordings = indices(AUDITED), []
    smooth = components[:-1].mean(axis=0)[np.ix_(channels, channels)]
    for dataset in ("one", "two", "three"):
        for k in range(n_recordings):
            noise = 0.05 * np.ones(len(channels))
            if dataset == "one" and k < n_noisy:
                noise[[AUDITED.index(name) for name in noisy]] = 4.0
            cov = normalise_covariance(np.repeat((smooth + np.diag(noise))[None], N_BANDS, axis=0))
            recordings.append(RecordingCovariance((dataset, f"sub-{k}", f"{k}"), channels, cov))
    return recordings


def test_audit_drops_what_nothing_predicts(components):
    """The noisy electrode of one data set is dropped there, and nowhere else."""
    recordings = make_recordings(components, ["Cz"])
    kept, dropped = audit_recordings(recordings, components)
    assert dropped == {r.source: ["CZ"] for r in recordings if r.source[0] == "one"}
    for before, after in zip(recordings, kept, strict=True):
        assert (INDEX["CZ"] in after.channels) == (before.source[0] != "one")
        assert_allclose(np.trace(after.cov, axis1=1, axis2=2), len(after.channels))
        assert_allclose(after.cov.sum(axis=-1), 0, atol=1e-12)


@pytest.mark.parametrize(("n_noisy", "n_dropped"), [(2, 2), (3, 4)])
def test_audit_drops_what_is_wrong_in_most(components, n_noisy, n_dropped):
    """An electrode that is wrong in most recordings of a data set is not trusted in the others."""
    recordings = make_recordings(components, ["Cz"], n_noisy=n_noisy)
    _, dropped = audit_recordings(recordings, components)
    assert set(dropped) == {r.source for r in recordings[:n_dropped]}


def test_audit_keeps_what_is_predicted(components):
    """Nothing is dropped from recordings that are alike, or where there is no other data set."""
    recordings = make_recordings(components, [])
    assert audit_recordings(recordings, components) == (recordings, {})
    alone = [r for r in make_recordings(components, ["Cz"]) if r.source[0] == "one"]
    assert audit_recordings(alone, components) == (alone, {})


# ---------------------------------------------------------------------------------------------
# The audit of a cohort


def make_cohort(components, noisy, n_subjects=8):
    """Return a cohort in which electrodes are noisy in some subjects, given by number."""
    channels, recordings = indices(AUDITED), []
    smooth = components[:-1].mean(axis=0)[np.ix_(channels, channels)]
    for k in range(n_subjects):
        noise = 0.05 * np.ones(len(channels))
        for name, subjects in noisy.items():
            if k in subjects:
                noise[AUDITED.index(name)] = 4.0
        cov = normalise_covariance(np.repeat((smooth + np.diag(noise))[None], N_BANDS, axis=0))
        recordings.append(RecordingCovariance(("lab", f"sub-{k}", f"{k}"), channels, cov))
    return recordings


@pytest.fixture(scope="module")
def base(components):
    return estimate_prior(make_recordings(components, []), components, n_iter=1)


@pytest.mark.parametrize("with_base", [True, False])
def test_audit_of_a_cohort(components, base, with_base):
    """What is noisy in up to half of the subjects is dropped there, and nothing else is."""
    cohort = make_cohort(components, {"Cz": [1], "F3": [0, 2, 4, 6]})
    kept, dropped = audit_cohort(cohort, base if with_base else None, components)
    assert dropped == [["F3"], ["CZ"], ["F3"], [], ["F3"], [], ["F3"], []]
    for names, after in zip(dropped, kept, strict=True):
        assert len(after.channels) == len(AUDITED) - len(names)
        assert not set(names) & {ELECTRODES[k] for k in after.channels}
        assert_allclose(np.trace(after.cov, axis1=1, axis2=2), len(after.channels))


@pytest.mark.parametrize("with_base", [True, False])
def test_what_a_cohort_has_in_common_is_kept(components, base, with_base):
    cohort = make_cohort(components, {"Cz": range(8)})
    assert audit_cohort(cohort, base if with_base else None, components)[1] == [[]] * 8


def test_audit_of_very_few_subjects(components, base):
    """One subject is compared with the base; without a base there is nothing to compare with."""
    cohort = make_cohort(components, {"Cz": [0]}, n_subjects=1)
    assert audit_cohort(cohort, base, components)[1] == [["CZ"]]
    assert audit_cohort(cohort, None, components) == (cohort, [[]])


def test_audit_leaves_nothing_of_a_recording(components, base, monkeypatch):
    """A recording of which too few channels are left is None."""
    monkeypatch.setattr("mne_gram.covariance._estimate._AUDIT_RATIO", 0.0)
    kept, dropped = audit_cohort(make_cohort(components, {}, n_subjects=2), base, components)
    assert kept == [None, None]
    assert [len(names) for names in dropped] == [len(AUDITED)] * 2
