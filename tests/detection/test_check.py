# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Bad channels of new data are found by what earlier data show."""

import mne
import numpy as np
import pytest

import mne_gram
from mne_gram.detection._check import judge

SFREQ = 128.0


@pytest.fixture(scope="module")
def data():
    """Return 40 s of 19 clean channels: the info, and 20 trials of 2 s."""
    raw, _ = mne_gram.simulation.simulate_raw(40.0, sfreq=SFREQ, seed=7, artefacts=())
    epochs = mne.make_fixed_length_epochs(raw, 2.0, preload=True, verbose="error")
    return raw.info, epochs.get_data(copy=False)


@pytest.fixture(scope="module")
def restorer(data):
    """Return a fitted Restorer that finds bad channels."""
    info, trials = data
    return mne_gram.Restorer(bads="auto", info=info).fit(trials[:12])


def _judge(restorer, trial, good=None):
    """Return which channels are found, and the scores."""
    good = np.ones(len(trial), bool) if good is None else good
    reasons, scores = judge(restorer._trial_fit.check, trial.copy(), good, SFREQ, 50.0)
    return np.any(list(reasons.values()), axis=0), scores


def test_clean(restorer, data):
    """Few good channels are found, whatever the size of the EEG in a trial."""
    for factor in (0.5, 1.0, 2.0):
        found = [_judge(restorer, factor * trial)[0] for trial in data[1][12:]]
        assert np.mean(found) < 0.02


@pytest.mark.parametrize("factor", [0.15, 6.0])
def test_gain(restorer, data, factor):
    """A channel that is faint or too large is found, and no other."""
    found = []
    for k, trial in enumerate(data[1][12:]):
        trial = trial.copy()
        trial[k] *= factor
        found.append(_judge(restorer, trial)[0][[k, k - 1]])
    assert np.mean(found, axis=0)[0] > 0.8
    assert np.mean(found, axis=0)[1] < 0.2


def test_small_trial(restorer, data):
    """A channel is found as well where the EEG is smaller than in the earlier data."""
    ratios = []
    for trial in data[1][12:]:
        trial = trial.copy()
        trial[6] *= 6
        (found, scores), (_, whole) = _judge(restorer, 0.3 * trial), _judge(restorer, trial)
        assert found[6] and scores.argmax() == 6
        ratios.append(scores[6] / whole[6])
    assert np.median(ratios) > 0.95


def test_many(restorer, data):
    """A third of the channels can be bad without the others being found."""
    rng, bad = np.random.default_rng(1), np.arange(19) % 3 == 0
    found = []
    for trial in data[1][12:]:
        trial = trial.copy()
        trial[bad] = 2 * trial.std() * rng.standard_normal((bad.sum(), trial.shape[1]))
        found.append(_judge(restorer, trial)[0])
    assert np.mean(found, axis=0)[bad].min() > 0.7
    assert np.mean(found, axis=0)[~bad].mean() < 0.1


def test_ignored(restorer, data):
    """Channels that are not good from the start have no score, nor an influence."""
    good = np.arange(19) > 0
    one, other = data[1][13].copy(), data[1][13].copy()
    one[0], other[0] = np.nan, 1e6
    (found, scores), (again, same) = _judge(restorer, one, good), _judge(restorer, other, good)
    assert not found[0] and scores[0] == -np.inf
    assert (found == again).all() and (scores == same).all()


def test_short_windows(restorer, data):
    """A second, which says less than a whole trial, scores lower."""
    rng = np.random.default_rng(2)
    whole, short = [], []
    for trial in data[1][12:]:
        trial = trial.copy()
        trial[6] = trial[6].std() * rng.standard_normal(trial.shape[1])
        whole.append(_judge(restorer, trial)[1][6])
        short.append(_judge(restorer, trial[:, : round(SFREQ)])[1][6])
    assert np.median(short) < 0.8 * np.median(whole)


def test_not_wanted(restorer, data):
    """A Restorer that was fitted with bads="auto" restores what is marked only, if so set."""
    trial = data[1][13:14].copy()
    trial[0, 6] = 1e-5 * np.random.default_rng(3).standard_normal(trial.shape[2])
    assert (restorer.transform(trial) != trial).any(axis=2)[0, 6]
    try:
        assert (restorer.set_params(bads=None).transform(trial) == trial).all()
    finally:
        restorer.set_params(bads="auto")
