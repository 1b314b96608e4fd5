# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The rules of restoration: which samples change, and how well they are estimated."""

import mne
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import mne_gram
from mne_gram import restore
from mne_gram._recording._masks import collect_mask
from mne_gram.metrics import nmse

few = settings(
    deadline=None,
    max_examples=5,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def spans_mask(truth, rng, n_spans=6, shortest=1, longest=400):
    """Draw bad stretches of single channels."""
    mask = np.zeros((len(truth.ch_names), truth.n_times), bool)
    for _ in range(n_spans):
        length = rng.integers(shortest, longest)
        start = rng.integers(0, truth.n_times - length)
        mask[rng.integers(len(mask)), start : start + length] = True
    return mask


def usual_steps(row, bad, start, stop, sfreq):
    """Return the 99th percentile of the absolute good steps in the 2 s around a stretch."""
    left, right = max(0, start - round(2 * sfreq)), min(len(row), stop + round(2 * sfreq))
    good = ~bad[left:right]
    steps = np.abs(np.diff(row[left:right]))[good[1:] & good[:-1]]
    return np.quantile(steps, 0.99) if len(steps) else None


# ---------------------------------------------------------------------------------------------
# The main job


def test_sample_is_restored(sample):
    raw, truth = sample
    restored, report = restore(raw, return_report=True, verbose="error")
    known = np.array([name != "FT8" for name in raw.ch_names])  # broken in reality
    mask = collect_mask(raw, np.arange(64))[known]
    error = nmse(truth.get_data()[known], restored.get_data()[known], mask)
    spline = restore(raw, method="spline", verbose="error").get_data()[known]
    assert error < 0.3
    assert error < 0.9 * nmse(truth.get_data()[known], spline, mask)
    assert restored.info["bads"] == [] and raw.info["bads"] == ["CP2", "FT8"]
    assert set(report.to_data_frame()["channel"]) == {"F4", "CP2", "FT8"}


@pytest.mark.parametrize("method", ["auto", "spatial", "spline", "gram"])
def test_good_samples_stay_and_bad_ones_do_not_matter(clinical, network, method, fill):
    rng = np.random.default_rng(0)
    mask = spans_mask(clinical, rng)
    mask[[5, 12]] = True
    signal = clinical.get_data()
    found = []
    for garbage in (np.nan, 5.0, np.inf, rng.standard_normal(mask.sum()) * 1e-2):
        raw = fill(clinical, mask, garbage)
        restored = restore(raw, mask=mask, method=method, model=network, verbose="error")
        assert_array_equal(restored.get_data()[~mask], signal[~mask])
        found.append(restored.get_data())
    scale = np.abs(signal[~mask]).mean()
    assert np.isfinite(found[0]).all()
    for other in found[1:]:
        assert_allclose(other, found[0], rtol=0, atol=1e-6 * scale)
    assert np.abs(found[0] - signal)[mask].max() > 0.1 * scale  # not the truth: that was hidden


@few
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-9, 1e3), whole=st.booleans())
def test_invariance_to_garbage(clinical, seed, scale, whole, fill):
    rng = np.random.default_rng(seed)
    mask = spans_mask(clinical, rng)
    if whole:
        mask[rng.choice(len(mask), 3, replace=False)] = True
    raw = fill(clinical, mask, scale * rng.standard_normal(mask.sum()))
    restored = restore(raw, mask=mask, verbose="error").get_data()
    expected = restore(fill(clinical, mask, np.nan), mask=mask, verbose="error").get_data()
    assert_array_equal(restored[~mask], clinical.get_data()[~mask])
    assert_allclose(restored, expected, rtol=0, atol=1e-6 * np.abs(clinical.get_data()).mean())


