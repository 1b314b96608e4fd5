# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Positions without usable digitized points, and experts that fail."""

import mne
import numpy as np
import pytest
from mne.io.constants import FIFF
from numpy.testing import assert_allclose, assert_array_equal

import mne_gram
from mne_gram import harmonize, restore
from mne_gram.restoration import _spline
from mne_gram.restoration._select import EXPERTS


def _remove_dig(info):
    """Keep the positions in the channels only, as after locations written by hand."""
    with info._unlock():
        info["dig"] = None


def _break_point(info):
    """Let one digitized point be NaN."""
    next(p for p in info["dig"] if p["kind"] == FIFF.FIFFV_POINT_EEG)["r"][:] = np.nan


def _use_mri_frame(info):
    """Give the digitized points in MRI coordinates, without fiducials."""
    points = [p for p in info["dig"] if p["kind"] == FIFF.FIFFV_POINT_EEG]
    for point in points:
        point["coord_frame"] = FIFF.FIFFV_COORD_MRI
    with info._unlock():
        info["dig"] = points


def _keep_three(info):
    """Keep too few digitized points for a sphere."""
    with info._unlock():
        info["dig"] = info["dig"][:3]


ODD_DIG = [_remove_dig, _break_point, _use_mri_frame, _keep_three]


@pytest.fixture(scope="module")
def healthy(clinical):
    """Return ten seconds with one bad channel, and what the methods make of them."""
    raw = clinical.copy()
    raw.info["bads"] = ["C3"]
    found = {m: restore(raw, method=m, verbose="error").get_data() for m in ("auto", "spline")}
    return raw, found


@pytest.mark.parametrize("break_dig", ODD_DIG)
@pytest.mark.parametrize("method", ["auto", "spline"])
def test_restoration_does_not_need_digitized_points(healthy, method, break_dig):
    raw = healthy[0].copy()
    break_dig(raw.info)
    restored, report = restore(raw, method=method, return_report=True, verbose="error")
    assert_array_equal(restored.get_data(), healthy[1][method])
    if method == "auto":  # the spline is still compared
        assert 0 < report.evidence.scores["spline"] < 1


@pytest.mark.parametrize("break_dig", ODD_DIG)
def test_harmonization_does_not_need_digitized_points(clinical, break_dig):
    raw = clinical.copy().drop_channels(["C3", "O2"])
    expected = harmonize(raw, clinical.ch_names, verbose="error").get_data()
    break_dig(raw.info)
    found = harmonize(raw, clinical.ch_names, verbose="error")
    assert_array_equal(found.get_data(), expected)


def test_locations_written_by_hand(clinical):
    """Epochs whose channels were added one by one, with force_update_info=True."""
    raw = clinical.copy()
    bare = mne.io.RawArray(
        raw.get_data(), mne.create_info(raw.ch_names, raw.info["sfreq"], "eeg"), verbose="error"
    )
    for ch, given in zip(bare.info["chs"], raw.info["chs"], strict=True):
        ch["loc"][:3] = given["loc"][:3]
    bare.info["bads"] = ["C3"]
    for inst in (bare, mne.make_fixed_length_epochs(bare, 2.0, preload=True, verbose="error")):
        for method in ("auto", "spline"):
            restored = restore(inst, method=method, verbose="error")
            assert np.isfinite(restored.get_data()).all() and not restored.info["bads"]


@pytest.mark.parametrize("step", ["fit", "estimate"])
@pytest.mark.parametrize("error", [RuntimeError, np.linalg.LinAlgError, KeyError])
def test_an_optional_expert_that_fails_is_left_out(clinical, monkeypatch, step, error):
    raw = clinical.copy()
    raw.info["bads"] = ["C3"]
    _, before = restore(raw, return_report=True, verbose="error")

    def fail(*args, **kwargs):
        raise error("from the inside of another package")

    names = set(before.evidence.scores) - {"spatial", "auto"}
    assert names == {"sphere", "noise", "spline"}
    monkeypatch.setitem(EXPERTS, "spline", EXPERTS["spline"]._replace(**{step: fail}))
    with mne.utils.catch_logging() as log:
        found, after = restore(raw, return_report=True, verbose="info")
        text = log.getvalue()
    assert np.isfinite(found.get_data()).all()
    assert set(before.evidence.scores) - set(after.evidence.scores) == {"spline"}
    assert "spline is left out of the comparison" in text
    assert "from the inside of another package" in text
    for name in names:
        monkeypatch.setitem(EXPERTS, name, EXPERTS[name]._replace(**{step: fail}))
    found, after = restore(raw, return_report=True, verbose="error")
    spatial = restore(raw, method="spatial", verbose="error")
    assert_allclose(found.get_data(), spatial.get_data(), rtol=0, atol=1e-15)
    assert set(after.evidence.scores) == {"spatial", "auto"}


def test_one_wrong_position_does_not_move_the_origin_of_the_spline(clinical):
    """Seen from a centre that a single electrode drags along, all weights would be others."""
    places = np.array([ch["loc"][:3] for ch in clinical.info["chs"]])
    origin = _spline.fit_origin(places)
    assert_allclose(origin, _spline.fit_origin(places[1:]), atol=2e-3)
    places[0] = [5.0, -3.0, 2.0]
    assert_allclose(_spline.fit_origin(places), origin, atol=2e-3)


@pytest.mark.parametrize("montage", ["biosemi64", "GSN-HydroCel-129", "colin27_1020"])
def test_the_origin_of_the_spline_is_that_of_mne(montage):
    if montage not in mne.channels.get_builtin_montages():
        montage = "standard_1020"
    montage = mne.channels.make_standard_montage(montage)
    info = mne.create_info(montage.ch_names, 200.0, "eeg")
    info.set_montage(montage)
    places = np.array([ch["loc"][:3] for ch in info["chs"]])
    _, expected, _ = mne.bem.fit_sphere_to_headshape(info, units="m", verbose="error")
    assert_allclose(_spline.fit_origin(places), expected, atol=1e-6)


@pytest.mark.parametrize("names", [["Fp1", "Fp2", "O1", "O2", "T8"], ["Fz", "Cz", "Pz", "C3"]])
def test_a_spline_of_few_electrodes(clinical, names):
    """Points that determine no sphere are on the template head."""
    raw = clinical.copy().pick(names)
    raw.info["bads"] = names[-1:]
    _remove_dig(raw.info)
    restored = restore(raw, method="spline", verbose="error")
    assert np.isfinite(restored.get_data()).all() and np.ptp(restored.get_data(names[-1:])) > 0


def test_a_spline_refuses_positions_that_are_no_head(clinical):
    raw = clinical.copy()
    raw.info["bads"] = ["C3"]
    for ch in raw.info["chs"]:
        ch["loc"][2] = 0.0
    with pytest.raises(ValueError, match="positions.*not on a head.*set_montage"):
        restore(raw, method="spline", verbose="error")
    assert np.isfinite(restore(raw, verbose="error").get_data()).all()
    raw = mne_gram.datasets.sample(verbose="error").crop(0, 5)
    raw.info["chs"][0]["loc"][:3] = np.inf
    with pytest.raises(ValueError, match=f"missing for {raw.ch_names[0]}"):
        restore(raw, method="spline", verbose="error")
