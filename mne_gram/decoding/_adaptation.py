# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""An encoder that was fine-tuned: what changed, and what it says of trials.

What changed is made of arrays alone, which go with any device and without the network.
"""

import copy
from dataclasses import dataclass

import numpy as np
import torch

from ..features import encode_windows
from ..features._encoding import _split_patches
from ..models import PATCH_LENGTH, ClassificationNetwork, GramModel
from ._lora import merge_adapters
from ._trial_features import whole_seconds


@dataclass(frozen=True)
class Adaptation:
    """What fine-tuning changed.

    Attributes
    ----------
    kind : "lora" | "full"
        What the tensors are: those of adapters, or all of the encoder's.
    tensors : dict of array
        By name.
    coef, intercept : array, shape (n_classes, dim) and (n_classes,)
        The linear layer on the CLS vector.
    sha256 : str
        Checksum of the weights that training started from.
    history : list of dict
        ``epoch``, ``loss``, ``validation_loss`` and ``validation_kappa``; epoch 0 is the start.
    best_epoch : int
        Where the tensors were taken.
    """

    kind: str
    tensors: dict
    coef: np.ndarray
    intercept: np.ndarray
    sha256: str
    history: list
    best_epoch: int


class AdaptedNetwork(ClassificationNetwork):
    """The encoder and a linear layer, for windows of any length."""

    def forward(self, x, channels):
        """Classify windows (B, C, n * 200); longer ones in parts, as `encode_windows` does."""
        n_patches = x.shape[2] // PATCH_LENGTH
        cls = 0.0
        for start, stop in _split_patches(n_patches, self.gram.config.max_patches):
            part = x[..., start * PATCH_LENGTH : stop * PATCH_LENGTH]
            cls = cls + self.gram.encode(part, channels).cls * ((stop - start) / n_patches)
        return self.head(cls)


def copy_encoder(gram):
    """Return a copy of stage 2 that has its encoder alone."""
    left_out = {id(part): None for part in (gram.decoder, gram.spectral_head)}
    return copy.deepcopy(gram, left_out).requires_grad_(False)


def apply_adaptation(backbone, adaptation):
    """Return a model whose encoder is the adapted one.

    Parameters
    ----------
    backbone : GramModel
        What training started from; it is left as it is.
    adaptation : Adaptation
        What changed.

    Returns
    -------
    model : GramModel
        Its stage 2 can encode, and nothing else.
    """
    gram = copy_encoder(backbone.gram)
    device = next(gram.parameters()).device
    tensors = {name: torch.as_tensor(v).to(device) for name, v in adaptation.tensors.items()}
    if adaptation.kind == "lora":
        merge_adapters(gram.encoder, tensors)
    else:
        gram.encoder.load_state_dict(tensors)
    return GramModel(gram=gram, card=backbone.card, sha256=backbone.sha256)


def predict_adapted(backbone, adaptation, trials):
    """Return unnormalised log probabilities of trials.

    Parameters
    ----------
    backbone : GramModel
        What training started from.
    adaptation : Adaptation
        What changed.
    trials : Trials
        The trials.

    Returns
    -------
    logits : array, shape (n_trials, n_classes)
        A row a trial.
    """
    model = apply_adaptation(backbone, adaptation)
    cls = trials.map(
        lambda x: encode_windows(model, whole_seconds(x), trials.channels, verbose="warning")
    )
    return cls.astype(float) @ adaptation.coef.T.astype(float) + adaptation.intercept
