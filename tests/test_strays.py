# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Channels typed as EEG that are none: a single one cannot change any result."""

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mne_gram
from mne_gram._strays import find_strays_of

pytestmark = pytest.mark.filterwarnings("ignore:A high-pass at")
NAMES = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
KINDS = ("respiration", "co2", "trigger", "spo2", "electrode")
MATCH = "Left out of the reference and of all estimates.*: "


@pytest.fixture(scope="module")
def clinical():
    """Return 16 seconds of 19 electrodes, all good."""
    raw = mne_gram.datasets.sample(return_truth=True, verbose="error")[1]
    return raw.set_annotations(None).pick(NAMES).crop(0, 16, include_tmax=False)


def add_stray(raw, kind):
    """Return a copy with one more channel that is no EEG, or with a very loud electrode."""
    raw, rng = raw.copy(), np.random.default_rng(1)
    times = raw.times
    if kind == "electrode":
        raw._data[raw.ch_names.index("P4")] = 20e-3 * rng.standard_normal(len(times))
        return raw, "P4"
    signal = {
        "respiration": 20e-3 * np.sin(2 * np.pi * 0.8 * times),
        "co2": 0.5 + 0.5 * np.sin(2 * np.pi * 1.3 * times) ** 3,
        "trigger": 1.0 * (np.arange(len(times)) % 320 < 8),
        "spo2": 97.0 + 0.01 * rng.standard_normal(len(times)),
    }[kind]
    info = mne.create_info([kind.upper()], raw.info["sfreq"], "eeg")
    info["line_freq"] = raw.info["line_freq"]
    new = mne.io.RawArray(signal[None], info, raw.first_samp, verbose="error")
    return raw.add_channels([new], force_update_info=True), kind.upper()


def to_epochs(raw):
    """Return epochs of two seconds."""
    return mne.make_fixed_length_epochs(raw, 2.0, preload=True, verbose="error")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["auto", "spatial", "spline"])
def test_restore(clinical, kind, method):
    raw, name = add_stray(clinical, kind)
    raw.info["bads"] = ["C3"]
    raw._data[NAMES.index("C3")] = 1e-4
    with pytest.warns(RuntimeWarning, match=f"{MATCH}{name}[.]"):
        restored, report = mne_gram.restore(raw, method=method, return_report=True)
    assert_array_equal(restored.get_data(name), raw.get_data(name))
    # The same as without that channel.
    rest = raw.copy().drop_channels([name])
    expected, known = mne_gram.restore(rest, method=method, return_report=True, verbose="error")
    assert_array_equal(restored.get_data("C3"), expected.get_data("C3"))
    columns = ["expected_nmse", "expected_r"]
    frames = [r.to_data_frame()[columns].to_numpy() for r in (report, known)]
    assert_array_equal(*frames)


@pytest.mark.parametrize("kind", KINDS)
def test_restore_with_a_network(clinical, kind):
    raw, name = add_stray(clinical.copy().crop(0, 4), kind)
    raw.info["bads"] = ["C3"]
    with pytest.warns(RuntimeWarning, match=f"{MATCH}{name}[.]"):
        restored = mne_gram.restore(raw, method="gram", line_freq=50.0)
    expected = mne_gram.restore(
        raw.drop_channels([name]), method="gram", line_freq=50.0, verbose="error"
    )
    assert_array_equal(restored.get_data("C3"), expected.get_data("C3"))


def test_several_strays_and_epochs(clinical):
    raw = clinical.copy()
    for kind in KINDS[:4]:
        raw, _ = add_stray(raw, kind)
    raw.pick([*NAMES[::4], *raw.ch_names[19:]])  # nearly as many strays as electrodes
    raw.info["bads"] = [NAMES[8]]
    epochs = to_epochs(raw)
    with pytest.warns(RuntimeWarning, match=MATCH + "RESPIRATION, CO2, TRIGGER, SPO2[.]"):
        restored = mne_gram.restore(epochs, method="spatial")
    expected = mne_gram.restore(
        epochs.copy().pick(NAMES[::4]), method="spatial", verbose="error"
    ).get_data()
    assert_array_equal(restored.get_data(NAMES[::4]), expected)
    evoked = epochs.average(picks="all")
    with pytest.warns(RuntimeWarning, match=MATCH):
        found = mne_gram.restore(evoked, method="spatial")
    expected = mne_gram.restore(
        evoked.copy().pick(NAMES[::4]), method="spatial", verbose="error"
    ).data
    assert_array_equal(found.copy().pick(NAMES[::4]).data, expected)


