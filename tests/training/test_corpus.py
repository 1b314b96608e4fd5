# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Recordings become a corpus on disk, once, with what is no EEG marked, and are read back."""

import errno
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_gram.montage import CH_NAMES
from mne_gram.preprocessing import VOLTS_TO_MODEL, preprocess
from mne_gram.training import Corpus, _recordings, _storage, prepare_corpus, read_corpus
from mne_gram.training._marking import SECOND, _find_stuck, cut_pieces, find_joins, mark_recorded
from mne_gram.training._recordings import quantise
from mne_gram.training._sources import list_sources, split_subjects
from mne_gram.training._storage import get_file, prepare_one

NAMES = ["Fp1", "Fp2", "C3", "C4", "O1", "O2"]
N_SECONDS = 40


def make_raw(seed=0, *, names=NAMES, n_seconds=N_SECONDS, sfreq=200.0, step=None, h_freq=70):
    """Return something like EEG: 15 uV of noise whose power falls with frequency."""
    rng = np.random.default_rng(seed)
    n_times = round(n_seconds * sfreq)
    spectrum = np.fft.rfft(rng.standard_normal((len(names), n_times)))
    freqs = np.fft.rfftfreq(n_times, 1 / sfreq)
    data = np.fft.irfft(spectrum * (freqs < h_freq) / np.maximum(freqs, 0.5), n_times)
    data *= 15e-6 / data.std(axis=1, keepdims=True)
    if step is not None:
        data = np.round(data / step) * step
    info = mne.create_info(list(names), sfreq, "eeg")
    info["line_freq"] = 50.0
    return mne.io.RawArray(data, info, verbose="error")


