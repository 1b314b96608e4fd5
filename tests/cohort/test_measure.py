# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The covariance of a recording, without its bad channels and segments."""

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram.cohort import measure_recording
from mne_gram.covariance import normalise_covariance
from mne_gram.montage import INDEX, template_montage

SOURCE = ("set", "sub-01", "sub-01_eeg.edf")
NAMES = "Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2".split()


def indices(names):
    """Return the montage indices of names."""
    return np.array([INDEX[name.upper()] for name in names])


def make_noise(names=NAMES, seconds=20.0, sfreq=100.0, seed=0, cov=None):
    """Return noise in volts, white or with a covariance."""
    white = np.random.default_rng(seed).standard_normal((len(names), round(seconds * sfreq)))
    root = np.eye(len(names)) if cov is None else np.linalg.cholesky(cov)
    info = mne.create_info(list(names), sfreq, "eeg")
    info["line_freq"] = 50.0
    return mne.io.RawArray(1e-5 * root @ white, info, verbose="error")


def measure(inst, mask=None):
    """Return the covariance of a recording that can be used."""
    found = measure_recording(inst, SOURCE, mask)
    assert found.recording is not None, found.reason
    return found.recording


def refuse(inst, mask=None):
    """Return why a recording is left out."""
    found = measure_recording(inst, SOURCE, mask)
    assert found.recording is None and found.source == SOURCE
    return found.reason


def compare(one, other, names=None):
    """Return the largest distance of the covariances of two recordings, relative to their size."""
    wanted = one.channels if names is None else indices(names)
    covs = []
    for r in (one, other):
        rows = [r.channels.tolist().index(channel) for channel in wanted]
        covs.append(normalise_covariance(r.cov[:, rows][:, :, rows].astype(float)))
    distance = np.linalg.norm(covs[0] - covs[1], axis=(1, 2)) / np.linalg.norm(covs[1], axis=(1, 2))
    return distance.max()


def test_measured_recording():
    factor = np.random.default_rng(1).standard_normal((10, 30))
    cov = factor @ factor.T / 30
    recording = measure(make_noise(seconds=120, cov=cov))
    assert recording.source == SOURCE
    assert_array_equal(recording.channels, indices(NAMES))
    average = np.eye(10) - 1 / 10
    truth = average @ cov @ average
    for found in recording.cov:
        assert np.trace(found) == pytest.approx(10)
        assert_allclose(found.sum(axis=0), 0, atol=1e-9)
        assert np.linalg.norm(found - truth / np.trace(truth) * 10) < 1.5


def test_measured_channels():
    raw = make_noise([*NAMES, "T3", "nobody", "Cz"])
    raw.info["bads"] = ["F3", "Cz"]
    raw.set_channel_types({"Fp2": "eog"}, verbose="error")
    found = measure_recording(raw, SOURCE)
    expected = [n for n in NAMES if n not in ("F3", "Fp2")] + ["T7"]
    assert_array_equal(found.recording.channels, indices(expected))
    assert found.dropped == (("F3", "bad"), ("Cz", "bad"))
    assert found.name == "sub-01_eeg.edf"


# ---------------------------------------------------------------------------------------------
# References, units, rates, formats


def test_neither_reference_nor_unit_is_measured(make_raw):
    raw = make_raw()
    truth = measure(raw)
    moved = raw.copy()
    shared = np.random.default_rng(5).standard_normal(raw.n_times)
    moved._data = 1e3 * (moved._data + 1e-4 * shared)
    assert_allclose(measure(moved).cov, truth.cov, atol=1e-6)
    average = raw.copy().set_eeg_reference("average", verbose="error")
    assert_allclose(measure(average).cov, truth.cov, atol=1e-9)


def test_reference_electrode_is_flat(make_raw):
    """With Cz as the reference, Cz has no signal, and the others are as ever."""
    raw = make_raw()
    found = measure_recording(raw.copy().set_eeg_reference(["Cz"], verbose="error"), SOURCE)
    assert ("Cz", "flat") in found.dropped
    assert_allclose(found.recording.cov, measure(raw.drop_channels(["Cz"])).cov, atol=1e-9)