@few
@given(seed=st.integers(0, 10_000))
def test_steps_at_seams_are_usual(clinical, seed, fill):
    rng = np.random.default_rng(seed)
    mask = spans_mask(clinical, rng, n_spans=10, longest=800)
    raw = fill(clinical, mask, 1.0)
    # An amplifier's offset makes the estimate meet the good samples badly.
    raw._data += rng.uniform(-1e-3, 1e-3, (len(mask), 1))
    restored = restore(raw, mask=mask, verbose="error").get_data()
    checked = 0
    for row, bad in zip(restored, mask, strict=True):
        edges = np.flatnonzero(np.diff(np.r_[0, bad, 0].astype(int)))
        for start, stop in edges.reshape(-1, 2):
            limit = usual_steps(row, bad, start, stop, 160)
            if limit is None:
                continue
            gap = (
                stop - start == 1 and abs(row[start - 1] - row[min(stop, len(row) - 1)]) > 2 * limit
            )
            if gap:  # one sample cannot be near two that are far apart
                continue
            if start > 0:
                assert abs(row[start] - row[start - 1]) <= limit * (1 + 1e-9)
                checked += 1
            if stop < len(row):
                assert abs(row[stop] - row[stop - 1]) <= limit * (1 + 1e-9)
                checked += 1
    assert checked > 0


@few
@given(seed=st.integers(0, 10_000), size=st.floats(1e-6, 1e-3))
def test_reference_goes_straight_through(clinical, seed, size, fill):
    """What all channels share, garbage in an average reference included, changes nothing else.

    But for the bound on steps, which a channel's own steps set, reference and all.
    """
    rng = np.random.default_rng(seed)
    mask = spans_mask(clinical, rng)
    mask[rng.choice(len(mask), 4, replace=False)] = True
    shared = size * rng.standard_normal(clinical.n_times)
    raw = clinical.copy()
    raw._data -= shared
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mne_gram.restoration._gaussian.limit_steps", lambda *args: None)
        first = restore(fill(clinical, mask, np.nan), mask=mask, verbose="error").get_data()
        second = restore(fill(raw, mask, np.nan), mask=mask, verbose="error").get_data()
    assert_allclose(second + shared, first, rtol=0, atol=1e-6 * max(size, 1e-5))


def test_order_of_channels_does_not_matter(clinical, fill):
    mask = spans_mask(clinical, np.random.default_rng(1))
    mask[[3, 15]] = True
    order = np.random.default_rng(2).permutation(len(mask))
    raw = fill(clinical, mask, np.nan)
    first = restore(raw, mask=mask, verbose="error").get_data()
    shuffled = raw.copy().reorder_channels([raw.ch_names[k] for k in order])
    second = restore(shuffled, mask=mask[order], verbose="error").get_data()
    assert_allclose(second, first[order], rtol=0, atol=1e-10)


@pytest.mark.parametrize("n_channels", [4, 8])
def test_few_channels(truth, n_channels, fill):
    names = ["Fz", "C3", "C4", "Oz", "F3", "F4", "P3", "P4"][:n_channels]
    raw = truth.copy().pick(names)
    errors = []
    for row in range(n_channels):
        mask = np.zeros((n_channels, raw.n_times), bool)
        mask[row] = True
        broken = fill(raw, mask, np.nan)
        if n_channels == 4:
            with pytest.warns(RuntimeWarning, match="Only 3 channels are good"):
                restored = restore(broken, mask=mask)
        else:
            restored = restore(broken, mask=mask)
        errors.append(nmse(raw.get_data(), restored.get_data(), mask))
    assert errors[1] < 1
    # Three far electrodes tell nothing of a fourth: then the estimate must not do harm.
    assert np.exp(np.mean(np.log(errors))) < (1.1 if n_channels == 4 else 0.85)