def write(raw, path):
    """Write a fif file of full precision."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw.save(path, fmt="double", overwrite=True, verbose="error")
    return path


def prepare(out, **kwargs):
    """Prepare a corpus quietly."""
    return prepare_corpus(out, verbose="warning", **kwargs)


def prepare_raw(tmp_path, raw, **kwargs):
    """Prepare a corpus of one Raw."""
    path = write(raw, tmp_path / "lab" / "sub-01_task-rest_raw.fif")
    return prepare(tmp_path / "corpus", files=path, **kwargs)


def get_marked(corpus, k=0):
    """Return the marked seconds of a recording as {channel: [seconds]}."""
    names = corpus.recordings[k].ch_names
    marked = ~corpus.good(k)
    return {names[row]: np.flatnonzero(marked[row]).tolist() for row in marked.any(1).nonzero()[0]}


def write_bids(root, subjects, *, licence="CC0", bads=()):
    """Write a BIDS data set with one short EDF file a subject."""
    root.mkdir(parents=True)
    about = {"Name": "Made up", "BIDSVersion": "1.10.0", "DatasetDOI": "doi:10.1/x"}
    about |= {"License": licence} if licence else {}
    (root / "dataset_description.json").write_text(json.dumps(about))
    for number, subject in enumerate(subjects):
        stem = root / f"sub-{subject}" / "eeg" / f"sub-{subject}_task-rest"
        stem.parent.mkdir(parents=True)
        raw = make_raw(number, n_seconds=6)
        mne.export.export_raw(f"{stem}_eeg.edf", raw, physical_range="channelwise", verbose="error")
        sidecar = {"TaskName": "rest", "PowerLineFrequency": 60, "SamplingFrequency": 200}
        (stem.parent / f"{stem.name}_eeg.json").write_text(json.dumps(sidecar))
        rows = [f"{n}\tEEG\tV\t{'bad' if n in bads else 'good'}" for n in raw.ch_names]
        text = "\n".join(["name\ttype\tunits\tstatus", *rows])
        (stem.parent / f"{stem.name}_channels.tsv").write_text(f"{text}\n")
    return root


@pytest.fixture
def three_files(tmp_path):
    """Write three recordings of three people."""
    return [
        write(make_raw(k, n_seconds=6), tmp_path / "lab" / f"sub-{k}_raw.fif") for k in (1, 2, 3)
    ]


@pytest.fixture
def loaded(monkeypatch):
    """Return a list to which the name of every recording that is computed is added."""
    names, load = [], _storage.load_recording

    def spy(source, *args):
        names.append(source.name)
        return load(source, *args)

    monkeypatch.setattr(_storage, "load_recording", spy)
    return names


# ---------------------------------------------------------------------------------------------
# What is stored


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_stored_is_preprocessed(tmp_path, dtype):
    """A corpus holds what preprocess returns, in 0.1 mV, within half a step."""
    raw = make_raw(sfreq=250.0)
    raw.set_channel_types({"Fp1": "eog"}, verbose="error")
    raw.rename_channels({"C3": "Nonsense"})
    corpus = prepare_raw(tmp_path, raw, dtype=dtype)
    (recording,) = corpus.recordings
    assert recording.name == "lab/sub-01_task-rest_raw" and recording.dataset == "lab"
    assert recording.subject == "01" and recording.source == "lab/sub-01_task-rest_raw.fif"
    assert recording.licence == "unknown"
    assert recording.ch_names == ("Fp2", "C4", "O1", "O2")
    assert [CH_NAMES[k] for k in recording.channels] == ["FP2", "C4", "O1", "O2"]
    assert any("Nonsense" in note for note in recording.notes)
    assert recording.n_times == N_SECONDS * SECOND and recording.pieces == ((0, 8000),)
    assert get_marked(corpus) == {} and corpus.n_tokens == 4 * N_SECONDS
    # The channel without an entry is in the average reference all the same.
    expected = preprocess(raw, verbose="error").get_data(["Fp2", "C4", "O1", "O2"]) * VOLTS_TO_MODEL
    data = corpus.read(0, range(4), 0, recording.n_times)
    assert data.dtype == np.float32
    scale = np.array(recording.scale)[:, None]
    if dtype == "int16":
        assert np.abs(data - expected).max() < 0.51 * scale.max()
        np.testing.assert_allclose(scale[:, 0] * 32767, np.abs(expected).max(axis=1), rtol=1e-6)
    else:
        assert (scale == 1).all()
        np.testing.assert_allclose(data, expected, rtol=1e-6, atol=1e-9)


def test_reading_parts(tmp_path):
    """Any rows and samples can be read, as a copy; what is not there cannot."""
    corpus = prepare_raw(tmp_path, make_raw(n_seconds=6))
    whole = corpus.read(0, range(6), 0, 1200)
    part = corpus.read(0, [4, 1], 130, 555)
    np.testing.assert_array_equal(part, whole[[4, 1], 130:555])
    part[:] = 0
    np.testing.assert_array_equal(corpus.read(0, [4, 1], 130, 555), whole[[4, 1], 130:555])
    assert corpus.read(0, [], 0, 200).shape == (0, 200)
    for start, stop in ((-1, 5), (0, 1201), (7, 6)):
        with pytest.raises(ValueError, match="has samples 0 to 1200"):
            corpus.read(0, [0], start, stop)


@settings(deadline=None, max_examples=60)
@given(
    level=st.floats(-9, 3),
    seconds=st.integers(1, 4),
    extra=st.integers(-150, 150),
    marked=st.integers(0, 2**8 - 1),
    seed=st.integers(0, 10),
)
def test_quantising(level, seconds, extra, marked, seed):
    """16 bits keep good samples within half a step, and bad ones do not make steps larger."""
    rng = np.random.default_rng(seed)
    data = 10**level * rng.standard_normal((2, seconds * SECOND + extra * (seconds > 1)))
    data[1, : SECOND // 2] *= 1e3
    n_seconds = -(-data.shape[1] // SECOND)
    bad = (np.array([[marked & 15], [marked >> 4]]) >> np.arange(4) & 1).astype(bool)
    bad = np.pad(bad, ((0, 0), (0, 1)))[:, :n_seconds]
    array, scale = quantise(data, bad, "int16")
    assert array.dtype == np.int16 and array.shape == data.shape
    good = ~np.repeat(bad, SECOND, axis=1)[:, : data.shape[1]]
    error = np.abs(array * scale[:, None] - data)
    assert (error <= 0.5 * scale[:, None] * (1 + 1e-6))[good].all()
    for row in range(2):
        if good[row].any():
            peak = np.abs(data[row, good[row]]).max()
            np.testing.assert_allclose(scale[row] * 32767, peak, rtol=1e-9)
    again, _ = quantise(np.zeros_like(data), bad, "int16")
    assert not again.any()


# ---------------------------------------------------------------------------------------------
# What is marked


def test_marks_find_what_was_put_in(tmp_path):
    """Every kind of second without EEG is marked, on its channel, and nothing else."""
    raw = make_raw(step=0.1e-6)
    data = raw._data
    data[0, 2000:2400] = data[0, 2000]  # Fp1 flat in seconds 10 and 11
    data[1, 3080:3150] = data[1, 3080]  # Fp2 stuck for a third of second 15
    # C3 reaches the end of its range for a moment, more than once
    limit = 0.9 * data[2].max()
    data[2] = np.minimum(data[2], limit)
    runs = np.flatnonzero(data[2] == limit)
    starts = runs[np.r_[True, np.diff(runs) > 1]]
    lengths = np.diff(np.r_[np.flatnonzero(np.r_[True, np.diff(runs) > 1]), len(runs)])
    clipped = sorted({int(s) // SECOND for s, n in zip(starts, lengths, strict=True) if n >= 3})
    assert (lengths >= 3).sum() >= 2
    data[3] += 5e-3  # an electrode's offset, which no gap may turn into steps
    data[3, 5000:5010] = np.nan  # C4 in second 25
    data[5, 4200:4400] = 1e-8 * np.sin(np.arange(200))  # O2 in second 21
    data[4, 6100:6150] += 2e-3 * np.hanning(50)  # O1 in second 30
    raw.set_annotations(
        mne.Annotations([34.5, 37.2], [1.0, 0.5], ["BAD_cough", "BAD_o2"], ch_names=[[], ["O2"]])
    )
    corpus = prepare_raw(tmp_path, raw)
    marked = get_marked(corpus)
    everywhere = {30, 34, 35}  # O1 moved the average by 300 uV; the cough is of all channels
    assert {name: set(seconds) - everywhere for name, seconds in marked.items()} == {
        "Fp1": {10, 11},
        "Fp2": {15},
        "C3": set(clipped) - everywhere,
        "C4": {25},
        "O1": set(),
        "O2": {21, 37},
    }
    assert not corpus.good(0)[:, sorted(everywhere)].any()
    assert np.isfinite(corpus.read(0, range(6), 0, 8000)).all()
    n_marked = sum(map(len, marked.values()))
    assert corpus.n_tokens == 6 * N_SECONDS - n_marked
    assert sum(stop - start for _, start, stop in corpus.recordings[0].bad) == n_marked


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    seed=st.integers(0, 1000),
    sfreq=st.sampled_from([128.0, 160.0, 250.0, 256.0, 512.0, 1000.0, 2048.0]),
    step=st.sampled_from([None, 0.03e-6, 0.1e-6, 0.5e-6, 1e-6]),
    h_freq=st.sampled_from([12, 40, 70]),
)
def test_clean_is_not_marked(seed, sfreq, step, h_freq):
    """However fine the converter and fast the amplifier, EEG is not taken for flat or clipped."""
    raw = make_raw(seed, names=NAMES[:3], n_seconds=10, sfreq=sfreq, step=step, h_freq=h_freq)
    assert not mark_recorded(raw).any()
    raw._data *= 1e-3  # nor in a unit of its own
    assert not mark_recorded(raw).any()


def test_what_clipping_is():
    """Once and long, or often and short, at the end of a range; crests and coarse steps are not."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(4000)
    once = noise.copy()
    once[1000:1012] = 5.0
    often = np.minimum(noise, 3.0)
    often[[500, 501, 502, 900, 901, 902, 903, 2000, 2001, 2002]] = 3.0
    crests = np.round(300 * np.cos(2 * np.pi * np.arange(8000) / 1000))  # each 18 ms, in 1 s
    coarse = np.repeat(rng.integers(-10, 11, 800), 5).astype(float)
    assert np.flatnonzero(_find_stuck(once, 200.0)).tolist() == list(range(1000, 1012))
    assert np.flatnonzero(_find_stuck(often, 200.0)).tolist() == [
        *range(500, 503),
        *range(900, 904),
        *range(2000, 2003),
    ]
    often[900:904] = 0.1 * np.arange(4)
    for signal in (noise, crests, coarse, often):
        assert not _find_stuck(signal, 1000.0 if signal is crests else 200.0).any()


