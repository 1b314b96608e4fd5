# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A training run: everything around the loop."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import torch
from mne.utils import _validate_type, logger

from .. import __version__
from .._counts import count
from .._formats import check_folders
from ..models import Gram, GramModel, Tokenizer, get_device, save_model
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
    """Train the stage ``"tokenizer"`` or ``"gram"``, write the model to ``out`` and return it.

    ``build`` makes its networks, and ``first`` is the model with the tokenizer for stage 2.
    """
    training = TrainingConfig() if training is None else training
    _validate_type(training, TrainingConfig, "training")
    device = choose_device(device)
    _check_device(device, training)
    if name == "gram":
        _check_warm_start(config, training)
    corpus = _get_corpus(corpus)
    out = Path(out)
    with process_group(device):
        prepare_folder(out, overwrite)
        kind, networks = build(config, training, first)
        stage = kind(*(network.to(device) for network in networks), training)
        trained_on, validated_on = split_corpus(corpus, training.hold_out_every)
        sampler = make_sampler(trained_on, training, masked=name == "gram")
        kinds = MASK_KINDS if name == "gram" else ("none",)
        batches = get_validation_batches(validated_on, kinds, training.seed, device)
        facts = dict(
            stage=name,
            network=config.to_dict(),
            training=training.to_dict(),
            corpus=get_digest(corpus),
            tokenizer=None if first is None else _get_identity(first),
        )
        network, progress = train(
            stage, sampler, batches, training, out, device=device, facts=facts
        )
        card = make_card(name, config, training, corpus, trained_on, validated_on, progress)
        card["device"] = _name_device(device)
        model = _assemble(name, network.cpu(), card, first, out)
        if get_rank() == 0:
            save_model(model, out / "model", overwrite=True)
        wait()
    minutes = progress["seconds"] / 60
    logger.info(
        f"Trained the {name} for {count(progress['step'], 'step')} in {minutes:.1f} minutes: "
        f"{out / 'model'}"
    )
    return model


def _assemble(name, network, card, first, out):
    if name == "tokenizer":
        return GramModel(tokenizer=network, card=add_stage({}, name, card, out))
    card = add_stage(first.card, name, card, out)
    return GramModel(first.tokenizer.cpu(), network, card=card)


def add_stage(known, name, card, out):
    """Return a card with one more stage, named after the folder of the run."""
    stages = {**known.get("stages", {}), name: card}
    return {**known, "name": out.resolve().name, "stages": stages}


def choose_device(device):
    """Return the device of this process; ``torchrun`` numbers those of a machine with GPUs."""
    if isinstance(device, str) and device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    device = get_device(device)
    if device.type == "cuda" and device.index is None:
        device = get_device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}")
        torch.cuda.set_device(device)
    return device


def _check_device(device, training):
    """Refuse options that are slower on a CPU."""
    if device.type == "cpu" and (training.precision != "float32" or training.compile):
        raise ValueError(
            "precision='bfloat16' and compile=True are for GPUs and slower on a CPU. Set "
            "precision='float32', compile=False, or give a device."
        )


def _name_device(device):
    """Return what the card says of a device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type.upper()}, {torch.get_num_threads()} threads"


def _check_warm_start(config, training):
    """Refuse a decoder that is too small, before anything is overwritten."""
    if training.warm_start and config.decoder_n_blocks < 2:
        raise ValueError(
            f"warm_start needs a decoder of at least 2 blocks, but this one has "
            f"{config.decoder_n_blocks}. Set decoder_n_blocks=2, or warm_start=False."
        )


def _get_corpus(corpus):
    _validate_type(corpus, (Corpus, "path-like"), "corpus")
    if not isinstance(corpus, Corpus):
        corpus = read_corpus(corpus)
    if not corpus.recordings:
        raise ValueError(f"The corpus in {corpus.folder} has no recording to train on.")
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
                f"The tokenizer has {name}={theirs} and config has {name}={ours}; they must be "
                "equal."
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
    """Return a checksum of the recordings of a corpus."""
    entries = sorted((recording.name, recording.sha256) for recording in corpus.recordings)
    return hashlib.sha256(json.dumps(entries).encode()).hexdigest()


def prepare_folder(out, overwrite):
    """Make the folder; remove the files of an earlier run if ``overwrite``."""
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is a file; expected a folder or nothing.")
    check_folders(out, "tensorboard")
    if get_rank() == 0:
        out.mkdir(parents=True, exist_ok=True)
        for left in out.glob(".mne_gram-*"):  # by a process that was killed while writing
            shutil.rmtree(left, ignore_errors=True)
        if overwrite:
            for name in (checkpoint.NAME, "log.csv", "curves.png"):
                (out / name).unlink(missing_ok=True)
            shutil.rmtree(out / "tensorboard", ignore_errors=True)
    wait()


def split_corpus(corpus, hold_out_every):
    """Return the subjects to train on and those to validate on, as corpora.

    Every n-th subject of each data set, in sorted order, is for validation; None if there is none.
    """
    if hold_out_every is None:
        return corpus, None
    held_out = set()
    for dataset in {recording.dataset for recording in corpus.recordings}:
        subjects = [r.subject for r in corpus.recordings if r.dataset == dataset]
        held_out |= {(dataset, subject) for subject in split_subjects(subjects, hold_out_every)[1]}
    if not held_out:
        logger.info(
            f"No data set has {hold_out_every} subjects, so none is held out for validation."
        )
        return corpus, None
    trained_on = corpus.select(lambda r: (r.dataset, r.subject) not in held_out)
    return trained_on, corpus.select(lambda r: (r.dataset, r.subject) in held_out)


def make_sampler(corpus, training, *, masked):
    """Return the sampler that a training configuration describes."""
    kinds = None
    if masked:
        kinds = training.mask_kinds or dict.fromkeys(MASK_KINDS, 1.0)
    return Sampler(
        corpus,
        seed=training.seed,
        tokens_per_window=training.tokens_per_window,
        tokens_per_batch=training.tokens_per_part,
        mask_kinds=kinds,
        mask_share=training.mask_share,
        # Of each shape of a batch, a CUDA graph is recorded.
        n_shares=4 if training.compile == "graphs" else None,
        augment=training.augment,
        dropout_channels=training.dropout_channels,
    )


def get_validation_batches(corpus, kinds, seed, device):
    """Return fixed batches of each subject, on a device."""
    if corpus is None:
        return []
    batches = validation_batches(corpus, kinds=kinds, seed=seed)
    return [(subject, move(batch, device)) for subject, batch in batches]


def make_card(name, config, training, corpus, trained_on, validated_on, progress):
    """Return the entries of a model card about a run, for JSON."""
    data = []
    for dataset in sorted({r.dataset for r in corpus.recordings}):
        mine = [r for r in trained_on.recordings if r.dataset == dataset]
        out = [r for r in validated_on.recordings if r.dataset == dataset] if validated_on else []
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
        "hours_of_training": round(progress.get("seconds", 0.0) / 3600, 4),
        "seconds_of_setup": round(progress.get("setup", 0.0), 1),
        "watched": progress.get("validation", {}),
    }
