# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The sample recording, with its bad channels and without, a small network, reports."""

from types import SimpleNamespace

import mne
import numpy as np
import pytest

import mne_gram
from mne_gram import RestorationReport, restore
from mne_gram._recording import Block
from mne_gram.models import Gram, Tokenizer
from mne_gram.models._config import gram_nano, tokenizer_nano
from mne_gram.models._files import GramModel
from mne_gram.restoration._evidence import Evidence
from mne_gram.restoration._gaps import Estimate
from mne_gram.restoration._tally import Tally


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


# ---------------------------------------------------------------------------------------------
# Reports


@pytest.fixture
def figures():
    """Notice figures that are left open."""
    import matplotlib.pyplot as plt

    yield
    assert not plt.get_fignums()


@pytest.fixture(scope="module")
def recording():
    """Return eight channels of the sample, in double precision."""
    raw = mne_gram.datasets.sample(return_truth=True, verbose="error")[1]
    raw.set_annotations(None)
    return raw.pick(["F3", "F4", "C3", "C4", "Cz", "Pz", "O1", "O2"])


@pytest.fixture(scope="module")
def restored(recording):
    """Return a Raw with a whole channel and two segments restored, and its report."""
    raw, mask = recording.copy(), np.zeros((8, recording.n_times), bool)
    mask[0] = mask[2, 500:900] = mask[3, 1000:1100] = True
    raw._data[mask] = 1e-3
    return restore(raw, mask=mask, method="spatial", return_report=True, verbose="error")


def make_evidence(**kwargs):
    """Return what stacking might have found."""
    options = dict(
        weights={"spatial": np.linspace(0.5, 0.9, 5), "sphere": np.linspace(0.5, 0.1, 5)},
        scores={"spline": 0.62, "spatial": 0.34, "sphere": np.float64(0.37), "auto": 0.31},
        r={"spline": 0.66, "spatial": 0.81, "auto": 0.83},
        seconds=124.0,
        source="recording",
        coverage=0.913,
        calibration=1.25,
    )
    return Evidence(**{**options, **kwargs})


def make_inst(n_channels=5, n_times=400, n_epochs=None, sfreq=100.0):
    """Return noise of 10 microvolts as a Raw or Epochs."""
    names = ["Cz", "C3", "C4", "Fz", "Pz", "O1", "O2"][:n_channels]
    info = mne.create_info(names, sfreq, "eeg")
    shape = (n_channels, n_times) if n_epochs is None else (n_epochs, n_channels, n_times)
    data = np.random.default_rng(0).standard_normal(shape) * 1e-5
    if n_epochs is None:
        return mne.io.RawArray(data, info, verbose="error")
    return mne.EpochsArray(data, info, verbose="error")


def make_report(inst=None, bad=None, std=3e-6, *, output="mean", **kwargs):
    """Return the report of a restoration that was made up, of the data as they are."""
    return RestorationReport(make_tally(inst, bad, std, output), **(dict(method="auto") | kwargs))


def make_tally(inst=None, bad=None, std=3e-6, output="mean"):
    """Return the tally of a restoration of the second channel."""
    inst = make_inst() if inst is None else inst
    data = inst.get_data()
    if data.ndim == 3:
        data = data.transpose(1, 0, 2).reshape(len(inst.ch_names), -1)
    bad = np.arange(data.shape[1]) >= 0 if bad is None else bad
    mask = np.zeros(data.shape, bool)
    mask[1] = bad
    edges = np.flatnonzero(np.diff(np.r_[False, bad, False]))
    estimates = [
        Estimate(1, a, b, data[1, a:b], np.zeros(b - a) + std)
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]
    tally = Tally(inst, np.arange(len(data)), output=output)
    tally.add(make_block(data, mask), estimates)
    return tally


def make_block(data, mask, first=0):
    """Return signals as a block."""
    return Block(data, mask, [(0, data.shape[1])], first, 100.0)


@pytest.fixture(scope="session")
def toy():
    """Return functions that make small recordings and their reports."""
    return SimpleNamespace(
        make_evidence=make_evidence,
        make_inst=make_inst,
        make_report=make_report,
        make_tally=make_tally,
        make_block=make_block,
    )
