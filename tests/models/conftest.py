# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Two small networks with large weights, and their input."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mne_gram.models import (
    Gram,
    Tokenizer,
    gram_nano,
    tokenizer_nano,
)
from mne_gram.models._files import GramModel

CHANNELS = [0, 2, 17, 41, 85]
N_PATCHES = 3


def enliven(network, seed=0):
    """Make the differences between tokens, and hence any mix-up, large."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                scale = parameter[0].numel() ** -0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
            else:  # a bias, or a scale that has its first value
                parameter.nan_to_num_().add_(
                    0.3 * torch.randn(parameter.shape, generator=generator)
                )
    return network.eval()


@pytest.fixture(scope="module")
def tokenizer():
    return enliven(Tokenizer(tokenizer_nano()))


@pytest.fixture(scope="module")
def gram():
    return enliven(Gram(gram_nano()))


def make_x(n_windows=2, n_channels=5, n_patches=N_PATCHES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_windows, n_channels, n_patches * 200, generator=generator)


def make_mask(n_windows=2, seed=0, rate=0.5):
    rng = np.random.default_rng(seed)
    mask = rng.random((n_windows, len(CHANNELS), N_PATCHES)) < rate
    mask[:, 0, 0], mask[:, 1, 0] = False, True
    return torch.from_numpy(mask)


def cut(x):
    return x.unflatten(2, (-1, 200)).double().numpy()


@pytest.fixture(scope="session")
def toy():
    """Return functions that draw small input of the networks, and its channels."""
    return SimpleNamespace(
        CHANNELS=CHANNELS,
        N_PATCHES=N_PATCHES,
        enliven=enliven,
        make_x=make_x,
        make_mask=make_mask,
        cut=cut,
    )


@pytest.fixture(scope="module")
def model():
    """Return both small networks, untrained."""
    return GramModel(
        Tokenizer(tokenizer_nano()).eval(), Gram(gram_nano()).eval(), card={"name": "test"}
    )


@pytest.fixture
def models_dir(tmp_path, monkeypatch):
    """Keep a test away from the user's own models."""
    monkeypatch.setenv("MNE_GRAM_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def _list_files(folder):
    """Return all files in a folder, hidden ones too."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def _assert_same_networks(first, second):
    for part in ("tokenizer", "gram"):
        one, two = getattr(first, part), getattr(second, part)
        assert (one is None) == (two is None)
        if one is not None:
            assert one.config == two.config
            for name, value in one.state_dict().items():
                assert value.equal(two.state_dict()[name]), name


@pytest.fixture(scope="session")
def list_files():
    """Return the function that lists files."""
    return _list_files


@pytest.fixture(scope="session")
def assert_same_networks():
    """Return the function that compares two models."""
    return _assert_same_networks
