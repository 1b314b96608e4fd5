# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What a corpus on disk holds, and reading it back."""

import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_gram.montage import CH_NAMES
from mne_gram.preprocessing import VOLTS_TO_MODEL, preprocess
from mne_gram.training import Corpus, read_corpus
from mne_gram.training._marking import SECOND
from mne_gram.training._recordings import quantise

# ---------------------------------------------------------------------------------------------
# What is stored


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_stored_is_preprocessed(tmp_path, dtype, toy):
    """A corpus holds what preprocess returns, in 0.1 mV, within half a step."""
    raw = toy.make_raw(sfreq=250.0)
    raw.set_channel_types({"Fp1": "eog"}, verbose="error")
    raw.rename_channels({"C3": "Nonsense"})
    corpus = toy.prepare_raw(tmp_path, raw, dtype=dtype)
    (recording,) = corpus.recordings
    assert recording.name == "lab/sub-01_task-rest_raw" and recording.dataset == "lab"
    assert recording.subject == "01" and recording.source == "lab/sub-01_task-rest_raw.fif"
    assert recording.licence == "unknown"
    assert recording.ch_names == ("Fp2", "C4", "O1", "O2")
    assert [CH_NAMES[k] for k in recording.channels] == ["FP2", "C4", "O1", "O2"]
    assert any("Nonsense" in note for note in recording.notes)
    assert recording.n_times == toy.N_SECONDS * SECOND and recording.pieces == ((0, 8000),)
    assert toy.get_marked(corpus) == {} and corpus.n_tokens == 4 * toy.N_SECONDS
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


def test_reading_parts(tmp_path, toy):
    """Any rows and samples can be read, as a copy; what is not there cannot."""
    corpus = toy.prepare_raw(tmp_path, toy.make_raw(n_seconds=6))
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
# Reading back


@pytest.fixture
def folder(tmp_path, three_files, toy):
    """Return the folder of a corpus of three recordings."""
    return toy.prepare(tmp_path / "corpus", files=three_files).folder


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
        (lambda index: "[]", RuntimeError, "corpus.json does not contain a JSON object"),
        (lambda index: "{}", RuntimeError, "not the index of a corpus"),
        (
            lambda index: index.replace('"version": 1,', '"version": 99,'),
            RuntimeError,
            "version 99",
        ),
        (lambda index: index.replace('"recordings"', '"others"'), RuntimeError, "no recordings"),
        (lambda index: index.replace('"pieces"', '"parts"'), RuntimeError, "incomplete.*pieces"),
        (lambda index: index.replace('{"name"', '7, {"name"'), RuntimeError, "is no object"),
    ],
)
def test_damaged_index(folder, change, error, match):
    """An index that cannot be read says what to do; preparing again writes it anew."""
    path = folder / "corpus.json"
    before = path.read_text()
    path.write_text(change(before))
    with pytest.raises(error, match=match):
        read_corpus(folder)


def test_damaged_index_is_written_anew(folder, three_files, loaded, toy):
    """Preparing again after damage to the index computes nothing."""
    path = folder / "corpus.json"
    before = path.read_text()
    path.write_text(before[:100])
    toy.prepare(folder, files=three_files)
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


def test_shared_recordings(shared, tmp_path, toy):
    """Real recordings of joined trials, and one that ends in zeros, come out right."""
    root = shared / "eeg"
    files = [
        root / "alcohol" / "sub-a0364" / "eeg" / "sub-a0364_task-pictures_eeg.edf",
        root / "eegmmi" / "sub-001" / "eeg" / "sub-001_task-imagery_run-04_eeg.edf",
    ]
    for dataset, file in zip(("alcohol", "eegmmi"), files, strict=True):
        shutil.copytree(file.parents[1], tmp_path / dataset / file.parents[1].name)
        shutil.copy(root / dataset / "dataset_description.json", tmp_path / dataset)
    corpus = toy.prepare(
        tmp_path / "corpus", bids_roots=[tmp_path / "alcohol", tmp_path / "eegmmi"]
    )
    trials, walk, _ = corpus.recordings
    assert trials.pieces == tuple((k * SECOND, (k + 1) * SECOND) for k in range(30))
    assert len(trials.channels) == 61 and corpus.good(0).all()
    assert trials.licence.startswith("CC BY 4.0") and walk.licence.startswith("ODC-By 1.0")
    assert walk.name == "eegmmi/sub-001_task-imagery_run-04_eeg" and len(walk.channels) == 64
    assert walk.pieces == ((0, 25_000),)
    assert corpus.good(1)[:, :124].all() and not corpus.good(1)[:, 124].any()
    level = np.median(np.abs(corpus.read(1, range(64), 0, 24_000)))
    assert 0.05 < level < 0.5  # tens of microvolts, in 0.1 mV
