# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Simulated windows and recordings: units, reference, spectra, maps, ground truth."""

import mne
import numpy as np
import pytest
import torch

from mne_gram import preprocess
from mne_gram.montage import (
    BIPOLAR,
    CH_NAMES,
    ELECTRODES,
    electrode_positions,
    template_sphere,
)
from mne_gram.simulation import SimulationTruth, simulate_raw
from mne_gram.simulation._lead_field import EXTENTS, compute_lead_field, solve_forward
from mne_gram.simulation._signals import Grid, peaks, power_law


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def _rows(*names):
    return [CH_NAMES.index(name) for name in names]


TEN_TWENTY = "FP1 FP2 F7 F3 FZ F4 F8 T7 C3 CZ C4 T8 P7 P3 PZ P4 P8 O1 O2".split()


# ---------------------------------------------------------------------------------------------
# Lead field


def test_forward_against_mne():
    """The maps of a small radial patch and of single dipoles are MNE's own."""
    origin, radius = template_sphere()
    places = np.unique(electrode_positions(), axis=0)
    lead = compute_lead_field()
    patch = 123
    position = lead.centres[patch]
    info = mne.create_info([f"E{k}" for k in range(len(places))], 200.0, "eeg")
    montage = mne.channels.make_dig_montage(
        dict(zip(info.ch_names, places, strict=True)), coord_frame="head"
    )
    info.set_montage(montage)
    sphere = mne.make_sphere_model(origin, radius, verbose="error")
    dipole = mne.Dipole([0.0], position[None], [1.0], lead.frames[patch, :1], [100.0])
    fwd = mne.make_forward_dipole(dipole, sphere, info, verbose="error")[0]
    expected = fwd["sol"]["data"][:, 0]
    found = solve_forward(places, position[None])[:, 0] @ lead.frames[patch, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())
    smallest = lead.patches[patch, 0, 0]
    assert EXTENTS[0] <= 0.1
    assert np.corrcoef(smallest, expected)[0, 1] > 0.97


def test_forward_outside():
    with pytest.raises(ValueError, match="1 of 1 dipoles lie outside the brain"):
        solve_forward(electrode_positions(), np.array([[0.0, 0.0, 0.3]]))


def test_lead_field():
    """Every entry has a place, entries of one place share it, and frames are orthonormal."""
    lead = compute_lead_field()
    index = lead.index
    assert index.shape == (130, 2)
    assert index[_rows("T3", "T7"), 0].tolist() == [index[_rows("T7")[0], 0]] * 2
    assert (index[: len(ELECTRODES), 1] == -1).all()
    first, second = BIPOLAR[0].split("-")
    assert index[len(ELECTRODES)].tolist() == [index[r, 0] for r in _rows(first, second)]
    np.testing.assert_allclose(
        lead.frames @ lead.frames.swapaxes(1, 2),
        np.broadcast_to(np.eye(3), lead.frames.shape),
        atol=1e-12,
    )
    cortex = lead.patches[np.linalg.norm(lead.centres - template_sphere()[0], axis=1) > 0.07]
    np.testing.assert_allclose((cortex**2).mean(axis=(0, 2, 3)), 1, rtol=1e-3)
    np.testing.assert_allclose(lead.patches.mean(axis=-1), 0, atol=1e-4)


def test_artefact_maps():
    """Blinks are largest and positive in front, eye movements odd, muscles focal."""
    lead = compute_lead_field()
    at = lambda *names: lead.index[_rows(*names), 0]  # noqa: E731
    up, right = lead.eyes
    assert (up[at("FP1", "FPZ", "FP2")] > 0.9).all()
    assert (np.abs(up[at("OZ", "PZ", "O1")]) < 0.25).all()
    assert up[at("FZ")] < 0.75 * up[at("FPZ")]
    assert right[at("F8")] > 0.8 and right[at("F7")] < -0.8 and abs(right[at("FZ")]) < 0.05
    temple = lead.muscles[2]
    assert temple[at("FT7")] > 0.5 and (temple[at("CZ", "FT8", "OZ")] < 0.01).all()