@pytest.mark.parametrize("sfreq", [160.0, 250.0, 333.3])
def test_marks_at_other_rates(sfreq):
    """Seconds are those of the clock, whatever the rate."""
    raw = make_raw(n_seconds=9.4, sfreq=sfreq)
    first, last = np.round(np.array([3, 5]) * sfreq).astype(int)
    raw._data[1, first:last] = 1e-5
    raw._data[2, -10:] = np.nan
    marked = mark_recorded(raw)
    assert marked.shape == (6, 10)
    assert np.argwhere(marked).tolist() == [[1, 3], [1, 4], [2, 9]]


@pytest.mark.parametrize("kind", ["flat", "dropped", "huge", "nan", "info"])
def test_bad_channels_stay_out_of_the_average(tmp_path, kind):
    """A channel that is bad most of the time is marked throughout, and touches no other."""
    raw = make_raw(1)
    rng = np.random.default_rng(2)
    expected = raw.copy()
    expected.info["bads"] = ["C4"]
    expected = preprocess(expected, verbose="error").get_data() * VOLTS_TO_MODEL
    if kind == "flat":
        raw._data[3] = 3e-6
    elif kind == "dropped":
        raw._data[3, 2400:] = 0
    elif kind == "huge":  # so much that the average makes every channel huge
        raw._data[3] = 20e-3 * rng.standard_normal(raw.n_times)
    elif kind == "nan":
        raw._data[3] = np.nan
    else:
        raw.info["bads"] = ["C4"]
    corpus = prepare_raw(tmp_path, raw, dtype="float32")
    assert get_marked(corpus) == {"C4": list(range(N_SECONDS))}
    good = [0, 1, 2, 4, 5]
    data = corpus.read(0, good, 0, 8000)
    np.testing.assert_allclose(data, expected[good], atol=1e-6)


def test_bad_time_is_not_a_bad_channel(tmp_path):
    """A recording most of which is annotated keeps its channels in the rest."""
    raw = make_raw()
    raw.set_annotations(mne.Annotations(0, 30, "BAD_start"))
    corpus = prepare_raw(tmp_path, raw)
    assert get_marked(corpus) == {name: list(range(30)) for name in NAMES}
    assert corpus.n_tokens == 6 * 10


def test_derivations_share_no_reference(tmp_path):
    """A huge derivation spoils no other, as there is no average of them."""
    names = ["Fp1-F7", "F7-T7", "T7-P7", "P7-O1"]
    raw = make_raw(names=names)
    raw._data[1, 2000:2200] += 20e-3 * np.sin(np.arange(200) / 5)
    corpus = prepare_raw(tmp_path, raw)
    marked = get_marked(corpus)
    assert set(marked) == {"F7-T7"} and 10 in marked["F7-T7"]


# ---------------------------------------------------------------------------------------------
# Where time is cut


def test_trials_of_one_second(tmp_path):
    """Trials that were joined are pieces of exactly a second, at a rate that is no multiple."""
    raws = [make_raw(k, n_seconds=1, sfreq=256.0) for k in range(8)]
    raw = mne.concatenate_raws(raws, verbose="error")
    corpus = prepare_raw(tmp_path, raw)
    expected = tuple((k * SECOND, (k + 1) * SECOND) for k in range(8))
    assert corpus.recordings[0].pieces == expected
    assert corpus.n_tokens == 8 * 6


