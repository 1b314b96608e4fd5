# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Harmonizing recordings: what is added, what stays as it is, and what is refused."""

import mne
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import mne_gram
from mne_gram import harmonize
from mne_gram.metrics import nmse

TEN_TWENTY = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
WANTED = ["Cz", "Fz", "CPz", "Pz"]

few = settings(
    deadline=None,
    max_examples=4,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def truth():
    """Return ten seconds of 63 good electrodes."""
    truth = mne_gram.datasets.sample(return_truth=True, verbose="error")[1]
    truth.drop_channels(["FT8"]).set_annotations(None)
    return truth.crop(0, 10)


@pytest.fixture
def raw(truth):
    """Return what a clinical recording would have of it: 19 electrodes and other channels."""
    raw = truth.copy().pick(TEN_TWENTY)
    info = mne.create_info(["STI", "ECG"], raw.info["sfreq"], ["stim", "ecg"])
    extra = np.random.default_rng(0).standard_normal((2, raw.n_times))
    extra = mne.io.RawArray(extra, info, verbose="error")
    raw.add_channels([extra], force_update_info=True)
    return raw.reorder_channels(["STI", *TEN_TWENTY[:9], "ECG", *TEN_TWENTY[9:]])


@pytest.fixture
def epochs(raw):
    """Return them cut into epochs."""
    return mne.make_fixed_length_epochs(raw, 1.0, preload=True, verbose="error")


def run(inst, channels, method="spatial", **kwargs):
    """Harmonize in silence, by one expert alone."""
    return harmonize(inst, channels, method=method, verbose="error", **kwargs)


def rows(inst, names):
    """Return the data of channels, by name."""
    return inst.get_data(picks=list(names))


# ---------------------------------------------------------------------------------------------
# The main job


def test_beats_interpolate_to(truth):
    left = truth.copy().pick(TEN_TWENTY)
    harmonized, report = run(left, truth.info, method="auto", return_report=True)
    assert harmonized.ch_names == truth.ch_names
    assert harmonized.info["bads"] == []
    lost = [name for name in truth.ch_names if name not in TEN_TWENTY]
    mask = np.isin(truth.ch_names, lost)[:, None] & np.ones(truth.n_times, bool)
    signal = truth.get_data()
    error = nmse(signal, harmonized.get_data(), mask)
    assert error < 0.55
    assert report.std.shape == signal.shape
    assert not report.std[~mask].any() and (report.std[mask] > 0).all()
    inside = np.abs(harmonized.get_data() - signal)[mask] <= 1.645 * report.std[mask]
    assert 0.75 < inside.mean() < 0.99
    assert set(report.to_data_frame()["channel"]) == set(lost)
    assert isinstance(report, mne_gram.RestorationReport)
    if hasattr(left, "interpolate_to"):  # MNE 1.10
        with mne.utils.use_log_level("error"):
            splined = left.interpolate_to(truth.get_montage(), method="spline")
        assert error < 0.8 * nmse(signal, splined.get_data(picks=truth.ch_names), mask)


def test_same_as_restoring_a_bad_channel(truth):
    lost = ["FC1", "POz"]
    bad = truth.copy()
    bad.info["bads"] = lost
    expected = mne_gram.restore(bad, method="spatial", verbose="error")
    found = run(truth.copy().drop_channels(lost), truth.ch_names)
    assert_allclose(found.get_data(), expected.get_data(), rtol=0, atol=1e-9)


@few
@given(data=st.data())
def test_order_names_and_bits(truth, data):
    have = data.draw(st.permutations(truth.ch_names))[: data.draw(st.integers(6, 20))]
    wanted = data.draw(st.permutations(truth.ch_names))[: data.draw(st.integers(1, 12))]
    raw = truth.copy().reorder_channels(have)
    before = raw.get_data()
    harmonized = run(raw, wanted)
    assert harmonized.ch_names == list(wanted)
    kept = [name for name in wanted if name in have]
    if kept:
        assert_array_equal(rows(harmonized, kept), rows(raw, kept))
    assert np.isfinite(harmonized.get_data()).all()
    assert raw.ch_names == list(have)
    assert_array_equal(raw.get_data(), before)


@few
@given(seed=st.integers(0, 10_000))
def test_reference_does_not_matter(truth, seed):
    rng = np.random.default_rng(seed)
    raw = truth.copy().pick(TEN_TWENTY)
    moved = raw.copy()
    shift = 1e-5 * rng.standard_normal(raw.n_times)
    moved._data += shift
    wanted = [TEN_TWENTY[0], *rng.choice(["FC1", "FC2", "CP5", "AFz", "Oz"], 3, replace=False)]
    difference = run(moved, wanted).get_data() - run(raw, wanted).get_data()
    assert_allclose(difference, np.tile(shift, (4, 1)), rtol=0, atol=1e-10)


# ---------------------------------------------------------------------------------------------
# What survives


def test_other_types_of_channels(raw):
    harmonized, report = run(raw, WANTED, return_report=True)
    assert harmonized.ch_names == ["STI", *WANTED, "ECG"]  # EEG where the first of it stood
    assert_array_equal(rows(harmonized, ["STI", "ECG"]), rows(raw, ["STI", "ECG"]))
    assert report.std.shape == (6, raw.n_times)
    assert [bool(row.any()) for row in report.std] == [False, False, False, True, False, False]


def test_raw_keeps_its_times_and_marks(truth, raw):
    raw.set_annotations(
        mne.Annotations([1.0, 2.0], [0.5, 0.5], ["T1", "look"], ch_names=[[], ["T7", "F3"]])
    )
    raw.set_eeg_reference(["Cz"], verbose="error")
    raw = raw.crop(2.0, 9.0)
    harmonized = run(raw, ["T3", "Fz", "CPz"])
    assert harmonized.first_samp == raw.first_samp > 0
    assert harmonized.info["meas_date"] == raw.info["meas_date"]
    assert harmonized.info["custom_ref_applied"] == raw.info["custom_ref_applied"] > 0
    assert harmonized.info["line_freq"] == raw.info["line_freq"]
    assert harmonized.info["lowpass"] == raw.info["lowpass"]
    assert harmonized.get_data().dtype == raw.get_data().dtype
    assert_array_equal(harmonized.times, raw.times)
    assert_array_equal(harmonized.annotations.onset, raw.annotations.onset)
    assert list(harmonized.annotations.description) == list(raw.annotations.description)
    assert list(harmonized.annotations.ch_names)[-1] == ("T3",)
    assert harmonized.annotations.orig_time == raw.annotations.orig_time


def test_from_file_and_back(raw, tmp_path):
    raw.save(tmp_path / "in_raw.fif", fmt="double", verbose="error")
    read = mne.io.read_raw(tmp_path / "in_raw.fif", verbose="error")
    harmonized = run(read, WANTED)
    assert not read.preload
    assert_array_equal(harmonized.get_data(), run(raw, WANTED).get_data())
    harmonized.save(tmp_path / "out_raw.fif", fmt="double", verbose="error")
    again = mne.io.read_raw(tmp_path / "out_raw.fif", verbose="error")
    assert again.ch_names == harmonized.ch_names
    assert_array_equal(again.get_data(), harmonized.get_data())


@pytest.mark.parametrize("copy", [False, True])
def test_memory_mapped_file(raw, tmp_path, copy):
    raw.save(tmp_path / "in_raw.fif", fmt="double", verbose="error")
    mapped = mne.io.read_raw(tmp_path / "in_raw.fif", preload=str(tmp_path / "x"), verbose="error")
    size = (tmp_path / "x").stat().st_size
    harmonized = run(mapped, WANTED, copy=copy)
    assert (harmonized is mapped) == (not copy)
    assert_array_equal(harmonized.get_data(), run(raw, WANTED).get_data())
    assert (tmp_path / "x").stat().st_size == size


def test_epochs(epochs):
    epochs.metadata = pd.DataFrame({"trial": range(len(epochs))})
    harmonized, report = run(epochs, WANTED, return_report=True)
    assert harmonized.ch_names == ["STI", *WANTED, "ECG"]
    assert report.std.shape == harmonized.get_data().shape == (len(epochs), 6, 160)
    assert_array_equal(harmonized.events, epochs.events)
    assert_array_equal(harmonized.metadata, epochs.metadata)
    assert harmonized.event_id == epochs.event_id
    assert harmonized.tmin == epochs.tmin
    kept = ["STI", "Cz", "Fz", "Pz", "ECG"]
    assert_array_equal(rows(harmonized, kept), rows(epochs, kept))
    assert (rows(harmonized, ["CPz"]).std(axis=-1) > 0).all()


def test_evoked(epochs):
    evoked = epochs.average(picks="eeg")
    harmonized, report = run(evoked, WANTED, return_report=True)
    assert harmonized.ch_names == WANTED
    assert harmonized.nave == evoked.nave and harmonized.comment == evoked.comment
    assert report.std.shape == harmonized.data.shape
    kept = ["Cz", "Fz", "Pz"]
    assert_array_equal(rows(harmonized, kept), rows(evoked, kept))


@pytest.mark.parametrize("kind", ["raw", "epochs", "evoked"])
def test_copy(raw, epochs, kind):
    inst = dict(raw=raw, epochs=epochs, evoked=epochs.average(picks="eeg"))[kind]
    expected = run(inst, WANTED)
    assert run(inst, WANTED, copy=False) is inst
    assert inst.ch_names == expected.ch_names
    assert_array_equal(inst.get_data(), expected.get_data())
    assert_array_equal(inst.copy().crop(0, 0.5).get_data(), expected.crop(0, 0.5).get_data())


@pytest.mark.parametrize("kind", ["raw", "epochs", "evoked"])
def test_what_fails_changes_nothing(raw, epochs, monkeypatch, kind):
    """With copy=False too, whether restoring fails at its beginning or after it has written."""
    raw.rename_channels({"T7": "T3"}).info["bads"] = ["Cz"]
    raw.set_annotations(mne.Annotations([1.0], [1.0], ["look"], ch_names=[["T3"]]))
    inst = dict(raw=raw, epochs=epochs, evoked=epochs.average(picks="eeg"))[kind]
    inst.set_montage(None).info["bads"] = ["Cz"]
    before = inst.copy()

    def check():
        assert inst.ch_names == before.ch_names and inst.info["bads"] == ["Cz"]
        assert mne.utils.object_diff(dict(inst.info), dict(before.info)) == ""
        assert_array_equal(inst.get_data(), before.get_data())
        if kind == "raw":
            assert inst.annotations == before.annotations

    with pytest.raises(ValueError, match="method"):
        run(inst, WANTED, method="magic", copy=False)
    check()

    def restore(inst, **kwargs):
        inst._data[:] = 0
        raise MemoryError

    monkeypatch.setattr("mne_gram.restoration._harmonize.restore", restore)
    for wanted in (WANTED, ["Cz", "Fz"]):  # with and without new channels
        with pytest.raises(MemoryError):
            run(inst, wanted, copy=False)
        check()


def test_sample_is_drawn_from_a_seed(raw):
    draws = [run(raw, WANTED, output="sample", random_state=s).get_data()[3] for s in (1, 1, 2)]
    assert_array_equal(draws[0], draws[1])
    assert np.abs(draws[0] - draws[2]).max() > 1e-6


# ---------------------------------------------------------------------------------------------
# Bad channels, others


def test_bad_channels(truth, raw):
    garbage = raw.copy()
    for name in ("Cz", "F7"):
        garbage._data[raw.ch_names.index(name)] = 1e-2
    garbage.info["bads"] = ["Cz", "F7"]
    harmonized, report = run(garbage, WANTED, return_report=True)
    assert harmonized.info["bads"] == []
    assert set(report.to_data_frame()["channel"]) == {"Cz", "CPz"}
    signal = truth.copy().pick(TEN_TWENTY).get_data()
    estimate, mask = signal.copy(), np.zeros(signal.shape, bool)
    estimate[TEN_TWENTY.index("Cz")] = rows(harmonized, ["Cz"])
    mask[TEN_TWENTY.index("Cz")] = True
    assert nmse(signal, estimate, mask) < 0.8
    # What a bad channel holds is not evidence, wanted or not.
    without = run(raw.copy().drop_channels(["Cz", "F7"]), WANTED)
    assert_allclose(harmonized.get_data(), without.get_data(), rtol=0, atol=1e-9)


def test_others_follow_if_kept(raw):
    raw.info["bads"] = ["O2"]
    harmonized, report = run(raw, WANTED, drop_others=False, return_report=True)
    others = [name for name in TEN_TWENTY if name not in WANTED]
    assert harmonized.ch_names == ["STI", *WANTED, *others, "ECG"]
    assert harmonized.info["bads"] == ["O2"]
    assert_array_equal(rows(harmonized, others), rows(raw, others))
    assert report.std.shape == harmonized.get_data().shape
    dropped = run(raw, WANTED)  # they are evidence all the same
    assert_array_equal(rows(harmonized, WANTED), rows(dropped, WANTED))


def test_spans_of_single_channels_are_restored(raw):
    raw.set_annotations(mne.Annotations([2.0], [1.0], ["BAD_pop"], ch_names=[["Cz"]]))
    broken = raw.copy()
    broken._data[raw.ch_names.index("Cz"), 320:480] = 5e-3
    harmonized, report = run(broken, WANTED, return_report=True)
    assert np.abs(rows(harmonized, ["Cz"])[0, 320:480]).max() < 1e-3
    assert_array_equal(rows(harmonized, ["Cz"])[0, :320], rows(raw, ["Cz"])[0, :320])
    assert report.std[1, 320:480].all() and not report.std[1, :320].any()
    assert set(report.to_data_frame()["channel"]) == {"Cz", "CPz"}


@pytest.mark.parametrize("cut", [False, True])
def test_new_channels_follow_where_all_are_bad(raw, cut):
    raw.set_annotations(mne.Annotations([2.0], [1.0], ["BAD_move"]))
    inst = raw
    if cut:
        inst = mne.make_fixed_length_epochs(
            raw, 1.0, preload=True, reject_by_annotation=False, verbose="error"
        )
    harmonized, report = run(inst, WANTED, return_report=True)
    found = harmonized.get_data().swapaxes(-2, -3)[3] if cut else harmonized.get_data()[3]
    expected = run(raw.set_annotations(None), WANTED).get_data()[3]
    found, expected = found.ravel()[:1600], expected[:1600]
    # The good channels are fine here, so the estimate without the mark is about right.
    gap = slice(320, 480)
    assert np.corrcoef(found[gap], expected[gap])[0, 1] > 0.95
    assert np.abs(np.diff(found[300:500])).max() < 2 * np.abs(np.diff(expected)).max()
    std = (report.std.swapaxes(0, 1) if cut else report.std)[3].ravel()[:1600]
    assert np.isnan(std[gap]).all()
    lower, upper = report.interval(harmonized)
    assert np.isnan(lower).sum() == np.isnan(upper).sum() == 160
    assert (std[:320] > 0).all() and (std[480:] > 0).all()
    assert harmonized.info["bads"] == []


# ---------------------------------------------------------------------------------------------
# Names and positions


def test_old_and_decorated_names(truth):
    raw = truth.copy().pick(TEN_TWENTY)
    raw.rename_channels({"T7": "T3", "Fp1": "EEG Fp1-LE", "Cz": "CZ"})
    raw.set_annotations(mne.Annotations([0.0], [1.0], ["look"], ch_names=[["T3"]]))
    harmonized = run(raw, ["T7", "Fp1", "Cz", "T4", "T6"])
    assert harmonized.ch_names == ["T7", "Fp1", "Cz", "T4", "T6"]
    assert_array_equal(harmonized.get_data(), rows(truth, ["T7", "Fp1", "Cz", "T8", "P8"]))
    assert harmonized.annotations.ch_names[0] == ("T7",)


def test_names_in_annotations_of_epochs(truth):
    raw = truth.copy().pick(TEN_TWENTY).rename_channels({"T7": "T3"})
    raw.set_annotations(mne.Annotations([1.0], [1.0], ["BAD_pop"], ch_names=[["T3"]]))
    epochs = mne.make_fixed_length_epochs(
        raw, 1.0, preload=True, reject_by_annotation=False, verbose="error"
    )
    _, report = run(epochs, ["Cz", "T7"], return_report=True)
    assert [bool(std.any()) for std in report.std[:3, 1]] == [False, True, False]
    assert not report.std[:, 0].any()


@pytest.mark.parametrize("kind", ["name", "montage", "info"])
def test_targets(raw, kind):
    montage = mne.channels.make_standard_montage("biosemi32")
    info = mne.create_info([*montage.ch_names, "EOG"], 100.0, ["eeg"] * 32 + ["eog"])
    info.set_montage(montage)
    channels = dict(name="biosemi32", montage=montage, info=info)[kind]
    harmonized = run(raw, channels)
    assert harmonized.ch_names == ["STI", *montage.ch_names, "ECG"]
    found = {ch["ch_name"]: ch["loc"][:3] for ch in harmonized.info["chs"]}
    wanted = {ch["ch_name"]: ch["loc"][:3] for ch in info["chs"]}
    own = {ch["ch_name"]: ch["loc"][:3] for ch in raw.info["chs"]}
    for name in montage.ch_names:
        assert_allclose(found[name], own.get(name, wanted[name]))


def test_montage_with_both_names_of_an_electrode(raw):
    montage = mne.channels.make_standard_montage("biosemi32")
    places = montage.get_positions()["ch_pos"]
    places = {name: places[name] for name in ("Fz", "T7")} | {"T3": places["T7"]}
    montage = mne.channels.make_dig_montage(places, coord_frame="head")
    assert run(raw, montage).ch_names == ["STI", "Fz", "T7", "ECG"]


def test_positions_are_laid_on_the_head(truth):
    raw = truth.copy().pick(TEN_TWENTY)
    turn = mne.transforms.rotation3d(0.1, 0.0, 0.2)
    for ch in raw.info["chs"]:
        ch["loc"][:3] = 1.1 * turn @ ch["loc"][:3] + [0.0, 0.01, 0.0]
    harmonized = run(raw, ["Cz", "CPz", "AFF5h"])
    cz, cpz, aff5h = (ch["loc"][:3] for ch in harmonized.info["chs"])
    assert_array_equal(cz, raw.info["chs"][raw.ch_names.index("Cz")]["loc"][:3])
    place = truth.info["chs"][truth.ch_names.index("CPz")]["loc"][:3]
    assert_allclose(cpz, 1.1 * turn @ place + [0.0, 0.01, 0.0], atol=2e-3)
    straight = run(truth.copy().pick(TEN_TWENTY), ["Cz", "CPz", "AFF5h"])
    assert_allclose(harmonized.get_data(), straight.get_data(), atol=1e-6)
    assert np.isfinite(aff5h).all()
    # MNE reads the digitized points: the new electrodes are among them.
    places = harmonized.get_montage().get_positions()["ch_pos"]
    assert_array_equal(places["CPz"], cpz)
    points = np.array([point["r"] for point in harmonized.info["dig"]])
    assert np.abs(points - cpz).sum(axis=1).min() < 1e-6
    idents = [p["ident"] for p in harmonized.info["dig"] if p["kind"] == 3]
    assert len(set(idents)) == len(idents)


def test_recording_without_positions(truth):
    raw = truth.copy().pick(TEN_TWENTY).set_montage(None)
    harmonized = run(raw, ["Cz", "CPz"])
    expected = run(truth.copy().pick(TEN_TWENTY), ["Cz", "CPz"])
    assert_allclose(harmonized.get_data(), expected.get_data(), atol=1e-9)
    for ours, theirs in zip(harmonized.info["chs"], expected.info["chs"], strict=True):
        assert_allclose(ours["loc"][:3], theirs["loc"][:3], atol=1e-6)


def test_names_of_other_nets_by_position(truth):
    montage = mne.channels.make_standard_montage("GSN-HydroCel-32")
    harmonized = run(truth, montage)
    assert harmonized.ch_names == montage.ch_names
    names = {"E5": "C3", "E10": "O2", "E17": "AFz"}  # as the positions say
    mean = rows(truth, truth.ch_names).mean(axis=0)
    for new, near in names.items():
        pair = rows(harmonized, [new])[0] - mean, rows(truth, [near])[0] - mean
        assert np.corrcoef(*pair)[0, 1] > 0.7


def test_unknown_names_can_be_left_out(raw):
    with pytest.warns(RuntimeWarning, match="Cannot add X1: .*left out"):
        harmonized = harmonize(raw, ["Cz", "X1", "Pz"], on_missing="warn")
    assert harmonized.ch_names == ["STI", "Cz", "Pz", "ECG"]
    assert run(raw, ["Cz", "X1"], on_missing="ignore").ch_names == ["STI", "Cz", "ECG"]


# ---------------------------------------------------------------------------------------------
# References and projectors


@pytest.mark.parametrize("cut", [False, True])
def test_average_that_waits_is_renewed(raw, epochs, cut):
    inst = epochs if cut else raw
    inst.set_eeg_reference("average", projection=True, verbose="error")
    harmonized = run(inst, WANTED)
    assert_array_equal(rows(harmonized, ["Cz"]), rows(inst, ["Cz"]))
    (projector,) = harmonized.info["projs"]
    assert not projector["active"] and set(projector["data"]["col_names"]) == set(WANTED)
    before = rows(harmonized, WANTED)
    harmonized.apply_proj(verbose="error")
    assert_allclose(
        rows(harmonized, WANTED), before - before.mean(axis=-2, keepdims=True), atol=1e-12
    )


@pytest.mark.parametrize("kind", ["raw", "epochs", "evoked"])
def test_average_that_is_applied_stays(raw, epochs, kind):
    inst = dict(raw=raw, epochs=epochs, evoked=epochs.average(picks="eeg"))[kind]
    inst.set_eeg_reference("average", projection=True, verbose="error").apply_proj(verbose="error")
    harmonized = run(inst, WANTED)
    assert harmonized.info["projs"][0]["active"]
    assert_array_equal(rows(harmonized, ["Cz"]), rows(inst, ["Cz"]))


def test_other_projectors_have_to_be_applied_first(raw):
    projectors = mne.compute_proj_raw(raw, n_grad=0, n_mag=0, n_eeg=1, verbose="error")
    raw.add_proj(projectors, verbose="error")
    with pytest.raises(ValueError, match="not applied yet .*inst.apply_proj"):
        run(raw, WANTED)
    assert run(raw, ["Cz", "Fz"]).ch_names[1:3] == ["Cz", "Fz"]  # nothing is added
    assert np.isfinite(run(raw.apply_proj(verbose="error"), WANTED).get_data()).all()


# ---------------------------------------------------------------------------------------------
# What is refused


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ([], "is empty"),
        (["T3", "Cz", "T7"], "T3 and T7 are names of the same electrode"),
        (["T1", "FT9"], "T1 and FT9 are names of the same electrode"),
        (["Cz", "CZ"], "Cz and CZ are names of the same electrode"),
        (["Cz", "Cz"], "Cz more than once"),
        (["Cz", "X1", "Y2"], "Cannot add X1, Y2: neither a 10-05 name.*Check the spelling"),
        (["Cz", "F3-C3"], "F3-C3 is a derivation .*set_bipolar_reference"),
        (["ECG", "Cz"], "ECG is wanted, but .*type ecg.*set_channel_types"),
        ("biosemi31", "no montage named 'biosemi31', expected one of .*biosemi32"),
        ("Cz", r"channel as a list: channels=\['Cz'\]"),
        (mne.create_info(["EOG"], 100.0, "eog"), "no EEG channel"),
    ],
)
def test_targets_that_are_refused(raw, channels, message):
    before = list(raw.ch_names)
    with pytest.raises(ValueError, match=message):
        run(raw, channels)
    assert raw.ch_names == before