# ---------------------------------------------------------------------------------------------
# Signals


@pytest.mark.parametrize("seconds", [1, 8])
def test_shaped_noise(seconds):
    """Noise has the spectrum and the variance asked for."""
    grid = Grid(200 * seconds, 200.0)
    n = 4000 // seconds
    power = peaks(grid, torch.full((n,), 10.0), torch.full((n,), 1.0)) * 4.0
    noise = grid.shape_noise(power, _generator(0)).numpy()
    assert noise.shape == (n, 200 * seconds)
    np.testing.assert_allclose(noise.var(), 4.0, rtol=0.05)
    tone = power_law(grid, torch.full((n,), 2.0), torch.full((n,), 0.5))
    noise = grid.shape_noise(tone, _generator(0)).numpy()
    assert 0.8 < np.mean(noise**2) < 1.02  # slower than 0.1 Hz does not count
    spectrum = (np.abs(np.fft.rfft(noise * np.hanning(200 * seconds))) ** 2).mean(axis=0)
    freqs = np.fft.rfftfreq(200 * seconds, 1 / 200)
    inside = (freqs > 4) & (freqs < 60)
    slope = np.polyfit(np.log(freqs[inside]), np.log(spectrum[inside]), 1)[0]
    assert -2.2 < slope < -1.8


def test_shaped_noise_long(monkeypatch):
    """Long recordings, drawn signal by signal, have the same spectrum."""
    grid = Grid(2000, 200.0)
    power = peaks(grid, torch.full((1, 50), 10.0), torch.full((1, 50), 1.0))
    monkeypatch.setattr("mne_gram.simulation._signals._LONG", 1000)
    noise = grid.shape_noise(power, _generator(0))
    assert noise.shape == (1, 50, 2000)
    np.testing.assert_allclose(noise.var(), 1.0, rtol=0.1)
    assert abs(np.corrcoef(noise[0, :2])[0, 1]) < 0.3


def test_events():
    """One event a second at most, never closer than 0.4 s, convolved with the kernel."""
    grid = Grid(2000, 200.0)
    events = grid.scatter(torch.ones(3, grid.n_seconds), _generator(0))
    assert events.shape == (3, grid.n_block) and (events.sum(-1) == grid.n_seconds).all()
    for row in events:
        assert np.diff(np.flatnonzero(row)).min() >= 80
    found = grid.convolve(events, torch.tensor([1.0, 0.5])).numpy()
    expected = (events + 0.5 * events.roll(1, -1))[:, :2000].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)


# ---------------------------------------------------------------------------------------------
# Recordings


def _band_power(x, low, high, sfreq=200.0):
    x = x - x.mean(axis=-1, keepdims=True)
    power = np.abs(np.fft.rfft(x * np.hanning(x.shape[-1]))) ** 2
    freqs = np.fft.rfftfreq(x.shape[-1], 1 / sfreq)
    return power[..., (freqs >= low) & (freqs < high)].sum(axis=-1)


@pytest.fixture(scope="module")
def recording():
    return simulate_raw(
        60.0,
        artefacts=("eyes", "muscles", "noise", "line", "pops"),
        bads={"Cz": "flat", "F3": "noisy"},
        seed=3,
    )


def test_raw(recording):
    """A recording has the form, the units and the marks of a real one."""
    raw, truth = recording
    assert isinstance(raw, mne.io.BaseRaw) and isinstance(truth, SimulationTruth)
    assert raw.times[-1] == pytest.approx(60.0 - 1 / 200) and raw.info["sfreq"] == 200.0
    assert raw.info["line_freq"] == 50.0 and raw.info["bads"] == ["Cz", "F3"]
    assert [name.upper() for name in raw.ch_names] == TEN_TWENTY
    places = np.array([ch["loc"][:3] for ch in raw.info["chs"]])
    np.testing.assert_allclose(places, electrode_positions()[_rows(*TEN_TWENTY)], atol=1e-6)
    std = truth.clean.std(axis=1)
    assert 5e-6 < np.median(std) < 50e-6
    assert np.isfinite(raw.get_data()).all()


