# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The sample recording, with its bad channels and without, and a small network."""

import pytest

import mne_gram
from mne_gram.models import Gram, Tokenizer
from mne_gram.models._config import gram_nano, tokenizer_nano
from mne_gram.models._files import GramModel


@pytest.fixture(scope="module")
def sample():
    """Return the sample with its garbage and without."""
    return mne_gram.datasets.sample(return_truth=True, verbose="error")


@pytest.fixture(scope="module")
def truth(sample):
    """Return the sample without the electrode that was broken in reality, all good."""
    raw = sample[1].copy().drop_channels(["FT8"])
    raw.set_annotations(None)
    return raw


@pytest.fixture(scope="module")
def clinical(truth):
    """Return ten seconds of 19 of its electrodes, for rules that hold for any number."""
    names = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
    return truth.copy().pick(names).crop(0, 10, include_tmax=False)


@pytest.fixture(scope="module")
def network():
    """Return a small network with random weights."""
    tokenizer, gram = Tokenizer(tokenizer_nano(), seed=0), Gram(gram_nano(), seed=0)
    return GramModel(tokenizer=tokenizer.eval(), gram=gram.eval())


@pytest.fixture(scope="session")
def fill():
    """Return the function that puts garbage where a recording is bad."""

    def fill(truth, mask, garbage):
        raw = truth.copy()
        raw._data[mask] = garbage
        return raw

    return fill
