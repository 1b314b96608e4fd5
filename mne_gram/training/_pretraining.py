# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Pre-training of both stages: a corpus in, a model out."""

# Modules that need torch are imported by the calls.
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
    corpus : Corpus | path-like
        The corpus or its folder, see :func:`mne_gram.training.prepare_corpus`.
    out : path-like
        Folder for the checkpoint, ``log.csv``, ``curves.png`` and, at the end, the model in
        ``model/``. If it contains a checkpoint of the same run, training resumes from it.
    config : TokenizerConfig | None
        Shape of the network. None means ``tokenizer_tiny()``.
    training : TrainingConfig | None
        Settings of the training. None means the defaults.
    device : str | torch.device | None
        Where to compute. None means the CPU, ``"auto"`` a GPU if available.
    overwrite : bool
        Whether to start again where there is a checkpoint.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    model : GramModel
        A model with only a tokenizer; weights are averaged over the last steps.

    Raises
    ------
    ValueError
        If the corpus is empty, or the checkpoint in ``out`` belongs to another run.
    RuntimeError
        If the corpus changed since it was prepared, or the loss is not finite.

    Notes
    -----
    Under ``torchrun`` all processes train together and the first one writes. The batches do not
    depend on the number of processes.

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
    corpus : Corpus | path-like
        As in :func:`pretrain_tokenizer`.
    tokenizer : GramModel | path-like
        A model with a tokenizer, or the folder of one.
    out : path-like
        As in :func:`pretrain_tokenizer`.
    config : GramConfig | None
        Shape of the network, with as many classes as the tokenizer. None means ``gram_tiny()``.
    training : TrainingConfig | None
        Settings of the training. None means the defaults.
    device : str | torch.device | None
        Where to compute. None means the CPU, ``"auto"`` a GPU if available.
    overwrite : bool
        Whether to start again where there is a checkpoint.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    model : GramModel
        A model with both stages; weights of stage 2 are averaged over the last steps.

    Raises
    ------
    ValueError
        If the corpus is empty, the tokenizer has a different number of classes, or the checkpoint
        in ``out`` belongs to another run.
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
