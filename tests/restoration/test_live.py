# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Data that arrive chunk by chunk are restored as they would be offline."""

import pickle

import mne
import numpy as np
import pytest
from mne.utils import catch_logging

import mne_gram
from mne_gram import LiveRestorer, Restorer
from mne_gram.covariance import interpolation_operators
from mne_gram.montage import template_montage

SFREQ = 160.0
BAD = ["C3", "Pz"]


@pytest.fixture(scope="module")
def raw():
    """Return 30 s of 19 clean channels, of which the first 15 s are for fit."""
    raw, _ = mne_gram.simulation.simulate_raw(30.0, sfreq=SFREQ, seed=3, artefacts=())
    return raw.filter(1.0, 45.0)


@pytest.fixture(scope="module")
def restorer(raw):
    """Return a fitted transformer."""
    return Restorer().fit(raw.copy().crop(0, 15))


@pytest.fixture(scope="module")
def clean(raw):
    """Return 15 s that arrive later, (n_channels, n_times)."""
    return raw.get_data(start=round(15 * SFREQ))


@pytest.fixture
def stream(clean):
    """Return the same with a channel that is broken from 4 to 9 s."""
    data = clean.copy()
    noise = np.random.default_rng(0).standard_normal(5 * 160)
    data[4, 4 * 160 : 9 * 160] = 2 * data[4].std() * noise
    return data


def _chunk(live, data, lengths, **kwargs):
    """Process data in chunks of these lengths, again and again."""
    parts, start, k = [], 0, 0
    while start < data.shape[1]:
        stop = start + lengths[k % len(lengths)]
        parts.append(live.process(data[:, start:stop], **kwargs))
        start, k = stop, k + 1
    return np.concatenate(parts, axis=1)


def _marks(restorer, names):
    return np.isin(restorer.ch_names_, names)


# ---------------------------------------------------------------------------------------------
# The same as offline


@pytest.mark.parametrize("delay", [0.0, 0.3])
def test_chunks(restorer, stream, delay):
    """However data are cut into chunks, the result is the same, and good samples stay."""
    live = LiveRestorer(restorer, delay=delay)
    whole = live.process(stream)
    assert list(live.annotations.ch_names) == [(restorer.ch_names_[4],)]
    for lengths in ([1, 0, 37], [16], [400, 3]):
        live.reset()
        assert live.bads == [] and not len(live.annotations)
        parts = _chunk(live, stream, lengths)
        assert np.abs(parts - whole).max() < 1e-12 * np.abs(stream).max()
        assert len(live.annotations) == 1
    n = round(live.delay * SFREQ)
    assert live.delay == pytest.approx(delay, abs=1 / SFREQ)
    others = np.arange(19) != 4
    assert (whole[others, n:] == stream[others, : stream.shape[1] - n]).all()
    assert (whole[4, n:] != stream[4, : stream.shape[1] - n]).any()


@pytest.mark.parametrize("seed, delay", [(0, 0.0), (1, 0.0), (2, 0.2), (3, 0.825)])
def test_random(restorer, clean, seed, delay):
    """Whatever is damaged, missing or marked, chunks make no difference."""
    rng = np.random.default_rng(seed)
    data, n_times = clean[:, :1600].copy(), 1600
    mask = np.zeros(data.shape, bool)
    for kind in rng.permutation(5)[:4]:
        channel, start, length = rng.integers([19, n_times, 800])
        part = slice(start, start + length)
        if kind == 0:
            data[channel, part] = np.nan
        elif kind == 1:
            data[channel, part] = 1e-4
        elif kind == 2:
            data[:, start : start + 20] = np.nan
        elif kind == 3:
            data[rng.permutation(19)[:8], part] *= 50
        mask[rng.integers(19), part] |= kind == 4
    one, many = (LiveRestorer(restorer, delay=delay) for _ in range(2))
    whole = one.process(data, mask=mask)
    cuts = np.sort(rng.integers(0, n_times, 60))
    parts = zip(np.split(data, cuts, axis=1), np.split(mask, cuts, axis=1), strict=True)
    parts = np.concatenate([many.process(x, mask=m) for x, m in parts], axis=1)
    assert np.array_equal(np.isnan(whole), np.isnan(parts))
    assert np.nanmax(np.abs(whole - parts)) < 1e-12 * np.nanmax(np.abs(data))
    assert (one.annotations.onset == many.annotations.onset).all()