def test_holes_and_joins_of_eeglab(tmp_path):
    """Holes belong to no piece, and no filter runs across a join that EEGLAB noted."""
    raw = make_raw(n_seconds=100)
    raw._data[:, 10_000:] += np.array([[3e-3], [-3e-3], [1e-3], [0], [0], [-1e-3]])
    raw.set_annotations(
        mne.Annotations([50.0, 70.3, 99.5], [0, 10, 0], ["boundary", "BAD_ACQ_SKIP", "EDGE x"])
    )
    assert find_joins(raw) == ([50.0, 99.5], [(70.3, 80.3)])
    corpus = prepare_raw(tmp_path, raw)
    assert corpus.recordings[0].pieces == ((0, 10_000), (10_000, 14_060), (16_060, 19_900))
    # Filtered as one piece, a step of 3 mV would go on for seconds.
    good = corpus.good(0)
    assert good[:, :48].all() and good[:, 52:70].all()
    assert np.ptp(corpus.read(0, range(6), 52 * SECOND, 60 * SECOND), axis=1).max() < 2.0


def test_joins_after_cropping():
    """Times count from the first sample of the recording, with and without a date."""
    raw = make_raw(n_seconds=20)
    for date in (None, 1e9):
        dated = raw.copy().set_meas_date(date)
        dated.set_annotations(mne.Annotations([12.0], [0], ["EDGE"], dated.info["meas_date"]))
        joins, _ = find_joins(dated.crop(5.0))
        np.testing.assert_allclose(joins, [7.0])


@settings(deadline=None, max_examples=100)
@given(
    joins=st.lists(st.floats(-1, 31), max_size=12),
    holes=st.lists(st.tuples(st.floats(0, 30), st.floats(0, 5)), max_size=3),
    n_times=st.integers(0, 30 * SECOND),
)
def test_pieces_hold_no_join(joins, holes, n_times):
    """Pieces are inside, a second at least, and contain no join or hole but for its rounding."""
    holes = [(start, start + length) for start, length in holes]
    pieces = cut_pieces(sorted(joins), holes, n_times)
    assert pieces == sorted(pieces)
    for start, stop in pieces:
        assert 0 <= start and stop <= n_times and stop - start >= SECOND
        slack = 3 if stop - start == SECOND else 1
        for join in joins:
            sample = join * SECOND
            assert not start + slack < sample < stop - slack
        for first, last in holes:
            inside = min(stop, last * SECOND) - max(start, first * SECOND)
            assert inside <= slack
    if not joins and not holes:
        assert pieces == ([(0, n_times)] if n_times >= SECOND else [])


@pytest.mark.parametrize("sfreq", [256.0, 250.0, 512.0, 173.61, 1024.0])
def test_no_trial_is_lost_to_rounding(sfreq):
    """Trials as long as a second, or a sample shorter, each give one second."""
    for n_samples in (int(np.ceil(sfreq)), int(np.ceil(sfreq)) - 1):
        n_trials = 30
        n_times = round(n_trials * n_samples * 200 / sfreq)
        joins = [k * n_samples / sfreq for k in range(1, n_trials)]
        pieces = cut_pieces(joins, [], n_times)
        if n_samples / sfreq * SECOND >= SECOND - 1:
            assert len(pieces) == n_trials
            assert all(stop - start in (200, 201, 202) for start, stop in pieces)


# ---------------------------------------------------------------------------------------------
# Once is enough


def test_nothing_is_done_twice(tmp_path, three_files, loaded, monkeypatch):
    """A second call computes nothing and writes the same index; changes are noticed one by one."""
    out = tmp_path / "corpus"
    first = prepare(out, files=three_files)
    index = (out / "corpus.json").read_bytes()
    assert loaded == ["lab/sub-1_raw", "lab/sub-2_raw", "lab/sub-3_raw"]
    loaded.clear()
    with monkeypatch.context() as context:
        # Files of the same time and size are not read again.
        context.setattr(_storage, "hash_source", lambda source: pytest.fail("was read"))
        assert prepare(out, files=reversed(three_files)) == first
    assert (out / "corpus.json").read_bytes() == index
    os.utime(three_files[0], (1, 1))  # copied: another time, the same content
    prepare(out, files=three_files)
    assert loaded == []

    write(make_raw(9, n_seconds=6), three_files[1])
    second = prepare(out, files=three_files)
    assert loaded == ["lab/sub-2_raw"]
    assert [a.sha256 == b.sha256 for a, b in zip(first.recordings, second.recordings, strict=True)]
    assert first.recordings[1].sha256 != second.recordings[1].sha256
    assert first.recordings[0] == second.recordings[0]

    loaded.clear()
    path = out / second.recordings[2].file
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    assert prepare(out, files=three_files) == second
    assert loaded == ["lab/sub-3_raw"]
    assert read_corpus(out) == second


