# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A training run: what is around the loop."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import torch
from mne.utils import _validate_type, logger

from .._version import __version__
from ..models import Gram, GramModel, Tokenizer, get_device, save_model
from ..simulation import Simulator
from . import _checkpoint as checkpoint
from ._batches import Sampler, validation_batches
from ._config import TrainingConfig
from ._corpus import Corpus, read_corpus
from ._loop import move, train
from ._masks import MASK_KINDS
from ._processes import get_rank, process_group, wait
from ._sources import split_subjects
from ._stages import GramStage, TokenizerStage


def build_tokenizer(config, training, first):
    """Return stage 1 with an untrained network, on the CPU."""
    network = Tokenizer(config, seed=training.seed)
    with torch.no_grad():
        network.decoder.project.weight *= training.code_gain
    return TokenizerStage, (network,)


def build_gram(config, training, first):
    """Return stage 2 with an untrained network and the tokenizer of a model."""
    return GramStage, (Gram(config, seed=training.seed), first.tokenizer)


def run_stage(name, build, config, corpus, out, training, device, overwrite, first=None):
    """Train a stage and write the model.

    Parameters
    ----------
    name : ``"tokenizer"`` | ``"gram"``
        Which.
    build : callable
        `build_tokenizer` or `build_gram`.
    config : TokenizerConfig | GramConfig
        Shape of the network.
    corpus, out, training, device, overwrite
        As in :func:`mne_gram.pretrain`.
    first : GramModel | None
        The model with the tokenizer, for stage 2.

    Returns
    -------
    model : GramModel
        What was trained.
    """
    training = TrainingConfig() if training is None else training
    _validate_type(training, TrainingConfig, "training")
    device = choose_device(device)
    _check_device(device, training)
    if name == "gram":
        _check_warm_start(config, training)
    corpus = _get_corpus(corpus, training)
    out = Path(out)
    with process_group(device):
        prepare_folder(out, overwrite)
        kind, networks = build(config, training, first)
        stage = kind(*(network.to(device) for network in networks), training)
        simulated = training.simulated_share > 0
        simulator = Simulator(device=device, seed=training.seed) if simulated else None
        seen, watched = split_corpus(corpus, training.hold_out_every)
        sampler = make_sampler(seen, training, simulator, masked=name == "gram")
        kinds = MASK_KINDS if name == "gram" else ("none",)
        batches = get_validation_batches(watched, kinds, training.seed, device)
        facts = dict(
            stage=name,
            network=config.to_dict(),
            training=training.to_dict(),
            corpus=None if corpus is None else get_digest(corpus),
            tokenizer=None if first is None else _get_identity(first),
        )
        network, progress = train(
            stage, sampler, batches, training, out, device=device, facts=facts
        )
        card = make_card(name, config, training, corpus, seen, watched, progress)
        model = _assemble(name, network.cpu(), card, first, out)
        if get_rank() == 0:
            save_model(model, out / "model", overwrite=True)
        wait()
    logger.info(f"Trained the {name} for {progress['step']} steps: {out / 'model'}")
    return model


def _assemble(name, network, card, first, out):
    if name == "tokenizer":
        return GramModel(tokenizer=network, card=add_stage({}, name, card, out))
    card = add_stage(first.card, name, card, out)
    return GramModel(first.tokenizer.cpu(), network, card=card)


def add_stage(known, name, card, out):
    """Return the card of a model with one more stage, named by the folder of its run."""
    stages = {**known.get("stages", {}), name: card}
    return {**known, "name": out.resolve().name, "stages": stages}


def choose_device(device):
    """Return the device of this process, which ``torchrun`` numbers on machines with GPUs."""
    if isinstance(device, str) and device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    device = get_device(device)
    if device.type == "cuda" and device.index is None:
        device = get_device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}")
        torch.cuda.set_device(device)
    return device


def _check_device(device, training):
    """Refuse what only GPUs do faster."""
    if device.type == "cpu" and (training.precision != "float32" or training.compile):
        raise ValueError(
            "precision='bfloat16' and compile=True are for GPUs: on a CPU they are slower. Set "
            "precision='float32', compile=False, or give a device."
        )


def _check_warm_start(config, training):
    """Refuse a start that the shape has no room for, before anything is overwritten."""
    if training.warm_start and config.decoder_n_blocks < 2:
        raise ValueError(
            f"warm_start needs a decoder of at least 2 blocks, and this one has "
            f"{config.decoder_n_blocks}. Set decoder_n_blocks=2, or warm_start=False."
        )


def _get_corpus(corpus, training):
    _validate_type(corpus, (Corpus, "path-like", None), "corpus")
    if corpus is None:
        if training.simulated_share < 1:
            raise ValueError(
                f"Without a corpus all batches have to be simulated, but simulated_share is "
                f"{training.simulated_share:g}. Set it to 1, or give a corpus."
            )
        return None
    if not isinstance(corpus, Corpus):
        corpus = read_corpus(corpus)
    if not corpus.recordings:
        raise ValueError(f"The corpus in {corpus.folder} holds no recording to train on.")
    return corpus