def test_bad_segment_of_a_loud_electrode_is_restored(clinical):
    raw, name = add_stray(clinical, "electrode")
    raw.set_annotations(mne.Annotations(3.0, 2.0, "BAD_jump", ch_names=[(name,)]))
    inside = slice(round(3 * 160), round(5 * 160))
    with pytest.warns(RuntimeWarning, match=f"{MATCH}{name}[.]"):
        restored, report = mne_gram.restore(raw, method="spatial", return_report=True)
    row = NAMES.index(name)
    whole = raw.copy().set_annotations(None)
    whole.info["bads"] = [name]
    expected = mne_gram.restore(whole, method="spatial", verbose="error").get_data()[row]
    found, before = restored.get_data(), raw.get_data()
    assert_allclose(found[row, inside], expected[inside], rtol=0, atol=2e-6)
    before[row, inside] = found[row, inside] = 0
    assert_array_equal(found, before)
    table = report.to_data_frame()
    assert list(table["channel"]) == [name] and table["seconds"][0] == 2
    assert (
        "left unchanged" not in report.summary
        and "BAD_jump" not in restored.annotations.description
    )


@pytest.mark.parametrize("kind", KINDS)
def test_harmonize(clinical, kind):
    raw, name = add_stray(clinical.copy().drop_channels("C3"), kind)
    raw.set_annotations(mne.Annotations(3.0, 2.0, "BAD_all"))
    wanted = [n for n in NAMES if n != name]
    with pytest.warns(RuntimeWarning, match=f"{MATCH}{name}[.]"):
        found = mne_gram.harmonize(raw, wanted, method="spatial")
    rest = raw.copy().drop_channels([name])
    expected = mne_gram.harmonize(rest, wanted, method="spatial", verbose="error")
    # Where all channels are bad, a loud electrode is bad itself, and not only left out.
    atol = 1e-7 if kind == "electrode" else 0
    assert_allclose(found.get_data("C3"), expected.get_data("C3"), rtol=0, atol=atol)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [lambda raw: raw, to_epochs])
def test_preprocess(clinical, kind, cut):
    raw, name = add_stray(clinical, kind)
    options = dict(line_freq=False, l_freq=None)
    with pytest.warns(RuntimeWarning, match=f"{MATCH}{name}[.]"):
        found = mne_gram.preprocess(cut(raw), **options)
    rest = raw.copy().drop_channels([name])
    expected = mne_gram.preprocess(cut(rest), **options, verbose="error")
    assert_array_equal(found.get_data(rest.ch_names), expected.get_data())
    assert found.info["bads"] == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("preprocess", [True, False])
def test_embedding_and_tokens(clinical, kind, preprocess):
    raw, name = add_stray(clinical.copy().resample(200.0, verbose="error"), kind)
    options = dict(line_freq=False, preprocess=preprocess, window=4)
    rest = raw.copy()
    if kind == "electrode":
        rest.info["bads"] = [name]
    else:
        rest.drop_channels([name])
    for compute in (mne_gram.compute_embedding, mne_gram.compute_tokens):
        with pytest.warns(RuntimeWarning, match=f"{MATCH}{name}[.]"):
            found = compute(raw, on_missing="ignore", **options)
        expected = compute(rest, **options, verbose="error")
        assert found.ch_names == expected.ch_names
        assert_array_equal(found.data, expected.data)


def test_classifier(clinical):
    raw, name = add_stray(clinical, "electrode")
    epochs, rest = to_epochs(raw), to_epochs(raw.copy().drop_channels([name]))
    features = mne_gram.GramFeatures(["tangent"], line_freq=False)
    with pytest.warns(RuntimeWarning, match=f"{MATCH}{name}[.]"):
        found = features.fit(epochs)
    assert found.ch_names_ == rest.ch_names
    expected = mne_gram.GramFeatures(["tangent"], line_freq=False).fit(rest)
    assert_array_equal(found.transform(epochs), expected.transform(rest))
    # A channel that only becomes loud after the fit cannot be left out any more.
    found = mne_gram.GramFeatures(["tangent"], line_freq=False).fit(to_epochs(clinical))
    with pytest.warns(RuntimeWarning, match="far larger.*: P4[.]"):
        found.transform(epochs)


