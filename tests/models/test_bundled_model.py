# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The model that comes with the package, on a person that it was not trained on."""

import numpy as np
import pytest
import torch

import mne_gram
from mne_gram.models._inference import predict_windows
from mne_gram.models._registry import list_models
from mne_gram.montage import match_channels
from mne_gram.preprocessing import VOLTS_TO_MODEL, preprocess
from mne_gram.training import RECIPES


@pytest.fixture(scope="module")
def model():
    return mne_gram.load_model()


@pytest.fixture(scope="module")
def windows():
    """Windows of the sample's good channels in 0.1 mV, and their montage indices."""
    raw = mne_gram.datasets.sample().load_data()
    raw.set_annotations(None).pick("eeg", exclude="bads")
    raw = preprocess(raw, l_freq=1.0, line_freq=60.0)
    x = raw.get_data()[:, : 16 * 200] * VOLTS_TO_MODEL
    x = x.reshape(len(x), 4, 800).transpose(1, 0, 2).astype(np.float32)
    return x, match_channels(raw.info).indices


def test_is_small_and_known(model):
    info = list_models()[0]
    assert info.name == "gram-tiny" and info.present and info.sha256 == model.sha256
    assert sum(path.stat().st_size for path in info.where.iterdir()) <= 12e6
    recipe = RECIPES["gram-tiny"]
    assert model.tokenizer.config == recipe.tokenizer and model.gram.config == recipe.gram


def test_card_tells_where_it_comes_from(model):
    assert model.card["hold_out_every"] == 4 and len(model.card["commit"]) == 40
    recipe = RECIPES["gram-tiny"]
    for name, training in (("tokenizer", recipe.stage1), ("gram", recipe.stage2)):
        stage = model.card["stages"][name]
        # The recipe has all settings of the bundled model, except for options that were removed.
        settings = training.to_dict()
        assert settings.pop("minutes") is None  # an option that came later
        assert settings.items() <= stage["training"].items()
        removed = set(stage["training"]) - set(settings)
        assert removed == {"simulated_share", "rotation", "spectral_weight", "free_noise"}
        assert stage["steps"] == training.n_steps
        for data in stage["data"]:
            people = data["subjects_trained_on"] + data["subjects_watched"]
            assert data["licence"] and len(people) == len(set(people))
    # The sample's subject, 004, is one of those who are left out of each data set.
    eegmmi = [d for d in stage["data"] if d["dataset"] == "eegmmi"][0]
    assert not {"004", "008", "012", "016"} & set(
        eegmmi["subjects_trained_on"] + eegmmi["subjects_watched"]
    )


def test_decodes_patches_of_a_stranger(model, windows):
    x, channels = windows
    patches = x.reshape(*x.shape[:-1], -1, 200)
    with torch.inference_mode():
        indices = model.tokenizer.encode(torch.from_numpy(x), channels).indices
        decoded = model.tokenizer.decode(indices, channels).numpy()
    assert len(np.unique(indices)) > 200
    assert _get_cosine(decoded, patches) > 0.5
    assert abs(_get_cosine(decoded[:, ::-1], patches)) < 0.2


def test_names_hidden_patches_of_a_stranger(model, windows):
    """Hidden patches come out like the truth, and gain and offset in the right unit."""
    x, channels = windows
    patches = x.reshape(*x.shape[:-1], -1, 200)
    mask = np.random.default_rng(0).random(patches.shape[:3]) < 0.2
    hidden = np.where(mask[..., None], 0, patches).astype(np.float32).reshape(x.shape)
    predicted = predict_windows(model, hidden, channels, mask, verbose="error")
    assert _get_cosine(predicted[mask], patches[mask]) > 0.4
    scaled = predict_windows(model, hidden, channels, mask, scale="network", verbose="error")
    error = np.sum((scaled[mask] - patches[mask]) ** 2) / np.sum(patches[mask] ** 2)
    assert error < 0.9
    ratio = scaled[mask].std(axis=-1) / patches[mask].std(axis=-1)
    assert 0.7 < np.median(ratio) < 1.4


def _get_cosine(a, b):
    a, b = (p - p.mean(axis=-1, keepdims=True) for p in (a, b))
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.mean(np.sum(a * b, axis=-1) / norms)