def get_tokenizer(tokenizer, config):
    """Return a model whose tokenizer fits a configuration of stage 2, or raise."""
    if not isinstance(tokenizer, GramModel):
        from ..models import load_model

        tokenizer = load_model(tokenizer)
    if tokenizer.tokenizer is None:
        raise ValueError("This model has no tokenizer; train stage 1 first.")
    for name in ("n_classes", "n_channels"):
        theirs, ours = getattr(tokenizer.tokenizer.config, name), getattr(config, name)
        if theirs != ours:
            raise ValueError(
                f"The tokenizer has {name}={theirs} and config has {name}={ours}; they have to be "
                "the same."
            )
    return tokenizer


def _get_identity(model):
    """Return a checksum of the tokenizer's weights."""
    digest = hashlib.sha256()
    for name, value in sorted(model.tokenizer.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def get_digest(corpus):
    """Return a checksum of what a corpus holds."""
    entries = sorted((recording.name, recording.sha256) for recording in corpus.recordings)
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


def prepare_folder(out, overwrite):
    """Make the folder; take away what an earlier run left if that is wanted."""
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file; expected a folder or nothing.")
    if get_rank() == 0:
        out.mkdir(parents=True, exist_ok=True)
        for left in out.glob(".mne_gram-*"):  # by a process that was killed while it wrote
            shutil.rmtree(left, ignore_errors=True)
        if overwrite:
            for name in (checkpoint.NAME, "log.csv", "curves.png"):
                (out / name).unlink(missing_ok=True)
            shutil.rmtree(out / "tensorboard", ignore_errors=True)
    wait()


def split_corpus(corpus, hold_out_every):
    """Split a corpus into subjects to train on and subjects to watch.

    Parameters
    ----------
    corpus : Corpus | None
        The corpus.
    hold_out_every : int | None
        The n-th, 2n-th, ... subject of each data set, in sorted order, is watched.

    Returns
    -------
    seen, watched : Corpus | None
        None where there is nothing.
    """
    if corpus is None or hold_out_every is None:
        return corpus, None
    held_out = set()
    for dataset in {recording.dataset for recording in corpus.recordings}:
        subjects = [r.subject for r in corpus.recordings if r.dataset == dataset]
        held_out |= {(dataset, subject) for subject in split_subjects(subjects, hold_out_every)[1]}
    if not held_out:
        logger.info(
            f"No data set has {hold_out_every} subjects, so none is held out and nothing is "
            "measured on people who were not trained on."
        )
        return corpus, None
    seen = corpus.select(lambda r: (r.dataset, r.subject) not in held_out)
    return seen, corpus.select(lambda r: (r.dataset, r.subject) in held_out)


def make_sampler(corpus, training, simulator, *, masked):
    """Return the sampler that a training configuration describes."""
    kinds = None
    if masked:
        kinds = training.mask_kinds or dict.fromkeys(MASK_KINDS, 1.0)
    return Sampler(
        corpus,
        seed=training.seed,
        tokens_per_window=training.tokens_per_window,
        tokens_per_batch=training.tokens_per_part,
        simulator=simulator,
        simulated_share=training.simulated_share,
        mask_kinds=kinds,
        mask_share=training.mask_share,
        augment=training.augment,
        dropout_channels=training.dropout_channels,
    )


def get_validation_batches(corpus, kinds, seed, device):
    """Return fixed batches of each subject, on a device."""
    if corpus is None:
        return []
    batches = validation_batches(corpus, kinds=kinds, seed=seed)
    return [(subject, move(batch, device)) for subject, batch in batches]


def make_card(name, config, training, corpus, seen, watched, progress):
    """Return what is to be known of a training run, in entries that JSON can hold."""
    data = []
    for dataset in sorted({r.dataset for r in corpus.recordings}) if corpus is not None else ():
        mine = [r for r in seen.recordings if r.dataset == dataset]
        out = [r for r in watched.recordings if r.dataset == dataset] if watched else []
        data.append(
            {
                "dataset": dataset,
                "licence": sorted({r.licence for r in mine + out}),
                "hours": round(sum(r.n_times for r in mine) / 200 / 3600, 3),
                "channel_hours": round(
                    sum(r.n_times * len(r.channels) for r in mine) / 200 / 3600, 2
                ),
                "subjects_trained_on": sorted({r.subject for r in mine}),
                "subjects_watched": sorted({r.subject for r in out}),
            }
        )
    return {
        "stage": name,
        "mne_gram": __version__,
        "torch": torch.__version__,
        "network": config.to_dict(),
        "training": training.to_dict(),
        "data": data,
        "steps": progress["step"],
        "hours_of_training": round(progress.get("seconds", 0.0) / 3600, 3),
        "watched": progress.get("validation", {}),
    }
