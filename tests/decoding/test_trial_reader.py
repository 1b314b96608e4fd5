# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Trials of every form come out the same, and what is not fit is refused."""

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mne_gram
from mne_gram.decoding._trial_filter import preprocess_trials
from mne_gram.decoding._trial_reader import TrialReader
from mne_gram.montage import CH_NAMES

NAMES = ["Fp1", "Fz", "C3", "Cz", "C4", "Pz", "O1", "O2"]
SFREQ = 160.0


def _draw(n=6, n_times=400, n_channels=8, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, n_channels, n_times)).cumsum(-1) * 1e-6


def _make_epochs(data, names=NAMES, sfreq=SFREQ, highpass=0.1):
    info = mne.create_info(names, sfreq, "eeg")
    with info._unlock():
        info["highpass"] = highpass
    return mne.EpochsArray(data, info, verbose="error")


def _make_reader(**kwargs):
    return TrialReader(ch_names=NAMES, sfreq=SFREQ, line_freq=50.0, **kwargs)


def _get_single(trials):
    (stack,) = trials.stacks
    return stack.data


@pytest.mark.parametrize("n_times, sfreq", [(400, 160.0), (801, 200.0), (2200, 200.0)])
@pytest.mark.parametrize("reference", ["average", None])
def test_same_as_preprocess(n_times, sfreq, reference):
    """Short trials (by matrices) and long ones (by MNE) equal the result of `preprocess`."""
    data = _draw(3, n_times)
    epochs = _make_epochs(data, sfreq=sfreq)
    x = preprocess_trials(data, epochs.info, 50.0, reference)
    wanted = mne_gram.preprocess(epochs, line_freq=50.0, reference=reference, verbose="error")
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, 1e4 * wanted.get_data(), atol=1e-6)
    assert np.abs(x).max() > 0.01


# It is given once, whatever ran before (test_warnings.py).
@pytest.mark.filterwarnings("ignore:A high-pass at 0.1 Hz needs 33 s:RuntimeWarning")
def test_forms_agree():
    """Epochs, lists of them, arrays with names or an info, and lists of arrays agree."""
    data = _draw()
    epochs = _make_epochs(data, highpass=0.0)
    reader = _make_reader()
    wanted = _get_single(reader.fit_read(data))
    assert wanted.shape == (6, 8, 500)
    items = [epochs[k] for k in range(6)]
    for form in (epochs, items, list(data), data.tolist(), data.astype(np.float32)):
        np.testing.assert_allclose(_get_single(reader.read(form)), wanted, atol=1e-6)
    with_info = TrialReader(info=epochs.info, line_freq=50.0)
    for form in (epochs, items, data):
        x = _get_single(with_info.fit_read(form))
        np.testing.assert_array_equal(x, wanted)
    assert [CH_NAMES[k] for k in reader.channels] == [name.upper() for name in NAMES]


def test_nothing_is_changed():
    """The input is not modified."""
    data = _draw()
    epochs = _make_epochs(data.copy())
    before = epochs.get_data(copy=True)
    reader = _make_reader(missing="harmonize")
    reader.fit_read(epochs)
    reader.read(epochs.copy().drop_channels(["Cz"]))
    np.testing.assert_array_equal(epochs.get_data(), before)
    assert epochs.ch_names == NAMES


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(len(NAMES))), old=st.booleans())
def test_order_of_channels(order, old):
    """Channels are found by name, in any order, among others and under any spelling."""
    reader, data = _make_reader(), _draw()
    wanted = _get_single(reader.fit_read(_make_epochs(data)))
    names = [f"EEG {NAMES[k]}-REF" if old else NAMES[k] for k in order]
    extra = np.concatenate([data[:, list(order)], 3 * data[:, :1]], axis=1)
    epochs = _make_epochs(extra, [*names, "P7"])
    np.testing.assert_allclose(_get_single(reader.read(epochs)), wanted, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.sampled_from([170, 320, 401]), min_size=1, max_size=6))
def test_unequal_lengths(lengths):
    """The result of a trial does not depend on the others, and the order is kept."""
    data = [trial[:, :length] for trial, length in zip(_draw(), lengths, strict=False)]
    reader = _make_reader()
    trials = reader.fit_read(data)
    assert len(trials) == len(data) and len(trials.stacks) == len(set(lengths))
    sums = trials.map(lambda x: x.sum(axis=-1))
    for trial, row in zip(data, sums, strict=True):
        alone = _get_single(reader.read(trial[None]))
        np.testing.assert_allclose(row, alone.sum(axis=-1)[0], rtol=1e-4, atol=1e-4)


def test_unequal_epochs():
    """Lists of one-epoch Epochs may differ in length too."""
    data = _draw()
    items = [_make_epochs(data[k : k + 1, :, : 400 - 100 * (k % 2)]) for k in range(4)]
    trials = _make_reader().fit_read(items)
    assert [stack.rows.tolist() for stack in trials.stacks] == [[1, 3], [0, 2]]


