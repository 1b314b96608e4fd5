# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The power line frequency."""

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_gram.preprocessing import check_units, find_line_freq, preprocess


def test_line_freq_from_the_data(make_raw, power_at):
    raw = make_raw(line=20e-6)
    with pytest.warns(RuntimeWarning, match="power line peak at 50 Hz.*Pass line_freq"):
        out = preprocess(raw)
    assert power_at(out, 50) < 0.02 * power_at(preprocess(raw, line_freq=False), 50)


def test_line_freq_order(make_raw, power_at):
    """The argument takes precedence over the info, and that over the peak."""
    raw = make_raw(line=20e-6, line_freq=60)
    out = preprocess(raw)
    assert power_at(out, 50) > 10 * power_at(out, 40) > 20 * power_at(out, 60)
    out = preprocess(raw, line_freq=50)
    assert power_at(out, 50) < power_at(out, 60)
    raw.info["line_freq"] = 50
    out = preprocess(raw, line_freq=False)
    assert power_at(out, 50) > 10 * power_at(out, 40)


@pytest.mark.parametrize("line_freq", [True, 0, -50])
def test_line_freq_must_be_a_frequency(line_freq, make_raw):
    with pytest.raises(ValueError, match="line_freq must be a positive frequency"):
        preprocess(make_raw(), line_freq=line_freq)


@settings(deadline=None, max_examples=25)
@given(
    line=st.sampled_from([50.0, 60.0]),
    sfreq=st.sampled_from([128.0, 160.0, 250.0, 500.0]),
    unit=st.sampled_from([1e-6, 1.0]),
    seconds=st.floats(2, 30),
    seed=st.integers(0, 99),
)
def test_find_line_freq(line, sfreq, unit, seconds, seed):
    rng = np.random.default_rng(seed)
    times = np.arange(int(sfreq * seconds)) / sfreq
    noise = rng.standard_normal((8, len(times)))
    assert find_line_freq(unit * noise, sfreq) is None
    with_line = noise + np.sin(2 * np.pi * (line + 0.1) * times + 1)
    assert find_line_freq(unit * with_line, sfreq) == line


def test_find_line_freq_in_epochs_and_around_gaps():
    rng = np.random.default_rng(0)
    times = np.arange(200) / 200
    data = rng.standard_normal((40, 6, 200)) + np.sin(2 * np.pi * 60 * times)
    assert find_line_freq(data, 200.0) == 60
    flat = data.transpose(1, 0, 2).reshape(6, -1)
    assert find_line_freq(flat, 200.0) == 60
    flat[:, 1000:3000] = np.nan
    flat[0] = np.nan
    flat[1] = 0
    assert find_line_freq(flat, 200.0) == 60
    assert find_line_freq(np.full((2, 900), np.nan), 200.0) is None
    flat[2:, 1500:] = 0  # most of the time nothing was recorded
    assert find_line_freq(flat, 200.0) is None


@pytest.mark.parametrize("sfreq, n_times", [(80.0, 800), (100.0, 1000), (200.0, 0), (200.0, 40)])
def test_find_line_freq_where_it_cannot_be_seen(sfreq, n_times):
    data = np.random.default_rng(0).standard_normal((3, n_times))
    assert find_line_freq(data, sfreq) is None


@pytest.mark.parametrize(
    "path, line_freq",
    [
        ("eegmmi/sub-012/eeg/sub-012_task-imagery_run-04_eeg.edf", 60),
        ("mdd/sub-mdd01/eeg/sub-mdd01_task-eyesclosed_eeg.edf", 50),
        ("eegmat/sub-04/eeg/sub-04_task-rest_eeg.edf", None),
    ],
)
def test_line_in_shared_recordings(shared, path, line_freq):
    raw = mne.io.read_raw_edf(shared / "eeg" / path, preload=True)
    assert find_line_freq(raw.get_data(picks="eeg"), raw.info["sfreq"]) == line_freq
    check_units(raw.get_data(picks="eeg"))
