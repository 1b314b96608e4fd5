# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The pre-trained network, loaded once per process and never stored with an estimator."""

from functools import lru_cache

from mne.utils import logger

from ..models import CONFIG, get_device, load_model, locate_model


def load_backbone(model, device=None, *, fall_back=False):
    """Load a GramModel with stage 2, or return the cached one, which is shared: never modify it.

    With ``fall_back``, the CPU is used if the device is missing.
    """
    if not isinstance(model, str) and not hasattr(model, "__fspath__"):
        raise TypeError(
            "model must be the name of a model or the folder of one, so that estimators can be "
            f"cloned and stored without its weights, got {model.__class__.__name__}. Save a model "
            "that is in memory with mne_gram.models.save_model first."
        )
    try:
        device = get_device(device)
    except RuntimeError as error:
        if not fall_back:
            raise
        logger.info(f"{error} Using the CPU instead.")
        device = get_device(None)
    folder = locate_model(model)
    stamp = (folder / CONFIG).stat().st_mtime_ns  # a model that was written again is another one
    backbone = _load(str(folder.resolve()), stamp, str(device))
    if backbone.gram is None:
        raise ValueError(
            f"The model {str(model)!r} has no stage 2 (the masked autoencoder). Use one that has, "
            "such as 'gram-tiny'."
        )
    return backbone


@lru_cache(maxsize=2)
def _load(folder, stamp, device):
    return load_model(folder, device=device, verbose="error")


def check_same(backbone, sha256, model):
    """Raise if the weights are not those that an estimator was fitted with."""
    if backbone.sha256 != sha256:
        raise RuntimeError(
            f"The model {str(model)!r} on this machine has other weights (sha256 "
            f"{backbone.sha256}) than the one used in fit ({sha256}). Fit again, or bring back "
            "the model used in fit."
        )
