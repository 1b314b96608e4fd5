# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Samples, wherever they are held."""

from types import SimpleNamespace

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram._recording import _samples
from mne_gram._recording._samples import Samples, Scratch, cut_chunks, drop_pages, load_raw

some = settings(deadline=None, max_examples=30)
PICKS = np.array([0, 2, 3])


@pytest.fixture
def raw():
    """Return ten seconds of noise, in volts."""
    rng = np.random.default_rng(0)
    info = mne.create_info(["Fp1", "Fp2", "C3", "C4"], 100.0, "eeg")
    return mne.io.RawArray(1e-5 * rng.normal(size=(4, 1000)), info, verbose="error")


@pytest.fixture
def short_stretches(monkeypatch):
    """Copy no more than 60 samples of four channels at once."""
    monkeypatch.setattr(_samples, "_COPY_VALUES", 240)


# ---------------------------------------------------------------------------------------------
# Reading and writing


@some
@given(seed=st.integers(0, 10_000), epochs=st.booleans(), copied=st.sampled_from([1, 40, 10_000]))
def test_stretches_are_read_and_written(seed, epochs, copied):
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((6, 5, 20) if epochs else (5, 120))
    flat = data.transpose(1, 0, 2).reshape(5, -1) if epochs else data
    samples = Samples(data, PICKS, [(0, 120)])
    assert samples.n_times == 120
    start, stop = sorted(rng.integers(0, 121, 2))
    step = int(rng.integers(1, 9))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_samples, "_COPY_VALUES", copied)
        found = samples.read(start, stop, step)
        assert_array_equal(found, flat[PICKS, start:stop:step])
        cuts = [cut for stretch in samples.chunks() for cut in stretch]
        assert cuts[0] == 0 and cuts[-1] == 120 and cuts[1:-1:2] == cuts[2:-1:2]
    expected = flat.copy()
    expected[PICKS[1], start:stop] = 7.0
    found[:] = np.nan  # a copy
    samples.write(1, start, np.full(stop - start, 7.0))
    assert_array_equal(Samples(data, np.arange(5), []).read(), expected)
    assert_array_equal(samples.select([2, 1]).read(), expected[[3, 2]])


def test_thin_samples():
    data = np.arange(100_000.0)[None]
    samples = Samples(data, np.array([0]), [(0, 100_000)])
    assert samples.thin() == 5 and len(samples.read(step=5)[0]) == 20_000
    assert Samples(data[:, :50], np.array([0]), [(0, 50)]).thin() == 1


def test_stretches_by_hand(short_stretches):
    assert list(cut_chunks(4, 130)) == [(0, 60), (60, 120), (120, 130)]
    assert list(cut_chunks(1000, 2)) == [(0, 1), (1, 2)]


# ---------------------------------------------------------------------------------------------
# Files


def test_scratch_is_a_file(tmp_path):
    values = np.arange(20.0).reshape(4, 5)
    scratch = Scratch(tmp_path / "a.dat", dtype=float, mode="w+", shape=(4, 5))
    scratch[:] = values
    scratch[1, 2:4] = -1.0
    part = scratch[[1, 3], 1:4]
    assert type(part) is np.ndarray
    assert_array_equal(part, [[6, -1, -1], [16, 17, 18]])
    part[:] = 9.0  # which changes nothing in the file
    drop_pages(scratch)
    drop_pages(values)  # which has none
    values[1, 2:4] = -1.0
    assert_array_equal(np.fromfile(tmp_path / "a.dat").reshape(4, 5), values)
    assert_array_equal(scratch[:], values)


@pytest.mark.parametrize("name", ["a_raw.fif", "a_raw.fif.gz"])
@pytest.mark.parametrize("kind", [np.memmap, Scratch])
def test_loading_into_a_file(raw, tmp_path, short_stretches, name, kind):
    raw.set_eeg_reference(projection=True, verbose="error")
    raw.save(tmp_path / name, fmt="double", verbose="error")
    lazy = mne.io.read_raw(tmp_path / name, verbose="error").apply_proj(verbose="error")
    expected = raw.copy().apply_proj(verbose="error").crop(2, 8).get_data()
    lazy.crop(2, 8)
    assert _samples._can_be_cut(lazy) != name.endswith("gz")  # which would take hours
    load_raw(lazy, tmp_path / "a.dat", kind)
    assert lazy.preload and type(lazy._data) is kind
    assert_allclose(lazy.get_data(), expected, rtol=0, atol=1e-18)
    assert_allclose(np.fromfile(tmp_path / "a.dat"), expected.ravel(), rtol=0, atol=1e-18)


def test_what_cannot_be_read_in_parts(raw, tmp_path, short_stretches):
    """MNE resamples the slower channels of an EDF file, all that it reads at once."""
    import edfio

    rng = np.random.default_rng(0)
    signals = [
        edfio.EdfSignal(rng.normal(size=10 * sfreq), sfreq, label=label, physical_dimension="uV")
        for label, sfreq in (("Fp1", 100), ("Fp2", 50))
    ]
    edfio.Edf(signals).write(tmp_path / "a.edf")
    raws = [mne.io.read_raw(tmp_path / "a.edf", verbose="error") for _ in range(2)]
    load_raw(raws[0], tmp_path / "a.dat")
    assert_array_equal(raws[0].get_data(), raws[1].load_data(verbose="error").get_data())


def test_no_room(raw, tmp_path, monkeypatch):
    """A disk that is full is told before, since nothing tells while a file is memory-mapped."""
    raw.save(tmp_path / "a_raw.fif", verbose="error")
    lazy = mne.io.read_raw(tmp_path / "a_raw.fif", verbose="error")
    monkeypatch.setattr(_samples, "disk_usage", lambda folder: SimpleNamespace(free=31_999))
    with pytest.raises(OSError, match="Free some space there"):
        load_raw(lazy, tmp_path / "a.dat")
    assert not lazy.preload and not (tmp_path / "a.dat").exists()
