# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Prediction of masked patches over many windows."""

import numpy as np
import pytest
import torch

from mne_gram.models import Gram, Tokenizer, gram_nano, tokenizer_nano
from mne_gram.models._inference import get_device, predict_windows
from mne_gram.models._registry import GramModel

CHANNELS = np.array([0, 2, 17, 41])
N_WINDOWS, N_PATCHES = 5, 3


@pytest.fixture(scope="module")
def model():
    """Return a model with sharp opinions: its head is large."""
    gram, tokenizer = Gram(gram_nano(), seed=1).eval(), Tokenizer(tokenizer_nano()).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in (*gram.parameters(), *tokenizer.parameters()):
            if parameter.ndim > 1:
                scale = parameter[0].numel() ** -0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
        gram.decoder.head.weight *= 3
    return GramModel(tokenizer, gram)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N_WINDOWS, len(CHANNELS), N_PATCHES * 200)).astype(np.float32)
    mask = rng.random((N_WINDOWS, len(CHANNELS), N_PATCHES)) < 0.4
    mask[:, 0, 0], mask[:, 1, 1] = False, True
    mask[2] = False  # nothing to predict here
    return x, mask


def predict_one(model, x, mask, decode):
    """Do what the specification says, for one window."""
    x, mask = torch.from_numpy(x[None]), torch.from_numpy(mask[None])
    with torch.inference_mode():
        codes = model.tokenizer.encode(x, CHANNELS).quantized.clone()
        probs = model.gram.predict(x, CHANNELS, mask).softmax(-1)
        if decode == "argmax":
            hidden = model.tokenizer.codebook[probs.argmax(-1)]
        else:
            hidden = probs @ model.tokenizer.codebook
            hidden = hidden / hidden.norm(dim=-1, keepdim=True)
        codes[mask] = hidden[mask]
        return model.tokenizer.decode_quantized(codes, CHANNELS)[0].numpy()


@pytest.mark.parametrize("decode", ["mean", "argmax"])
@pytest.mark.parametrize("batch_size", [None, 1, 2])
def test_predict_windows(model, data, decode, batch_size):
    x, mask = data
    waveforms = predict_windows(model, x, CHANNELS, mask, decode=decode, batch_size=batch_size)
    assert waveforms.shape == (*mask.shape, 200) and waveforms.dtype == np.float32
    for i in range(N_WINDOWS):
        wanted = predict_one(model, x[i], mask[i], decode)
        np.testing.assert_allclose(waveforms[i], wanted, atol=1e-4)


def test_mean_and_argmax_differ(model, data):
    x, mask = data
    mean = predict_windows(model, x, CHANNELS, mask)
    argmax = predict_windows(model, x, CHANNELS, mask, decode="argmax")
    assert not np.allclose(mean[mask], argmax[mask], atol=1e-2)


def test_sure_predictions_agree(model, data):
    """Where one class has all the probability, its mean is the class."""
    x, mask = data
    with torch.no_grad():
        model.gram.decoder.head.weight *= 1e4
        try:
            mean = predict_windows(model, x, CHANNELS, mask)
            argmax = predict_windows(model, x, CHANNELS, mask, decode="argmax")
        finally:
            model.gram.decoder.head.weight /= 1e4
    np.testing.assert_allclose(mean, argmax, atol=1e-3)


def test_stage2_does_not_see_masked_patches(model, data, monkeypatch):
    """What the caller fills in changes the tokenizer's classes at most."""
    x, mask = data
    other = x.reshape(*mask.shape, 200).copy()
    other[mask] *= -3
    seen, predict = [], model.gram.predict_hidden

    def record(*args):
        seen.append(predict(*args))
        return seen[-1]

    monkeypatch.setattr(model.gram, "predict_hidden", record)
    for values in (x, other.reshape(x.shape)):
        predict_windows(model, values, CHANNELS, mask, batch_size=len(x))
    assert len(seen) == 2 and seen[0].equal(seen[1])


def test_nothing_is_moved(model, data):
    x, mask = data
    copies, state = (x.copy(), mask.copy()), torch.get_rng_state()
    model.gram.train()
    try:
        first = predict_windows(model, x, CHANNELS, mask)
        assert model.gram.training and not model.tokenizer.training
    finally:
        model.gram.eval()
    np.testing.assert_array_equal(first, predict_windows(model, x, CHANNELS, mask))
    assert torch.get_rng_state().equal(state)
    np.testing.assert_array_equal(x, copies[0])
    np.testing.assert_array_equal(mask, copies[1])


def test_no_windows(model):
    waveforms = predict_windows(
        model, np.zeros((0, 4, 600), np.float32), CHANNELS, np.zeros((0, 4, 3), bool)
    )
    assert waveforms.shape == (0, 4, 3, 200)


def test_progress_is_quiet_unless_asked(model, data, capsys):
    x, mask = data
    predict_windows(model, x, CHANNELS, mask, verbose="ERROR")
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""


def test_both_stages_are_needed(model, data):
    x, mask = data
    with pytest.raises(ValueError, match="has no stage 2"):
        predict_windows(GramModel(tokenizer=model.tokenizer), x, CHANNELS, mask)
    with pytest.raises(ValueError, match=r"has no tokenizer \(stage 1\)"):
        predict_windows(GramModel(gram=model.gram), x, CHANNELS, mask)


def test_input_is_checked(model, data):
    x, mask = data
    nan, blind = x.copy(), mask.copy()
    nan[1, 2, 3], blind[3] = np.nan, True
    for args, kwargs, match in [
        ((nan, CHANNELS, mask), {}, "Fill bad patches with estimates first"),
        ((x, CHANNELS, blind), {}, r"masked in windows \[3\]"),
        ((x[:, :, :-1], CHANNELS, mask), {}, r"patches \* 200"),
        ((x.astype(int), CHANNELS, mask), {}, "x must be a floating-point array"),
        ((x, CHANNELS[:2], mask), {}, "must contain 4 montage indices"),
        ((x, CHANNELS * 1.0, mask), {}, "must contain 4 montage indices"),
        ((x, CHANNELS, mask.astype(int)), {}, "mask must be a bool array"),
        ((x, CHANNELS, mask), {"decode": "mode"}, "'decode' parameter"),
        ((x, CHANNELS, mask), {"batch_size": 0}, "batch_size must be at least 1"),
    ]:
        with pytest.raises(ValueError, match=match):
            predict_windows(model, *args, **kwargs)


def test_device():
    assert (
        get_device() == get_device("cpu") == get_device(torch.device("cpu")) == torch.device("cpu")
    )
    with pytest.raises(ValueError, match="device must be a name that torch knows"):
        get_device("gpu")
    with pytest.raises(ValueError, match="device must be a name"):
        get_device(1.5)
    with pytest.raises(RuntimeError, match="sees .* CUDA device.*device='cpu'"):
        get_device("cuda:99")


@pytest.mark.skipif(torch.cuda.is_available(), reason="This machine has a CUDA device.")
def test_cuda_without_cuda(model, data):
    x, mask = data
    with pytest.raises(RuntimeError, match="sees 0 CUDA device"):
        predict_windows(model, x, CHANNELS, mask, device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="This machine has no CUDA device.")
def test_cuda(model, data):
    x, mask = data
    wanted = predict_windows(model, x, CHANNELS, mask)
    found = predict_windows(model, x, CHANNELS, mask, device="cuda")
    assert next(model.tokenizer.parameters()).is_cuda
    np.testing.assert_allclose(found, wanted, atol=1e-2)
    predict_windows(model, x, CHANNELS, mask, device="cpu")
    assert not next(model.gram.parameters()).is_cuda