@pytest.mark.parametrize("kind", KINDS)
def test_find_bads(clinical, kind):
    raw, name = add_stray(clinical, kind)
    report = mne_gram.find_bads(raw, line_freq=50.0)
    rest = mne_gram.find_bads(raw.copy().drop_channels([name]), line_freq=50.0)
    assert name in report.channels
    assert [c for c in report.channels if c != name] == rest.channels


@pytest.mark.parametrize("name", ["EEG EKG1-REF", "POL ECG", "EMG chin", "PHOTIC-REF", "EEG SpO2"])
def test_other_signals_by_name(clinical, name):
    """In files that call all channels EEG, names show which are not, whatever their size."""
    raw, kind = add_stray(clinical, "respiration")
    raw.rename_channels({kind: name})
    raw._data[-1] *= 0.01
    raw.info["bads"] = ["C3"]
    rest = raw.copy().drop_channels([name])
    with pytest.warns(RuntimeWarning, match=f"because the names are those of other .*: {name}[.]"):
        restored = mne_gram.restore(raw, method="spatial")
    expected = mne_gram.restore(rest, method="spatial", verbose="error")
    assert_array_equal(restored.get_data("C3"), expected.get_data("C3"))
    assert_array_equal(restored.get_data(name), raw.get_data(name))
    with pytest.warns(RuntimeWarning, match=f"because the names are those of other .*: {name}[.]"):
        found = mne_gram.preprocess(raw, line_freq=False)
    clean = mne_gram.preprocess(rest, line_freq=False, verbose="error")
    assert_allclose(found.get_data(clean.ch_names), clean.get_data(), atol=1e-15)
    report = mne_gram.find_bads(raw, line_freq=50.0)
    assert report.reasons[name] == "type"
    report.plot(show=False)
    # With a position it is an electrode.
    raw.info["chs"][-1]["loc"][:3] = raw.info["chs"][0]["loc"][:3] * 1.01
    assert find_strays_of(raw, np.arange(20)) == []


def test_marked_other_signal(clinical):
    """It is not restored, and the warning does not advise to mark it."""
    raw, kind = add_stray(clinical, "respiration")
    raw.rename_channels({kind: "EKG"})
    raw.info["bads"] = ["C3", "EKG"]
    with pytest.warns(RuntimeWarning, match=r": EKG\. .* with inst\.set_channel_types\.$"):
        restored = mne_gram.restore(raw, method="spatial")
    assert restored.info["bads"] == ["EKG"]
    assert_array_equal(restored.get_data("EKG"), raw.get_data("EKG"))


def test_ordinary_channels_are_not_left_out(clinical, recwarn):
    """Eye movements, unknown names, drifts and electrode offsets are no reason."""
    raw = clinical.copy().rename_channels({"F7": "EOG left", "Cz": "left sock"})
    for name in ("EOG left", "left sock"):
        raw.info["chs"][raw.ch_names.index(name)]["loc"][:] = np.nan
    rng = np.random.default_rng(0)
    raw._data[2] *= 4
    raw._data += 0.2 * rng.uniform(-1, 1, (19, 1))
    raw._data[8] += np.linspace(0, 5e-3, raw.n_times)
    raw._data[4, 700:710] += 1e-2  # a short artefact that nobody marked
    raw.info["bads"] = ["C4"]
    mne_gram.restore(raw, method="spatial")
    mne_gram.preprocess(raw, line_freq=False)
    assert not [w for w in recwarn if "Left out" in str(w.message)]


def test_bad_segments_of_epochs_make_no_stray(clinical):
    """A channel that is loud in marked segments alone stays in the reference."""
    raw = clinical.copy()
    raw._data[4, : round(12 * 160)] *= 1e5
    marks = mne.Annotations(0.0, 12.0, "BAD_jump", ch_names=[(NAMES[4],)])
    options = dict(duration=2.0, preload=True, reject_by_annotation=False, verbose="error")
    epochs = mne.make_fixed_length_epochs(raw.set_annotations(marks), **options)
    assert find_strays_of(epochs, np.arange(len(NAMES))) == []
    assert find_strays_of(epochs.set_annotations(None), np.arange(len(NAMES))) == [NAMES[4]]


@pytest.mark.parametrize("value", [1e308, -1e200])
def test_strays_may_have_any_values(clinical, value):
    """Numbers that overflow when they are squared or added give no warning of NumPy."""
    raw = clinical.copy().crop(0, 2)
    raw._data[4] = value * np.linspace(0.5, 1, raw.n_times)
    assert find_strays_of(raw, np.arange(len(NAMES))) == [NAMES[4]]
