# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Odd data for the transformer: short segments, holes, few channels, masks that do not fit."""

import mne
import numpy as np
import pytest

import mne_gram
from mne_gram import LiveRestorer, Restorer


@pytest.fixture(scope="module")
def raw():
    """Return twenty clean seconds of 19 electrodes."""
    raw, _ = mne_gram.simulation.simulate_raw(20.0, seed=3, artefacts=("noise",), verbose="error")
    return raw


@pytest.fixture(scope="module")
def epochs(raw):
    """Return the same as ten trials."""
    return mne.make_fixed_length_epochs(raw, 2.0, preload=True, verbose="error")


@pytest.fixture(scope="module")
def restorer(epochs):
    """Return a fitted transformer."""
    return Restorer().fit(epochs)


@pytest.fixture(scope="module")
def finder(epochs):
    """Return one that finds bad channels."""
    return Restorer(bads="auto").fit(epochs)


def test_hole(finder, raw):
    """Where nothing was recorded, no channel is flat."""
    raw = raw.copy()
    raw._data[:, 1600:2400] = 0
    raw.set_annotations(mne.Annotations([8.0], [4.0], ["BAD_ACQ_SKIP"]))
    assert (finder.transform(raw).get_data() == raw.get_data()).all()
    raw.info["bads"] = ["C3"]
    restored = finder.transform(raw)
    assert restored.info["bads"] == []
    assert set(restored.annotations.description) == {"BAD_ACQ_SKIP", "RESTORED"}


def test_long_hole_in_fit(raw):
    """What is usual for the signals is learnt where there are any."""
    longer = mne.concatenate_raws([raw.copy() for _ in range(3)], verbose="error")
    longer._data[:, 4000:] = 0
    longer.set_annotations(mne.Annotations([20.0], [40.0], ["BAD_ACQ_SKIP"]))
    data = raw.get_data()
    data[3, 2000:] = 0
    live = LiveRestorer(Restorer().fit(longer))
    live.process(data)
    assert live.bads == [raw.ch_names[3]]


def test_hole_in_epochs(restorer, raw):
    """Epochs across a hole may have anything there."""
    raw = raw.copy()
    raw._data[:, 2000:2300] = np.nan
    raw.set_annotations(mne.Annotations([10.0], [1.5], ["BAD_ACQ_SKIP"]))
    epochs = mne.make_fixed_length_epochs(
        raw, 2.0, preload=True, reject_by_annotation=False, verbose="error"
    )
    epochs.info["bads"] = ["C3"]
    restored = restorer.transform(epochs)
    assert restored.info["bads"] == [] and np.isfinite(restored.get_data("C3")).all()


def test_few_channels_for_splines(epochs, raw):
    """With splines, nothing is restored from fewer than four channels, nor in a stream."""
    fitted = Restorer(method="spline").fit(epochs)
    live, data = LiveRestorer(fitted, detect=False), raw.get_data()
    mask = np.arange(19) >= 3
    assert (live.process(data, mask=mask) == data).all()
    mask[3] = False
    assert (live.process(data, mask=mask)[4:] != data[4:]).any(axis=1).all()


@pytest.mark.parametrize("n_times", [1, 40, 300])
def test_short_segment(finder, raw, n_times):
    """Segments of a Raw that are shorter than two seconds are checked, too."""
    stop = 5.0 + (n_times - 1) / raw.info["sfreq"]
    parts = [raw.copy().crop(0, 4), raw.copy().crop(5, stop), raw.copy().crop(10, 13)]
    raw = mne.concatenate_raws(parts, verbose="error")
    raw._data[4, 801 : 801 + n_times] = np.nan
    restored = finder.transform(raw).get_data()
    assert np.isfinite(restored).all()
    assert np.flatnonzero((restored != raw.get_data()).any(axis=0)).tolist() == [
        *range(801, 801 + n_times)
    ]


def test_short_trials(finder, epochs):
    """Trials that are too short for any band have no misfit, but other faults."""
    epochs = epochs.copy().crop(0, 1 / epochs.info["sfreq"])
    epochs._data[2, 5] = np.nan
    changed = (finder.transform(epochs).get_data() != epochs.get_data(copy=False)).any(axis=2)
    assert np.argwhere(changed).tolist() == [[2, 5]]


def test_few_channels(restorer, epochs):
    """Data with hardly any channel of fit are refused."""
    with pytest.raises(ValueError, match="Found 1 channel of fit in the data"):
        restorer.transform(epochs.copy().pick(["Cz"]))
    with pytest.raises(ValueError, match="Found 0 channels of fit in the data"):
        restorer.transform(epochs.get_data(), ch_names=[f"X{k}" for k in range(19)])


def test_lists(restorer, epochs):
    """Lists and masks that do not fit are refused in the same way as Epochs."""
    items = [epochs[k] for k in range(3)]
    with pytest.raises(ValueError, match="expected 3 epochs"):
        restorer.transform(items, mask=np.zeros((2, 19), bool))
    with pytest.raises(TypeError, match="mask must be an instance of"):
        restorer.transform(items, mask=[[True] * 19] * 3)
    with pytest.raises(ValueError, match="item 1 is int"):
        restorer.transform([items[0], 3])


def test_types_of_arrays(epochs):
    """With ch_names, the channels of an array have the types that they had in fit."""
    eog = mne.create_info(["EOG", "X1"], epochs.info["sfreq"], ["eog", "misc"])
    eog = mne.EpochsArray(np.ones((len(epochs), 2, len(epochs.times))), eog, verbose="error")
    epochs = epochs.copy().add_channels([eog], force_update_info=True)
    epochs.reorder_channels(["X1", *epochs.ch_names[:5], "EOG", *epochs.ch_names[5:19]])
    restorer = Restorer().fit(epochs)
    rest = epochs.copy().drop_channels(["Cz"])
    expected = restorer.transform(rest)
    found = restorer.transform(rest.get_data(), ch_names=rest.ch_names)
    assert (found == expected.get_data(copy=False)).all()
