# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Corpora and checkpoints that an attacker made."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from pooch import file_hash
from safetensors.torch import save_file

from mne_gram.training import _checkpoint as checkpoint
from mne_gram.training import prepare_corpus, read_corpus, read_log

DEEP = "[" * 100_000 + "]" * 100_000


@pytest.fixture
def folder(corpus, tmp_path):
    """Return a copy of a corpus, beside an array that is none of its own."""
    copy = shutil.copytree(corpus.folder, tmp_path / "corpus")
    shutil.copy(copy / corpus.recordings[0].file, tmp_path / "secret.npy")
    return copy


def get_entries(folder):
    """Return faulty entries of a recording in the index."""
    secret = dict(sha256=file_hash(folder.parent / "secret.npy"))
    good = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))["recordings"][0]
    n, n_times = len(good["channels"]), good["n_times"]
    return {
        "absolute path": secret | dict(file=str(folder.parent / "secret.npy")),
        "path above": secret | dict(file="../secret.npy"),
        "path above inside": secret | dict(file="data/../../secret.npy"),
        "not an array": dict(file="corpus.json"),
        "file is a number": dict(file=3),
        "scale is NaN": dict(scale=[float("nan")] * n),
        "scale is infinite": dict(scale=[float("inf")] * n),
        "scale is negative": dict(scale=[-1.0] * n),
        "scale is text": dict(scale=["1"] * n),
        "few scales": dict(scale=[1.0]),
        "channel beyond": dict(channels=[130] * n),
        "channel repeated": dict(channels=[0] * n),
        "channel negative": dict(channels=[-1, *good["channels"][1:]]),
        "channel true": dict(channels=[True, *good["channels"][1:]]),
        "no channels": dict(channels=[], ch_names=[], scale=[]),
        "few names": dict(ch_names=["C3"]),
        "name is a number": dict(ch_names=[3] * n),
        "length is negative": dict(n_times=-5),
        "length is huge": dict(n_times=10**12),
        "length is text": dict(n_times="5"),
        "piece beyond": dict(pieces=[[0, n_times + 1]]),
        "piece reversed": dict(pieces=[[400, 200]]),
        "piece of one": dict(pieces=[[0]]),
        "pieces overlap": dict(pieces=[[0, 400], [200, 800]]),
        "bad row beyond": dict(bad=[[n, 0, 1]]),
        "bad second beyond": dict(bad=[[0, 0, 10**6]]),
        "bad of two": dict(bad=[[0, 0]]),
        "bad is text": dict(bad="bad"),
        "checksum": dict(sha256=3),
        "size": dict(n_bytes="3"),
        "subject": dict(subject=["0"]),
        "notes": dict(notes=[1]),
        "name": dict(name=None),
    }


def test_hostile_entries(folder):
    """Each fault of an entry is a RuntimeError that names the index and what is wrong."""
    path = folder / "corpus.json"
    good = json.loads(path.read_text(encoding="utf-8"))
    missed = []
    for name, changes in get_entries(folder).items():
        index = json.loads(json.dumps(good))
        index["recordings"][0].update(changes)
        path.write_text(json.dumps(index), encoding="utf-8")
        for check in (True, False):
            try:
                read_corpus(folder, check=check)
                missed.append(f"{name}: accepted")
            except RuntimeError as error:
                if "corpus.json is damaged" not in str(error):
                    missed.append(f"{name}: {error}")
            except Exception as error:
                missed.append(f"{name}: {type(error).__name__}: {error}")
    assert missed == []


def test_repeated_recordings(folder):
    """Two recordings of one name or file are refused."""
    path = folder / "corpus.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    index["recordings"] += index["recordings"][:1]
    path.write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(RuntimeError, match="corpus.json is damaged.*more than one"):
        read_corpus(folder)