def test_high_density_net(fill):
    montage = mne.channels.make_standard_montage("GSN-HydroCel-257")
    info = mne.create_info(montage.ch_names[:256], 100.0, "eeg")
    info.set_montage(montage)
    rng = np.random.default_rng(0)
    places = np.array([ch["loc"][:3] for ch in info["chs"]])
    places = places - places.mean(axis=0)
    # A smooth field: a few sources far inside.
    topography = 1 / np.linalg.norm(places[:, None] - 0.4 * places[None, ::25], axis=2)
    sources = rng.standard_normal((topography.shape[1], 400))
    raw = mne.io.RawArray(1e-6 * topography @ sources, info, verbose="error")
    mask = np.zeros((256, 400), bool)
    mask[[10, 100, 200]] = True
    restored = restore(fill(raw, mask, np.nan), mask=mask, verbose="error")
    assert nmse(raw.get_data(), restored.get_data(), mask) < 0.2


def test_bipolar_derivations(truth, fill):
    pairs = [
        ("Fp1", "F7"),
        ("F7", "T7"),
        ("T7", "P7"),
        ("P7", "O1"),
        ("Fp1", "F3"),
        ("F3", "C3"),
        ("C3", "P3"),
        ("P3", "O1"),
    ]
    raw = mne.set_bipolar_reference(
        truth, [a for a, _ in pairs], [b for _, b in pairs], verbose="error"
    ).pick([f"{a}-{b}" for a, b in pairs])
    mask = np.zeros((8, raw.n_times), bool)
    mask[2] = True
    restored = restore(fill(raw, mask, np.nan), mask=mask, verbose="error")
    error = ((restored.get_data() - raw.get_data())[mask] ** 2).sum() / (
        raw.get_data()[mask] ** 2
    ).sum()
    # T7-P7 is the other three of its ring: Fp1-F3-C3-P3-O1 less Fp1-F7-T7 and P7-O1.
    assert error < 0.1


def test_two_names_of_one_place(truth, fill):
    """T1 lies where FT9 does: such a pair leaves a direction without variance."""
    names = ["Fp1", "F3", "C3", "P3", "O1", "F7", "T7", "P7", "Fz", "Cz", "Pz", "T9", "FT7"]
    raw = truth.copy().pick(names).set_montage(None).rename_channels({"T9": "FT9", "FT7": "T1"})
    mask = np.zeros(raw.get_data().shape, bool)
    mask[names.index("C3")] = True
    restored = restore(fill(raw, mask, np.nan), mask=mask)
    assert np.isfinite(restored.get_data()).all()
    assert nmse(raw.get_data(), restored.get_data(), mask) < 1


def test_few_good_channels_at_a_time(truth, fill):
    """No window has all channels: the size of the errors is still that of EEG."""
    raw = truth.copy().pick(["C3", "C4", "Cz", "Pz"])
    mask = np.zeros(raw.get_data().shape, bool)
    for second in range(20):
        mask[second % 4, second * 160 : (second + 1) * 160] = True
    _, report = restore(fill(raw, mask, np.nan), mask=mask, return_report=True)
    assert 1e-6 < report.std[mask].mean() < 1e-4
    # With windows that never are good long enough, too.
    mask[:, ::100] = True
    mask[0, ::100] = mask[1, ::100] = False
    _, report = restore(fill(raw, mask, np.nan), mask=mask, return_report=True)
    assert 1e-6 < report.std[mask].mean() < 1e-4


def test_very_short_epochs(clinical):
    """In a fifth of a second there is no delta to learn from."""
    epochs = mne.make_fixed_length_epochs(clinical, 0.2, preload=True, verbose="error")
    broken = epochs.copy()
    broken._data[:, 12] = 1.0
    broken.info["bads"] = [clinical.ch_names[12]]
    restored, report = restore(broken, return_report=True)
    flat, found = (e.get_data(copy=False).transpose(1, 0, 2) for e in (epochs, restored))
    mask = np.zeros((19, flat[0].size), bool)
    mask[12] = True
    assert nmse(flat.reshape(19, -1), found.reshape(19, -1), mask) < 1
    assert 1e-6 < report.std[:, 12].mean() < 1e-4


