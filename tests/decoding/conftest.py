# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A small model with random weights."""

import pytest

from mne_gram.decoding import _trial_filter
from mne_gram.models import Gram, gram_nano
from mne_gram.models._files import GramModel
from mne_gram.models._registry import save_model


@pytest.fixture(scope="module")
def nano(tmp_path_factory):
    """Return the folder of a model of two blocks with random weights."""
    folder = tmp_path_factory.mktemp("models") / "nano"
    save_model(GramModel(gram=Gram(gram_nano(), seed=0)), folder)
    return str(folder)


@pytest.fixture(autouse=True)
def _nothing_was_said(monkeypatch):
    """Let each test see the warnings that are given once."""
    monkeypatch.setattr(_trial_filter, "_said", set())