def test_types_that_are_refused(raw):
    with pytest.raises(TypeError, match="channels must be"):
        run(raw, 64)
    with pytest.raises(TypeError, match="Each of channels"):
        run(raw, ["Cz", 3])
    with pytest.raises(TypeError, match="inst must be"):
        run(raw.get_data(), WANTED)


def test_recordings_that_are_refused(raw):
    with pytest.raises(ValueError, match="Found no EEG channel"):
        run(raw.copy().pick(["ECG", "STI"]), WANTED)
    nowhere = raw.copy().set_montage(None)
    nowhere.rename_channels({name: f"X{k}" for k, name in enumerate(TEN_TWENTY[1:])})
    for on_missing in ("raise", "warn"):
        with pytest.raises(ValueError, match="Cannot (restore|add) Cz, Fz, CPz, Pz"):
            run(nowhere, WANTED, on_missing=on_missing)
    microvolts = raw.copy().apply_function(lambda x: 1e6 * x, picks="eeg")
    with pytest.raises(ValueError, match="not in volts: multiply them by 1e-6"):
        run(microvolts, TEN_TWENTY)
    raw.info["bads"] = TEN_TWENTY[1:]
    with pytest.raises(ValueError, match="1 of 19 EEG channels are good; at least 2"):
        run(raw, WANTED)