def test_deep_index(folder):
    """Deep JSON is damage, in the index and in the notes on arrays, which are then made again."""
    (folder / "corpus.json").write_text(DEEP, encoding="utf-8")
    with pytest.raises(RuntimeError, match="index is damaged.*corpus.json.*deep"):
        read_corpus(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_links(corpus, folder, tmp_path):
    """A folder of arrays that is a link is neither read nor written through."""
    shutil.move(folder / "data", tmp_path / "elsewhere")
    (folder / "data").symlink_to(tmp_path / "elsewhere", True)
    with pytest.raises(RuntimeError, match="is a link"):
        read_corpus(folder)
    before = sorted(path.name for path in (tmp_path / "elsewhere").iterdir())
    file = corpus.folder.parent / "lab" / "sub-0_raw.fif"
    with pytest.raises(ValueError, match="is a link"):
        prepare_corpus(folder, files=[file], line_freq=60, overwrite=True, verbose="error")
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == before


def test_notes_do_not_name_files(corpus, folder):
    """The note on an array cannot name another file, and a damaged one is made again."""
    files = [corpus.folder.parent / "lab" / f"sub-{k}_raw.fif" for k in range(4)]
    note = (folder / corpus.recordings[0].file).with_suffix(".json")
    good = json.loads(note.read_text(encoding="utf-8"))
    for facts in (
        dict(good["facts"], file="../secret.npy"),
        dict(good["facts"], name="x"),
        dict(good["facts"], scale=[float("nan")] * len(good["facts"]["scale"])),
        [],
        DEEP,
    ):
        text = DEEP if facts == DEEP else json.dumps(dict(good, facts=facts))
        note.write_text(text, encoding="utf-8")
        again = prepare_corpus(folder, files=files, verbose="error")
        assert again.recordings == corpus.recordings


@pytest.mark.parametrize("content", ["objects", "zip", "float64", "text"])
def test_hostile_arrays(folder, content):
    """An array that is replaced after the check is not read as another type."""
    corpus = read_corpus(folder)
    one = corpus.recordings[0]
    shape, path = (len(one.channels), one.n_times), folder / one.file
    if content == "objects":
        np.save(path, np.full(shape, None), allow_pickle=True)
    elif content == "zip":
        with path.open("wb") as file:
            np.savez(file, a=np.zeros(shape))
    elif content == "float64":
        np.save(path, np.full(shape, 1.0))
    else:
        path.write_bytes(b"\x93NUMPY\x01\x00\x10\x27" + b"[" * 10_000)
    with pytest.raises(RuntimeError, match="differs from the index"):
        corpus.read(0, [0], 0, 2)


# ---------------------------------------------------------------------------------------------
# Checkpoints


def test_hostile_checkpoints(copied, corpus, tiny):
    """Each fault of a checkpoint is an error that names the file; no training starts."""
    path = copied.out / checkpoint.NAME
    with checkpoint.safe_open(path, framework="pt") as file:
        text = file.metadata()["mne_gram"]
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    good = json.loads(text)
    name = next(key for key in tensors if key.startswith("network/"))
    moment = next(key for key in tensors if key.startswith("optimizer/exp_avg."))

    def move(**progress):
        return json.dumps(good | dict(progress=good["progress"] | progress))

    nan = torch.full_like(tensors[name], torch.nan)
    cases = {
        "deep": (DEEP, tensors),
        "list": ("[]", tensors),
        "no facts": (json.dumps({k: v for k, v in good.items() if k != "facts"}), tensors),
        "facts": (json.dumps(good | dict(facts=[])), tensors),
        "training": (json.dumps(good | dict(facts=good["facts"] | dict(training=3))), tensors),
        "no progress": (json.dumps({k: v for k, v in good.items() if k != "progress"}), tensors),
        "no step": (json.dumps(good | dict(progress={})), tensors),
        "negative step": (move(step=-1), tensors),
        "step of text": (move(step="3"), tensors),
        "step beyond": (move(step=99), tensors),
        "seconds": (move(seconds="x"), tensors),
        "no group": (text, tensors | {"x": nan}),
        "other group": (text, tensors | {"x/y": nan}),
        "missing": (text, {k: v for k, v in tensors.items() if k != name}),
        "missing moment": (text, {k: v for k, v in tensors.items() if k != moment}),
        "other tensor": (text, tensors | {"network/x": nan}),
        "shape": (text, tensors | {name: torch.zeros(3)}),
        "shape of a moment": (text, tensors | {moment: torch.zeros(3)}),
        "NaN": (text, tensors | {name: nan}),
        "integers": (text, tensors | {name: torch.zeros(nan.shape, dtype=torch.int64)}),
    }
    missed = []
    for case, (metadata, content) in cases.items():
        save_file(content, path, metadata={"mne_gram": metadata})
        try:
            tiny.run(copied.stage, corpus, copied.out)
            missed.append(f"{case}: accepted")
        except (RuntimeError, ValueError) as error:
            if str(path) not in str(error):
                missed.append(f"{case}: {error}")
        except Exception as error:
            missed.append(f"{case}: {type(error).__name__}: {error}")
    assert missed == []


@pytest.mark.parametrize(
    "rows",
    [
        "1,train,,loss," + "1" * 200_000,
        "1,train,\0,loss,1",
        f"{10**30},train,,loss,1",
        "1,train,,loss,1,2",
        "-1,train,,loss,x",
    ],
)
def test_hostile_logs(tmp_path, rows):
    """Lines that are not rows of a log are left out with a warning."""
    path = tmp_path / "log.csv"
    path.write_text(f"step,split,subject,name,value\n2,train,,loss,3\n{rows}\n3,train,,loss,4\n")
    with pytest.warns(RuntimeWarning, match=r"lines .* not rows of a log: \[3\]"):
        frame = read_log(tmp_path)
    assert frame["step"].tolist() == [2, 3] and frame["value"].tolist() == [3.0, 4.0]