def test_sidecars_count(tmp_path, loaded):
    """A channel that becomes bad in a BIDS sidecar is marked by the next call."""
    root = write_bids(tmp_path / "bids", ["a", "b"])
    corpus = prepare(tmp_path / "corpus", bids_roots=root)
    assert get_marked(corpus) == {}
    assert corpus.recordings[0].licence == "CC0 (Made up, doi:10.1/x)"
    assert [recording.subject for recording in corpus.recordings] == ["a", "b"]
    assert corpus.recordings[0].source == "bids/sub-a/eeg/sub-a_task-rest_eeg.edf"
    loaded.clear()
    sidecar = root / "sub-a" / "eeg" / "sub-a_task-rest_channels.tsv"
    sidecar.write_text(sidecar.read_text().replace("C3\tEEG\tV\tgood", "C3\tEEG\tV\tbad"))
    (root / "participants.tsv").write_text("participant_id\nsub-a\nsub-b\n")
    corpus = prepare(tmp_path / "corpus", bids_roots=root)
    assert loaded == ["bids/sub-a_task-rest_eeg"]
    assert get_marked(corpus) == {"C3": list(range(6))} and get_marked(corpus, 1) == {}
    # Another recording's sidecar is none of its business; one in the root is of everybody.
    (sidecar.parent / "sub-a_task-other_channels.tsv").write_text(sidecar.read_text())
    loaded.clear()
    prepare(tmp_path / "corpus", bids_roots=root)
    assert loaded == []
    (root / "task-rest_eeg.json").write_text(json.dumps({"EEGReference": "Cz"}))
    prepare(tmp_path / "corpus", bids_roots=root)
    assert len(loaded) == 2


def read_tree(folder):
    """Return content and time of change of all that is in a folder, folders among them."""
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, path.is_file() and path.read_bytes())
        for path in [folder, *folder.rglob("*")]
    }


def test_data_set_is_left_as_it_is(tmp_path, monkeypatch):
    """Nothing is written into a data set, so that it can lie on a read-only disk."""
    root = write_bids(tmp_path / "bids", ["a", "b"], bads=["C3"])
    events = root / "sub-a" / "eeg" / "sub-a_task-rest_events.tsv"
    events.write_text("onset\tduration\ttrial_type\n1.0\t1.0\tBAD_cough\n", encoding="utf-8")
    before, out = read_tree(root), tmp_path / "corpus"
    for path in before:
        (root / path).chmod(0o555 if (root / path).is_dir() else 0o444)
    os_open, touched = os.open, []

    def refuse(path, flags, *args, **kwargs):
        inside = isinstance(path, str | os.PathLike) and str(path).startswith(str(root))
        if inside and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            touched.append(path)
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        return os_open(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)  # for root, who may write to everything
    try:
        corpus = prepare(out, bids_roots=root)
        assert read_tree(root) == before and touched == []
    finally:
        for path in before:
            (root / path).chmod(0o755)
    assert len(corpus) == 2 and corpus.failures == ()
    assert get_marked(corpus, 1) == {"C3": list(range(6))}
    assert get_marked(corpus) == {name: [1] for name in NAMES} | {"C3": list(range(6))}


def test_same_marks_as_mne_bids(tmp_path):
    """Bads, types, bad spans and joins are those that MNE-BIDS reads of the sidecars."""
    import mne_bids

    root = write_bids(tmp_path / "bids", ["a"], bads=["O2"])
    stem = root / "sub-a" / "eeg" / "sub-a_task-rest"
    table = Path(f"{stem}_channels.tsv")
    table.write_text(table.read_text().replace("Fp1\tEEG", "Fp1\tEOG"), encoding="utf-8")
    Path(f"{stem}_events.tsv").write_text(
        "onset\tduration\ttrial_type\n0.5\t0.2\tBAD_a\n2.5\t0\tboundary\n4.0\t1.0\tblink\n"
    )
    (source,) = list_sources([root], [])
    ours = _recordings._read(source)
    path = mne_bids.get_bids_path_from_fname(source.path)
    theirs = mne_bids.read_raw_bids(path, verbose="error").load_data().pick("eeg", exclude=())
    assert ours.ch_names == theirs.ch_names and "Fp1" not in ours.ch_names
    assert ours.info["bads"] == theirs.info["bads"] == ["O2"]
    assert ours.info["line_freq"] == theirs.info["line_freq"] == 60
    np.testing.assert_array_equal(ours.get_data(), theirs.get_data())
    assert list(ours.annotations.description) == list(theirs.annotations.description)
    np.testing.assert_allclose(ours.annotations.onset, theirs.annotations.onset)
    np.testing.assert_allclose(ours.annotations.duration, theirs.annotations.duration)
    assert find_joins(ours) == ([2.5], [])


def test_killed_run_goes_on(tmp_path, three_files, loaded, monkeypatch):
    """What a killed run had finished is kept; before its end there is no corpus."""
    out = tmp_path / "corpus"
    spy = _storage.load_recording

    def die_at_last(source, *args):
        if source.subject == "3":
            raise KeyboardInterrupt
        return spy(source, *args)

    monkeypatch.setattr(_storage, "load_recording", die_at_last)
    with pytest.raises(KeyboardInterrupt):
        prepare(out, files=three_files)
    with pytest.raises(ValueError, match="contains no corpus.*call it again to resume"):
        read_corpus(out)
    monkeypatch.setattr(_storage, "load_recording", spy)
    loaded.clear()
    corpus = prepare(out, files=three_files)
    assert loaded == ["lab/sub-3_raw"]
    assert corpus == read_corpus(out) and len(corpus) == 3


def test_full_disk(tmp_path, three_files, loaded, monkeypatch):
    """Nothing half-written stays, and what was written before is kept."""
    out = tmp_path / "corpus"
    save, fails = np.save, [True]

    def fill_up(file, array):
        save(file, array)
        if "sub-2" in str(file) and fails:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", fill_up)
    with pytest.raises(OSError, match="lab/sub-2_raw could not be written.*No space.*are kept"):
        prepare(out, files=three_files)
    assert sorted(path.name for path in (out / "data").iterdir()) == [
        "lab__sub-1_raw.json",
        "lab__sub-1_raw.npy",
    ]
    assert not (out / "corpus.json").exists()
    fails.clear()
    loaded.clear()
    assert len(prepare(out, files=three_files)) == 3
    assert loaded == ["lab/sub-2_raw", "lab/sub-3_raw"]


