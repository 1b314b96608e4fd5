# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Small training runs on four simulated subjects, and recordings to prepare corpora of."""

import json
import random
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import mne
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mne_gram.models import Gram, Tokenizer, gram_nano, tokenizer_nano
from mne_gram.models._files import GramModel
from mne_gram.simulation import simulate_raw
from mne_gram.training import _checkpoint as checkpoint
from mne_gram.training import _loop as loop
from mne_gram.training import _runs as runs
from mne_gram.training import _storage, prepare_corpus
from mne_gram.training._config import TrainingConfig
from mne_gram.training._logs import read_log
from mne_gram.training._pretraining import pretrain, pretrain_tokenizer
from mne_gram.training._stages import GramStage, TokenizerStage

CPU = torch.device("cpu")
NAMES = "Fp1 Fp2 C3 C4 P3 P4 O1 O2".split()
STAGES = ("tokenizer", "gram")
TOKENIZER = replace(tokenizer_nano(), n_filters=4, n_heads=5, decoder_n_heads=5, n_classes=32)
GRAM = replace(gram_nano(), decoder_n_blocks=2, decoder_n_heads=5, n_classes=32, predict_scale=True)
# All that can happen does: parts with windows of several shapes, free steps with a guide, the start
# of the codebook, revived classes, validation, and initial weights of stage 2 that copy neighbours.
SHORT = TrainingConfig(
    n_steps=8,
    n_parts=2,
    tokens_per_part=128,
    tokens_per_window=32,
    learning_rate=2e-3,
    average=0.9,
    warm_start=True,
    codebook_decay=0.5,
    revive_below=0.5,
    free_steps=3,
    free_guide=True,
    start_tokens=200,
    hold_out_every=4,
    validate_every=4,
    checkpoint_every=2,
    log_every=1,
)


PLAIN = replace(
    SHORT,
    n_steps=2,
    n_parts=1,
    warm_start=False,
    free_steps=0,
    free_guide=False,
)


@pytest.fixture(scope="module")
def no_figures():
    """Draw no curves, which takes longer than all else here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_draw_curves", lambda folder: None)
        yield


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """Return a corpus of four subjects."""
    folder = tmp_path_factory.mktemp("recordings")
    files = []
    for k in range(4):
        raw, _ = simulate_raw(36.0, ch_names=NAMES, artefacts=(), seed=k, verbose="error")
        files.append(folder / "lab" / f"sub-{k}_raw.fif")
        files[-1].parent.mkdir(exist_ok=True)
        raw.save(files[-1], verbose="error")
    return prepare_corpus(folder / "corpus", files=files, verbose="error")


@cache
def make_tokenizer(seed=7, **changes):
    return GramModel(tokenizer=Tokenizer(replace(TOKENIZER, **changes), seed=seed).eval())


def run(stage, corpus, out, training=SHORT, *, config=None, first=None, **kwargs):
    """Train a stage as a user does."""
    kwargs = dict(training=training, verbose="error") | kwargs
    if stage == "tokenizer":
        return pretrain_tokenizer(corpus, out, config=config or TOKENIZER, **kwargs)
    return pretrain(corpus, first or make_tokenizer(), out, config=config or GRAM, **kwargs)


def make_run(stage, corpus, out, training=SHORT, config=None):
    """Return the state of a run, and what draws its batches."""
    seen, watched = runs.split_corpus(corpus, training.hold_out_every)
    if stage == "tokenizer":
        one = TokenizerStage(Tokenizer(config or TOKENIZER), training)
    else:
        one = GramStage(Gram(config or GRAM), make_tokenizer().tokenizer, training)
    sampler = runs.make_sampler(seen, training, masked=stage == "gram")
    kinds = ("random", "span") if stage == "gram" else ("none",)
    batches = runs.get_validation_batches(watched, kinds, 0, CPU)
    return loop._Run(one, training, out, CPU, {}), sampler, batches


def take_steps(run, sampler, steps):
    """Take steps as the loop does; return the last one's values."""
    parts = range(run.config.n_parts)
    for step in steps:
        if run.stage.needs_start(step, run.schedule.get_progress(step)):
            loop._start_stage(run.stage, sampler, step, run)
            run.restart_average(step)
        values = run.take_step(step, parts, [sampler.draw(step, part) for part in parts])
        run.progress.update(step=step + 1)
    return loop.read_values(values)


def get_log(out):
    return (Path(out) / "log.csv").read_bytes()


def get_checkpoint(out):
    return load_file(Path(out) / checkpoint.NAME)


def get_values(out, name, split="train"):
    frame = read_log(out).query("split == @split and name == @name and subject == ''")
    return frame["value"].to_numpy()


def assert_same(a, b):
    """Compare two dicts of tensors bit by bit."""
    assert list(a) == list(b)
    different = [name for name in a if not torch.equal(a[name], b[name])]
    assert not different


def assert_same_run(out, unbroken):
    """Compare all that was logged, all weights, and what the optimiser knows."""
    assert get_log(out) == get_log(unbroken.out)
    assert_same(get_checkpoint(out), get_checkpoint(unbroken.out))
    assert not list(Path(out).glob(".mne_gram-*"))


def get_random_states():
    """Return the global random states."""
    kind, keys, *rest = np.random.get_state()
    return torch.get_rng_state().tolist(), kind, keys.tolist(), rest, random.getstate()


@pytest.fixture(scope="session")
def train_once(corpus, tmp_path_factory):
    """Return a function that trains a stage from the first step to the last, once."""

    @cache
    def train(stage):
        out = tmp_path_factory.mktemp("unbroken") / stage
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop, "_draw_curves", lambda folder: None)
            model = run(stage, corpus, out)
        return SimpleNamespace(stage=stage, out=out, model=model)

    return train


