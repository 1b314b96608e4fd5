# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Commands have options for the arguments of their functions."""

import inspect

import pytest

import mne_gram
from mne_gram._commands._main import _build_parser

_EVERYWHERE = {"verbose", "copy", "preload"}
# Arguments with an option of another name, and those that only Python has ("").
_RESTORE = dict(mask="find_bads", reset_bads="", annotate="", on_missing="", picks="exclude")
_COMMANDS = {
    "restore": _RESTORE | dict(inst="input", return_report="report"),
    "find_bads": dict(inst="input"),
    "run_bids": dict(
        **dict(subjects="subject", sessions="session", tasks="task", runs="run"),
        **dict(on_error="stop_on_error", save_std="std", report="no_report"),
    ),
    "fit_prior": dict(insts="input", subjects="subject", base="no_base", mask="find_bads"),
    "compute_embedding": dict(inst="input", on_missing="", preprocess="no_preprocess"),
    "compute_tokens": dict(inst="input", on_missing="", preprocess="no_preprocess"),
    "fetch_model": dict(force="", path=""),
    "convert_checkpoint": dict(fname="checkpoint", tokenizer_fname="tokenizer"),
}
_NAMES = {
    "find_bads": "find-bads",
    "run_bids": "bids",
    "fit_prior": "prior fit",
    "compute_embedding": "embed",
    "compute_tokens": "tokens",
    "fetch_model": "weights fetch",
    "convert_checkpoint": "weights convert",
}


@pytest.mark.parametrize("function", _COMMANDS)
def test_arguments_have_options(function):
    """A new argument needs an option, or a reason to be left out in the table above."""
    parser = _build_parser()
    for name in _NAMES.get(function, function).split():
        (commands,) = (a for a in parser._actions if hasattr(a.choices, "values"))
        parser = commands.choices[name]
    options = {a.dest for a in parser._actions if not a.option_strings}
    options |= {o[2:].replace("-", "_") for a in parser._actions for o in a.option_strings}
    other = _COMMANDS[function]
    names = set(inspect.signature(getattr(mne_gram, function)).parameters) - _EVERYWHERE
    missing = {name for name in names if other.get(name, name) not in {*options, ""}}
    assert missing == set() and set(other) <= names