def test_processes_change_nothing(tmp_path, three_files):
    """Two processes write what one writes, in the same order."""
    one = prepare(tmp_path / "one", files=three_files)
    two = prepare(tmp_path / "two", files=three_files, n_jobs=2)
    assert one.recordings == two.recordings
    index = "corpus.json"
    assert (tmp_path / "one" / index).read_bytes() == (tmp_path / "two" / index).read_bytes()


# ---------------------------------------------------------------------------------------------
# Which recordings


@pytest.mark.parametrize(
    ("every", "test"),
    [(4, ["04", "08"]), (3, ["03", "06", "09"]), (1, None), (20, [])],
)
def test_split_of_subjects(every, test):
    subjects = [f"{k:02}" for k in (3, 1, 2, 9, 8, 7, 4, 5, 6)] + ["01", "03"]  # in any order
    everyone = sorted(set(subjects))
    train, found = split_subjects(subjects, every)
    assert found == (everyone if test is None else test)
    assert sorted(train + found) == everyone
    assert split_subjects(reversed(subjects), every) == (train, found)


def test_held_out_subjects(tmp_path):
    """Every n-th person of each data set is left out, or is all there is."""
    roots = [
        write_bids(tmp_path / "one", ["1", "2", "3"], licence=None),
        write_bids(tmp_path / "two", ["x", "y"]),
    ]
    train = prepare(tmp_path / "train", bids_roots=roots, hold_out_every=2)
    test = prepare(tmp_path / "test", bids_roots=roots, hold_out_every=2, hold_out="only")
    assert [(r.dataset, r.subject) for r in train.recordings] == [
        ("one", "1"),
        ("one", "3"),
        ("two", "x"),
    ]
    assert [(r.dataset, r.subject) for r in test.recordings] == [("one", "2"), ("two", "y")]
    assert train.recordings[0].licence == "unknown (Made up, doi:10.1/x)"
    with pytest.raises(ValueError, match="corpus with .*hold_out='leave'; requested was .*'only'"):
        prepare(tmp_path / "train", bids_roots=roots, hold_out_every=2, hold_out="only")
    with pytest.raises(ValueError, match="fewer subjects"):
        prepare(tmp_path / "x", bids_roots=roots, hold_out_every=9, hold_out="only")


def test_other_settings(tmp_path, three_files, loaded):
    """A corpus of other settings is only replaced on request, and then all of it."""
    out = tmp_path / "corpus"
    prepare(out, files=three_files)
    before = read_corpus(out)
    with pytest.raises(ValueError, match="dtype='int16'.*requested was dtype='float32'.*overwrite"):
        prepare(out, files=three_files[:1], dtype="float32")
    with pytest.raises(ValueError, match="line_freq=None.*requested was .*line_freq=50.0"):
        prepare(out, files=three_files, line_freq=50)
    assert read_corpus(out) == before
    loaded.clear()
    corpus = prepare(out, files=three_files[:1], dtype="float32", overwrite=True)
    assert loaded == ["lab/sub-1_raw"] and len(corpus) == 1
    assert len(list((out / "data").iterdir())) == 2
    assert corpus.read(0, [0], 0, 5).shape == (1, 5)


def test_done_with_other_settings_is_not_done(tmp_path, three_files):
    """One recording that is ready is new to other settings."""
    folder = prepare(tmp_path / "corpus", files=three_files[0]).folder
    (source,) = list_sources([], three_files[:1])
    done = json.loads((folder / "data" / "lab__sub-1_raw.json").read_text())["settings"]
    entry, reason, is_new = prepare_one(source, folder, done)
    assert entry["name"] == "lab/sub-1_raw" and reason is None and not is_new
    assert prepare_one(source, folder, done | {"line_freq": 60.0})[2]


def test_more_recordings_can_join(tmp_path, three_files, loaded):
    """The index lists what the last call named; the rest is at hand for the next."""
    out = tmp_path / "corpus"
    prepare(out, files=three_files[:2])
    assert len(prepare(out, files=three_files)) == 3
    assert loaded == ["lab/sub-1_raw", "lab/sub-2_raw", "lab/sub-3_raw"]
    assert len(prepare(out, files=three_files[2])) == 1
    assert len(prepare(out, files=three_files)) == 3
    assert len(loaded) == 3