def test_raw_truth(recording):
    """The parts add up, each in the average reference; the brain is its sources."""
    raw, truth = recording
    data = raw.get_data()
    total = np.sum(list(truth.parts.values()), axis=0, dtype=float)
    np.testing.assert_array_equal(data, total)
    for kind in ("brain", "eyes", "muscles", "noise", "line", "pops"):
        part = truth.parts[kind]
        assert part.shape == data.shape and part.any(), kind
        np.testing.assert_allclose(part.mean(axis=0), 0, atol=1e-10)
    np.testing.assert_allclose(truth.maps @ truth.signals, truth.brain, atol=1e-10)
    good = [k for k, name in enumerate(raw.ch_names) if name not in raw.info["bads"]]
    np.testing.assert_array_equal(data[good], truth.clean[good])
    cz, f3 = raw.ch_names.index("Cz"), raw.ch_names.index("F3")
    assert not data[cz].any() and truth.clean[cz].std() > 1e-6
    assert data[f3].std() > 2 * truth.clean[f3].std()


def test_raw_sources(recording):
    """Sources lie where it is said: their maps are the forward model's."""
    raw, truth = recording
    n = len(truth.kinds)
    assert truth.positions.shape == truth.orientations.shape == (n, 3)
    assert truth.signals.shape == (n, raw.n_times) and truth.extents.shape == (n,)
    np.testing.assert_allclose(np.linalg.norm(truth.orientations, axis=1), 1, rtol=1e-5)
    origin, radius = template_sphere()
    assert (np.linalg.norm(truth.positions - origin, axis=1) < 0.86 * radius).all()
    lead = solve_forward(electrode_positions()[_rows(*TEN_TWENTY)], truth.positions)
    maps = np.einsum("esk,sk->es", lead, truth.orientations)
    small = np.flatnonzero(truth.extents == min(EXTENTS))
    assert len(small) > 2
    for k in small:
        assert np.corrcoef(maps[:, k], truth.maps[:, k])[0, 1] > 0.95
    alpha = [kind == "alpha" for kind in truth.kinds]
    assert (truth.positions[alpha, 1] < origin[1]).all()
    assert not set(truth.kinds) & {"spindle", "slow wave"}


def test_raw_blinks(recording):
    """Annotations say where blinks are: large and positive at the forehead."""
    raw, truth = recording
    onsets = [a["onset"] for a in raw.annotations if a["description"] == "blink"]
    assert 4 <= len(onsets) <= 25
    eyes = truth.parts["eyes"][raw.ch_names.index("Fp1")]
    in_blink = np.zeros(raw.n_times, bool)
    rises = []
    for onset in onsets:
        start = round(onset * 200)
        in_blink[start : start + 100] = True
        rises.append(eyes[start : start + 40].max() - eyes[start])
    assert np.median(rises) > 20e-6 and min(rises) > 5e-6
    assert eyes[in_blink].std() > 1.3 * eyes[~in_blink].std()
    pops = [a for a in raw.annotations if a["description"] == "pop"]
    assert len(pops) > 5
    names = [a["ch_names"][0] for a in pops]
    assert set(names) <= set(raw.ch_names)


def test_raw_line(recording):
    raw, truth = recording
    line = truth.parts["line"]
    inside = _band_power(line, 49, 51) / _band_power(line, 0, 101)
    np.testing.assert_allclose(inside, 1, atol=1e-3)


