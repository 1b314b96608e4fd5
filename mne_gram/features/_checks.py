# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Checks of what a file of embeddings or tokens contains, as anybody may have made it."""

import numpy as np

KINDS = ("Embedding", "Tokens")
_AXES = dict(cls=2, mean=2, channels=3, times=3, patches=4)  # of an embedding, by its pooling


def require(condition, problem):
    """Raise ValueError with a problem unless a condition holds."""
    if not condition:
        raise ValueError(problem)


def is_count(value):
    """Return whether a value is an integer of at least 1."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def check_content(kind, arrays, content):
    """Raise ValueError unless arrays and header are those of an Embedding or of Tokens."""
    missing = {"data", "onsets", "durations", "good"} - arrays.keys()
    require(not missing, f"it has no {', '.join(sorted(missing))}")
    require("metadata" in content, "its header is incomplete")
    fields = content["fields"]
    _check_fields(fields, "pool" if kind == "Embedding" else "n_classes")
    data, n_channels = arrays["data"], len(fields["ch_names"])
    if kind == "Embedding":
        _check_embedding(data, fields["pool"], n_channels)
    else:
        _check_tokens(data, fields["n_classes"], n_channels)
    wrong = [name for name, array in arrays.items() if len(array) != len(data)]
    require(not wrong, f"{', '.join(wrong)} has not one row per window")
    require(np.isfinite(arrays["onsets"]).all(), "an onset is not finite")
    durations, good = arrays["durations"], arrays["good"]
    require(np.all((durations > 0) & np.isfinite(durations)), "a duration is not positive")
    require(np.all((good >= 0) & (good <= 1)), "a share of good patches is not from 0 to 1")


def _check_fields(fields, own):
    """Raise ValueError unless the header has exactly the known entries, of the known types."""
    types = dict(ch_names=list, first_time=int | float | None, model=str | None)
    types |= dict(sha256=str | None, event_id=dict | None)
    types[own] = str if own == "pool" else int
    require(isinstance(fields, dict) and fields.keys() == types.keys(), "its header is incomplete")
    wrong = [name for name, kind in types.items() if not isinstance(fields[name], kind)]
    require(not wrong, f"the type of {', '.join(wrong)} in its header is wrong")
    names = fields["ch_names"]
    require(all(isinstance(name, str) for name in names), "a channel name is not text")
    require(len(set(names)) == len(names), "a channel name is repeated")
    codes = (fields["event_id"] or {}).values()
    require(all(isinstance(code, int) for code in codes), "the code of an event is not a number")
    time = fields["first_time"]
    require(time is None or np.isfinite(time), "the time of the first sample is not finite")


def _check_embedding(data, pool, n_channels):
    require(pool in _AXES, f"its pooling {pool[:20]!r} is unknown")
    require(data.dtype.kind == "f", "its vectors are not floating-point numbers")
    require(data.ndim == _AXES[pool], f"its data have {data.ndim} axes, expected {_AXES[pool]}")
    by_channel = pool in ("channels", "patches")
    require(not by_channel or data.shape[1] == n_channels, "its data have other channels")


def _check_tokens(data, n_classes, n_channels):
    require(is_count(n_classes), "its number of classes is not positive")
    require(data.dtype.kind in "iu" and data.ndim == 3, "its tokens are not integers in 3 axes")
    require(data.shape[1] == n_channels, "its tokens have other channels")
    require(np.all((data >= -1) & (data < n_classes)), "a token is none of its classes")
