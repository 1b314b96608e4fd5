# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The positions of the entries, and spheres."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram.montage import (
    BIPOLAR,
    CH_NAMES,
    ELECTRODES,
    electrode_positions,
    fit_sphere,
    template_places,
    template_sphere,
)

few = settings(deadline=None, max_examples=40)


def test_entries():
    assert len(CH_NAMES) == len(set(CH_NAMES)) == 130
    assert len(ELECTRODES) == 114 and not any("-" in name for name in ELECTRODES)
    assert len(BIPOLAR) == 16 and all("-" in name for name in BIPOLAR)
    # A few indices by hand: the order is what the published weights know.
    places = {"FP1": 0, "AF9": 3, "CZ": 41, "IZ": 86, "T3": 88, "A2": 95, "CCP1": 104, "T2": 113}
    assert {name: CH_NAMES.index(name) for name in places} == places
    assert CH_NAMES[114] == "FP1-F7" and CH_NAMES[129] == "P4-O2"


def test_positions():
    positions = electrode_positions()
    assert positions.shape == (114, 3) and np.isfinite(positions).all()
    place = dict(zip(ELECTRODES, positions, strict=True))
    # MNE's head frame: x to the right ear, y to the nose, z up; metres.
    assert place["T8"][0] > 0.06 and place["FPZ"][1] > 0.06 and place["CZ"][2] > 0.08
    origin, radius = template_sphere()
    assert 0.08 < radius < 0.11
    assert (np.abs(np.linalg.norm(positions - origin, axis=1) - radius) < 0.02).all()
    for left, right in (("O9", "O10"), ("CB1", "CB2"), ("CFC3", "CFC4"), ("CCP7", "CCP8")):
        assert_allclose(place[left] * [-1, 1, 1], place[right], atol=0.006)
        assert place[left][0] < -0.02


def test_positions_are_a_copy():
    electrode_positions()[:] = np.nan
    assert np.isfinite(electrode_positions()).all()
    template_sphere()[0][:] = np.nan
    assert np.isfinite(template_sphere()[0]).all()


def test_derived_positions():
    place = dict(zip(ELECTRODES, electrode_positions(), strict=True))
    template = template_places()
    for a, b in (("T3", "T7"), ("T4", "T8"), ("T5", "P7"), ("T6", "P8"), ("T1", "FT9")):
        assert_array_equal(place[a], place[b])
    # The half rows lie between their neighbours, and not where the template says CCP1.
    for mid, ends in {
        "CFC3": ("FC3", "C3", "FC1", "C1"),
        "CFC8": ("FT8", "T8", "FC6", "C6"),
        "CCP1": ("C1", "CP1", "CZ", "CPZ"),
        "CCP7": ("T7", "TP7", "C5", "CP5"),
    }.items():
        middle = np.mean([place[end] for end in ends], axis=0)
        assert np.linalg.norm(place[mid] - middle) < 0.006
    for k in range(1, 7):
        assert np.linalg.norm(place[f"CCP{k}"] - template[f"CCP{k}"]) > 0.015
    # No two other rows share a place.
    shared = {"T3", "T4", "T5", "T6", "T1", "T2", "CB1", "CB2"}
    rest = np.array([place[name] for name in ELECTRODES if name not in shared])
    gaps = np.linalg.norm(rest[:, None] - rest, axis=2) + np.eye(len(rest))
    assert gaps.min() > 0.012


@few
@given(
    origin=st.tuples(*[st.floats(-10, 10)] * 3),
    radius=st.floats(0.01, 100),
    seed=st.integers(0, 99),
)
def test_fit_sphere(origin, radius, seed):
    unit = np.random.default_rng(seed).standard_normal((12, 3))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    found, size = fit_sphere(unit * radius + origin)
    tol = 1e-6 * (radius + 10)
    assert_allclose(found, origin, atol=tol)
    assert_allclose(size, radius, atol=tol)


def test_fit_sphere_refuses_a_plane():
    points = np.random.default_rng(0).standard_normal((10, 3)) * [1, 1, 0]
    with pytest.raises(ValueError, match="one plane"):
        fit_sphere(points)
    with pytest.raises(ValueError, match="Found 3 points, expected at least 4"):
        fit_sphere(points[:3])