def test_average_reference_that_included_a_bad_channel(make_raw):
    raw = make_raw()
    truth = measure(raw.copy().drop_channels(["C3"]))
    raw._data[raw.ch_names.index("C3")] += 1e-3 * np.random.default_rng(0).standard_normal(
        raw.n_times
    )
    raw.info["bads"] = []
    raw.set_eeg_reference("average", verbose="error").info["bads"] = ["C3"]
    assert_allclose(measure(raw).cov, truth.cov, atol=1e-9)


@pytest.mark.parametrize("sfreq", [100.0, 256.0])
def test_other_rates(make_raw, sfreq):
    raw = make_raw(seconds=60)
    other = raw.copy().resample(sfreq, verbose="error")
    assert compare(measure(other), measure(raw)) < 0.05


@pytest.mark.parametrize("how", ["rate", "filter"])
def test_bands_that_are_missing(make_raw, how):
    """The nearest band stands in for what the rate or a filter removed."""
    raw = make_raw(seconds=60, sfreq=256.0)
    found = raw.copy()
    if how == "rate":
        found.resample(50.0, verbose="error")
    else:
        spectrum = np.fft.rfft(found._data)
        spectrum[:, np.fft.rfftfreq(raw.n_times, 1 / 256.0) > 25.0] = 0.0
        found._data[:] = np.fft.irfft(spectrum, raw.n_times)
    cov = measure(found).cov
    assert np.isfinite(cov).all()
    assert_allclose(np.trace(cov, axis1=1, axis2=2), cov.shape[-1])
    assert compare(measure(found), measure(raw)) < 0.2


def test_epochs(make_raw):
    raw = make_raw(seconds=60)
    epochs = mne.make_fixed_length_epochs(raw, 2.0, preload=True, verbose="error")
    assert compare(measure(epochs), measure(raw)) < 0.1
    mask = np.zeros((len(epochs), 19), bool)
    mask[::2, 3] = mask[:, 5] = True
    epochs._data[mask] = 1e-3
    found = measure(epochs, mask)
    assert INDEX["F4"] not in found.channels and INDEX["F3"] in found.channels
    names = [name for name in raw.ch_names if name != "F4"]
    assert compare(found, measure(raw), names) < 0.15


def test_electrodes_by_position(make_raw):
    """An electrode without a name counts as the entry at its place, but not as one that is far."""
    raw = make_raw(seconds=10)
    raw.set_montage(template_montage(), verbose="error")
    near = raw.copy().rename_channels({"C3": "E1"})
    assert_array_equal(measure(near).channels, measure(raw).channels)
    near.info["chs"][8]["loc"][:3] += [0, 0.014, 0]
    assert INDEX["C3"] not in measure(near).channels
    assert len(measure(near).channels) == 18


# ---------------------------------------------------------------------------------------------
# Dirty recordings


def spoil(raw, name, start, stop, seed=0):
    """Add garbage to a segment of a channel, and annotate it."""
    a, b = round(start * raw.info["sfreq"]), round(stop * raw.info["sfreq"])
    noise = 1e-3 * np.random.default_rng(seed).standard_normal(b - a)
    raw._data[raw.ch_names.index(name), a:b] += noise
    raw.annotations.append(start, stop - start, "BAD_x", [[name]])


def test_bad_segments_of_channels(make_raw):
    """Windows in which all channels are clean are used, whatever the others contain."""
    raw, dirty = make_raw(), make_raw()
    for k, name in enumerate(["Fp1", "C3", "O2"]):
        spoil(dirty, name, 4 * k, 4 * k + 6)
    again = dirty.copy()
    again._data[again.ch_names.index("C3"), 600:1200] = np.nan
    found = measure(dirty)
    assert len(found.channels) == 19
    assert compare(found, measure(raw)) < 0.25
    assert_array_equal(measure(again).cov, found.cov)


