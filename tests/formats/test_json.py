# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""JSON that an attacker made."""

import os

import pytest

from mne_gram._formats import parse_json, read_json_object


@pytest.mark.parametrize(
    "text, match",
    [
        ("[" * 100_000 + "]" * 100_000, "more than 32 levels deep"),
        ('{"a":' * 40 + "1" + "}" * 40, "more than 32 levels deep"),
        ("1" + "0" * 5000, "too large"),
        ('"\\ud800"', "surrogates not allowed"),
        ('{"\\ud800": 1}', "surrogates not allowed"),
        ("{", "Expecting"),
        ("", "Expecting"),
    ],
)
def test_hostile_text(text, match):
    """Depth, large numbers and half characters are refused by ValueError."""
    with pytest.raises(ValueError, match=match):
        parse_json(text)


def test_valid_text():
    """What JSON can represent is returned as it is."""
    content = '{"a": [1, -2.5, null, true, {"b": "\\u00e4"}], "c": 1700000000000000000}'
    assert parse_json(content) == {
        "a": [1, -2.5, None, True, {"b": "ä"}],
        "c": 1_700_000_000_000_000_000,
    }


def test_files(tmp_path):
    """The file is named, whatever is wrong with it, and is never read beyond the limit."""
    path = tmp_path / "a.json"
    with pytest.raises(FileNotFoundError):
        read_json_object(path)
    path.write_text("[1]")
    with pytest.raises(ValueError, match="a.json does not contain a JSON object"):
        read_json_object(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="a.json is not valid JSON"):
        read_json_object(path)
    path.write_text('{"a": 1}' + " " * 1000)
    with pytest.raises(ValueError, match="a.json has more than"):
        read_json_object(path, max_bytes=1000)
    assert read_json_object(path) == {"a": 1}
    path.write_text('\ufeff{"a": 1}', encoding="utf-8")
    assert read_json_object(path) == {"a": 1}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_pipe_is_not_opened(tmp_path):
    """A pipe, from which reading would never return, is refused."""
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(ValueError, match="not a regular file"):
        read_json_object(tmp_path / "a.json")