def test_broken_recordings_are_left_out(tmp_path, three_files):
    """What cannot be read or used is listed with its reason, and the rest goes on."""
    lab = tmp_path / "lab"
    (lab / "cut_raw.fif").write_bytes(three_files[0].read_bytes()[:20_000])
    write(make_raw(names=["A", "B"]), lab / "unknown_raw.fif")
    write(make_raw(n_seconds=0.5), lab / "short_raw.fif")
    raw = make_raw()
    raw._data[:] = 1e-5
    write(raw, lab / "flat_raw.fif")
    raw = make_raw()
    raw._data *= 1e6
    write(raw, lab / "volts_raw.fif")
    epochs = mne.make_fixed_length_epochs(make_raw(), 2.0, preload=True, verbose="error")
    epochs.save(lab / "a-epo.fif", verbose="error")
    raw = make_raw().set_channel_types(dict.fromkeys(NAMES, "emg"), verbose="error")
    write(raw, lab / "emg_raw.fif")
    broken = [path for path in sorted(lab.iterdir()) if path not in three_files]
    with pytest.warns(RuntimeWarning, match="7 of 10 recordings could not be prepared"):
        corpus = prepare(tmp_path / "corpus", files=[*three_files, *broken])
    assert len(corpus) == 3 and corpus == read_corpus(tmp_path / "corpus")
    reasons = dict(corpus.failures)
    assert "contains epochs" in reasons["lab/a-epo.fif"]
    assert "truncated" in reasons["lab/cut_raw.fif"]
    assert "no EEG channel" in reasons["lab/emg_raw.fif"]
    assert reasons["lab/flat_raw.fif"].startswith("ValueError")
    assert "lab/short_raw.fif" in reasons
    assert "entry in the montage" in reasons["lab/unknown_raw.fif"]
    assert "not in volts" in reasons["lab/volts_raw.fif"]
    index = (tmp_path / "corpus" / "corpus.json").read_text()
    assert str(tmp_path) not in index and "/lab/" not in index
    with pytest.raises(ValueError, match="(?s)None of the 7 recordings.*lab/a-epo.fif"):
        prepare(tmp_path / "none", files=broken)
    assert not (tmp_path / "none" / "corpus.json").exists()


def test_truncated_edf_of_a_data_set(tmp_path):
    """A file of a BIDS data set that lacks its end is left out too."""
    root = write_bids(tmp_path / "bids", ["a", "b"])
    path = root / "sub-a" / "eeg" / "sub-a_task-rest_eeg.edf"
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.warns(RuntimeWarning, match="1 of 2 recordings could not be prepared"):
        corpus = prepare(tmp_path / "corpus", bids_roots=[root])
    assert [source for source, _ in corpus.failures] == ["bids/sub-a/eeg/sub-a_task-rest_eeg.edf"]