def test_bads_are_left_out():
    """Channels that are bad in any trial are left out, also of the reference."""
    data = _draw()
    data[:, 2] *= 100
    epochs = _make_epochs(data)
    items = [epochs[k] for k in range(6)]
    items[3].info["bads"] = ["C3"]
    reader = _make_reader()
    x = _get_single(reader.fit_read(items))
    assert reader.names == [name for name in NAMES if name != "C3"]
    without = _make_epochs(np.delete(data, 2, axis=1), reader.names)
    np.testing.assert_allclose(x, _get_single(_make_reader().fit_read(without)), atol=1e-6)


def test_missing_channels():
    """Missing channels raise an error with their names, or are estimated."""
    raw = mne_gram.datasets.sample().pick([*NAMES, "F3", "F4", "P3", "P4", "FC1", "CP2", "POz"])
    raw.filter(1.0, 45.0, verbose="error")
    raw.reorder_channels([*NAMES, *(name for name in raw.ch_names if name not in NAMES)])
    epochs = mne.make_fixed_length_epochs(raw, 2.0, preload=True, verbose="error")
    with epochs.info._unlock():
        epochs.info.update(highpass=0.1, lowpass=80.0)
    reader = _make_reader()
    wanted = _get_single(reader.fit_read(epochs))
    fewer = epochs.copy().drop_channels(["O1", "Cz"])
    with pytest.raises(ValueError, match="2 of the 14 channels .*: Cz, O1.*harmonize"):
        reader.read(fewer)
    bad = epochs.copy()
    bad.info["bads"] = ["Pz"]
    with pytest.raises(ValueError, match="good EEG channels of X: Pz"):
        reader.read(bad)
    reader = _make_reader(missing="harmonize")
    reader.fit_read(epochs)
    found = _get_single(reader.read(fewer))
    assert found.shape == wanted.shape
    for k in (0, 2, 3, 6):  # two of them are estimates
        assert np.corrcoef(found[:, k].ravel(), wanted[:, k].ravel())[0, 1] > 0.7
    with pytest.raises(ValueError, match="missing"):
        TrialReader(missing="zero").fit_read(epochs)


def test_line_frequency_is_that_of_the_first_trials():
    """The line frequency is detected once, so that it does not depend on later trials."""
    times = np.arange(640) / SFREQ
    data = _draw(6, 640) + 2e-5 * np.sin(2 * np.pi * 50 * times)
    data += 1e-4 * (np.arange(8)[:, None] - 3.5) * np.sin(2 * np.pi * 50 * times)
    reader = TrialReader(ch_names=NAMES, sfreq=SFREQ)
    with pytest.warns(RuntimeWarning, match="power line peak at 50 Hz"):
        x = _get_single(reader.fit_read(data))
    assert reader.line == 50.0
    np.testing.assert_allclose(_get_single(reader.read(data[:1])), x[:1], atol=1e-5)
    kept = TrialReader(ch_names=NAMES, sfreq=SFREQ, line_freq=False)
    assert _get_single(kept.fit_read(data)).std() > 2 * x.std()


def test_warnings_at_fit_only():
    """Warnings of the filters in an info come once, in fit."""
    epochs = _make_epochs(_draw(), highpass=1.0)
    reader = _make_reader()
    with pytest.warns(RuntimeWarning, match="high-passed at 1 Hz"):
        reader.fit_read(epochs)
    assert len(reader.read(epochs)) == 6


@pytest.mark.parametrize(
    "change, match",
    [
        (lambda x: x * 1e6, "so X is not in V. Set unit='uV'.*MOABB.*Scaler"),
        (lambda x: x * 1e-9, "multiply them by 1e6"),
        (lambda x: x[:, :, :150], "shortest epoch has 150 samples, 0.938 s"),
        (lambda x: x[:, :5], "X has 5 channels .* has 8"),
        (lambda x: x[0], r"at least 1 s. X has two axes.*X\[np.newaxis\]"),
        (lambda x: x[:0], r"X has shape \(0, 8, 400\)"),
        (lambda x: [x[0], x[1][:5]], "different numbers of channels"),
        (lambda x: np.where(np.arange(8)[:, None] == 2, np.nan, x), "NaN, .* 6 of 6 epochs, in C3"),
        (lambda x: [_make_epochs(x), x[0]], "one trial per item"),
        (lambda x: [_make_epochs(x)], "one trial per item.*length 6"),
        (lambda x: _make_epochs(x)[:0], "contain no epoch"),
        (lambda x: [_make_epochs(x[:1]), _make_epochs(x[:1], sfreq=200.0)], "160 Hz"),
        (
            lambda x: [_make_epochs(x[:1]), _make_epochs(x[:1, :6], NAMES[:6])],
            "Channels of item 0 of X are missing from item 1: O1, O2",
        ),
    ],
)
def test_bad_trials(change, match):
    """Invalid trials raise an error that says what was found."""
    with pytest.raises(ValueError, match=match):
        _make_reader().fit_read(change(_draw()))


@pytest.mark.parametrize("x", ["epochs.fif", None, [["a"]], {"x": 1}, np.array([["a"]])])
def test_no_trials(x):
    """Input of other types raises an error that lists the accepted ones."""
    with pytest.raises(TypeError, match="X must be mne.Epochs, an array"):
        _make_reader().fit_read(x)


