# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The head of Gram for gain and offset."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mne_gram.models import (
    Gram,
    gram_base,
    gram_large,
    gram_medium,
    gram_nano,
)

# --- the head for gain and offset ---------------------------------------------------------------


@pytest.fixture(scope="module")
def scaled_gram(toy):
    return toy.enliven(Gram(replace(gram_nano(), predict_scale=True)))


def test_scale_follows_the_input(scaled_gram, toy):
    """Three times the signal has three times the gain and the offset."""
    x, mask = toy.make_x(), toy.make_mask()
    hidden = scaled_gram.predict_hidden(x, toy.CHANNELS, mask)
    gain, offset = scaled_gram.predict_scale(hidden, x, mask)
    assert gain.shape == offset.shape == mask.shape and (gain > 0).all()
    assert offset.std() > 0 and gain.std() > 0
    more = scaled_gram.predict_scale(hidden, 3 * x, mask)
    torch.testing.assert_close(more, (3 * gain, 3 * offset))
    # The rest of the network hardly sees the amplitude as long as biases are 0, as at first.
    fresh = Gram(replace(gram_nano(), predict_scale=True)).eval()
    with torch.no_grad():
        fresh.decoder.scale_head.weight *= 100
        scales = []
        for y in (10 * x, 30 * x):
            hidden = fresh.predict_hidden(y, toy.CHANNELS, mask)
            scales.append(torch.stack(fresh.predict_scale(hidden, y, mask)))
    assert scales[0][1].abs().max() > 0.1
    torch.testing.assert_close(scales[1], 3 * scales[0], rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e6])
def test_scale_never_sees_hidden_patches(scaled_gram, garbage, toy):
    x, mask = toy.make_x(), toy.make_mask()
    spoilt = x.unflatten(2, (-1, 200)).masked_fill(mask[..., None], garbage).flatten(2)
    found = []
    for y in (x, spoilt):
        hidden = scaled_gram.predict_hidden(y, toy.CHANNELS, mask)
        found.append(torch.stack(scaled_gram.predict_scale(hidden, y, mask)))
    assert found[0].isfinite().all() and found[0].equal(found[1])


def test_scale_of_flat_windows_is_finite(scaled_gram, toy):
    x, mask = torch.zeros(1, 5, 600), toy.make_mask(1)
    hidden = scaled_gram.predict_hidden(x, toy.CHANNELS, mask)
    gain, offset = scaled_gram.predict_scale(hidden, x, mask)
    assert gain.isfinite().all() and offset.isfinite().all() and gain.max() < 1e-2


def test_scale_loss(scaled_gram, toy):
    """Smooth L1 of log gain and offset of hidden patches, relative to the visible ones."""
    x = toy.make_x() * torch.linspace(0.2, 2, 5)[:, None] + torch.linspace(-1, 4, 600)
    mask, targets = toy.make_mask(), torch.zeros(2, 5, toy.N_PATCHES, dtype=torch.int64)
    out = scaled_gram(x, toy.CHANNELS, mask, targets, scale_weight=0.3)
    patches, hidden = toy.cut(x), mask.numpy()
    head = scaled_gram.decoder.scale_head
    predicted = head(scaled_gram.predict_hidden(x, toy.CHANNELS, mask)).detach().numpy()
    errors = []
    for window in range(2):
        unit = np.sqrt(patches[window].var(-1)[~hidden[window]].mean())
        these = patches[window][hidden[window]]
        wanted = [np.log(these.std(-1) / unit + 1e-3), these.mean(-1) / unit]
        errors.append(np.abs(predicted[window][hidden[window]] - np.stack(wanted, -1)))
    errors = np.concatenate(errors)
    assert (errors < 1).any() and (errors > 1).any()
    wanted = np.where(errors < 1, errors**2 / 2, errors - 0.5).mean()
    assert abs(out.scale.item() - wanted) < 1e-4 * wanted
    both = (out.cross_entropy + out.spectral) / 2
    torch.testing.assert_close(out.loss, both + 0.3 * out.scale)
    # What the head says is what the loss compares.
    gain, _ = scaled_gram.predict_scale(scaled_gram.predict_hidden(x, toy.CHANNELS, mask), x, mask)
    assert abs(np.log(gain[1, 1, 0].item() / unit) - predicted[1, 1, 0, 0]) < 1e-4


def test_published_shape_has_no_scale(gram, toy):
    """The published network lacks the head, and then nothing of it is in the loss."""
    for config in (gram_base(), gram_medium(), gram_large(), gram_nano()):
        assert not config.predict_scale
    assert not any("scale_head" in name for name in gram.state_dict())
    x, mask = toy.make_x(), toy.make_mask()
    out = gram(x, toy.CHANNELS, mask, torch.zeros(2, 5, toy.N_PATCHES, dtype=torch.int64))
    assert out.scale == 0 and out.loss == (out.cross_entropy + out.spectral) / 2
    with pytest.raises(ValueError, match="predict_scale=False.*another estimate"):
        gram.predict_scale(gram.predict_hidden(x, toy.CHANNELS, mask), x, mask)
    with pytest.raises(ValueError, match="predict_scale must be a bool, got 1"):
        replace(gram_nano(), predict_scale=1)
    scaled = Gram(replace(gram_nano(), predict_scale=True)).state_dict()
    more = {"decoder.scale_head.weight", "decoder.scale_head.bias"}
    assert set(scaled) - set(gram.state_dict()) == more
