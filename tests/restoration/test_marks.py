# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What the data say after they were restored: projectors, and what was left undone."""

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram import harmonize, restore
from mne_gram._recording._masks import collect_mask


def to_epochs(raw):
    """Return epochs of two seconds."""
    return mne.make_fixed_length_epochs(
        raw, 2.0, preload=True, proj=False, reject_by_annotation=False, verbose="error"
    )


# ---------------------------------------------------------------------------------------------
# Average reference projectors


@pytest.mark.parametrize("kind", ["raw", "epochs", "evoked"])
def test_average_that_waits_is_renewed(clinical, kind):
    raw = clinical.copy()
    raw.info["bads"] = ["C3", "O1"]
    raw.set_eeg_reference("average", projection=True, verbose="error")
    make = dict(raw=lambda r: r, epochs=to_epochs, evoked=lambda r: to_epochs(r).average("eeg"))
    inst = make[kind](raw)
    restored = restore(inst, method="spatial", verbose="error")
    (projector,) = restored.info["projs"]
    assert not projector["active"]
    assert set(projector["data"]["col_names"]) == set(raw.ch_names)
    assert len(inst.info["projs"][0]["data"]["col_names"]) == 17  # the input is unchanged
    before = restored.copy()._data if kind != "evoked" else restored.data.copy()
    restored.apply_proj(verbose="error")
    after = restored._data if kind != "evoked" else restored.data
    assert_allclose(after, before - before.mean(axis=-2, keepdims=True), rtol=0, atol=1e-12)
    kept = restore(inst, method="spatial", reset_bads=False, verbose="error")
    assert len(kept.info["projs"][0]["data"]["col_names"]) == 17


def test_runs_with_and_without_a_bad_channel_go_together(clinical):
    first, second = clinical.copy().crop(0, 4), clinical.copy().crop(5, 9)
    first.info["bads"] = ["C3"]
    epochs = []
    for raw in (first, second):
        raw.set_eeg_reference("average", projection=True, verbose="error")
        epochs.append(to_epochs(restore(raw, method="spatial", verbose="error")))
    joined = mne.concatenate_epochs(epochs, verbose="error")
    assert len(joined.apply_proj(verbose="error")) == 4


def test_average_of_restored_channels_when_harmonized(clinical):
    raw = clinical.copy()
    raw.info["bads"] = ["C3"]
    raw.set_eeg_reference("average", projection=True, verbose="error")
    found = harmonize(raw, raw.ch_names, method="spatial", verbose="error")
    assert set(found.info["projs"][0]["data"]["col_names"]) == set(raw.ch_names)


# ---------------------------------------------------------------------------------------------
# What was left undone


@pytest.mark.parametrize("mask", ["auto", "array"])
@pytest.mark.parametrize("annotated", [None, "channels", "one"])
def test_gap_that_stays_is_marked(clinical, mask, annotated):
    """NaN that nothing restores is never without a mark."""
    raw = clinical.copy().crop(0, 8, include_tmax=False)
    start, stop = 480, 800
    raw._data[:, start:stop] = np.nan
    if annotated == "channels":
        raw.set_annotations(
            mne.Annotations(3.0, 2.0, "BAD_gap", ch_names=[tuple(raw.ch_names[:10])])
        )
    if annotated == "one":
        raw.set_annotations(mne.Annotations(3.5, 0.5, "BAD_gap"))
    given = "auto" if mask == "auto" else np.isnan(raw._data)
    restored = restore(raw, mask=given, method="spatial", verbose="error")
    left = ~np.isfinite(restored.get_data())
    assert left[:, start + 10 : stop - 10].all()
    marked = collect_mask(restored, np.arange(len(left)))
    assert not (left & ~marked).any()
    names = {a["description"] for a in restored.annotations}
    assert any(name.startswith("BAD") for name in names)
    same = restore(restored, method="spatial", verbose="error")  # and can be worked with
    assert_array_equal(same.get_data(), restored.get_data())
    silent = restore(raw, mask=given, method="spatial", annotate=False, verbose="error")
    assert "BAD_unrestored" not in set(silent.annotations.description)


def test_channel_that_stays_bad_is_marked(clinical):
    raw = clinical.copy().rename_channels({"C3": "left sock"})
    raw.info["chs"][raw.ch_names.index("left sock")]["loc"][:] = np.nan
    mask = np.zeros(raw.get_data().shape, bool)
    mask[[raw.ch_names.index("left sock"), 2]] = True
    for inst, own in ((raw, mask), (to_epochs(raw), np.repeat(mask[None, :, 0], 5, axis=0))):
        with pytest.warns(RuntimeWarning, match="Cannot restore left sock"):
            restored = restore(inst, mask=own, method="spatial")
        assert restored.info["bads"] == ["left sock"] and inst.info["bads"] == []
    assert list(restore(raw, mask=mask, on_missing="ignore").annotations.description) == [
        "RESTORED"
    ]


def test_gap_in_epochs_that_stays_is_warned_of(clinical):
    epochs = to_epochs(clinical)
    mask = np.zeros(epochs.get_data(copy=False).shape, bool)
    mask[2, :, 100:150] = True
    epochs._data[mask] = np.nan
    with pytest.warns(RuntimeWarning, match="left as they are.*Fp1.*epochs 2"):
        restored = restore(epochs, mask=mask, method="spatial")
    assert_array_equal(np.isnan(restored.get_data()), mask)
