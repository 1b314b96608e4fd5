# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Recordings that are completed to all electrodes, without storing all of that."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mne_gram.covariance import N_BANDS, RecordingCovariance
from mne_gram.covariance._conditional import contrast_basis, trace
from mne_gram.covariance._library import Library

CHANNELS = [np.arange(12), np.arange(40, 70), np.arange(12), np.arange(11, -1, -1)]


@pytest.fixture(scope="module")
def population():
    roots = np.random.default_rng(0).standard_normal((N_BANDS, 114, 150))
    return roots @ roots.swapaxes(1, 2) / 150


@pytest.fixture(scope="module")
def recordings():
    rng = np.random.default_rng(1)
    found = []
    for channels in CHANNELS:
        roots = rng.standard_normal((N_BANDS, len(channels), 20))
        found.append(RecordingCovariance((), channels, roots @ roots.swapaxes(1, 2)))
    return found


def complete(recording, population):
    """Complete one recording, without a share of the population."""
    inner = contrast_basis(np.ones(len(recording.channels)))
    basis = np.zeros((len(inner), 114))
    basis[:, recording.channels] = inner
    seen = inner @ recording.cov @ inner.T
    scale = trace(basis @ population @ basis.T) / trace(seen)
    expected = basis @ population @ basis.T
    gain = np.linalg.solve(expected, basis @ population)
    return population + gain.swapaxes(1, 2) @ (scale[:, None, None] * seen - expected) @ gain


@pytest.mark.parametrize("shrinkage", [0.0, 0.25])
def test_recordings_are_completed_by_the_population(recordings, population, shrinkage):
    expected = np.array([complete(r, population) for r in recordings])
    expected = (1 - shrinkage) * expected + shrinkage * population
    found = Library(recordings, population, shrinkage).complete()
    assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("numbers", [[0, 1, 2, 3], [1, 3], [2]])
def test_contrasts_are_those_of_the_completed_recordings(recordings, population, numbers):
    onto = np.random.default_rng(2).standard_normal((5, 114))
    library = Library(recordings, population)
    found = library.project(onto, np.array(numbers))
    assert_allclose(found, onto @ library.complete()[numbers] @ onto.T, rtol=1e-4, atol=1e-3)


def test_weighted_sums_are_those_of_the_completed_recordings(recordings, population):
    weights = np.random.default_rng(3).random((N_BANDS, len(recordings)))
    weights[:, 1] = 0.0
    library = Library(recordings, population)
    expected = np.einsum("br,rbij->bij", weights, library.complete())
    assert_allclose(library.add_up(weights), expected, atol=1e-5)
