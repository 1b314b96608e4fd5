# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Unsuitable input: every public function refuses it in the same words."""

from contextlib import nullcontext

import mne
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import mne_gram

NAMES = "Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2".split()


def make_raw(n_times=600, sfreq=200.0, names=NAMES, types="eeg"):
    """Return noise of 10 microvolts at electrodes with known names."""
    info = mne.create_info(names, sfreq, types)
    data = 1e-5 * np.random.default_rng(0).standard_normal((len(names), n_times))
    raw = mne.io.RawArray(data, info, verbose="error")
    raw.info["bads"] = names[:1]
    return raw


def make_epochs(raw=None):
    """Return epochs of one second."""
    raw = make_raw() if raw is None else raw
    return mne.make_fixed_length_epochs(raw, 1.0, preload=True, verbose="error")


def make_complex(inst):
    """Return a copy of which the samples are complex."""
    inst = inst.copy()
    inst._data = inst._data * (1 + 0.5j)
    return inst


def skip_all(raw):
    """Return a copy that is one gap of the acquisition."""
    return raw.set_annotations(mne.Annotations(0, raw.n_times / 200, "BAD_ACQ_SKIP"))


FUNCTIONS = {
    "restore": lambda inst: mne_gram.restore(inst, method="spatial"),
    "restore auto": lambda inst: mne_gram.restore(inst, mask="auto"),
    "restore spline": lambda inst: mne_gram.restore(inst, method="spline"),
    "harmonize": lambda inst: mne_gram.harmonize(inst, ["Cz", "Pz"], method="spatial"),
    "find_bads": mne_gram.find_bads,
    "preprocess": lambda inst: mne_gram.preprocess(inst, line_freq=50),
    "compute_embedding": mne_gram.compute_embedding,
    "compute_tokens": mne_gram.compute_tokens,
}
DECODING = {
    "classifier": lambda inst: mne_gram.GramClassifier(features=["tangent"]).fit(inst, [0, 1, 1]),
    "features": lambda inst: mne_gram.GramFeatures(["tangent"]).fit(inst),
}
EVERY = FUNCTIONS | DECODING
CASES = {
    "complex Raw": (FUNCTIONS, lambda: make_complex(make_raw()), "complex data, expected real"),
    "complex Epochs": (EVERY, lambda: make_complex(make_epochs()), "complex data, expected real"),
    "empty Epochs": (EVERY, lambda: make_epochs()[:0], "no epoch"),
    "CSD": (
        FUNCTIONS,
        lambda: make_raw(types="csd"),
        "current source density, expected potentials",
    ),
    "CSD epochs": (
        EVERY,
        lambda: make_epochs(make_raw(types="csd")),
        "current source density, expected potentials",
    ),
    "no EEG": (
        EVERY,
        lambda: make_epochs(make_raw(types="misc")),
        "Found no EEG channel.*the types are misc.*set_channel_types",
    ),
    "intracranial": (
        EVERY,
        lambda: make_epochs(make_raw(types="seeg")),
        "Found no EEG channel.*the types are seeg.*intracranial EEG",
    ),
    "all skipped": (FUNCTIONS, lambda: skip_all(make_raw()), "BAD_ACQ_SKIP.*whole recording"),
    "array": (FUNCTIONS, lambda: np.zeros((3, 10)), "inst must be an instance of"),
}


@pytest.mark.parametrize("case", CASES)
def test_refused_in_the_same_words(case):
    functions, make, match = CASES[case]
    for name, function in functions.items():
        inst = make()
        before = getattr(inst, "_data", inst).copy()
        with pytest.raises((ValueError, TypeError), match=match):
            function(inst)
            print(name)  # which of them did not
        assert_array_equal(getattr(inst, "_data", inst), before)


def test_evoked_that_is_complex():
    evoked = make_epochs().average(picks="all")
    evoked.data = evoked.data * 1j
    for name in ("restore", "harmonize"):
        with pytest.raises(ValueError, match="complex data, expected real"):
            FUNCTIONS[name](evoked)


def test_raw_is_no_epochs():
    for fit in (
        lambda raw: mne_gram.GramClassifier().fit(raw, np.arange(4)),
        mne_gram.GramFeatures().fit,
    ):
        with pytest.raises(TypeError, match="continuous recording, expected epochs"):
            fit(make_raw())


@pytest.mark.parametrize("n_channels", [1, 2])
def test_too_few_channels(n_channels):
    """One good channel, or none, estimates nothing."""
    raw = make_raw(names=NAMES[:n_channels])
    raw.info["bads"] = raw.ch_names[1:]
    with pytest.raises(ValueError, match=f"1 of {n_channels} EEG channels .* good.*at least 2"):
        mne_gram.harmonize(raw, ["Cz"])
    raw.info["bads"] = raw.ch_names[:1]
    with pytest.raises(ValueError, match="at least 2 good channels"):
        mne_gram.restore(raw)


