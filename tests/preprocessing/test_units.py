# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Checks of units."""

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_gram.preprocessing import SFREQ, VOLTS_TO_MODEL, check_units, preprocess


def test_constants():
    assert SFREQ == 200 and VOLTS_TO_MODEL * 1e-4 == 1  # 0.1 mV


@pytest.mark.parametrize(
    "scale, message",
    [
        (1e6, "not in volts: multiply them by 1e-6"),
        (1e4, "not in volts"),
        (1e-6, "scaled to volts twice: multiply them by 1e6"),
        (0.0, "are flat"),
    ],
)
def test_units(scale, message, make_raw):
    raw = make_raw()
    raw._data[:5] *= scale
    with pytest.raises(ValueError, match="expected between 1e-9 and 1e-2 V") as error:
        preprocess(raw)
    assert message in str(error.value)


@settings(deadline=None, max_examples=25)
@given(
    level=st.floats(1e-7, 1e-3),
    offset=st.floats(-0.3, 0.3),
    epochs=st.booleans(),
    seed=st.integers(0, 9),
)
def test_units_look_past_offsets(level, offset, epochs, seed):
    """Electrode offsets of several hundred millivolts are accepted, as in BioSemi recordings."""
    rng = np.random.default_rng(seed)
    data = level * rng.standard_normal((4, 3, 500)) + offset * rng.standard_normal((1, 3, 1))
    data = data if epochs else data[0]
    check_units(data)
    with pytest.raises(ValueError, match="median absolute value of the EEG"):
        check_units(data * 1e6 / (level * 1e5))
    with_gap = data.copy()
    with_gap[..., 0, :] = np.nan
    check_units(with_gap)


def test_units_of_nothing():
    check_units(np.full((2, 10), np.nan))


@pytest.mark.filterwarnings("ignore:A high-pass at", "ignore:A notch filter at")
@pytest.mark.parametrize("content", [0.0, 0.5, 1e-12])
@pytest.mark.parametrize("kind", ["Raw", "Epochs"])
def test_bad_segments_decide_about_no_error(kind, content, make_raw):
    """Most of the recording is a bad segment, by which its unit is not judged."""
    inst = make_raw(seconds=4)
    inst._data[:5, 256:-64] = content
    inst.set_annotations(mne.Annotations(1.0, 2.75, "BAD_pause"))
    if kind == "Epochs":
        options = dict(duration=2.0, preload=True, reject_by_annotation=False)
        inst = mne.make_fixed_length_epochs(inst, **options)
    assert preprocess(inst, line_freq=50).info["sfreq"] == 200
    inst.set_annotations(None)
    with pytest.raises(ValueError, match="The median absolute value of the EEG is"):
        preprocess(inst, line_freq=50)


def test_impossible_values_are_refused_without_a_warning_of_numpy():
    with pytest.raises(ValueError, match="is inf V"):
        check_units(np.full((2, 2), [[1e308], [-1e308]]) * [1, 0.9])
