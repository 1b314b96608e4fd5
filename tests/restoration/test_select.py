# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The weights of experts: pure sums first, then on real EEG."""

from functools import partial
from types import SimpleNamespace

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import mne_gram
from mne_gram._recording import Block, Recording, Samples, find_spans
from mne_gram.covariance import (
    N_BANDS,
    RecordingCovariance,
    extend_prior,
    forward_components,
    load_prior,
    normalise_covariance,
    split_bands,
    sum_bands,
)
from mne_gram.montage import ELECTRODES, INDEX, electrode_positions
from mne_gram.restoration import METHODS, _select, _weights
from mne_gram.restoration._fit import Settings
from mne_gram.restoration._gaps import Estimate
from mne_gram.restoration._select import EXPERTS, _find_evidence, combine, learn_stacks
from mne_gram.restoration._weights import KINDS, Stack, Trial, load_defaults, solve_weights

SFREQ = 160.0
NAMES = tuple(EXPERTS)


@pytest.fixture(scope="module")
def truth():
    """Return 20 s of real EEG at 64 electrodes."""
    return mne_gram.datasets.sample(return_truth=True, verbose="error")[1].pick("eeg")


@pytest.fixture(scope="module")
def few(truth):
    """Return the same at 19 electrodes."""
    names = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
    return truth.copy().pick(names)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_weights_are_the_best_allowed(seed, n):
    """No allowed weights in the neighbourhood, or at the corners, are better."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 30))
    error = rng.standard_normal(30) + rng.uniform(-2, 3, n) @ rows
    gram, across = rows @ rows.T, rows @ error
    weights = solve_weights(gram, across)
    assert (weights >= 0).all() and weights.sum() <= 1 + 1e-9

    def loss(w):
        return w @ gram @ w - 2 * across @ w

    best = loss(weights)
    others = [np.zeros(n), *np.eye(n), *rng.dirichlet(np.ones(n + 1), 200)[:, :n]]
    near = np.clip(weights + 0.02 * rng.standard_normal((200, n)), 0, None)
    others += list(near / np.maximum(1, near.sum(axis=1, keepdims=True)))
    slack = 1e-4 * (np.abs(best) + np.trace(gram))
    assert best <= min(map(loss, others)) + slack


def test_an_expert_that_says_nothing_gets_nothing():
    gram, across = np.diag([1.0, 0.0]), np.array([0.5, 0.0])
    assert_allclose(solve_weights(gram, across), [0.5, 0], atol=1e-5)
    assert_array_equal(solve_weights(np.zeros((2, 2)), np.zeros(2)), [0, 0])


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 700), st.sampled_from([100.0, 160.0, 512.0]))
def test_bands_add_up(n_times, sfreq):
    signals = np.random.default_rng(n_times).standard_normal((2, n_times))
    parts = split_bands(signals, sfreq)
    assert parts.shape == (N_BANDS, 2, n_times)
    assert_allclose(parts.sum(axis=0), signals, atol=1e-12)
    # Each part is what the sum over bands keeps of that band.
    for band in range(N_BANDS):
        alone = np.zeros((N_BANDS, 2, n_times))
        alone[band] = signals
        assert_allclose(sum_bands(alone, sfreq), parts[band], atol=1e-10)


def _make_trial(kind, rng, weight, n=40):
    """Return a trial in which an expert is right to a known share."""
    trial = Trial(kind, SFREQ, NAMES, NAMES)
    for _ in range(n):
        truth, change = rng.standard_normal((2, 800))
        error = weight * change + 0.5 * rng.standard_normal(800)
        trial.add(truth, truth - error, np.full(800, 0.5), {"spline": change})
    return trial


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weight", [0.0, 0.4, 0.8])
def test_the_right_share_is_found(kind, weight):
    trial = _make_trial(kind, np.random.default_rng(0), weight)
    sums = trial.get_sums()
    found = [solve_weights(sums.gram[b], sums.across[b]) for b in range(N_BANDS)]
    spline = np.array(found)[: None if kind == "whole" else 1, NAMES.index("spline")]
    assert_allclose(spline, weight, atol=0.05)
    weights = dict.fromkeys(NAMES, np.zeros(N_BANDS)) | {"spline": np.full(N_BANDS, weight)}
    assert abs(trial.get_calibration(weights) - 1) < 0.05
    scores, r, coverage = trial.get_scores(Stack(weights, 1.0))
    assert scores["auto"] <= scores["spatial"] + 1e-9 and abs(coverage - 0.9) < 0.02
    assert abs(scores["auto"] - 0.25) < 0.02 and 0.85 < r["auto"] < 0.93


def test_offsets_do_not_count():
    """An electrode's own offset and drift say nothing of an expert."""
    rng = np.random.default_rng(0)
    truth, change = rng.standard_normal((2, 800))
    plain, drifting = (Trial("whole", SFREQ, NAMES, NAMES) for _ in range(2))
    std = np.full(800, 0.5)
    plain.add(truth, truth - 0.5 * change, std, {"spline": change})
    drift = 300 + np.linspace(0, 50, 800)
    drifting.add(truth + drift, truth - 0.5 * change, std, {"spline": change})
    assert_allclose(plain.get_sums().across, drifting.get_sums().across, atol=1e-8)