@pytest.mark.parametrize("old", ["standard_1020", "colin27_1020"])
def test_montages_by_old_and_new_name(truth, old):
    """MNE 1.13 renamed them; both names work with every version, without a warning of MNE."""
    raw = truth.copy().pick(TEN_TWENTY)
    with pytest.warns(RuntimeWarning, match="T3, T5, T4, T6 .*T7, P7, T8, P8") as caught:
        harmonized = harmonize(raw, old, method="spatial")
    assert len(caught) == 1
    assert len(harmonized.ch_names) == 90 and "T3" not in harmonized.ch_names
    assert_array_equal(rows(harmonized, TEN_TWENTY), rows(raw, TEN_TWENTY))


def test_same_name_elsewhere(truth):
    """On a BioSemi cap A1 is the vertex, not an earlobe."""
    montage = mne.channels.make_standard_montage("biosemi128")
    cap = mne.create_info(montage.ch_names, 200.0, "eeg").set_montage(montage)
    data = 1e-5 * np.random.default_rng(0).standard_normal((128, 600))
    raw = mne.io.RawArray(data, cap, verbose="error")
    with pytest.raises(ValueError, match="A1 is wanted at A1, but .* is at CZ"):
        run(raw, ["Cz", "A1"])
    assert_array_equal(rows(run(raw, montage), ["A1"]), rows(raw, ["A1"]))