def test_picks_of_bad_channels_alone():
    raw = make_raw()
    for picks in (NAMES[:1], [*NAMES[:2]]):
        with pytest.raises(ValueError, match="all channels to estimate from in picks"):
            mne_gram.restore(raw, picks=picks)


@pytest.mark.parametrize("n_times", [1, 2, 3, 5, 8, 13, 14, 20, 60])
@pytest.mark.parametrize("sfreq", [128.0, 200.0, 1000.0])
@pytest.mark.filterwarnings("ignore:A high-pass", "ignore:The data are low-passed")
def test_very_short(n_times, sfreq):
    raw = make_raw(n_times, sfreq)
    if n_times == 1:
        with pytest.raises(ValueError, match="single sample in time"):
            mne_gram.preprocess(raw, line_freq=50)
        return
    too_short = 3.4 * sfreq / (n_times - 1) > min(50, sfreq / 2 - 50)
    with pytest.warns(match="notch filter at 50 Hz needs") if too_short else nullcontext():
        found = mne_gram.preprocess(raw, line_freq=50)
    assert np.isfinite(found.get_data()).all()
    assert abs(found.n_times - n_times * 200 / sfreq) <= 1
    if n_times * 200 / sfreq < 199:
        with pytest.raises(ValueError, match="expected at least 1 s"):
            mne_gram.compute_embedding(raw)
    with pytest.raises(ValueError, match="expected at least 2 s"):
        mne_gram.find_bads(raw)


@pytest.mark.parametrize("value", [1e4, 1e20, 1e150, 1e200, 1e308, -1e308])
@pytest.mark.parametrize("n_bad", [1, 100, 600])
@pytest.mark.filterwarnings("ignore:A high-pass")
def test_impossible_values(value, n_bad):
    """In a good channel they are refused or left out; in a bad one they do not matter."""
    for name in ("C3", "Fp1"):  # good, bad
        raw = make_raw()
        row = NAMES.index(name)
        raw._data[row, 200 : 200 + n_bad] = value
        expected = make_raw()
        if name == "Fp1":
            options = dict(method="spatial")
            found = mne_gram.restore(raw, **options).get_data()
            assert_array_equal(found, mne_gram.restore(expected, **options).get_data())
            found = mne_gram.preprocess(raw, line_freq=50).get_data()
            expected = mne_gram.preprocess(expected, line_freq=50).get_data()
            assert_array_equal(np.delete(found, row, 0), np.delete(expected, row, 0))
        elif n_bad < 400:
            for function in ("restore", "preprocess", "harmonize", "compute_embedding"):
                with pytest.raises(ValueError, match="NaN, infinite or impossible.*in C3"):
                    FUNCTIONS[function](raw)
        report = mne_gram.find_bads(raw)
        assert name == "Fp1" or name in {*report.channels, *(span.channel for span in report.spans)}


# ---------------------------------------------------------------------------------------------
# Found by benchmarks/fuzz.py


def test_single_precision():
    """MNE's filters take double precision alone, but Epochs may be anything."""
    epochs, single = make_epochs(), make_epochs()
    single._data = epochs._data.astype(np.float32)
    options = dict(line_freq=False, l_freq=None)
    expected = mne_gram.preprocess(epochs, **options).get_data()
    found = mne_gram.preprocess(single, **options)
    assert found._data.dtype == np.float64 and single._data.dtype == np.float32
    np.testing.assert_allclose(found.get_data(), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("method", ["spatial", "auto"])
def test_copies_of_one_signal(method):
    """Nothing but rounding errors is left of them without the reference."""
    raw = make_raw()
    raw._data[:] = raw._data[3]
    expected = raw.get_data()
    raw._data[0] = 1e-3
    found = mne_gram.restore(raw, method=method).get_data()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    mne_gram.find_bads(raw)


def test_no_clean_window():
    epochs = make_epochs()
    epochs.set_annotations(mne.Annotations(0, 3, "BAD_x"))
    with pytest.raises(ValueError, match="No channel has a window"):
        mne_gram.find_bads(epochs)


def test_electrodes_at_one_place_align_nothing():
    raw = make_raw(names=["Cz", "Pz"])
    raw.info["bads"] = []
    raw.set_montage(
        mne.channels.make_dig_montage(dict(Cz=[0, 0, 0.1]), coord_frame="head"), on_missing="ignore"
    )
    found = mne_gram.harmonize(raw, ["Cz", "Pz", "Fz"], method="spatial", verbose="error")
    assert np.isfinite(found.get_data()).all()