def test_bad_epochs():
    """Epochs in microvolts and recordings raise errors."""
    with pytest.raises(ValueError, match="not in volts: multiply them by 1e-6"):
        _make_reader().fit_read(_make_epochs(1e6 * _draw()))
    raw = mne.io.RawArray(_draw(1)[0], mne.create_info(NAMES, SFREQ, "eeg"), verbose="error")
    with pytest.raises(TypeError, match="make_fixed_length_epochs"):
        _make_reader().fit_read(raw)
    with pytest.raises(ValueError, match="None of the 8 EEG channels matches"):
        _make_reader().fit_read(_make_epochs(_draw(), [f"E{k}" for k in range(8)]))
    epochs = _make_epochs(_draw())
    epochs.set_channel_types(dict.fromkeys(NAMES, "misc"), on_unit_change="ignore")
    with pytest.raises(ValueError, match="no EEG channel"):
        _make_reader().fit_read(epochs)


def test_channels_outside_the_montage():
    """Channels that no entry matches are left out with a warning, of new trials as well."""
    data, reader = _draw(), _make_reader()
    epochs = _make_epochs(data, [*NAMES[:7], "EOG1"])
    with pytest.warns(RuntimeWarning, match="(?s)1 of 8 channels match no entry.*left out"):
        trials = reader.fit_read(epochs)
    assert trials.ch_names == NAMES[:7]
    wanted = _get_single(_make_reader().fit_read(_make_epochs(data[:, :7], NAMES[:7])))
    np.testing.assert_array_equal(_get_single(trials), wanted)
    np.testing.assert_array_equal(_get_single(reader.read(epochs)), wanted)


@pytest.mark.filterwarnings("ignore:39 of 128 channels match no entry")
def test_net_of_128_electrodes():
    """Matches by position are those of the whole net, also after channels are left out."""
    montage = mne.channels.make_standard_montage("GSN-HydroCel-128")
    epochs = _make_epochs(_draw(n_channels=128), montage.ch_names).set_montage(montage)
    reader = _make_reader()
    assert len(reader.fit_read(epochs).ch_names) == 89
    cmap = mne_gram.match_channels(epochs.info, on_missing="ignore")
    np.testing.assert_array_equal(reader.channels, cmap.indices[cmap.indices >= 0])
    assert len(reader.read(epochs)) == len(epochs)


@pytest.mark.parametrize(
    "settings, match",
    [
        ({}, "info=epochs.info, or ch_names"),
        ({"ch_names": NAMES}, "info=epochs.info, or ch_names"),
        ({"ch_names": "Cz", "sfreq": 200.0}, "ch_names must be a list"),
        ({"ch_names": ["Cz"] * 8, "sfreq": 200.0}, "ch_names must be a list of unique"),
        ({"ch_names": NAMES, "sfreq": -1.0}, "positive rate"),
        ({"ch_names": NAMES, "sfreq": SFREQ, "line_freq": -50.0}, "line_freq must be"),
        ({"ch_names": NAMES, "sfreq": 5.0, "line_freq": True}, "line_freq must be"),
        ({"ch_names": NAMES, "info": mne.create_info(NAMES, 200.0, "eeg")}, "either info"),
    ],
)
def test_bad_settings(settings, match):
    """Missing or contradictory settings raise an error."""
    with pytest.raises(ValueError, match=match):
        TrialReader(**settings).fit_read(_draw())


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize("content", [np.nan, np.inf, 1e40])
def test_missing_samples_that_are_marked_as_bad(content, listed):
    """A line replaces them, with a warning; they decide about neither an error nor the unit."""
    data = np.concatenate([_draw(3), np.zeros((4, 8, 400))])
    wanted = data.copy()
    wanted[0, 2, 99:301] = np.linspace(data[0, 2, 99], data[0, 2, 300], 202)
    data[0, 2, 100:300] = content
    events = np.array([[400 * k, 0, 1] for k in range(7)])
    epochs = mne.EpochsArray(data, _make_epochs(data).info, events, verbose="error")
    marks = mne.Annotations([100 / SFREQ, 1200 / SFREQ], [200 / SFREQ, 1600 / SFREQ], "BAD_x")
    marked = epochs.copy().set_annotations(marks)
    x = [marked[k] for k in range(7)] if listed else marked
    n_epochs = "1 of 1" if listed else "1 of 7"
    with pytest.warns(RuntimeWarning, match=f"missing in {n_epochs} epochs; a straight line"):
        read = _make_reader(reference=None).fit_read(x)
    expected = preprocess_trials(wanted, epochs.info, 50.0, None)
    np.testing.assert_allclose(_get_single(read), expected, atol=1e-6)
    with pytest.raises(ValueError, match="The median absolute value of the EEG is 0 V"):
        _make_reader().fit_read(epochs)
    with pytest.raises(ValueError, match="NaN, infinite or .* in 1 of 3 epochs, in C3"):
        _make_reader().fit_read(epochs[:3])
