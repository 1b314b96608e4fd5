# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Planted faults are found, and clean data are left alone."""

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mne_gram
from mne_gram.detection._find_bads import _join

NAMES = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
SFREQ = 160.0


def to_slice(start, stop):
    """Return the samples from one second to another."""
    return slice(round(start * SFREQ), round(stop * SFREQ))


def find(inst, **kwargs):
    """Run find_bads quietly."""
    return mne_gram.find_bads(inst, verbose="error", **kwargs)


def covers(report, name, start, stop):
    """Return whether the middle of a segment of a channel was found."""
    middle = (start + stop) / 2
    return any(s.channel == name and s.start <= middle <= s.stop for s in report.spans)


def test_sample():
    """The faults planted in the sample recording are found, and its truly bad channel too."""
    raw, truth = mne_gram.datasets.sample(return_truth=True)
    for inst in (raw, truth):
        inst.info["bads"] = []
        inst.set_annotations(None)
    found = find(raw)
    assert {"CP2", "FT8"} <= set(found.channels) and len(found.channels) <= 4
    assert found.reasons["CP2"] == "line"
    mask = found.mask(raw)[raw.ch_names.index("F4")]
    start, stop = raw.time_as_index([9, 12])
    assert mask[start:stop].mean() > 0.9
    assert mask.sum() < 1.5 * (stop - start)
    untouched = find(truth)
    assert "FT8" in untouched.channels and "CP2" not in untouched.channels
    assert not covers(untouched, "F4", 9, 12)
    assert untouched.scores.seconds.sum() < 0.01 * 20 * 64


def test_simulated(report):
    """Noise, a dead channel, a burst and a short flat segment are found, and nothing else."""
    assert report.reasons == {"C3": "misfit", "O2": "flat"}
    assert covers(report, "P4", 10, 13) and covers(report, "F7", 20.5, 21.5)
    assert {span.channel for span in report.spans} <= {"P4", "F7", "F3", "Fp1"}
    (flat,) = [span for span in report.spans if span.why == "flat"]
    assert_allclose([flat.start, flat.stop], [20.5, 21.5], atol=1 / SFREQ)
    (burst,) = [span for span in report.spans if span.channel == "P4"]
    assert_allclose([burst.start, burst.stop], [10, 13], atol=0.6)


@pytest.mark.parametrize("seed", [2, 3])
def test_clean(make_raw, seed):
    """Hardly anything is found in clean data."""
    raw = make_raw(seed=seed)
    found = find(raw)
    assert found.channels == [] and found.bridged == []
    assert found.mask(raw).mean() < 0.005


def test_swapped(clean):
    """Two channels with swapped plugs misfit."""
    raw = clean.copy()
    rows = [NAMES.index("F3"), NAMES.index("O2")]
    raw._data[rows] = raw._data[rows[::-1]]
    assert "F3" in find(raw).channels
    assert {"F3", "O2"} <= set(find(raw, channel_threshold=1.0).channels)


def test_blink(clean):
    """An artefact that several channels share is not found."""
    raw = clean.copy()
    blink = 1.5e-4 * np.hanning(round(0.4 * SFREQ))
    for name, gain in dict(Fp1=1, Fp2=1, F3=0.4, F4=0.4, Fz=0.4, F7=0.4, F8=0.4).items():
        start = round(12 * SFREQ)
        raw._data[NAMES.index(name), start : start + len(blink)] += gain * blink
    assert not [span for span in find(raw).spans if span.channel in ("Fp1", "Fp2")]


def test_line(clean):
    """A channel dominated by line noise is found, whether or not its frequency is given."""
    raw = clean.copy()
    raw._data[4] += 4e-5 * np.sin(2 * np.pi * 50 * raw.times)
    assert find(raw).reasons == {"Fz": "line"}
    assert find(raw, line_freq=50).reasons == {"Fz": "line"}
    assert "Fz" not in find(raw, line_freq=60).channels
    with raw.info._unlock():
        raw.info["line_freq"] = 60.0
    assert "Fz" not in find(raw).channels