def test_names(tmp_path):
    """Names are unique and their files are safe; a file named twice is taken once."""
    lab = tmp_path / "my lab"
    paths = [
        write(make_raw(k, n_seconds=6), lab / name)
        for k, name in enumerate(["a b_raw.fif", "a_b_raw.fif", "a__b_raw.fif"])
    ]
    corpus = prepare(tmp_path / "corpus", files=[*paths, paths[0]])
    assert [recording.name for recording in corpus.recordings] == [
        "my lab/a b_raw",
        "my lab/a__b_raw",
        "my lab/a_b_raw",
    ]
    assert corpus.recordings[0].subject == "a b_raw"
    files = [recording.file for recording in corpus.recordings]
    assert len({file.casefold() for file in files}) == 3
    assert not any(" " in file for file in files)
    assert get_file("a__b/c") != get_file("a/b__c") != get_file("a/b_c")
    other = write(make_raw(n_seconds=6), tmp_path / "x" / "my lab" / "a b_raw.fif")
    with pytest.raises(ValueError, match="both be called my lab/a b_raw"):
        prepare(tmp_path / "corpus", files=[*paths, other])
    twins = [write_bids(tmp_path / k / "set", [k]) for k in ("p", "q")]
    with pytest.raises(ValueError, match="in folders called set"):
        prepare(tmp_path / "corpus", bids_roots=twins)
    # A file of a data set keeps what the data set says of it.
    path = twins[0] / "sub-p" / "eeg" / "sub-p_task-rest_eeg.edf"
    corpus = prepare(tmp_path / "other", bids_roots=twins[0], files=path)
    assert len(corpus) == 1 and corpus.recordings[0].licence.startswith("CC0")


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        (dict(), ValueError, "nothing to prepare"),
        (dict(files="missing.fif"), FileNotFoundError, "missing.fif does not exist"),
        (dict(bids_roots="."), ValueError, "not a BIDS data set"),
        (dict(hold_out="only"), ValueError, "needs hold_out_every"),
        (dict(hold_out="first"), ValueError, "hold_out"),
        (dict(hold_out_every=1), ValueError, "2 or more"),
        (dict(hold_out_every=2.5), TypeError, "hold_out_every"),
        (dict(dtype="int8"), ValueError, "dtype"),
        (dict(line_freq=True), ValueError, "line_freq must be a positive"),
        (dict(line_freq=-50), ValueError, "line_freq must be a positive"),
    ],
)
def test_bad_options(tmp_path, monkeypatch, kwargs, error, match):
    """Wrong options are refused before anything is written."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(error, match=match):
        prepare(tmp_path / "corpus", **kwargs)
    assert not (tmp_path / "corpus").exists()


# ---------------------------------------------------------------------------------------------
# Reading back


@pytest.fixture
def folder(tmp_path, three_files):
    """Return the folder of a corpus of three recordings."""
    return prepare(tmp_path / "corpus", files=three_files).folder


def test_corpus_can_be_moved_and_sent(folder, tmp_path):
    """A copied folder is the same corpus, a pickled one reads, a selection is a view."""
    corpus = read_corpus(folder)
    size = len(pickle.dumps(corpus))
    data = corpus.read(1, [0, 2], 5, 105)
    assert len(corpus) == 3 and corpus.n_tokens == 3 * 6 * 6
    assert corpus.n_tokens == sum(recording.n_tokens for recording in corpus.recordings)
    assert repr(corpus) == "<Corpus | 3 recordings of 3 subjects, 0.01 h, 108 channel-seconds>"
    sent = pickle.loads(pickle.dumps(corpus))
    assert sent == corpus and len(pickle.dumps(corpus)) == size  # without what was opened
    np.testing.assert_array_equal(sent.read(1, [0, 2], 5, 105), data)
    chosen = corpus.select(lambda recording: recording.subject == "2")
    assert [recording.subject for recording in chosen.recordings] == ["2"]
    np.testing.assert_array_equal(chosen.read(0, [0, 2], 5, 105), data)
    moved = read_corpus(shutil.move(folder, tmp_path / "elsewhere"))
    assert moved.recordings == corpus.recordings
    np.testing.assert_array_equal(moved.read(1, [0, 2], 5, 105), data)
    with pytest.raises(RuntimeError, match="lab__sub-1_raw.npy.* does not exist.*moved"):
        Corpus(folder, corpus.recordings).read(0, [0], 0, 5)


def test_changed_files_are_noticed(folder):
    """A changed byte is found by the hash, a missing end by the size, a missing file anyhow."""
    path = folder / read_corpus(folder).recordings[1].file
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert len(read_corpus(folder, check=False)) == 3
    with pytest.raises(RuntimeError, match="lab/sub-2_raw, differs from .*prepare_corpus again"):
        read_corpus(folder)
    path.write_bytes(content[:-2])
    with pytest.raises(RuntimeError, match="differs from the index"):
        read_corpus(folder, check=False)
    path.unlink()
    with pytest.raises(RuntimeError, match="does not exist"):
        read_corpus(folder, check=False)
    path.write_bytes(content)
    assert len(read_corpus(folder)) == 3


def test_replaced_after_reading(folder):
    """A file that lost its shape meanwhile is not read as something else."""
    corpus = read_corpus(folder)
    np.save(folder / corpus.recordings[0].file, np.zeros((2, 3)))
    (folder / corpus.recordings[1].file).write_bytes(b"nonsense")
    for k in (0, 1):
        with pytest.raises(RuntimeError, match="differs from the index"):
            corpus.read(k, [0], 0, 2)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda index: index[: len(index) // 2], RuntimeError, "is damaged"),
        (lambda index: "[]", RuntimeError, "not the index of a corpus"),
        (lambda index: "{}", RuntimeError, "not the index of a corpus"),
        (
            lambda index: index.replace('"version": 1,', '"version": 99,'),
            RuntimeError,
            "version 99",
        ),
        (lambda index: index.replace('"recordings"', '"others"'), RuntimeError, "no recordings"),
        (lambda index: index.replace('"pieces"', '"parts"'), RuntimeError, "incomplete.*pieces"),
        (lambda index: index.replace('{"name"', '7, {"name"'), RuntimeError, "incomplete"),
    ],
)
def test_damaged_index(folder, change, error, match):
    """An index that cannot be read says what to do; preparing again writes it anew."""
    path = folder / "corpus.json"
    before = path.read_text()
    path.write_text(change(before))
    with pytest.raises(error, match=match):
        read_corpus(folder)


def test_damaged_index_is_written_anew(folder, three_files, loaded):
    """Preparing again after damage to the index computes nothing."""
    path = folder / "corpus.json"
    before = path.read_text()
    path.write_text(before[:100])
    prepare(folder, files=three_files)
    assert path.read_text() == before and loaded == []


def test_no_corpus(tmp_path, folder):
    """A folder without an index, or with an empty one, is told apart from a corpus."""
    for place in (tmp_path / "missing", tmp_path):
        with pytest.raises(ValueError, match="contains no corpus"):
            read_corpus(place)
    index = json.loads((folder / "corpus.json").read_text())
    index["recordings"] = []
    (folder / "corpus.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="is empty"):
        read_corpus(folder)


def test_corpus_needs_no_torch():
    """Workers that prepare recordings do not load the network's package."""
    code = "import sys, mne_gram.training._preparation; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_shared_recordings(shared, tmp_path):
    """Real recordings of joined trials, and one that ends in zeros, come out right."""
    root = shared / "eeg"
    files = [
        root / "alcohol" / "sub-a0364" / "eeg" / "sub-a0364_task-pictures_eeg.edf",
        root / "eegmmi" / "sub-001" / "eeg" / "sub-001_task-imagery_run-04_eeg.edf",
    ]
    for dataset, file in zip(("alcohol", "eegmmi"), files, strict=True):
        shutil.copytree(file.parents[1], tmp_path / dataset / file.parents[1].name)
        shutil.copy(root / dataset / "dataset_description.json", tmp_path / dataset)
    corpus = prepare(tmp_path / "corpus", bids_roots=[tmp_path / "alcohol", tmp_path / "eegmmi"])
    trials, walk, _ = corpus.recordings
    assert trials.pieces == tuple((k * SECOND, (k + 1) * SECOND) for k in range(30))
    assert len(trials.channels) == 61 and corpus.good(0).all()
    assert trials.licence.startswith("CC BY 4.0") and walk.licence.startswith("ODC-By 1.0")
    assert walk.name == "eegmmi/sub-001_task-imagery_run-04_eeg" and len(walk.channels) == 64
    assert walk.pieces == ((0, 25_000),)
    assert corpus.good(1)[:, :124].all() and not corpus.good(1)[:, 124].any()
    level = np.median(np.abs(corpus.read(1, range(64), 0, 24_000)))
    assert 0.05 < level < 0.5  # tens of microvolts, in 0.1 mV