@pytest.fixture(params=STAGES)
def unbroken(request, train_once):
    """Return a finished run of a stage, which was never interrupted."""
    return train_once(request.param)


def read_progress(out):
    """Return facts and progress of a checkpoint."""
    with checkpoint.safe_open(out / checkpoint.NAME, framework="pt") as file:
        content = checkpoint.json.loads(file.metadata()["mne_gram"])
    return content["facts"], content["progress"]


@pytest.fixture
def copied(unbroken, tmp_path):
    """Return a copy of a finished run."""
    shutil.copytree(unbroken.out, tmp_path / "copy")
    return SimpleNamespace(stage=unbroken.stage, out=tmp_path / "copy")


@pytest.fixture(scope="session")
def tiny():
    """Return small settings, and functions that train with them and read what a run wrote."""
    return SimpleNamespace(
        CPU=CPU,
        STAGES=STAGES,
        TOKENIZER=TOKENIZER,
        GRAM=GRAM,
        SHORT=SHORT,
        PLAIN=PLAIN,
        make_tokenizer=make_tokenizer,
        run=run,
        make_run=make_run,
        take_steps=take_steps,
        get_log=get_log,
        get_checkpoint=get_checkpoint,
        get_values=get_values,
        assert_same=assert_same,
        assert_same_run=assert_same_run,
        get_random_states=get_random_states,
        read_progress=read_progress,
    )


# ---------------------------------------------------------------------------------------------
# Recordings to prepare corpora of

CORPUS_NAMES = ["Fp1", "Fp2", "C3", "C4", "O1", "O2"]
N_SECONDS = 40


def make_raw(seed=0, *, names=CORPUS_NAMES, n_seconds=N_SECONDS, sfreq=200.0, step=None, h_freq=70):
    """Return something like EEG: 15 uV of noise whose power falls with frequency."""
    rng = np.random.default_rng(seed)
    n_times = round(n_seconds * sfreq)
    spectrum = np.fft.rfft(rng.standard_normal((len(names), n_times)))
    freqs = np.fft.rfftfreq(n_times, 1 / sfreq)
    data = np.fft.irfft(spectrum * (freqs < h_freq) / np.maximum(freqs, 0.5), n_times)
    data *= 15e-6 / data.std(axis=1, keepdims=True)
    if step is not None:
        data = np.round(data / step) * step
    info = mne.create_info(list(names), sfreq, "eeg")
    info["line_freq"] = 50.0
    return mne.io.RawArray(data, info, verbose="error")


def write(raw, path):
    """Write a fif file of full precision."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw.save(path, fmt="double", overwrite=True, verbose="error")
    return path


def prepare(out, **kwargs):
    """Prepare a corpus quietly."""
    return prepare_corpus(out, verbose="warning", **kwargs)


def prepare_raw(tmp_path, raw, **kwargs):
    """Prepare a corpus of one Raw."""
    path = write(raw, tmp_path / "lab" / "sub-01_task-rest_raw.fif")
    return prepare(tmp_path / "corpus", files=path, **kwargs)


def get_marked(corpus, k=0):
    """Return the marked seconds of a recording as {channel: [seconds]}."""
    names = corpus.recordings[k].ch_names
    marked = ~corpus.good(k)
    return {names[row]: np.flatnonzero(marked[row]).tolist() for row in marked.any(1).nonzero()[0]}


def write_bids(root, subjects, *, licence="CC0", bads=()):
    """Write a BIDS data set with one short EDF file a subject."""
    root.mkdir(parents=True)
    about = {"Name": "Made up", "BIDSVersion": "1.10.0", "DatasetDOI": "doi:10.1/x"}
    about |= {"License": licence} if licence else {}
    (root / "dataset_description.json").write_text(json.dumps(about))
    for number, subject in enumerate(subjects):
        stem = root / f"sub-{subject}" / "eeg" / f"sub-{subject}_task-rest"
        stem.parent.mkdir(parents=True)
        raw = make_raw(number, n_seconds=6)
        mne.export.export_raw(f"{stem}_eeg.edf", raw, physical_range="channelwise", verbose="error")
        sidecar = {"TaskName": "rest", "PowerLineFrequency": 60, "SamplingFrequency": 200}
        (stem.parent / f"{stem.name}_eeg.json").write_text(json.dumps(sidecar))
        rows = [f"{n}\tEEG\tV\t{'bad' if n in bads else 'good'}" for n in raw.ch_names]
        text = "\n".join(["name\ttype\tunits\tstatus", *rows])
        (stem.parent / f"{stem.name}_channels.tsv").write_text(f"{text}\n")
    return root


@pytest.fixture
def three_files(tmp_path):
    """Write three recordings of three subjects."""
    return [
        write(make_raw(k, n_seconds=6), tmp_path / "lab" / f"sub-{k}_raw.fif") for k in (1, 2, 3)
    ]


@pytest.fixture
def loaded(monkeypatch):
    """Return a list to which the name of every recording that is computed is added."""
    names, load = [], _storage.load_recording

    def spy(source, *args):
        names.append(source.name)
        return load(source, *args)

    monkeypatch.setattr(_storage, "load_recording", spy)
    return names


@pytest.fixture(scope="session")
def toy():
    """Return functions that write recordings and prepare corpora of them."""
    return SimpleNamespace(
        NAMES=CORPUS_NAMES,
        N_SECONDS=N_SECONDS,
        make_raw=make_raw,
        write=write,
        prepare=prepare,
        prepare_raw=prepare_raw,
        get_marked=get_marked,
        write_bids=write_bids,
    )