def test_reference_goes_through_when_no_channel_is_always_good(truth, fill):
    rng = np.random.default_rng(3)
    mask = np.repeat(rng.random((63, 20)) < 0.3, 160, axis=1)
    assert mask.any(axis=1).all()
    shared = 1e-3 + 1e-4 * rng.standard_normal(truth.n_times).cumsum() / 30
    moved = truth.copy()
    moved._data -= shared
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mne_gram.restoration._gaussian.limit_steps", lambda *args: None)
        first = restore(fill(truth, mask, np.nan), mask=mask, verbose="error").get_data()
        second = restore(fill(moved, mask, np.nan), mask=mask, verbose="error").get_data()
    assert_allclose(second + shared, first, rtol=0, atol=1e-9)


def test_offsets_of_an_amplifier(truth, fill):
    """Fifty millivolts of offset and a slow drift leave the repair of a stretch as it was."""
    raw = truth.copy().filter(0.5, None, verbose="error")
    mask = np.zeros(raw.get_data().shape, bool)
    for channel in (3, 20, 41):
        mask[channel, 1200:1500] = mask[channel + 5, 1400:1700] = True
    plain = restore(fill(raw, mask, np.nan), mask=mask, verbose="error").get_data()
    rng = np.random.default_rng(0)
    offset = rng.uniform(-0.05, 0.05, (63, 1)) + rng.uniform(-1e-4, 1e-4, (63, 1)) * raw.times / 20
    moved = raw.copy()
    moved._data += offset
    found = restore(fill(moved, mask, np.nan), mask=mask, verbose="error").get_data() - offset
    error = [((x - raw.get_data())[mask] ** 2).sum() for x in (plain, found)]
    assert error[1] < 2 * error[0]


def test_pauses_of_the_recording_say_nothing(truth, clinical):
    """MNE writes zeros where recording paused."""
    truth = truth.copy().pick(clinical.ch_names)
    raw = truth.copy()
    raw._data[:, 800:2400] = 0
    raw.set_annotations(mne.Annotations(5, 10, "BAD_ACQ_SKIP"))
    raw.info["bads"] = ["Pz"]
    _, report = restore(raw, return_report=True, verbose="error")
    rest = truth.copy().crop(0, 4.99)
    rest.info["bads"] = ["Pz"]
    _, expected = restore(rest, return_report=True, verbose="error")
    pz = truth.ch_names.index("Pz")
    assert_allclose(report.std[pz, 0], expected.std[pz, 0], rtol=0.4)


def test_positions_alone(truth, fill):
    """Without names the positions do nearly as well, and better than a spline."""
    raw = truth.copy().filter(0.5, 45, verbose="error")
    numbered = raw.copy().rename_channels({n: f"EEG {k:03}" for k, n in enumerate(raw.ch_names)})
    errors = []
    for first in (0, 8):
        mask = np.zeros(raw.get_data().shape, bool)
        mask[first::16] = True
        found = [
            restore(fill(inst, mask, np.nan), mask=mask, method=method, verbose="error")
            for inst, method in ((raw, "auto"), (numbered, "auto"), (raw, "spline"))
        ]
        errors.append([nmse(raw.get_data(), one.get_data(), mask) for one in found])
    named, placed, spline = np.exp(np.log(errors).mean(axis=0))
    assert placed < 1.1 * named and placed < spline


def test_joins_of_files_with_other_offsets(truth, fill):
    rng = np.random.default_rng(0)
    first, second = truth.copy(), truth.copy()
    offset = 0.02 * rng.standard_normal((63, 1))
    always = np.setdiff1d(np.arange(63), [12, 20, 40])
    offset -= offset[always].mean()  # what all share would be the reference's
    second._data += offset
    raw = mne.concatenate_raws([first, second], verbose="error")
    assert raw.n_times == 2 * truth.n_times
    expected = np.hstack([truth.get_data(), truth.get_data() + offset])
    mask = np.zeros(expected.shape, bool)
    mask[12, 3000:3150] = mask[20, 3240:3400] = True
    mask[40] = True
    found = restore(fill(raw, mask, np.nan), mask=mask, verbose="error").get_data()
    level = truth.get_data().std()
    assert np.abs(found - expected)[12][mask[12]].mean() < 2 * level
    assert np.abs(found - expected)[20][mask[20]].mean() < 2 * level
    assert found[40].std() < 3 * level  # nobody knows its offset: it stands on the mean