def test_no_time_at_which_all_channels_are_clean(make_raw):
    """Channels that are bad at different times are completed from each other."""
    raw, dirty = make_raw(seconds=60), make_raw(seconds=60)
    for k, name in enumerate(["Fp1", "C3", "O2"]):
        spoil(dirty, name, 20 * k, 20 * k + 20, seed=k)
    found = measure(dirty)
    assert len(found.channels) == 19
    assert np.linalg.eigvalsh(found.cov).min() > -1e-9
    assert compare(found, measure(raw)) < 0.2


def test_bad_segments_of_all_channels(make_raw):
    raw, dirty = make_raw(seconds=60), make_raw(seconds=60)
    dirty._data[:, :2000] = 1e-3 * np.random.default_rng(0).standard_normal((19, 2000))
    dirty.annotations.append(0, 2000 / raw.info["sfreq"], "BAD_move")
    assert compare(measure(dirty), measure(raw)) < 0.3


def test_channels_that_nobody_marked(make_raw):
    """Flat and loud channels, and samples that are not finite, are left out."""
    raw, dirty = make_raw(seconds=60), make_raw(seconds=60)
    rng = np.random.default_rng(0)
    dirty._data[3] = 0.0
    dirty._data[5] = 1e-3 * rng.standard_normal(raw.n_times)
    dirty._data[7, 1000:2000] = np.nan
    dirty._data[9] = np.inf
    found = measure_recording(dirty, SOURCE)
    assert dict(found.dropped) == {"F3": "flat", "F4": "amplitude", "Cz": "bad"}
    names = [name for k, name in enumerate(raw.ch_names) if k not in (3, 5, 9)]
    assert_array_equal(found.recording.channels, indices(names))
    assert compare(found.recording, measure(raw), names) < 0.15


def test_channels_that_are_rarely_clean(make_raw):
    raw = make_raw(seconds=60)
    spoil(raw, "C3", 0, 55)
    found = measure_recording(raw, SOURCE)
    assert found.dropped == (("C3", "few clean segments"),)
    assert len(found.recording.channels) == 18


def test_mask(make_raw):
    raw, dirty = make_raw(), make_raw()
    dirty._data[4] = 8e-5 * np.random.default_rng(0).standard_normal(raw.n_times)
    mask = np.zeros(raw.get_data().shape, bool)
    mask[4] = True
    truth = measure(raw.drop_channels(["Fz"]))
    assert_allclose(measure(dirty, mask).cov, truth.cov, atol=1e-9)
    assert_allclose(measure(dirty, "auto").cov, truth.cov, atol=1e-9)
    assert INDEX["FZ"] in measure(dirty).channels


# ---------------------------------------------------------------------------------------------
# Recordings that are left out


def test_reasons():
    names = ["Fp1-F7", "F7-T7", "T7-P7", "P7-O1", "Cz"]
    assert refuse(make_noise(names)) == (
        "1 of 5 EEG channels are electrodes of the montage (4 are bipolar derivations), expected "
        "at least 4"
    )
    raw = make_noise()
    raw.info["bads"] = NAMES[:7]
    assert "3 electrodes are usable, expected at least 4; not used: Fp1 (bad)" in refuse(raw)
    assert "3 of 3 EEG channels" in refuse(make_noise(NAMES[:3]))
    assert "2.0 s are clean, expected at least 4 s" in refuse(make_noise(seconds=2.5))
    assert "Found no EEG channel" in refuse(
        make_noise().set_channel_types({n: "eog" for n in NAMES}, verbose="error")
    )
    raw = make_noise()
    raw._data[:] = 0.0
    assert "Fp1 (flat)" in refuse(raw)
    raw._data[:] = np.nan
    assert "Fp1 (bad)" in refuse(raw)
    assert "expected at least 2 s" in refuse(make_noise(seconds=1.5), "auto")
    assert "Invalid value for the 'mask' parameter" in refuse(make_noise(), "other")
