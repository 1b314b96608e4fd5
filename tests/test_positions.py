# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Positions that cannot be right are not used, and a warning says so."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import mne_gram
from mne_gram.montage._head import template_montage

NAMES = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()


@pytest.fixture(scope="module")
def clinical():
    """Return 6 seconds of 19 electrodes with positions, C3 marked as bad."""
    raw = mne_gram.datasets.sample(return_truth=True, verbose="error")[1]
    raw = raw.set_annotations(None).pick(NAMES).crop(0, 6, include_tmax=False)
    raw.set_montage(template_montage())
    raw.info["bads"] = ["C3"]
    return raw


def place(raw, change, names=None):
    """Return a copy with changed positions ``(n_channels, 3)``."""
    raw = raw.copy()
    if names is not None:
        raw.rename_channels(dict(zip(raw.ch_names, names, strict=True)))
    places = change(np.array([ch["loc"][:3] for ch in raw.info["chs"]]))
    for ch, place in zip(raw.info["chs"], places, strict=True):
        ch["loc"][:3] = place
    return raw


WRONG = {
    "mirrored": lambda x: x * [-1, 1, 1],
    "back to front": lambda x: x * [1, -1, 1],
    "flat": lambda x: x * [1, 1, 0],
    "flat circle": lambda x: x * [1, 1, 0] / np.linalg.norm(x[:, :2] + 1e-3, axis=1).max(),
    "axes exchanged": lambda x: x[:, [1, 0, 2]],
    "upside down": lambda x: x * [1, 1, -1],
}
FUNCTIONS = {
    "restore": lambda raw: mne_gram.restore(raw, method="spatial").get_data("C3"),
    "auto": lambda raw: mne_gram.restore(raw, method="auto").get_data("C3"),
    "harmonize": lambda raw: mne_gram.harmonize(raw, ["C3", "CPz"], method="spatial").get_data(),
    "find_bads": lambda raw: mne_gram.find_bads(raw, line_freq=50.0).scores["misfit"],
    "embedding": lambda raw: mne_gram.compute_embedding(raw, line_freq=50.0).data,
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore:A high-pass at")
def test_positions_that_contradict_the_names(clinical, wrong, name):
    function = FUNCTIONS[name]
    raw = place(clinical, WRONG[wrong])
    with pytest.warns(RuntimeWarning, match="positions do not fit the channel names.* ignored"):
        found = function(raw)
    plain = clinical.copy().set_montage(None)
    assert_array_equal(found, function(plain))


@pytest.mark.filterwarnings("ignore:Only 0 of 19 channels have a known name or a position")
def test_flat_positions_without_names(clinical):
    raw = place(clinical, WRONG["flat"], [f"E{k}" for k in range(19)])
    for function in (
        lambda raw: mne_gram.find_bads(raw, line_freq=50.0),
        lambda raw: mne_gram.restore(raw, method="spatial", on_missing="ignore"),
    ):
        with pytest.warns(RuntimeWarning, match="positions lie in one plane.* ignored"):
            function(raw)
    # Electrodes of a ring, or on the midline, lie in a plane as well.
    for rows in (["Fp1", "F7", "T7", "P7", "O1", "O2", "P8"], ["Fz", "Cz", "Pz", "Fp1", "O1"]):
        ring = clinical.copy().pick(rows)
        ring = place(ring, lambda x: x, [f"E{k}" for k in range(len(rows))])
        mne_gram.match_channels(ring.info, on_missing="ignore")


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore:A high-pass at")
def test_positions_that_are_right(clinical, name):
    """Other heads and frames give no warning (which would be an error here)."""
    turned = place(clinical, lambda x: 1.1 * x @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]]))
    for raw in (clinical, turned, clinical.copy().set_montage(None)):
        FUNCTIONS[name](raw)
