# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Making the default weights of experts: what is hidden, who is left out, what is written."""

import json

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from mne_gram.covariance import load_prior
from mne_gram.restoration import EXPERTS, KINDS
from mne_gram.simulation import simulate_raw
from mne_gram.training import prepare_corpus


@pytest.fixture(scope="module")
def making(load_benchmark):
    """Return the script."""
    return load_benchmark("make_stacking")


@pytest.mark.parametrize("kind", ["channels", "cluster", "segments", "patches"])
def test_what_is_hidden(kind, making):
    channels = np.arange(19)
    pieces = [(0, 3000), (3000, 6000)]
    for seed in range(5):
        hidden = making.draw_hidden(kind, channels, pieces, 6000, np.random.default_rng(seed))
        rows = hidden.any(axis=1)
        assert rows.any()
        if kind in ("channels", "cluster"):
            assert_array_equal(hidden.all(axis=1), rows)
            assert rows.sum() <= 10
        elif kind == "segments":
            assert rows.sum() <= 4 and not hidden.all(axis=1).any()
        else:
            assert 0.2 < hidden.mean() < 0.4


def test_subjects_are_left_out_of_their_library(making):
    prior = load_prior()
    dataset, subject = prior.sources[0][:2]
    without = making.leave_out(prior, dataset, subject.removeprefix("sub-"))
    theirs = np.array([source[:2] == (dataset, subject) for source in prior.sources])
    assert theirs.any() and not without.weights[theirs].any()
    assert_array_equal(without.weights[~theirs], prior.weights[~theirs])


def test_command_line(making, tmp_path, monkeypatch, capsys):
    """The file has weights and a calibration for both kinds of gap."""
    names = "Fp1 Fp2 F3 F4 C3 Cz C4 P3 P4 O1 O2".split()
    raw, _ = simulate_raw(20.0, ch_names=names, seed=1, verbose="error")
    raw.save(tmp_path / "sub-1_raw.fif", verbose="error")
    corpus = prepare_corpus(
        tmp_path / "corpus", files=[tmp_path / "sub-1_raw.fif"], verbose="error"
    )
    prior = load_prior()
    monkeypatch.setattr(making, "estimate_prior", lambda recordings, components: prior)
    out = tmp_path / "stacking.json"
    making.main(["--corpus", str(corpus.folder), "--out", str(out)])
    content = json.loads(out.read_text())
    assert content["experts"] == list(EXPERTS) and content["recordings"] == 1
    for kind in KINDS:
        assert content[kind]["count"] > 0 and 0.1 < content[kind]["calibration"] < 10
        weights = np.array(content[kind]["weights"])
        assert len(weights) == len(EXPERTS)
        assert weights.min() >= 0 and weights.sum(axis=0).max() <= 1 + 1e-3
    assert "calibration" in capsys.readouterr().out