def test_instantaneous(restorer, clean):
    """Without delay the weights are those of the covariance over all bands."""
    bad = _marks(restorer, BAD)
    data = clean.copy()
    data[bad] = 1e-3
    restored = LiveRestorer(restorer, detect=False).process(data, mask=bad)
    cov, carries = restorer.covariance_.sum(axis=0), np.ones(19)
    weights, _ = interpolation_operators(cov, carries, np.flatnonzero(~bad), np.flatnonzero(bad))
    assert np.allclose(restored[bad], weights @ clean[~bad], rtol=0, atol=1e-12 * clean.std())
    assert ((restored[bad] - clean[bad]) ** 2).sum() < 0.5 * (clean[bad] ** 2).sum()
    masked = np.repeat(bad[:, None], data.shape[1], axis=1)
    again = LiveRestorer(restorer, detect=False).process(data, mask=masked)
    assert np.abs(again - restored).max() < 1e-12 * np.abs(clean).max()


def test_delayed(restorer, raw, clean):
    """With the longest delay, bad channels are estimated as by the transformer."""
    test = raw.copy().crop(15)
    test.info["bads"] = list(BAD)
    offline = restorer.transform(test).get_data()
    live = LiveRestorer(restorer, detect=False, delay=0.825)
    found = _chunk(live, clean, [50], mask=_marks(restorer, BAD))
    n = round(0.825 * SFREQ)
    error = np.abs(found[:, n:] - offline[:, :-n])
    assert error[:, n:].max() < 1e-9 * clean.std()  # before, filters meet the beginning
    others = ~_marks(restorer, BAD)
    assert (found[others, :n] == clean[others, :1]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype(restorer, stream, dtype):
    """The type of the data stays, and so do good samples, bit for bit."""
    data = stream.astype(dtype)
    before = data.copy()
    restored = LiveRestorer(restorer).process(data)
    assert restored.dtype == dtype and (data == before).all()
    others = np.arange(19) != 4
    assert (restored[others] == data[others]).all()


# ---------------------------------------------------------------------------------------------
# Channels that go bad


def _break(data, how, rng):
    """Return what a broken channel records."""
    size, n_times = data.std(), len(data)
    if how == "flat":
        return np.full(n_times, data[0])
    if how == "rail":
        return np.full(n_times, 3e-3)
    if how == "loud":
        return data + 100 * size * rng.standard_normal(n_times)
    if how == "line":
        return data + 5 * size * np.sin(2 * np.pi * 50 * np.arange(n_times) / SFREQ)
    return 2 * size * rng.standard_normal(n_times)


@pytest.mark.parametrize(
    "how, why",
    [
        ("flat", "flat"),
        ("rail", "flat"),
        ("loud", "amplitude"),
        ("line", "line"),
        ("noise", "misfit"),
        ("missing", "nan"),
    ],
)
def test_detection(restorer, clean, how, why):
    """A channel that breaks is found within 1.25 s, restored, and good again after 3 s."""
    data, rng = clean.copy(), np.random.default_rng(1)
    bad, start, stop = 8, 4 * 160, 8 * 160
    data[bad, start:stop] = np.nan if how == "missing" else _break(data[bad, start:stop], how, rng)
    live = LiveRestorer(restorer)
    with catch_logging(verbose="info") as log:
        first = _chunk(live, data[:, : 6 * 160], [20])
        assert live.bads == [restorer.ch_names_[bad]]
        second = _chunk(live, data[:, 6 * 160 :], [20])
    assert live.bads == []
    text = log.getvalue()
    assert f"{live.ch_names[bad]} is bad ({why})" in text
    assert f"{live.ch_names[bad]} is good again" in text
    (found,) = live.annotations
    assert found["description"] == f"BAD_gram_{why}"
    assert found["ch_names"] == (live.ch_names[bad],)
    assert 4 < found["onset"] <= 5.25 and 8 < found["onset"] + found["duration"] <= 11.25
    restored = np.concatenate([first, second], axis=1)
    inside = slice(round(found["onset"] * SFREQ), stop)
    error = ((restored - clean)[bad, inside] ** 2).sum() / (clean[bad, inside] ** 2).sum()
    assert error < 0.5
    others = np.arange(19) != bad
    assert (restored[others] == clean[others]).all()


def test_no_false_alarms(restorer, clean, stream):
    """Clean data remain as they are, and nothing is found if this is not wanted."""
    live = LiveRestorer(restorer)
    assert (live.process(clean) == clean).all() and not len(live.annotations)
    live = LiveRestorer(restorer, detect=False)
    assert (live.process(stream) == stream).all() and live.bads == []


def test_no_flapping(restorer, clean):
    """A channel with a loose contact stays bad in between."""
    data, rng = clean.copy(), np.random.default_rng(2)
    for second in (3, 5, 7, 9):
        part = slice(second * 160, second * 160 + 100)
        data[8, part] = _break(data[8, part], "loud", rng)
    live = LiveRestorer(restorer)
    live.process(data)
    (found,) = live.annotations
    assert 3 < found["onset"] < 4.5 and found["onset"] + found["duration"] > 10


def test_all_bad(restorer, clean):
    """Where all channels are bad, nothing is restored, and nothing remains of it."""
    rng = np.random.default_rng(3)
    data = clean.copy()
    data[:, 640:960] = 500e-6 * 50 * rng.standard_normal((19, 320))
    live = LiveRestorer(restorer)
    with catch_logging(verbose="warning") as log:
        restored = live.process(data)
    assert (restored == data).all() and live.bads == [] and not len(live.annotations)
    assert log.getvalue().count("most channels are bad at once") == 1
    with catch_logging(verbose="warning") as log:
        restored = live.process(data[:, :160], mask=np.arange(19) > 0)
        assert live.bads == live.ch_names[1:]
        restored = live.process(data[:, :160], mask=np.arange(19) > 0)
    assert (restored == data[:, :160]).all()
    assert log.getvalue().count("Fewer than 2 channels are good") == 1


def test_microvolts(restorer, clean):
    """Data in another unit are left unchanged, and the log says so."""
    with catch_logging(verbose="warning") as log:
        restored = LiveRestorer(restorer).process(clean * 1e6)
    assert (restored == clean * 1e6).all() and "are the data in volts" in log.getvalue()


# ---------------------------------------------------------------------------------------------
# Odd input


@pytest.mark.parametrize("delay", [0.0, 0.3])
def test_missing_samples(restorer, clean, delay):
    """Samples that are NaN are restored one by one, without a channel being bad."""
    data = clean.copy()
    data[3, 500:510] = np.nan
    data[7, 505:520] = np.inf
    data[:, 900] = np.nan  # a sample that was lost in all channels stays
    live = LiveRestorer(restorer, delay=delay)
    restored = _chunk(live, data, [7])
    n = round(live.delay * SFREQ)
    lost = np.zeros(data.shape, bool)
    lost[:, 900] = True
    lost = np.roll(lost, n, axis=1)
    assert not np.isfinite(restored[lost]).any() and np.isfinite(restored[~lost]).all()
    expected = np.roll(clean, n, axis=1)
    assert np.abs(restored - expected)[:, n:][~lost[:, n:]].max() < 3 * clean.std()
    assert not len(live.annotations)


def test_channels(restorer, clean):
    """Channels are found by name in any order; others are returned unchanged."""
    names, rng = restorer.ch_names_, np.random.default_rng(4)
    order = rng.permutation(19)[:15]
    ch_names = ["EOG", *(names[k].replace("T7", "T3") for k in order), "STATUS"]
    extra = 1e-4 * rng.standard_normal((2, clean.shape[1]))
    data = np.vstack([extra[:1], clean[order], extra[1:]])
    data[1, 640:] = 1.0
    live = LiveRestorer(restorer, ch_names=ch_names, sfreq=SFREQ)
    restored = live.process(data)
    assert live.bads == [ch_names[1]]
    kept = np.arange(17) != 1
    assert (restored[kept] == data[kept]).all()
    good, bad = np.sort(order[1:]), order[:1]
    weights = restorer._trial_fit.weights(good, bad)
    late = slice(900, None)
    assert np.allclose(restored[1, late], (weights @ clean[good])[0, late], rtol=0, atol=1e-15)


def test_bad_in_fit(restorer, raw, clean):
    """What was bad in fit, or is in bads, is bad from the start; splines have weights, too."""
    train = raw.copy().crop(0, 15).set_montage(template_montage())
    train.info["bads"] = ["Cz"]
    fitted = Restorer(bads=["O1"], method="spline").fit(train)
    with catch_logging(verbose="info") as log:
        live = LiveRestorer(fitted)
    assert "always restored: Cz\n" in log.getvalue()
    data = clean.copy()
    rows = [live.ch_names.index(name) for name in ("Cz", "O1")]
    data[rows] = 1.0
    restored = live.process(data[:, :10])
    assert sorted(live.bads) == ["Cz", "O1"]
    error = restored[rows] - clean[rows, :10]
    assert (error**2).sum() < 0.5 * (clean[rows, :10] ** 2).sum()
    assert LiveRestorer(fitted, detect=False).bads == ["O1"]
    with pytest.raises(ValueError, match="Splines are the same in all frequency bands"):
        LiveRestorer(fitted, delay=0.5)


def test_unknown_channel(raw, clean):
    """A channel of which nothing is known is returned unchanged, and is no evidence."""
    train = raw.copy().crop(0, 15).rename_channels({"Cz": "X1"}).set_montage(None)
    train.info["bads"] = ["X1"]
    live = LiveRestorer(Restorer().fit(train))
    data, row = clean.copy(), train.ch_names.index("X1")
    data[row] = 1e-3 * np.random.default_rng(0).standard_normal(clean.shape[1])
    marks = np.isin(live.ch_names, ["C3", "X1"])
    restored = live.process(data, mask=marks)
    assert (restored[row] == data[row]).all() and live.bads == ["C3"]
    c3 = live.ch_names.index("C3")
    assert ((restored - clean)[c3] ** 2).sum() < 0.5 * (clean[c3] ** 2).sum()
    without = live.process(clean, mask=np.isin(live.ch_names, "C3"))
    assert np.abs(without - restored)[c3].max() < 1e-12


def test_errors(restorer, clean, raw):
    """What cannot be right is refused, and the state stays as it was."""
    with pytest.raises(TypeError, match="restorer must be an instance of Restorer"):
        LiveRestorer(None)
    with pytest.raises(Exception, match="not fitted"):
        LiveRestorer(Restorer())
    for delay in (0.1, 1.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="delay must be 0 or from 0.2 to 0.825"):
            LiveRestorer(restorer, delay=delay)
    with pytest.raises(ValueError, match="not among the EEG: X1"):
        LiveRestorer(pickle.loads(pickle.dumps(restorer)).set_params(bads=["X1"]))
    with pytest.raises(ValueError, match="Found 1 channel of the restorer"):
        LiveRestorer(restorer, ch_names=["Cz", "A", "B"])
    with pytest.warns(RuntimeWarning, match="Only 3 channels are good"):
        few = Restorer().fit(raw.copy().pick(["C3", "Cz", "C4"]))
    with pytest.raises(ValueError, match="use detect=False"):
        LiveRestorer(few)
    live = LiveRestorer(restorer)
    for chunk in (clean[:5], clean[0], clean.T, clean[None]):
        with pytest.raises(ValueError, match=r"expected \(19, n_times\)"):
            live.process(chunk)
    with pytest.raises(TypeError, match="real numbers"):
        live.process(clean.astype(complex))
    with pytest.raises(ValueError, match="mask is of type"):
        live.process(clean, mask=np.ones(19))
    assert live.process(clean[:, :0]).shape == (19, 0)
    assert (live.process(clean) == clean).all()


# ---------------------------------------------------------------------------------------------
# As a callback of MNE-LSL


def _stream_info(restorer, exponent=-6):
    info = mne.create_info([*restorer.ch_names_, "STIM"], SFREQ, ["eeg"] * 19 + ["stim"])
    for channel in info["chs"][:19]:
        channel["unit_mul"] = exponent
    return info


def test_callback(restorer, stream, clean):
    """Units and marks are those of the info, and data are restored in place."""
    live, info = LiveRestorer(restorer), _stream_info(restorer)
    info["bads"] = ["C3"]
    stim = np.arange(clean.shape[1])[None] % 7
    data = np.asfortranarray(np.vstack([1e6 * stream, stim]).T.astype(np.float32))
    expected = LiveRestorer(restorer, ch_names=info["ch_names"], sfreq=SFREQ).process(
        np.vstack([data.T[:19].astype(float) * 1e-6, stim]), mask=np.isin(info["ch_names"], "C3")
    )
    times = 100 + np.arange(len(data)) / SFREQ
    before = data.copy()
    for start in range(0, len(data), 32):
        part = data[start : start + 32]
        returned, when = live(part, times[start : start + 32], info)
        assert returned is part and (when == times[start : start + 32]).all()
    assert np.allclose(data.T[:19] * 1e-6, expected[:19], rtol=0, atol=1e-4 * clean.std())
    others = ~np.isin(np.arange(20), [4, info["ch_names"].index("C3")])
    assert (data[:, others] == before[:, others]).all()
    assert list(live.annotations.ch_names) == [("Fz",)] and live.bads == ["C3"]
    assert len(live(data[:0], times[:0], info)[0]) == 0


def test_callback_delay(restorer, clean):
    """The timestamps are those of the delayed samples."""
    live, info = LiveRestorer(restorer, delay=0.3), _stream_info(restorer, 0)
    data = np.vstack([clean, np.zeros((1, clean.shape[1]))]).T
    before, times = data.copy(), np.arange(len(data)) / SFREQ
    when = [live(data[k : k + 30], times[k : k + 30], info)[1] for k in range(0, len(data), 30)]
    assert np.allclose(np.concatenate(when), times - live.delay)
    n = round(live.delay * SFREQ)
    assert (data[n:] == before[:-n]).all()


def test_callback_jump(restorer, clean):
    """After a jump of the timestamps, the first window is complete a second later."""
    live, info = LiveRestorer(restorer), _stream_info(restorer, 0)
    data = np.vstack([clean, np.zeros((1, clean.shape[1]))]).T.copy()
    data[1000:, 8] = 0.0  # flat from here on
    times = np.arange(len(data)) / SFREQ
    times[1010:] += 3.0
    with catch_logging(verbose="warning") as log:
        live(data, times, info)
    assert log.getvalue().count("jump by 3.00 s") == 1
    (found,) = live.annotations
    assert found["onset"] == pytest.approx((1010 + 160) / SFREQ)
    with catch_logging(verbose="info") as log:
        live(data[:10, :12].copy(), times[:10], mne.pick_info(info, np.arange(12)))
    assert "other channels than before" in log.getvalue() and len(live.ch_names) == 12
