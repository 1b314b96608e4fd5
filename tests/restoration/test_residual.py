# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The network that corrects estimates: its shape, its examples, its training, its use."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

import mne_gram
from mne_gram.covariance._prior import load_prior
from mne_gram.models import Gram, Residual, ResidualConfig, gram_nano, residual_loss
from mne_gram.models._files import GramModel
from mne_gram.models._inference import correct_windows
from mne_gram.models._residual import Correction, split_bands
from mne_gram.simulation._simulator import simulate_raw
from mne_gram.training._config import TrainingConfig
from mne_gram.training._corpus import prepare_corpus
from mne_gram.training._examples import (
    draw_hidden,
    estimate_hidden,
    leave_out,
    make_examples,
    make_info,
    prepare_examples,
)
from mne_gram.training._residual import Examples, ExampleSampler, pretrain_residual

SMALL = ResidualConfig(n_filters=4, n_blocks=1, n_heads=4, mix_dim=4)
NAMES = ["Fp1", "Fp2", "F3", "F4", "C3", "Cz", "C4", "P3", "P4", "O1", "O2"]


def make_lively(seed=0):
    """Return a small network that corrects something."""
    network = Residual(SMALL, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def draw_inputs(n_channels=5, n_patches=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, n_channels, n_patches * 200, generator=generator)
    mask = torch.zeros(2, n_channels, n_patches, dtype=torch.bool)
    mask[:, 1] = True
    mask[0, 3, 1] = True
    spread = 0.5 * mask.float()
    return x, torch.arange(n_channels) + 7, mask, spread


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Return a corpus of three people, 20 s each."""
    folder = tmp_path_factory.mktemp("lab")
    files = []
    for person in range(1, 4):
        raw, _ = simulate_raw(20.0, ch_names=NAMES, seed=person, verbose="error")
        files.append(folder / f"sub-{person}_raw.fif")
        raw.save(files[-1], verbose="error")
    return prepare_corpus(folder / "corpus", files=files, verbose="error")


# --- the network --------------------------------------------------------------------------------


def test_a_new_network_changes_nothing():
    out = Residual(ResidualConfig(), seed=0).eval()(*draw_inputs())
    assert not out.waveform.any() and not out.log_variance.any()
    assert out.waveform.shape == (2, 5, 3, 200) and out.log_variance.shape == (2, 5, 3)


def test_corrections_scale_with_the_signals():
    """Amplifiers differ: ten times the signal and its spread is ten times the correction."""
    network = make_lively()
    x, channels, mask, spread = draw_inputs()
    with torch.no_grad():
        one = network(x, channels, mask, spread)
        ten = network(10 * x, channels, mask, 10 * spread)
    assert one.waveform.abs().max() > 1e-3
    assert_allclose(ten.waveform, 10 * one.waveform, rtol=1e-3, atol=1e-3)
    assert_allclose(ten.log_variance, one.log_variance, atol=1e-4)


def test_order_of_channels_plays_no_role():
    network = make_lively()
    x, channels, mask, spread = draw_inputs()
    order = torch.tensor([3, 0, 4, 1, 2])
    with torch.no_grad():
        one = network(x, channels, mask, spread).waveform[:, order]
        two = network(x[:, order], channels[order], mask[:, order], spread[:, order]).waveform
    assert_allclose(one, two, atol=1e-4)


def test_bands_of_a_window():
    x = torch.randn(2, 400, generator=torch.Generator().manual_seed(0))
    parts = split_bands(x)
    assert_allclose(parts.sum(-2), x, atol=1e-5)
    time = torch.arange(400) / 200
    alpha = split_bands(torch.sin(2 * np.pi * 10 * time))
    power = alpha.square().sum(-1)
    assert power[2] > 0.95 * power.sum()


def test_loss():
    """The best mean and variance have the least loss; samples that were not hidden do not count."""
    generator = torch.Generator().manual_seed(0)
    target = 2 * torch.randn(1, 2, 1, 200, generator=generator)
    hidden = torch.zeros(1, 2, 1, 200, dtype=torch.bool)
    hidden[0, 0, 0, :150] = True
    spread = torch.tensor([[[1.0], [0.0]]])

    def measure(waveform, log_variance):
        log_variance = torch.full((1, 2, 1), float(log_variance))
        loss, explained = residual_loss(Correction(waveform, log_variance), target, hidden, spread)
        return loss.item(), explained.item()

    nothing = torch.zeros_like(target)
    variance = target[0, 0, 0, :150].square().mean().log().item()
    losses = [measure(nothing, variance + d)[0] for d in (-0.3, 0.0, 0.3)]
    assert losses[1] < min(losses[0], losses[2])
    assert measure(nothing, 0)[1] == 0
    assert abs(measure(0.5 * target, 0)[1] - 0.75) < 1e-5
    elsewhere = torch.where(hidden, 0.0, 5.0)
    assert measure(elsewhere, 0) == measure(nothing, 0)


def test_start_from_stage_2():
    gram = Gram(replace(gram_nano(), layer_scale=None), seed=1)
    network = Residual(replace(SMALL, n_heads=4), seed=0)
    network.start_from(gram)
    ours, theirs = network.blocks[0].mlp.fc1.weight, gram.encoder.blocks[0].mlp.fc1.weight
    assert torch.equal(ours, theirs)
    assert torch.equal(
        network.patch_embedding.conv1.weight, gram.encoder.patch_embedding.conv1.weight
    )


# --- examples -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["channels", "cluster", "segments", "patches"])
def test_what_is_hidden(kind):
    channels = np.arange(19)
    pieces = [(0, 3000), (3000, 6000)]
    for seed in range(5):
        hidden = draw_hidden(kind, channels, pieces, 6000, np.random.default_rng(seed))
        rows = hidden.any(axis=1)
        assert rows.any()
        if kind in ("channels", "cluster"):
            assert_array_equal(hidden.all(axis=1), rows)
            assert rows.sum() <= 10
        elif kind == "segments":
            assert rows.sum() <= 4 and not hidden.all(axis=1).any()
        else:
            assert 0.2 < hidden.mean() < 0.4


def test_nobody_is_in_the_own_library():
    prior = load_prior()
    dataset, person = prior.sources[0][:2]
    without = leave_out(prior, dataset, person.removeprefix("sub-"))
    theirs = np.array([source[:2] == (dataset, person) for source in prior.sources])
    assert theirs.any() and not without.weights[theirs].any()
    assert_array_equal(without.weights[~theirs], prior.weights[~theirs])


def test_examples(corpus):
    """Filled signals plus targets are the truth, and hidden samples do not enter the estimate."""
    found = make_examples(corpus, 0, load_prior(), 3, seed=0)
    assert found
    for (n_channels, n_patches), entry in found.items():
        assert n_channels == 11 and entry["x"].shape[1:] == (11, n_patches * 200)
        assert not entry["target"][~entry["hidden"]].any()
        assert (entry["spread"] > 0).any() and np.isfinite(entry["spread"]).all()
        truth = entry["x"].astype(float) + entry["target"]
        error = (entry["target"].astype(float)[entry["hidden"]] ** 2).sum()
        assert 0 < error < 1.5 * (truth[entry["hidden"]] ** 2).sum()
    info = make_info(np.array(corpus.recordings[0].channels))
    data = 1e-5 * np.random.default_rng(0).standard_normal((11, 2000))
    hidden = np.zeros(data.shape, bool)
    hidden[2] = True
    one = estimate_hidden(data, hidden, [(0, 2000)], info, load_prior())
    two = estimate_hidden(np.where(hidden, 1.0, data), hidden, [(0, 2000)], info, load_prior())
    assert_allclose(one[0], two[0], atol=1e-12)


def test_examples_on_disk(corpus, tmp_path):
    prepare_examples(corpus, tmp_path, n_draws=1)
    files = sorted(tmp_path.iterdir())
    stamps = [path.stat().st_mtime_ns for path in files]
    prepare_examples(corpus, tmp_path, n_draws=1)
    assert [path.stat().st_mtime_ns for path in files] == stamps  # nothing is done twice
    examples = Examples(tmp_path, corpus.recordings)
    sampler = ExampleSampler(examples, 256, seed=0)
    one, again, other = sampler.draw(3), sampler.draw(3), sampler.draw(4)
    assert torch.equal(one.x, again.x) and not torch.equal(one.x[:1], other.x[:1])
    assert one.mask.any() and torch.equal(one.mask, one.hidden.any(-1))
    changed = [replace(corpus.recordings[0], sha256="0" * 64)]
    with pytest.raises(RuntimeError, match="another version"):
        Examples(tmp_path, changed)


def test_training(corpus, tmp_path):
    """A run leaves a model whose other parts are as before; the same command goes on."""
    training = TrainingConfig(
        n_steps=3, n_parts=1, tokens_per_part=128, hold_out_every=3, learning_rate=1e-2
    )
    first = GramModel(gram=Gram(gram_nano(), seed=0))
    options = dict(config=SMALL, training=training, n_draws=1, verbose="error")
    model = pretrain_residual(corpus, first, tmp_path, **options)
    assert model.gram is first.gram and model.residual.head.weight.abs().sum() > 0
    card = model.card["stages"]["residual"]
    assert card["steps"] == 3 and 0 < card["watched"]["ratio"] < 2
    again = mne_gram.load_model(tmp_path / "model")
    for name, value in again.residual.state_dict().items():
        assert torch.equal(value, model.residual.state_dict()[name])
    assert (
        pretrain_residual(corpus, first, tmp_path, **options).card["stages"] == model.card["stages"]
    )
    with pytest.raises(ValueError, match="of another run"):
        pretrain_residual(
            corpus, first, tmp_path, **{**options, "config": replace(SMALL, mix_dim=5)}
        )


# --- use ----------------------------------------------------------------------------------------


def test_windows():
    model = GramModel(residual=make_lively())
    x, channels, mask, spread = (part.numpy() for part in draw_inputs())
    found = correct_windows(model, x, channels, mask, spread, verbose="error")
    with torch.no_grad():
        expected = model.residual(*map(torch.from_numpy, (x, channels, mask, spread))).waveform
    assert_allclose(found, expected, atol=1e-6)
    alone = correct_windows(model, x, channels, mask, spread, batch_size=1, verbose="error")
    assert_allclose(alone, found, atol=1e-5)
    with pytest.raises(ValueError, match="no network that corrects"):
        correct_windows(GramModel(gram=Gram(gram_nano())), x, channels, mask, spread)
