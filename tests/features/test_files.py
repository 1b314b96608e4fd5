# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Files of embeddings and tokens that an attacker made."""

import json
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from mne_gram import Embedding, Tokens, read_embedding, read_tokens

N = 2


def make(kind, tmp_path):
    """Write a valid file; return its path, arrays and header."""
    fields = dict(ch_names=["C3", "C4"], onsets=np.arange(2.0), durations=np.ones(N))
    fields |= dict(good=np.ones(N), events=np.ones((N, 3), int), event_id={"a": 1})
    table = pd.DataFrame({"word": ["x", None], "n": [1, 2], "k": pd.array([1, None], "Int64")})
    path = tmp_path / "a.npz"
    if kind == "Embedding":
        data = np.ones((N, 2, 5), np.float32)
        made = Embedding(data=data, pool="channels", metadata=table, **fields)
    else:
        made = Tokens(data=np.ones((N, 2, 4), int), n_classes=8, metadata=table, **fields)
    made.save(path)
    with np.load(path) as file:
        arrays = dict(file)
    return path, arrays, json.loads(str(arrays["header"]))


def change(content, *keys, value):
    """Set a nested entry of a header."""
    for key in keys[:-1]:
        content = content[key]
    content[keys[-1]] = value


DEEP = "[" * 100_000 + "]" * 100_000

ARRAYS = {
    "no data": dict(data=None),
    "no onsets": dict(onsets=None),
    "no good": dict(good=None),
    "axes": dict(data=np.ones(N)),
    "text": dict(data=np.full((N, 2, 5), "x")),
    "objects": dict(onsets=np.array([None, None])),
    "channels": dict(data=np.ones((N, 3, 5), np.float32)),
    "rows": dict(onsets=np.ones(3)),
    "onset is NaN": dict(onsets=np.array([0, np.nan])),
    "duration is negative": dict(durations=np.array([1.0, -1.0])),
    "good above 1": dict(good=np.array([1.0, 7.0])),
    "events": dict(events=np.ones((N, 2), int)),
    "unknown": dict(other=np.ones(N)),
    "deep header": dict(header=np.array(DEEP)),
    "header is a list": dict(header=np.array("[]")),
    "header of numbers": dict(header=np.array(3)),
    "column is missing": dict(metadata_1=None),
    "column too many": dict(metadata_7=np.ones(N)),
    "column too long": dict(metadata_2=np.ones(5)),
    "column of another length": dict(metadata_1=np.array("[1, 2, 3]")),
    "column no list": dict(metadata_1=np.array("{}")),
    "column deep": dict(metadata_1=np.array(DEEP)),
    "column nested": dict(metadata_1=np.array("[[1], {}]")),
}
HEADERS = {
    "kind": (["kind"], 3),
    "kind is a list": (["kind"], ["Embedding"]),
    "version is text": (["version"], "1"),
    "version is null": (["version"], None),
    "version 0": (["version"], 0),
    "fields": (["fields"], []),
    "data as field": (["fields", "data"], [1, 2]),
    "names": (["fields", "ch_names"], "C3"),
    "names of numbers": (["fields", "ch_names"], [1, 2]),
    "repeated names": (["fields", "ch_names"], ["C3", "C3"]),
    "first_time": (["fields", "first_time"], "x"),
    "model": (["fields", "model"], 3),
    "sha256": (["fields", "sha256"], {}),
    "event_id": (["fields", "event_id"], ["a"]),
    "event codes": (["fields", "event_id"], {"a": []}),
    "metadata": (["metadata"], 3),
    "metadata is empty": (["metadata"], []),
    "metadata pairs": (["metadata"], [["a"]]),
    "huge type": (["metadata", 1, 1], "U1000000000"),
    "unknown type": (["metadata", 1, 1], "nonsense"),
    "wrong type": (["metadata", 1, 1], "Int64"),
    "name": (["metadata", 1, 0], {}),
}


@pytest.mark.parametrize("kind, read", [("Embedding", read_embedding), ("Tokens", read_tokens)])
def test_hostile_files(tmp_path, kind, read):
    """Whatever is wrong in a file is one RuntimeError that names the file."""
    path, arrays, header = make(kind, tmp_path)
    read(path)
    own = dict(pool=3) if kind == "Embedding" else dict(n_classes="x")
    own = {f"{key} {value}": (["fields", key], value) for key, value in own.items()}
    own |= {"cls": (["fields", "pool"], "cls")} if kind == "Embedding" else {}
    cases = [(name, arrays | changes) for name, changes in ARRAYS.items()]
    if kind == "Tokens":
        cases += [("too large", arrays | dict(data=np.full((N, 2, 4), 8)))]
        cases += [("too small", arrays | dict(data=np.full((N, 2, 4), -2)))]
    for name, (keys, value) in {**HEADERS, **own}.items():
        other = json.loads(json.dumps(header))
        change(other, *keys, value=value)
        cases.append((name, arrays | dict(header=np.array(json.dumps(other)))))
    missed = []
    for name, content in cases:
        np.savez(path, **{k: v for k, v in content.items() if v is not None})
        try:
            read(path)
            missed.append(f"{name}: accepted")
        except RuntimeError as error:
            if str(path) not in str(error):
                missed.append(f"{name}: {error}")
        except Exception as error:
            missed.append(f"{name}: {type(error).__name__}: {error}")
    assert missed == []


def test_bomb_is_not_unpacked(tmp_path):
    """An archive of 100 kB with arrays of 96 MB is refused without taking their memory."""
    path, arrays, _ = make("Embedding", tmp_path)
    np.savez_compressed(path, **arrays | dict(data=np.zeros((N, 2, 3_000_000))))
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    with pytest.raises(RuntimeError, match="would take 91.6 MiB"):
        read_embedding(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


def test_columns_of_two_levels_return(tmp_path):
    """Names of columns that are tuples are tuples when read."""
    path, arrays, _ = make("Embedding", tmp_path)
    table = pd.DataFrame([[1, 2], [3, 4]], columns=pd.MultiIndex.from_tuples(["ab", "ac"]))
    made = read_embedding(path)
    made.metadata = table
    made.save(path, overwrite=True)
    assert list(read_embedding(path).metadata.columns) == [("a", "b"), ("a", "c")]