def test_raw_options():
    """Seeds, channels, rates and sleep."""
    one, two = (simulate_raw(5.0, seed=1)[0].get_data() for _ in range(2))
    other = simulate_raw(5.0, seed=2)[0].get_data()
    np.testing.assert_array_equal(one, two)
    assert not np.allclose(one, other)
    raw, truth = simulate_raw(
        20.0, ch_names=["T3", "Cz", "FP1-F7", "Fp1", "F7"], sfreq=512.0, asleep=True, artefacts=()
    )
    assert raw.n_times == 20 * 512 and len(raw.annotations) == 0
    assert list(truth.parts) == ["brain"] and {"spindle", "slow wave"} <= set(truth.kinds)
    data = raw.get_data()
    np.testing.assert_allclose(data[2], data[3] - data[4], atol=1e-10)
    assert _band_power(data, 80, 256, 512).max() < 1e-3 * _band_power(data, 0.5, 75, 512).min()
    montage = mne.channels.make_standard_montage("biosemi16")
    raw, _ = simulate_raw(2.0, ch_names=montage)
    assert raw.ch_names == montage.ch_names
    assert len(raw.get_montage().ch_names) == 16


@pytest.mark.parametrize("other", [dict(duration=47.0), dict(sfreq=256.0)])
def test_the_seed_is_the_person(other):
    """A longer recording, or one at another rate, has the same sources and levels."""

    def simulate(**kwargs):
        options = {"duration": 30.0, "seed": 4, "artefacts": ("eyes", "muscles", "noise"), **kwargs}
        return simulate_raw(**options, verbose="error")[1]

    def tell_levels(truth):
        return np.log([part.std(axis=1) for part in truth.parts.values()])

    truth, again, stranger = simulate(), simulate(**other), simulate(seed=5)
    for name in ("maps", "positions", "orientations", "extents"):
        np.testing.assert_allclose(getattr(again, name), getattr(truth, name), rtol=1e-4)
        assert not np.allclose(getattr(stranger, name), getattr(truth, name), rtol=1e-4)
    # The signals are new ones, of the same sizes.
    assert not np.allclose(again.brain[:, :1000], truth.brain[:, :1000], rtol=0.1)
    levels = tell_levels(truth)
    assert np.abs(tell_levels(again) - levels).mean() < 0.3
    assert np.abs(tell_levels(stranger) - levels).mean() > 0.5


def test_any_rate():
    """Amplitude and spectrum do not depend on the sampling rate."""
    share = []
    for sfreq in (160.0, 1000.0):
        truth = simulate_raw(60.0, sfreq=sfreq, seed=5, verbose="error")[1]
        np.testing.assert_allclose(truth.signals[:40].var(axis=1).mean(), 1, rtol=0.2)
        grid = Grid(round(60 * sfreq), sfreq)
        power = power_law(grid, torch.full((40,), 1.0), torch.full((40,), 1.0))
        noise = grid.shape_noise(power, _generator(0)).numpy()
        share.append(
            _band_power(noise, 20, 40, sfreq).sum() / _band_power(noise, 1, 60, sfreq).sum()
        )
    np.testing.assert_allclose(share[0], share[1], rtol=0.05)


def test_raw_is_eeg_to_the_package(recording):
    """The package's own preprocessing takes a simulated recording as it is."""
    raw = preprocess(recording[0])
    assert raw.info["sfreq"] == 200.0
    inside = _band_power(raw.get_data(picks=["O1"]), 49.5, 50.5)
    before = _band_power(recording[0].get_data(picks=["O1"]), 49.5, 50.5)
    assert inside < 0.2 * before


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        (dict(duration=0.5), "duration must be at least 1"),
        (dict(sfreq=50.0), "sfreq must be at least 100"),
        (dict(amplitude=10.0), "amplitude must be in volts"),
        (dict(artefacts=("heart",)), "artefacts"),
        (dict(sfreq=100.0), "line at 50.0 Hz cannot be sampled at 100 Hz"),
        (dict(bads=["X1"]), "bads contains 'X1'"),
        (dict(bads={"Cz": "odd"}), "odd"),
        (dict(ch_names=["Cz", "nowhere"]), "nowhere"),
    ],
)
def test_raw_bad_input(kwargs, match):
    with pytest.raises(ValueError, match=match):
        simulate_raw(**{"duration": 2.0, **kwargs})
