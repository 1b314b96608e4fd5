# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Recordings become a corpus on disk, once."""

import errno
import json
import os
from pathlib import Path

import mne
import numpy as np
import pytest

from mne_gram.training import _recordings, _storage, read_corpus
from mne_gram.training._marking import find_joins
from mne_gram.training._sources import list_sources, split_subjects
from mne_gram.training._storage import get_file, prepare_one

# ---------------------------------------------------------------------------------------------
# Once is enough


def test_nothing_is_done_twice(tmp_path, three_files, loaded, monkeypatch, toy):
    """A second call computes nothing and writes the same index; changes are noticed one by one."""
    out = tmp_path / "corpus"
    first = toy.prepare(out, files=three_files)
    index = (out / "corpus.json").read_bytes()
    assert loaded == ["lab/sub-1_raw", "lab/sub-2_raw", "lab/sub-3_raw"]
    loaded.clear()
    with monkeypatch.context() as context:
        # Files of the same time and size are not read again.
        context.setattr(_storage, "hash_source", lambda source: pytest.fail("was read"))
        assert toy.prepare(out, files=reversed(three_files)) == first
    assert (out / "corpus.json").read_bytes() == index
    os.utime(three_files[0], (1, 1))  # copied: another time, the same content
    toy.prepare(out, files=three_files)
    assert loaded == []

    toy.write(toy.make_raw(9, n_seconds=6), three_files[1])
    second = toy.prepare(out, files=three_files)
    assert loaded == ["lab/sub-2_raw"]
    assert [a.sha256 == b.sha256 for a, b in zip(first.recordings, second.recordings, strict=True)]
    assert first.recordings[1].sha256 != second.recordings[1].sha256
    assert first.recordings[0] == second.recordings[0]

    loaded.clear()
    path = out / second.recordings[2].file
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    assert toy.prepare(out, files=three_files) == second
    assert loaded == ["lab/sub-3_raw"]
    assert read_corpus(out) == second


def test_sidecars_count(tmp_path, loaded, toy):
    """A channel that becomes bad in a BIDS sidecar is marked by the next call."""
    root = toy.write_bids(tmp_path / "bids", ["a", "b"])
    corpus = toy.prepare(tmp_path / "corpus", bids_roots=root)
    assert toy.get_marked(corpus) == {}
    assert corpus.recordings[0].licence == "CC0 (Made up, doi:10.1/x)"
    assert [recording.subject for recording in corpus.recordings] == ["a", "b"]
    assert corpus.recordings[0].source == "bids/sub-a/eeg/sub-a_task-rest_eeg.edf"
    loaded.clear()
    sidecar = root / "sub-a" / "eeg" / "sub-a_task-rest_channels.tsv"
    sidecar.write_text(sidecar.read_text().replace("C3\tEEG\tV\tgood", "C3\tEEG\tV\tbad"))
    (root / "participants.tsv").write_text("participant_id\nsub-a\nsub-b\n")
    corpus = toy.prepare(tmp_path / "corpus", bids_roots=root)
    assert loaded == ["bids/sub-a_task-rest_eeg"]
    assert toy.get_marked(corpus) == {"C3": list(range(6))} and toy.get_marked(corpus, 1) == {}
    # Another recording's sidecar is none of its business; one in the root is of everybody.
    (sidecar.parent / "sub-a_task-other_channels.tsv").write_text(sidecar.read_text())
    loaded.clear()
    toy.prepare(tmp_path / "corpus", bids_roots=root)
    assert loaded == []
    (root / "task-rest_eeg.json").write_text(json.dumps({"EEGReference": "Cz"}))
    toy.prepare(tmp_path / "corpus", bids_roots=root)
    assert len(loaded) == 2


def read_tree(folder):
    """Return content and time of change of all that is in a folder, folders among them."""
    return {
        path.relative_to(folder): (path.stat().st_mtime_ns, path.is_file() and path.read_bytes())
        for path in [folder, *folder.rglob("*")]
    }


def test_data_set_is_left_as_it_is(tmp_path, monkeypatch, toy):
    """Nothing is written into a data set, so that it can lie on a read-only disk."""
    root = toy.write_bids(tmp_path / "bids", ["a", "b"], bads=["C3"])
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
        corpus = toy.prepare(out, bids_roots=root)
        assert read_tree(root) == before and touched == []
    finally:
        for path in before:
            (root / path).chmod(0o755)
    assert len(corpus) == 2 and corpus.failures == ()
    assert toy.get_marked(corpus, 1) == {"C3": list(range(6))}
    assert toy.get_marked(corpus) == {name: [1] for name in toy.NAMES} | {"C3": list(range(6))}