# ---------------------------------------------------------------------------------------------
# All-channel gaps, samples, reports


def test_all_channel_gaps(clinical):
    raw = clinical.copy()
    raw.set_annotations(
        mne.Annotations([5.0, 5.2], [1.0, 0.3], ["BAD_move", "BAD_pop"], ch_names=[(), ("Cz",)])
    )
    raw.info["bads"] = ["Pz"]
    gap = slice(800, 960)
    kept, report = restore(raw, return_report=True, verbose="error")
    assert_array_equal(kept.get_data()[:, gap], raw.get_data()[:, gap])
    assert "left unchanged" in report.summary
    filled = restore(raw, all_channel_gaps="fill", verbose="error")
    assert np.abs(filled.get_data()[:, gap] - raw.get_data()[:, gap]).max() > 1e-6
    assert_array_equal(filled.get_data("C3")[0, :800], raw.get_data("C3")[0, :800])
    invented = [a for a in filled.annotations if a["description"] == "INVENTED"]
    assert len(invented) == 1 and set(invented[0]["ch_names"]) == set(raw.ch_names)
    assert_allclose([invented[0]["onset"], invented[0]["duration"]], [5, 1], atol=1e-6)
    # What the gap held says nothing about the rest.
    other = raw.copy()
    other._data[:, gap] = np.nan
    assert_allclose(
        restore(other, verbose="error").get_data("Pz")[0, :790], kept.get_data("Pz")[0, :790]
    )


def test_gap_inside_a_bad_span(truth, fill):
    """A moment without any good channel does not spoil the rest of a channel's bad span."""
    raw = truth.copy()
    spans = mne.Annotations([2, 8], [15, 0.1], ["BAD_F4", "BAD_blink"], ch_names=[("F4",), ()])
    raw.set_annotations(spans)
    row, gap = raw.ch_names.index("F4"), slice(1280, 1296)
    mask = np.zeros(raw.get_data().shape, bool)
    mask[row, 320:2720] = True
    mask[:, gap] = True
    for garbage in (1.0, np.nan):
        broken = fill(raw, mask, garbage)
        kept = restore(broken, verbose="error").get_data()
        assert_array_equal(kept[:, gap], broken.get_data()[:, gap])
        mask[:, gap] = False
        assert nmse(truth.get_data(), np.where(mask, kept, truth.get_data()), mask) < 0.7
        mask[:, gap] = True
        filled, report = restore(
            broken, all_channel_gaps="fill", return_report=True, verbose="error"
        )
        assert np.isfinite(filled.get_data()).all()
        assert_allclose(report.to_data_frame()["invented"], 0.1)


@few
@given(seed=st.integers(0, 10_000))
def test_invariance_with_gaps_and_spans(clinical, seed, fill):
    rng = np.random.default_rng(seed)
    mask = spans_mask(clinical, rng)
    mask[rng.choice(19)] = True
    for start in rng.integers(0, 1400, 2):
        mask[:, start : start + rng.integers(1, 150)] = True
    found = [
        restore(
            fill(clinical, mask, g), mask=mask, all_channel_gaps="fill", verbose="error"
        ).get_data()
        for g in (np.nan, 1.0)
    ]
    assert np.isfinite(found[0]).all()
    assert_allclose(found[1], found[0], rtol=0, atol=1e-10)
    assert_array_equal(found[0][~mask], clinical.get_data()[~mask])


