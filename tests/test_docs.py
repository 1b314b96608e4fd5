# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Shared descriptions of parameters are filled in, wherever a docstring names one."""

import inspect

import pytest

import mne_gram
from mne_gram._docs import fill_doc


def test_descriptions_are_filled_in():
    """The lines of the description are indented as their place is; an unknown name is an error."""

    @fill_doc
    def function(device, sfreq):
        """Do something.

        Parameters
        ----------
        %(device_cpu)s
        %(sfreq)s In addition.
        """

    lines = function.__doc__.splitlines()
    assert lines[4:8] == [
        "device : str | None",
        "    The device of the network; None means the CPU.",
        "sfreq : float | None",
        "    The sampling rate of arrays in Hz, if ``info`` is not given. In addition.",
    ]
    function.__doc__ = "%(no_such_parameter)s"
    with pytest.raises(KeyError, match="no_such_parameter"):
        fill_doc(function)
    function.__doc__ = None  # as Python -OO makes it
    assert fill_doc(function).__doc__ is None


def test_no_placeholder_is_left():
    """No public docstring shows a placeholder."""
    for name in mne_gram.__all__:
        value = getattr(mne_gram, name)
        members = vars(value).values() if inspect.isclass(value) else ()
        for each in (value, *filter(inspect.isfunction, members)):
            assert "%(" not in (each.__doc__ or ""), name