def test_same_marks_as_mne_bids(tmp_path, toy):
    """Bads, types, bad spans and joins are those that MNE-BIDS reads of the sidecars."""
    import mne_bids

    root = toy.write_bids(tmp_path / "bids", ["a"], bads=["O2"])
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


def test_killed_run_goes_on(tmp_path, three_files, loaded, monkeypatch, toy):
    """What a killed run had finished is kept; before its end there is no corpus."""
    out = tmp_path / "corpus"
    spy = _storage.load_recording

    def die_at_last(source, *args):
        if source.subject == "3":
            raise KeyboardInterrupt
        return spy(source, *args)

    monkeypatch.setattr(_storage, "load_recording", die_at_last)
    with pytest.raises(KeyboardInterrupt):
        toy.prepare(out, files=three_files)
    with pytest.raises(ValueError, match="contains no corpus.*call it again to resume"):
        read_corpus(out)
    monkeypatch.setattr(_storage, "load_recording", spy)
    loaded.clear()
    corpus = toy.prepare(out, files=three_files)
    assert loaded == ["lab/sub-3_raw"]
    assert corpus == read_corpus(out) and len(corpus) == 3


def test_full_disk(tmp_path, three_files, loaded, monkeypatch, toy):
    """Nothing half-written stays, and what was written before is kept."""
    out = tmp_path / "corpus"
    save, fails = np.save, [True]

    def fill_up(file, array):
        save(file, array)
        if "sub-2" in str(file) and fails:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", fill_up)
    with pytest.raises(OSError, match="lab/sub-2_raw could not be written.*No space.*are kept"):
        toy.prepare(out, files=three_files)
    assert sorted(path.name for path in (out / "data").iterdir()) == [
        "lab__sub-1_raw.json",
        "lab__sub-1_raw.npy",
    ]
    assert not (out / "corpus.json").exists()
    fails.clear()
    loaded.clear()
    assert len(toy.prepare(out, files=three_files)) == 3
    assert loaded == ["lab/sub-2_raw", "lab/sub-3_raw"]


def test_processes_change_nothing(tmp_path, three_files, toy):
    """Two processes write what one writes, in the same order."""
    one = toy.prepare(tmp_path / "one", files=three_files)
    two = toy.prepare(tmp_path / "two", files=three_files, n_jobs=2)
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


def test_held_out_subjects(tmp_path, toy):
    """Every n-th person of each data set is left out, or is all there is."""
    roots = [
        toy.write_bids(tmp_path / "one", ["1", "2", "3"], licence=None),
        toy.write_bids(tmp_path / "two", ["x", "y"]),
    ]
    train = toy.prepare(tmp_path / "train", bids_roots=roots, hold_out_every=2)
    test = toy.prepare(tmp_path / "test", bids_roots=roots, hold_out_every=2, hold_out="only")
    assert [(r.dataset, r.subject) for r in train.recordings] == [
        ("one", "1"),
        ("one", "3"),
        ("two", "x"),
    ]
    assert [(r.dataset, r.subject) for r in test.recordings] == [("one", "2"), ("two", "y")]
    assert train.recordings[0].licence == "unknown (Made up, doi:10.1/x)"
    with pytest.raises(ValueError, match="corpus with .*hold_out='leave'; requested was .*'only'"):
        toy.prepare(tmp_path / "train", bids_roots=roots, hold_out_every=2, hold_out="only")
    with pytest.raises(ValueError, match="fewer subjects"):
        toy.prepare(tmp_path / "x", bids_roots=roots, hold_out_every=9, hold_out="only")


def test_other_settings(tmp_path, three_files, loaded, toy):
    """A corpus of other settings is only replaced on request, and then all of it."""
    out = tmp_path / "corpus"
    toy.prepare(out, files=three_files)
    before = read_corpus(out)
    with pytest.raises(ValueError, match="dtype='int16'.*requested was dtype='float32'.*overwrite"):
        toy.prepare(out, files=three_files[:1], dtype="float32")
    with pytest.raises(ValueError, match="line_freq=None.*requested was .*line_freq=50.0"):
        toy.prepare(out, files=three_files, line_freq=50)
    assert read_corpus(out) == before
    loaded.clear()
    corpus = toy.prepare(out, files=three_files[:1], dtype="float32", overwrite=True)
    assert loaded == ["lab/sub-1_raw"] and len(corpus) == 1
    assert len(list((out / "data").iterdir())) == 2
    assert corpus.read(0, [0], 0, 5).shape == (1, 5)