@pytest.mark.slow
def test_shorter_than_a_patch(truth, network):
    errors = dict(auto=[], gram=[], spline=[])
    for k in range(10):
        raw = truth.copy().crop(2.1 * k, 2.1 * k + 0.6)
        n = len(raw.ch_names)
        raw.info["bads"] = [raw.ch_names[(7 * k + 3) % n], raw.ch_names[(11 * k + 30) % n]]
        mask = np.isin(raw.ch_names, raw.info["bads"])[:, None] & np.ones(raw.n_times, bool)
        for method, found in errors.items():
            restored = restore(raw, method=method, model=network, verbose="error")
            found.append(nmse(raw.get_data(), restored.get_data(), mask))
    means = {method: np.exp(np.mean(np.log(found))) for method, found in errors.items()}
    assert means["auto"] < 0.4 > means["gram"]
    assert means["auto"] < 0.8 * means["spline"]


def test_rank_deficient_data(truth, fill):
    """ICA-cleaned data have fewer dimensions than channels."""
    raw = truth.copy().crop(0, 10)
    u, s, v = np.linalg.svd(raw.get_data(), full_matrices=False)
    raw._data[:] = (u[:, :20] * s[:20]) @ v[:20]
    mask = np.zeros(raw.get_data().shape, bool)
    mask[[raw.ch_names.index(name) for name in ("Oz", "PO7")]] = True
    mask[15, 800:1200] = True
    restored = restore(fill(raw, mask, np.nan), mask=mask, verbose="error").get_data()
    spline = restore(fill(raw, mask, np.nan), mask=mask, method="spline", verbose="error")
    assert np.isfinite(restored).all()
    assert nmse(raw.get_data(), restored, mask) < nmse(raw.get_data(), spline.get_data(), mask)
    raw.info["bads"] = ["Oz", "PO7"]
    _, report = restore(raw, return_report=True, verbose="error")
    assert report.rank_before == 20 and 20 <= report.rank_after <= 30


@pytest.mark.parametrize("dataset", ["alcohol", "eegmat", "eegmmi", "mdd"])
def test_other_laboratories(shared, dataset, fill):
    """On held-out people of each data set the repair beats the spline."""
    from mne_bids import read_raw_bids

    from mne_gram._files import list_recordings
    from mne_gram.training import split_subjects

    paths = list_recordings(shared / "eeg" / dataset)
    _, test = split_subjects([path.subject for path in paths])
    errors = []
    for subject in test[:3]:
        path = next(path for path in paths if path.subject == subject)
        raw = read_raw_bids(path, verbose="error").load_data(verbose="error")
        raw.pick("eeg", exclude=()).crop(0, 25)
        if dataset != "alcohol":
            raw.set_annotations(None)
            raw.filter(0.5, 45, verbose="error")
        cmap = mne_gram.match_channels(raw.info, on_missing="ignore")
        raw.pick([n for n, e in zip(cmap.ch_names, cmap.entries, strict=True) if e])
        entries = mne_gram.match_channels(raw.info).entries
        raw.rename_channels(dict(zip(raw.ch_names, entries, strict=True)))
        with mne.utils.use_log_level("error"):
            names = {
                n.upper(): n for n in mne.channels.make_standard_montage("easycap-M1").ch_names
            }
        if not set(raw.ch_names) <= set(names):
            raw.pick([n for n in raw.ch_names if n in names])
        raw.rename_channels({n: names[n] for n in raw.ch_names})
        raw.set_montage("easycap-M1", on_missing="raise")
        raw.info["bads"] = []
        rng = np.random.default_rng(0)
        mask = np.zeros(raw.get_data().shape, bool)
        mask[rng.choice(len(mask), len(mask) // 4, replace=False)] = True
        broken = fill(raw, mask, 1.0)
        errors.append(
            [
                nmse(
                    raw.get_data(),
                    restore(broken, mask=mask, method=m, verbose="error").get_data(),
                    mask,
                )
                for m in ("spatial", "spline")
            ]
        )
    ours, spline = np.array(errors).T
    assert np.median(ours / spline) < 0.95
