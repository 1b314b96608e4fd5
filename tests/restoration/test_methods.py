# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The tables of methods and options, and all who read them."""

import inspect
import subprocess
import sys

import pytest

import mne_gram
from mne_gram._commands import main
from mne_gram.restoration import METHODS, OPTIONS, check_options

DEFAULTS = {option.name: option.default for option in OPTIONS.values()}


@pytest.mark.parametrize("function", ["restore", "harmonize", "run_bids"])
def test_functions_follow_the_tables(function):
    """Their options have the defaults of the table, and their docstrings name all methods."""
    function = getattr(mne_gram, function)
    parameters = inspect.signature(function).parameters
    for name, option in OPTIONS.items():
        if name in parameters or function is not mne_gram.harmonize:
            assert parameters[name].default == option.default
    listed = " | ".join(f'"{name}"' for name in METHODS)
    assert f"method : {listed}\n" in inspect.getdoc(function)


@pytest.mark.parametrize("command", ["restore", "bids"])
def test_commands_follow_the_tables(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = capsys.readouterr().out
    assert f"--method {{{','.join(METHODS)}}}" in text
    assert all(method.description in text for method in METHODS.values())


def test_the_tables_are_light():
    """The command line answers wrong arguments without importing MNE."""
    code = "import sys, mne_gram.restoration._methods; print('mne' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize("method", METHODS.values(), ids=str)
def test_options_that_do_not_go_together(method):
    check_options(**DEFAULTS | dict(method=method.name))
    options = DEFAULTS | dict(method=method.name, output="sample")
    if method.has_posterior:
        check_options(**options)
        return
    with pytest.raises(ValueError, match=f"'{method.name}' has no posterior .*method='spatial'"):
        check_options(**options)


@pytest.mark.parametrize("name", ["method", "output", "all_channel_gaps"])
def test_options_that_are_unknown(name):
    with pytest.raises(ValueError, match=f"Invalid value for the '{name}' parameter"):
        check_options(**DEFAULTS | {name: "else"})


def test_excluded_channels_are_a_list():
    with pytest.raises(TypeError, match="exclude must be"):
        check_options(**DEFAULTS | dict(exclude="Fz"))


def test_the_seed_is_a_number():
    with pytest.raises(TypeError, match="random_state must be"):
        check_options(**DEFAULTS | dict(random_state="one"))
    with pytest.raises(ValueError, match="random_state must be at least 0"):
        check_options(**DEFAULTS | dict(random_state=-1))
