# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Pre-training of both stages: a corpus in, a model out."""

# What needs torch is imported when it is called.
from mne.utils import _validate_type, verbose


@verbose
def pretrain_tokenizer(
    corpus,
    out,
    *,
    config=None,
    training=None,
    device=None,
    overwrite=False,
    verbose=None,
):
    """Train stage 1, the tokenizer.

    Parameters
    ----------
    corpus : Corpus | path-like | None
        The corpus or its folder, see :func:`mne_gram.training.prepare_corpus`. None trains on
        simulated EEG alone and needs ``simulated_share=1``.
    out : path-like
        Folder for the checkpoint, ``log.csv``, ``curves.png`` and, in the end, the model in
        ``model/``. If it holds a checkpoint of the same run, that goes on.
    config : TokenizerConfig | None
        Shape of the network; None takes ``tokenizer_tiny()``.
    training : TrainingConfig | None
        How to train; None takes the defaults.
    device : str | torch.device | None
        Where to compute. None is the CPU; ``"auto"`` a GPU if there is one.
    overwrite : bool
        Whether to start anew where there is a checkpoint.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    model : GramModel
        A model with a tokenizer only, its weights averaged over the last steps.

    Raises
    ------
    ValueError
        If the corpus is empty, or the checkpoint in ``out`` is of another run.
    RuntimeError
        If the corpus changed since it was prepared, or the loss is not finite.

    Notes
    -----
    Under ``torchrun`` all processes train together and the first one writes. A run with N
    processes takes the same batches as a run with one.

    Stage 1 is described in Li, Zheng and Lu (ICASSP 2025).
    """
    from ..models import TokenizerConfig, tokenizer_tiny
    from ._runs import build_tokenizer, run_stage

    config = tokenizer_tiny() if config is None else config
    _validate_type(config, TokenizerConfig, "config")
    return run_stage("tokenizer", build_tokenizer, config, corpus, out, training, device, overwrite)


@verbose
def pretrain(
    corpus,
    tokenizer,
    out,
    *,
    config=None,
    training=None,
    device=None,
    overwrite=False,
    verbose=None,
):
    """Train stage 2, the masked autoencoder.

    Parameters
    ----------
    corpus : Corpus | path-like | None
        As in :func:`pretrain_tokenizer`.
    tokenizer : GramModel | path-like
        A model with a tokenizer, or its folder.
    out : path-like
        As in :func:`pretrain_tokenizer`.
    config : GramConfig | None
        Shape of the network, with as many classes as the tokenizer; None takes ``gram_tiny()``.
    training : TrainingConfig | None
        How to train; None takes the defaults.
    device : str | torch.device | None
        Where to compute. None is the CPU; ``"auto"`` a GPU if there is one.
    overwrite : bool
        Whether to start anew where there is a checkpoint.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    model : GramModel
        A model with both stages, the weights of the second averaged over the last steps.

    Raises
    ------
    ValueError
        If the corpus is empty, the tokenizer has another number of classes, or the checkpoint in
        ``out`` is of another run.
    RuntimeError
        If the corpus changed since it was prepared, or the loss is not finite.

    Notes
    -----
    Stage 2 is described in Li et al. (2025), doi:10.1109/TAFFC.2025.3638592.
    """
    from ..models import GramConfig, gram_tiny
    from ._runs import build_gram, get_tokenizer, run_stage

    config = gram_tiny() if config is None else config
    _validate_type(config, GramConfig, "config")
    first = get_tokenizer(tokenizer, config)
    return run_stage("gram", build_gram, config, corpus, out, training, device, overwrite, first)
