# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The RejectLog of autoreject as a mask."""

from types import SimpleNamespace

import mne
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import mne_gram
from mne_gram._recording import collect_mask

NAMES = "Fp1 Fp2 F3 F4 C3 Cz C4 P3 Pz P4 O1 O2".split()
N_EPOCHS, N_TIMES = 12, 160


@pytest.fixture(scope="module")
def epochs():
    """Return epochs of one second, F4 with artefacts in three of them, Pz a bad channel."""
    raw = mne_gram.datasets.sample(return_truth=True, verbose="error")[1].pick(NAMES)
    raw.set_annotations(None)
    raw.crop(0, N_EPOCHS, include_tmax=False)
    epochs = mne.make_fixed_length_epochs(raw, 1.0, preload=True, verbose="error")
    noise = np.random.default_rng(0).standard_normal((3, N_TIMES))
    epochs._data[[2, 5, 6], 3] += 5e-4 * noise
    epochs._data[6, :8] += 1e-3 * noise[:1]
    epochs.info["bads"] = ["Pz"]
    return epochs


def make_log(epochs, **changes):
    """Return what autoreject would: F4 bad in three epochs, one of which it interpolated."""
    names = epochs.ch_names
    labels = np.zeros((len(epochs), len(names)))
    labels[:, names.index("Pz")] = np.nan
    labels[2, names.index("F4")] = 2
    labels[5, names.index("F4")] = 1
    labels[6, :8] = 1
    log = dict(labels=labels, ch_names=list(names), bad_epochs=np.arange(len(epochs)) == 6)
    return SimpleNamespace(**{**log, **changes})


def read(inst, log):
    """Return the mask of the whole data, (n_epochs, n_channels, n_times)."""
    mask = collect_mask(inst, np.arange(len(inst.ch_names)), log)
    return mask.reshape(len(inst.ch_names), len(inst), -1).transpose(1, 0, 2)


def test_labels_1_and_2_are_bad(epochs):
    log = make_log(epochs)
    bad = read(epochs, log)
    expected = np.isin(log.labels, (1, 2))
    expected[:, NAMES.index("Pz")] = True  # by info["bads"], whatever its label
    assert_array_equal(bad, np.broadcast_to(expected[..., None], bad.shape))


def test_the_same_for_the_epochs_that_autoreject_returned(epochs):
    log = make_log(epochs)
    returned = epochs.copy().drop(6, verbose="error")
    returned._data[2, 3] = 0  # as if interpolated
    assert_array_equal(read(returned, log), read(epochs, log)[~log.bad_epochs])
    whole = mne_gram.restore(epochs[~log.bad_epochs], mask=log, method="spline", verbose="error")
    again = mne_gram.restore(returned, mask=log, method="spline", verbose="error")
    assert_array_equal(again.get_data(), whole.get_data())


def test_channels_go_by_name(epochs):
    log = make_log(epochs)
    order = NAMES[::-1][2:] + ["EOG"]
    info = mne.create_info(["EOG"], 160.0, "eog")
    eog = mne.EpochsArray(np.zeros((N_EPOCHS, 1, N_TIMES)), info, verbose="error")
    other = epochs.copy().add_channels([eog], force_update_info=True).reorder_channels(order)
    bad = read(other, log)
    assert (
        bad[2, other.ch_names.index("F4")].all() and not bad[2, other.ch_names.index("Fp2")].any()
    )
    assert not bad[:, -1].any()
    assert_array_equal(bad[:, :-1], read(epochs, log)[:, ::-1][:, 2:])


def test_bad_channels_that_are_missing_are_named(epochs):
    log = make_log(epochs)
    log.ch_names[3] = "F4-LE"
    with pytest.warns(RuntimeWarning, match="F4-LE in the RejectLog"):
        read(epochs, log)


@pytest.mark.parametrize("n_epochs", [10, 3])
def test_other_numbers_of_epochs_are_refused(epochs, n_epochs):
    match = (
        rf"Found {n_epochs} epochs, expected the 12 .*before.* or the 11 .*after dropping the 1 "
    )
    with pytest.raises(ValueError, match=match):
        mne_gram.restore(epochs[:n_epochs], mask=make_log(epochs), verbose="error")


def test_wrong_logs_are_refused(epochs):
    log = make_log(epochs)
    with pytest.raises(ValueError, match=r"shape \(12, 11\), expected \(12, 12\)"):
        read(epochs, make_log(epochs, labels=log.labels[:, 1:]))
    with pytest.raises(ValueError, match="must be 0"):
        read(epochs, make_log(epochs, labels=log.labels + 1))
    with pytest.raises(ValueError, match="no channel in common"):
        read(epochs, make_log(epochs, ch_names=[f"E{k}" for k in range(12)]))
    raw = mne.io.RawArray(epochs.get_data()[0], epochs.info, verbose="error")
    with pytest.raises(TypeError, match="RejectLog is for must be .*Epochs"):
        mne_gram.restore(raw, mask=log)


@pytest.mark.slow
def test_log_of_autoreject(epochs):
    """The labels that autoreject gives are read as they are meant, before and after its work."""
    autoreject = pytest.importorskip("autoreject")
    options = dict(n_interpolate=[1], consensus=[0.5], cv=2, thresh_method="random_search")
    reject = autoreject.AutoReject(**options, random_state=0, verbose=False).fit(epochs)
    returned, log = reject.transform(epochs, return_log=True)
    k, bad = NAMES.index("F4"), read(epochs, log)
    assert log.labels[2, k] == 2 and bad[2, k].all() and bad[5, k].all()
    assert log.bad_epochs[6] and len(returned) < len(epochs)
    assert_array_equal(read(returned, log), bad[~log.bad_epochs])
    options = dict(mask=log, method="spline", return_report=True, verbose="error")
    restored, report = mne_gram.restore(epochs, **options)
    assert {"F4", "Pz"} <= set(report.to_data_frame()["channel"])
    good = ~bad
    assert_array_equal(restored.get_data()[good], epochs.get_data()[good])