def test_clipped_and_huge(clean):
    """A clipped channel and one with far too large amplitudes are found."""
    raw = clean.copy()
    raw._data[0] = np.clip(raw._data[0], -4e-6, 4e-6)
    raw._data[9] *= 1e3
    assert find(raw).reasons["Cz"] == "amplitude"
    spans = [span for span in find(raw).spans if span.channel == "Fp1"]
    assert spans or "Fp1" in find(raw).channels


def test_missing_samples(clean):
    """NaN are found exactly without affecting anything else; a channel full of them is bad."""
    raw = clean.copy()
    raw._data[3, to_slice(5, 5.5)] = np.nan
    raw._data[7] = np.inf
    found = find(raw)
    assert found.reasons == {"T7": "nan"}
    (span,) = [span for span in found.spans if span.why == "nan"]
    assert span.channel == "F3"
    assert_allclose([span.start, span.stop], [5, 5.5], atol=1e-9)
    assert found.mask(raw).mean() < 0.07


def test_reference_is_spared(clean):
    """The only flat channel is the reference if it fits the others."""
    raw = clean.copy()
    raw._data -= raw._data[NAMES.index("Cz")]
    assert find(raw).channels == []
    raw = clean.copy()
    raw._data[NAMES.index("O2")] = 0.0
    assert find(raw).reasons == {"O2": "flat"}


def test_often_bad(clean):
    """A channel that is bad most of the time is bad."""
    raw = clean.copy()
    for start in range(1, 29, 2):
        raw._data[5, to_slice(start, start + 1.4)] = 0.0
    assert find(raw).channels == ["F4"]


def test_known_marks(broken):
    """Marked channels are checked but predict no others; annotated time is ignored."""
    raw = broken.copy()
    raw.info["bads"] = ["C3", "T8"]
    raw.set_annotations(mne.Annotations([9.5], [4.0], ["BAD_noise"], ch_names=[["P4"]]))
    found = find(raw)
    assert found.channels == ["C3", "O2"]
    assert not covers(found, "P4", 10, 13)
    assert covers(found, "F7", 20.5, 21.5)


def test_bridged(clean):
    """Bridged electrodes are reported, but not as bad."""
    raw = clean.copy()
    row = NAMES.index("P3")
    raw._data[row] = raw._data[NAMES.index("Pz")] * 0.999
    assert find(raw).bridged == [("P3", "Pz")]


def test_reference_and_scale_and_order(broken, report):
    """The result depends neither on the reference nor on the scale nor on the channel order."""
    other = broken.copy()
    other._data += 5e-5 * np.sin(2 * np.pi * 3 * other.times)
    other._data[NAMES.index("O2")] = 3e-6
    assert find(other).channels == report.channels
    for factor in (0.05, 20.0):
        scaled = broken.copy().apply_function(lambda x, f=factor: x * f)
        found = find(scaled)
        assert found.channels == report.channels
        assert [span[:4] for span in found.spans] == [span[:4] for span in report.spans]
    shuffled = broken.copy().reorder_channels(NAMES[::-1])
    found = find(shuffled)
    assert found.reasons == report.reasons
    assert_allclose(
        found.scores.misfit[NAMES].to_numpy(), report.scores.misfit.to_numpy(), atol=1e-6
    )


def test_untouched_and_deterministic(broken, report):
    """Data and global random state stay as they are, and a second run agrees."""
    before, state = broken.copy(), np.random.get_state()[1].copy()
    again = find(broken)
    assert_array_equal(broken.get_data(), before.get_data())
    assert broken.info["bads"] == [] and len(broken.annotations) == 0
    assert again.spans == report.spans or str(again.spans) == str(report.spans)
    assert again.scores.equals(report.scores)
    assert_array_equal(np.random.get_state()[1], state)


def test_not_preloaded(tmp_path, broken, report, monkeypatch):
    """A file is read in blocks, with the same result."""
    path = tmp_path / "broken_raw.fif"
    broken.save(path, fmt="double", verbose="error")
    raw = mne.io.read_raw_fif(path, verbose="error")
    found = find(raw)
    assert not raw.preload
    assert found.reasons == report.reasons
    monkeypatch.setattr("mne_gram.detection._signal_checks._BLOCK_SECONDS", 7.0)
    monkeypatch.setattr("mne_gram.detection._find_bads._BLOCK", 5)
    blocks = find(raw)
    assert str(blocks.spans) == str(found.spans)


