# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The average reference, and projectors."""

import warnings

import mne
import numpy as np
import pytest
from mne.io.constants import FIFF
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram.preprocessing import preprocess


def test_only_derivations(make_raw):
    raw = make_raw(names=["FP1-F7", "F7-T7", "T7-P7", "P7-O1", "EEG F8-T4"])
    kwargs = dict(line_freq=False)
    assert_array_equal(
        preprocess(raw, **kwargs).get_data(), preprocess(raw, reference=None, **kwargs).get_data()
    )


def test_derivations_have_no_reference_to_warn_of(make_raw):
    raw = make_raw(names=["FP1-F7", "F7-T7", "T7-P7", "P7-O1", "Fz-Cz"], line_freq=50)
    with raw.info._unlock():
        raw.info["custom_ref_applied"] = FIFF.FIFFV_MNE_CUSTOM_REF_ON
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "The data were re-referenced")
        preprocess(raw)
    raw.rename_channels({"FP1-F7": "Fp1", "F7-T7": "F7"})
    with pytest.warns(RuntimeWarning, match="re-referenced, but"):
        preprocess(raw)


@pytest.mark.parametrize("reference", ["average", None])
def test_reference(reference, make_raw):
    out = preprocess(make_raw(line_freq=50), reference=reference)
    mean = np.abs(out.get_data(picks="eeg").mean(axis=0)).max()
    assert (mean < 1e-15) == (reference == "average")


def test_reference_that_is_already_there(make_raw):
    raw = make_raw(line_freq=50)
    once = preprocess(raw.copy().set_eeg_reference("average", projection=False))
    assert_allclose(once.get_data(), preprocess(raw).get_data(), atol=1e-15)
    waiting = raw.copy().set_eeg_reference("average", projection=True)
    out = preprocess(waiting)
    assert_allclose(out.get_data(), once.get_data(), atol=1e-15)
    assert out.info["projs"] == [] and len(waiting.info["projs"]) == 1


def test_another_reference_gives_a_warning(make_raw):
    raw = make_raw(line_freq=50)
    for channels in (["Fp1"], raw.ch_names[:3]):
        linked = raw.copy().set_eeg_reference(channels, projection=False)
        with pytest.warns(RuntimeWarning, match="re-referenced, but.*add_reference_channels"):
            out = preprocess(linked)
        assert_allclose(out.get_data(), preprocess(raw).get_data(), atol=1e-12)
    # An average that held a channel which is bad now is not the average of the good ones.
    average = raw.copy().set_eeg_reference("average", projection=False)
    average.info["bads"] = ["Fp1"]
    with pytest.warns(RuntimeWarning, match="re-referenced, but"):
        preprocess(average)


def test_applied_projectors_are_in_the_data(tmp_path, make_raw):
    raw = make_raw(line_freq=50)
    raw.set_eeg_reference("average", projection=True)
    raw.save(tmp_path / "b_raw.fif", fmt="double")
    lazy = mne.io.read_raw_fif(tmp_path / "b_raw.fif").apply_proj()
    applied = preprocess(lazy, reference=None)
    assert_allclose(applied.get_data(picks="eeg").mean(axis=0), 0, atol=1e-15)


def test_waiting_projectors_are_refused(make_raw):
    raw = make_raw(line_freq=50)
    vector = np.ones((1, 2)) / np.sqrt(2)
    data = dict(data=vector, col_names=["Fp1", "F3"], row_names=None, nrow=1, ncol=2)
    proj = mne.Projection(active=False, data=data, desc="blink", kind=1, explained_var=None)
    raw.add_proj(proj)
    with pytest.raises(ValueError, match=r"not applied: blink.*apply_proj\(\).*del_proj\(\)"):
        preprocess(raw)
    preprocess(raw.apply_proj())
