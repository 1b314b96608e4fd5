# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The network that estimators use by name, loaded once a process and never stored with them."""

from functools import lru_cache

from mne.utils import logger

from ..models import CONFIG, get_device, load_model
from ..models._registry import _locate


def load_backbone(model, device=None, *, fall_back=False):
    """Load a model with stage 2, or take the one that was loaded before.

    Parameters
    ----------
    model : path-like
        A name, or a folder.
    device : str | torch.device | None
        Where to compute; None means the CPU.
    fall_back : bool
        Whether to go on with the CPU if the device is not there: what was fitted on a GPU can
        be used where there is none.

    Returns
    -------
    backbone : GramModel
        The model, which is shared: nothing in it may be changed.

    Raises
    ------
    RuntimeError
        If the device is not there.
    TypeError
        If ``model`` is neither name nor folder.
    ValueError
        If the model has no stage 2.
    """
    if not isinstance(model, str) and not hasattr(model, "__fspath__"):
        raise TypeError(
            "model must be the name of a model or the folder of one, so that estimators can be "
            f"cloned and stored without its weights, got {model.__class__.__name__}. Write a "
            "model that is in memory with mne_gram.models._registry.save_model first."
        )
    try:
        device = get_device(device)
    except RuntimeError as error:
        if not fall_back:
            raise
        logger.info(f"{error} Going on with the CPU.")
        device = get_device(None)
    folder = _locate(model)
    stamp = (folder / CONFIG).stat().st_mtime_ns  # a model that was written anew is another one
    backbone = _load(str(folder.resolve()), stamp, str(device))
    if backbone.gram is None:
        raise ValueError(f"The model {str(model)!r} has no stage 2. Use one that has: 'gram-tiny'.")
    return backbone


@lru_cache(maxsize=2)
def _load(folder, stamp, device):
    return load_model(folder, device=device, verbose="error")