def test_unknown_channels(clean):
    """Channels with neither a known name nor a position can have bad segments."""
    raw = clean.copy().rename_channels({"C3": "X1", "C4": "X2"})
    raw._data[8, to_slice(10, 12)] += 1e-4 * np.random.default_rng(0).standard_normal(320)
    found = find(raw)
    assert found.channels == []
    assert np.isnan(found.scores.misfit["X1"])
    assert covers(found, "X1", 10, 12)
    assert found.unlocated == ["X1", "X2"]
    assert "X1, X2" in found.summary.splitlines()[-1]
    assert find(clean).unlocated == [] and "position" not in find(clean).summary


def test_nothing_is_located(clean):
    """A recording without known names and positions is warned of."""
    raw = clean.copy().rename_channels({name: f"X{k}" for k, name in enumerate(NAMES[2:])})
    with pytest.warns(RuntimeWarning, match="2 of 19 channels have a known name or a position"):
        mne_gram.find_bads(raw)


def test_pause(clean):
    """Nothing is found in gaps of the acquisition."""
    raw = clean.copy()
    raw._data[:, to_slice(10, 14)] = 0.0
    assert len(find(raw).spans) >= len(NAMES)
    raw.set_annotations(mne.Annotations([10.0], [4.0], ["BAD_ACQ_SKIP"]))
    assert find(raw).mask(raw).mean() < 0.005


def test_refused(clean):
    """Errors about unsuitable data say what to do."""
    with pytest.raises(TypeError, match="inst must be an instance of Raw or Epochs"):
        find(clean.get_data())
    with pytest.raises(ValueError, match="Found no EEG channel"):
        find(clean.copy().set_channel_types({name: "misc" for name in NAMES}, verbose="error"))
    with pytest.raises(ValueError, match="Found 3 EEG channels, expected at least 4"):
        find(clean, picks=["Fz", "Cz", "Pz"])
    with pytest.raises(ValueError, match="expected at least 2 s"):
        find(clean.copy().crop(0, 1.0))
    with pytest.raises(ValueError, match="not in volts"):
        find(clean.copy().apply_function(lambda x: x * 1e6))
    for line_freq in (0, -50.0):
        with pytest.raises(ValueError, match="line_freq must be a positive frequency"):
            find(clean, line_freq=line_freq)
    with pytest.raises(ValueError, match="must be positive"):
        find(clean, span_threshold=0)
    dead = clean.copy()
    dead._data[12:] = 0.0
    dead.info["bads"] = NAMES[:9]
    with pytest.raises(ValueError, match="expected at least 4"):
        find(dead)


def test_join():
    """Runs that nearly touch are joined and take the reason that lasts longest."""
    runs = [(0, 10, "flat", np.nan), (12, 50, "misfit", 7.0), (80, 90, "nan", np.nan)]
    joined = _join(runs, gap=5)
    assert [run[:3] for run in joined] == [(0, 50, "misfit"), (80, 90, "nan")]
    assert joined[0][3] == 7.0


def test_copies_of_one_signal():
    """Then nothing is left without the reference, by which channels could be compared."""
    rng = np.random.default_rng(0)
    data = np.repeat(1e-5 * rng.standard_normal((1, 1000)), 6, axis=0)
    info = mne.create_info(["F3", "F4", "C3", "C4", "P3", "P4"], 128.0, "eeg")
    report = mne_gram.find_bads(mne.io.RawArray(data, info, verbose="error"), line_freq=50.0)
    assert report.bridged == []


@pytest.mark.parametrize("value", [0.0, 1e40, -1e308])
def test_constant_channel(clean, value):
    """It is flat whatever the value, which may be no number to compute with."""
    raw = clean.copy()
    raw._data[NAMES.index("O2")] = value
    assert find(raw).reasons == {"O2": "flat"}