def test_little_data_falls_back_on_others():
    """Without hidden samples the weights are those of the training subjects."""
    default = load_defaults(NAMES)["whole"]
    empty = Trial("whole", SFREQ, NAMES, NAMES).solve()
    for band in range(N_BANDS):
        expected = solve_weights(default["sums"].gram[band], default["sums"].across[band])
        assert_allclose([empty.weights[name][band] for name in NAMES], expected)
    fewer = Trial("whole", SFREQ, NAMES, ["sphere"]).solve()  # the others are not there
    assert {name for name in NAMES if fewer.weights[name].any()} == {"sphere"}
    assert_allclose(empty.calibration, default["calibration"])
    many = _make_trial("whole", np.random.default_rng(0), 0.9, n=3000).solve()
    assert (many.weights["spline"] > 0.7).all()


def test_combine():
    rng = np.random.default_rng(0)
    values, change = rng.standard_normal((2, 500))
    segments = [
        Estimate(0, 0, 500, values.copy(), np.ones(500)),
        Estimate(1, 10, 60, values[:50].copy(), np.ones(50)),
        Estimate(2, 10, 60, values[:50].copy(), np.ones(50), invented=True),
    ]
    by_band, level = np.array([0, 0.5, 0, 0, 1]), np.full(N_BANDS, 0.25)
    stacks = {
        "whole": Stack({"sphere": by_band}, 2.0),
        "intermittent": Stack({"sphere": level}, 0.5),
    }
    corrections = {"sphere": [change, change[:50], np.zeros(50)]}
    pieces = [(0, 300), (300, 500)]
    block = Block(np.zeros((3, 500)), np.ones((3, 500), bool), pieces, 0, SFREQ)
    combine(block, segments, corrections, stacks, np.array([True, False, False]))
    parts = [split_bands(change[None, a:b], SFREQ)[:, 0] for a, b in pieces]
    parts = np.concatenate(parts, axis=1)
    assert_allclose(segments[0].values, values + 0.5 * parts[1] + parts[4], atol=1e-9)
    assert_allclose(segments[1].values, values[:50] + 0.25 * change[:50])
    assert_allclose(segments[2].values, values[:50])
    assert [segment.std[0] for segment in segments] == [2.0, 0.5, 1.0]


def _open(data, mask, inst):
    """Return signals as a recording."""
    samples = Samples(data, np.arange(len(data)), [(0, data.shape[1])])
    return Recording(samples, find_spans(mask), inst.info)


def _learn(data, mask, inst):
    """Return the plan of method auto."""
    return METHODS["auto"].fit(_open(data, mask, inst), Settings())


