# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Kinds of features side by side: how much each counts in what the probe learns."""

import numpy as np
import pytest

from mne_gram.decoding import GramClassifier
from mne_gram.decoding._feature_kinds import KINDS
from mne_gram.models import Gram, gram_nano
from mne_gram.models._files import GramModel, save_model

NAMES = ["Fp1", "Fz", "C3", "Cz", "C4", "Pz", "O1", "O2"]


@pytest.fixture(scope="module")
def nano(tmp_path_factory):
    """Return the folder of a small model with random weights."""
    folder = tmp_path_factory.mktemp("models") / "nano"
    save_model(GramModel(gram=Gram(gram_nano(), seed=0)), folder)
    return str(folder)


@pytest.fixture
def guess(nano, monkeypatch):
    """Return a function that fits with given shares and predicts other trials."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = 1e-5 * rng.standard_normal((60, len(NAMES), 200))
    x[:, -2:] *= 1 + 0.3 * y[:, None, None]  # which some trials show better than others

    def fit(features, **shares):
        for kind, share in shares.items():
            monkeypatch.setitem(KINDS, kind, share)
        clf = GramClassifier(
            features=features, model=nano, C=1.0, ch_names=NAMES, sfreq=200.0, line_freq=False
        )
        return clf.fit(x[:40], y[:40]).predict_proba(x[40:])[:, 1]

    return fit


@pytest.mark.parametrize(
    ("kind", "other"),
    [("embedding", "tangent"), ("bandpower", "tangent"), ("tangent", "embedding")],
)
def test_a_share_decides_how_much_a_kind_counts(guess, kind, other):
    """A share of 0 leaves the other kind alone, a very large one leaves this kind alone."""
    both = (kind, other)
    alone, without = guess(kind), guess(other)
    shares = (1e-6, 0.5 * KINDS[kind], KINDS[kind], 2 * KINDS[kind], 1e6)
    found = [guess(both, **{kind: share}) for share in shares]
    assert np.abs(alone - without).max() > 0.1
    np.testing.assert_allclose(found[0], without, atol=1e-3)
    np.testing.assert_allclose(found[-1], alone, atol=1e-3)
    # The nearer the larger its share is.
    distances = [np.abs(some - alone).mean() for some in found]
    assert (np.diff(distances) < -0.001).all()


def test_only_the_ratio_of_shares_counts(guess):
    both = ("embedding", "tangent")
    found = guess(both, embedding=0.3, tangent=1.0)
    np.testing.assert_allclose(guess(both, embedding=0.6, tangent=2.0), found, atol=1e-6)
    # And the order in which the kinds are named does not.
    np.testing.assert_allclose(guess(both[::-1]), found, atol=1e-3)