def test_done_with_other_settings_is_not_done(tmp_path, three_files, toy):
    """One recording that is ready is new to other settings."""
    folder = toy.prepare(tmp_path / "corpus", files=three_files[0]).folder
    (source,) = list_sources([], three_files[:1])
    done = json.loads((folder / "data" / "lab__sub-1_raw.json").read_text())["settings"]
    entry, reason, is_new = prepare_one(source, folder, done)
    assert entry["name"] == "lab/sub-1_raw" and reason is None and not is_new
    assert prepare_one(source, folder, done | {"line_freq": 60.0})[2]


def test_more_recordings_can_join(tmp_path, three_files, loaded, toy):
    """The index lists what the last call named; the rest is at hand for the next."""
    out = tmp_path / "corpus"
    toy.prepare(out, files=three_files[:2])
    assert len(toy.prepare(out, files=three_files)) == 3
    assert loaded == ["lab/sub-1_raw", "lab/sub-2_raw", "lab/sub-3_raw"]
    assert len(toy.prepare(out, files=three_files[2])) == 1
    assert len(toy.prepare(out, files=three_files)) == 3
    assert len(loaded) == 3


def test_broken_recordings_are_left_out(tmp_path, three_files, toy):
    """What cannot be read or used is listed with its reason, and the rest goes on."""
    lab = tmp_path / "lab"
    (lab / "cut_raw.fif").write_bytes(three_files[0].read_bytes()[:20_000])
    toy.write(toy.make_raw(names=["A", "B"]), lab / "unknown_raw.fif")
    toy.write(toy.make_raw(n_seconds=0.5), lab / "short_raw.fif")
    raw = toy.make_raw()
    raw._data[:] = 1e-5
    toy.write(raw, lab / "flat_raw.fif")
    raw = toy.make_raw()
    raw._data *= 1e6
    toy.write(raw, lab / "volts_raw.fif")
    epochs = mne.make_fixed_length_epochs(toy.make_raw(), 2.0, preload=True, verbose="error")
    epochs.save(lab / "a-epo.fif", verbose="error")
    raw = toy.make_raw().set_channel_types(dict.fromkeys(toy.NAMES, "emg"), verbose="error")
    toy.write(raw, lab / "emg_raw.fif")
    broken = [path for path in sorted(lab.iterdir()) if path not in three_files]
    with pytest.warns(RuntimeWarning, match="7 of 10 recordings could not be prepared"):
        corpus = toy.prepare(tmp_path / "corpus", files=[*three_files, *broken])
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
        toy.prepare(tmp_path / "none", files=broken)
    assert not (tmp_path / "none" / "corpus.json").exists()


def test_truncated_edf_of_a_data_set(tmp_path, toy):
    """A file of a BIDS data set that lacks its end is left out too."""
    root = toy.write_bids(tmp_path / "bids", ["a", "b"])
    path = root / "sub-a" / "eeg" / "sub-a_task-rest_eeg.edf"
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.warns(RuntimeWarning, match="1 of 2 recordings could not be prepared"):
        corpus = toy.prepare(tmp_path / "corpus", bids_roots=[root])
    assert [source for source, _ in corpus.failures] == ["bids/sub-a/eeg/sub-a_task-rest_eeg.edf"]


def test_names(tmp_path, toy):
    """Names are unique and their files are safe; a file named twice is taken once."""
    lab = tmp_path / "my lab"
    paths = [
        toy.write(toy.make_raw(k, n_seconds=6), lab / name)
        for k, name in enumerate(["a b_raw.fif", "a_b_raw.fif", "a__b_raw.fif"])
    ]
    corpus = toy.prepare(tmp_path / "corpus", files=[*paths, paths[0]])
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
    other = toy.write(toy.make_raw(n_seconds=6), tmp_path / "x" / "my lab" / "a b_raw.fif")
    with pytest.raises(ValueError, match="both be called my lab/a b_raw"):
        toy.prepare(tmp_path / "corpus", files=[*paths, other])
    twins = [toy.write_bids(tmp_path / k / "set", [k]) for k in ("p", "q")]
    with pytest.raises(ValueError, match="in folders called set"):
        toy.prepare(tmp_path / "corpus", bids_roots=twins)
    # A file of a data set keeps what the data set says of it.
    path = twins[0] / "sub-p" / "eeg" / "sub-p_task-rest_eeg.edf"
    corpus = toy.prepare(tmp_path / "other", bids_roots=twins[0], files=path)
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
def test_bad_options(tmp_path, monkeypatch, kwargs, error, match, toy):
    """Wrong options are refused before anything is written."""
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(error, match=match):
        toy.prepare(tmp_path / "corpus", **kwargs)
    assert not (tmp_path / "corpus").exists()