@pytest.mark.parametrize("kind", KINDS)
def test_learning(few, kind):
    """Weights are allowed ones, do not depend on garbage, and are the same each time."""
    data = few.get_data()
    mask = np.zeros(data.shape, bool)
    mask[3, slice(None) if kind == "whole" else slice(800, 1200)] = True
    plans = []
    for garbage in (0.0, 5e-3, np.nan):
        broken = np.where(mask, garbage, data)
        plans.append(_learn(broken, mask, few))
    assert list(plans[0].stacks) == [kind]
    weights = plans[0].stacks[kind].weights
    table = np.array(list(weights.values()))
    assert (table >= 0).all() and (table.sum(axis=0) <= 1 + 1e-9).all()
    for plan in plans[1:]:
        for name, own in plan.stacks[kind].weights.items():
            assert_allclose(own, weights[name], atol=1e-6)
        assert_allclose(plan.stacks[kind].calibration, plans[0].stacks[kind].calibration)
    evidence = plans[0].evidence
    assert evidence.source == "recording" and evidence.seconds > 4
    if kind == "whole":
        assert set(evidence.scores) == {"spatial", "sphere", "noise", "spline", "auto"}
        assert evidence.scores["spatial"] < evidence.scores["spline"]
        assert not weights["bundled"].any()  # there is no cohort that it lacks
    else:  # the channel's own good time beats a spline, so that is not even tried
        assert set(evidence.scores) == {"spatial", "auto"}
    assert 0.5 < evidence.coverage <= 1
    # Hidden samples are looked at after they were restored, never before.


def test_hidden_samples_are_not_seen(few, monkeypatch):
    """What is hidden in a round changes nothing of what that round estimates."""
    data = few.get_data()
    mask = np.zeros(data.shape, bool)
    mask[3] = True
    fit_candidates, seen = _select.fit_candidates, []

    def refit(recording, settings, *, change=False, **kwargs):
        """Fit the experts, optionally after everything that is hidden was overwritten."""
        if change:
            values = np.where(recording.bad.paint(), 3e-3, data)
            recording = _open(values, recording.bad.paint(), few)
        plan = fit_candidates(recording, settings, **kwargs)
        whole = recording.bad.whole
        seen.append(plan.spatial.operators(np.flatnonzero(~whole), np.flatnonzero(whole))[0])
        return plan

    found = []
    for change in (False, True):
        monkeypatch.setattr(_select, "fit_candidates", partial(refit, change=change))
        _learn(data, mask, few)
        found.append(list(seen))
        seen.clear()
    assert len(found[0]) > 1
    for a, b in zip(*found, strict=True):
        assert_allclose(a, b, atol=1e-9)


def _recording_of(cov, names, seed=0):
    """Return 30 s of noise with a covariance per band (n_bands, n, n), in volts."""
    rng = np.random.default_rng(seed)
    parts = np.linalg.cholesky(cov) @ rng.standard_normal((len(cov), len(names), 4800))
    data = 1e-5 * sum_bands(parts, SFREQ)
    raw = mne.io.RawArray(data, mne.create_info(names, SFREQ, "eeg"), verbose="error")
    places = electrode_positions()[[INDEX[name.upper()] for name in names]]
    montage = mne.channels.make_dig_montage(
        dict(zip(names, places, strict=True)), coord_frame="head"
    )
    return raw.set_montage(montage)


def _restore_each(raw, names, **kwargs):
    """Return the share of each channel's variance that restoring it misses, and the reports."""
    missed, reports = [], []
    data = raw.get_data()
    for name in names:
        bad = raw.copy()
        bad.info["bads"] = [name]
        restored, report = mne_gram.restore(bad, return_report=True, verbose="error", **kwargs)
        k = raw.ch_names.index(name)
        truth = data[k] - np.delete(data, k, axis=0).mean(axis=0)
        missed.append(np.mean((restored.get_data()[k] - data[k]) ** 2) / np.mean(truth**2))
        reports.append(report)
    return np.array(missed), reports


@pytest.mark.slow
def test_smooth_and_quiet_recordings_are_not_worse_than_splines():
    """Where a spline beats other subjects' recordings, experts without these get weight."""
    names = (
        "Fp1 Fp2 F7 F3 Fz F4 F8 FT7 FC3 FCz FC4 FT8 T7 C3 Cz C4 T8 TP7 CP3 CPz CP4 TP8 P7 P3 Pz P4 "
        "P8 O1 Oz O2"
    ).split()
    rows = np.eye(len(ELECTRODES))[[INDEX[name.upper()] for name in names]]
    rng = np.random.default_rng(3)
    components = forward_components()[:-1]
    power = rng.exponential(size=(N_BANDS, len(components))) ** 2
    cov = rows @ np.tensordot(power, components, axes=1) @ rows.T
    cov /= np.trace(cov, axis1=1, axis2=2)[:, None, None] / len(names)
    raw = _recording_of(cov + 3e-3 * np.eye(len(names)), names)
    chosen = ["Cz", "F3", "P4", "T7", "Oz"]
    missed, reports = _restore_each(raw, chosen)
    splined, _ = _restore_each(raw, chosen, method="spline")
    library, _ = _restore_each(raw, chosen, method="spatial")
    assert np.exp(np.log(missed / splined).mean()) < 0.95
    assert np.exp(np.log(library / splined).mean()) > 1
    for report in reports:
        assert report.evidence.mean_weights["spatial"] < 0.7


@pytest.mark.slow
def test_a_cohort_that_does_not_fit_does_little_harm(few):
    """Recordings of nothing but noise are not mixed in, and the report compares with none."""
    base = load_prior()
    rng = np.random.default_rng(0)
    channels = np.array([INDEX[name.upper()] for name in few.ch_names])
    noise = [
        RecordingCovariance(
            ("lab", f"sub-{k}", "x"),
            channels,
            normalise_covariance(np.array([np.cov(rng.standard_normal((19, 40)))] * N_BANDS)),
        )
        for k in range(6)
    ]
    poisoned = extend_prior(base, noise, forward_components())
    names = ["C3", "Fz", "P4"]
    bundled, _ = _restore_each(few, names)
    missed, reports = _restore_each(few, names, prior=poisoned)
    assert np.log(missed / bundled).mean() < 0.1
    for report in reports:  # which shows the error with and without the cohort
        assert {"spatial", "bundled", "auto"} <= set(report.evidence.scores)
        assert 0 <= report.prior["cohort_weight"] < 0.2
        assert "with the cohort and" in " ".join(str(report).split())


def test_few_channels_and_no_positions(few):
    """Where there is nothing to hide, or no spline, the rest works."""
    tiny = few.copy().pick(["Fz", "Cz", "Pz", "O1"])
    tiny.info["bads"] = ["Cz"]
    restored, report = mne_gram.restore(tiny, return_report=True, verbose="error")
    assert np.isfinite(restored.get_data()).all()
    bare = mne.io.RawArray(
        few.get_data(), mne.create_info(few.ch_names, SFREQ, "eeg"), verbose="error"
    )
    bare.info["bads"] = ["C3"]
    restored = mne_gram.restore(bare, verbose="error")
    assert np.isfinite(restored.get_data()).all()


def test_wrong_defaults(tmp_path, monkeypatch):
    path = tmp_path / "stacking.json"
    path.write_text('{"experts": ["other"]}')
    monkeypatch.setattr(_weights, "_DEFAULTS", path)
    load_defaults.cache_clear()
    with pytest.raises(RuntimeError, match="was made with the experts"):
        load_defaults(NAMES)
    load_defaults.cache_clear()


def test_nothing_hidden_gives_no_evidence():
    inst = mne.create_info(4, SFREQ, "eeg")
    recording = _open(np.zeros((4, 100)), np.zeros((4, 100), bool), SimpleNamespace(info=inst))
    plan = SimpleNamespace(spatial=SimpleNamespace(lost=frozenset()))
    assert learn_stacks(recording, plan, Settings()) == ({}, {})
    assert _select._find_evidence({}, {}) is None


@pytest.mark.parametrize("kind", KINDS)
def test_no_evidence_of_silence(kind):
    """Hidden samples of copies of one signal are 0 beside their mean: there is nothing to score."""
    trial = Trial(kind, SFREQ, NAMES, NAMES)
    trial.add(*np.zeros((2, 800)), np.full(800, 0.5), {})
    assert trial.seconds > 0 and _find_evidence({kind: None}, {kind: trial}) is None
    trial = _make_trial(kind, np.random.default_rng(0), 0.5)
    assert _find_evidence({kind: trial.solve()}, {kind: trial}).scores["spatial"] > 0
