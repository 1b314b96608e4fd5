# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Training: it learns, is decided by its seed alone, and a run that broke goes on unharmed."""

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mne.utils import catch_logging
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import mne_gram
from mne_gram.models import Gram, Tokenizer, gram_nano, tokenizer_nano
from mne_gram.models._files import GramModel, save_model
from mne_gram.simulation import simulate_raw
from mne_gram.training import (
    _checkpoint as checkpoint,
)
from mne_gram.training import (
    _loop as loop,
)
from mne_gram.training import (
    _processes as processes,
)
from mne_gram.training import (
    _runs as runs,
)
from mne_gram.training import _stages as stage_module
from mne_gram.training import prepare_corpus
from mne_gram.training._batches import Sampler
from mne_gram.training._codebook import Codebook
from mne_gram.training._config import TrainingConfig, published_gram, published_tokenizer
from mne_gram.training._logs import Log, read_log
from mne_gram.training._pretraining import pretrain, pretrain_tokenizer
from mne_gram.training._stages import GramStage, TokenizerStage, find_components

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
draw_curves = loop._draw_curves


@pytest.fixture(scope="module", autouse=True)
def no_figures():
    """Draw no curves, which takes longer than all else here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_draw_curves", lambda folder: None)
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Return a corpus of four people."""
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
        if run.stage.needs_start(step):
            loop._start_stage(run.stage, sampler, step, run.config, CPU)
            run.restart_average(step)
        values = run.take_step(step, parts, [sampler.draw(step, part) for part in parts])
        run.progress.update(step=step + 1)
    return values


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


@pytest.fixture(scope="module", params=STAGES)
def unbroken(request, corpus, tmp_path_factory):
    """Train a stage from the first step to the last."""
    out = tmp_path_factory.mktemp("unbroken") / request.param
    model = run(request.param, corpus, out)
    return SimpleNamespace(stage=request.param, out=out, model=model)


@pytest.fixture(scope="module")
def plain_losses(corpus, tmp_path_factory):
    """Return a list with the losses of a run without options."""
    out = tmp_path_factory.mktemp("plain")
    run("tokenizer", corpus, out, PLAIN)
    return [get_values(out, "loss").tolist()]


class Broken(Exception):
    """What breaks a run."""


# ---------------------------------------------------------------------------------------------
# What a run leaves


def test_run_tells_all(unbroken):
    """Train values of every step, validation by subject, and all of the options at work."""
    frame = read_log(unbroken.out)
    train, validation = (frame[frame["split"] == split] for split in ("train", "validation"))
    assert sorted(train["step"].unique()) == list(range(1, 9))
    assert sorted(validation["step"].unique()) == [4, 8]
    assert set(validation["subject"]) == {"", "lab/3"}
    assert frame["value"].map(np.isfinite).all()
    rates = [SHORT.get_learning_rate(step) for step in range(8)]
    np.testing.assert_allclose(get_values(unbroken.out, "learning_rate"), rates)
    names = {"loss", "gradient_norm", "learning_rate"}
    if unbroken.stage == "tokenizer":
        assert set(train["name"]) == names | {
            *("reconstruction", "commitment", "revived", "classes_used")
        }
        assert get_values(unbroken.out, "revived").sum() > 0
        assert len(get_values(unbroken.out, "classes_used")) == 5  # not in the free steps
        wanted = {"cosine", "cosine_centered", "classes_used", "perplexity"}
        assert set(validation.query("subject == ''")["name"]) == wanted
    else:
        assert set(train["name"]) == names | {"cross_entropy", "spectral", "accuracy", "scale"}
        found = set(validation["name"])
        kinds = ("random", "channels", "cluster", "span")
        assert {f"accuracy_{kind}" for kind in kinds} <= found


def test_card(unbroken):
    card = unbroken.model.card["stages"][unbroken.stage]
    assert card["steps"] == 8 and card["training"] == SHORT.to_dict()
    (data,) = card["data"]
    assert data["dataset"] == "lab" and data["subjects_trained_on"] == ["0", "1", "2"]
    assert data["subjects_watched"] == ["3"] and data["hours"] == pytest.approx(
        108 / 3600, abs=1e-3
    )
    name = "cosine" if unbroken.stage == "tokenizer" else "accuracy"
    assert card["watched"][name] == get_values(unbroken.out, name, "validation")[-1]


def test_model_has_the_averaged_weights(unbroken):
    saved = get_checkpoint(unbroken.out)
    loaded = mne_gram.load_model(unbroken.out / "model", verbose="error")
    network = getattr(loaded, unbroken.stage)
    plain = 0
    for name, value in network.state_dict().items():
        average = saved[f"average/{name}"]
        if name == "codebook":
            average = torch.nn.functional.normalize(average, dim=-1)
        assert value.equal(average), name
        plain += value.equal(saved[f"network/{name}"])
    assert plain < 3
    assert_same(network.state_dict(), getattr(unbroken.model, unbroken.stage).state_dict())
    if unbroken.stage == "gram":
        fresh = make_tokenizer.__wrapped__()
        assert_same(loaded.tokenizer.state_dict(), fresh.tokenizer.state_dict())


def test_curves(unbroken, tmp_path):
    shutil.copy(unbroken.out / "log.csv", tmp_path)
    draw_curves(tmp_path)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "log.csv"]


def test_curves_once_a_minute_and_at_the_end(corpus, tmp_path, monkeypatch):
    """Drawing takes longer than a step, so that a short run draws once."""
    drawn, clock = [], SimpleNamespace(now=0.0)
    monkeypatch.setattr(loop, "_draw_curves", lambda folder: drawn.append(len(read_log(folder))))
    training = replace(PLAIN, n_steps=3, validate_every=1)
    run("tokenizer", corpus, tmp_path / "run", training)
    assert drawn == [len(read_log(tmp_path / "run"))]
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: clock.now))
    Log(tmp_path).close()
    one, _, _ = make_run("tokenizer", corpus, tmp_path)
    found = []
    for clock.now in (59.0, 60.0, 119.0, 120.5, 121.0):
        drawn.clear()
        one.draw_curves(is_last=clock.now == 121.0)
        found.append(len(drawn))
    assert found == [0, 1, 0, 1, 1]


def test_models_are_named_by_the_folder_of_the_run(corpus, tmp_path):
    first = run("tokenizer", corpus, tmp_path / "mine", replace(PLAIN, n_steps=1))
    model = run("gram", corpus, tmp_path / "yours", replace(PLAIN, n_steps=1), first=first)
    loaded = mne_gram.load_model(tmp_path / "yours" / "model", verbose="error")
    for name, found in (("mine", first), ("yours", model), ("yours", loaded)):
        assert repr(found).startswith(f"<GramModel | {name}, tokenizer: ")


def test_trained_folder_restores(corpus, tmp_path):
    """What training writes is a model like any other."""
    training = replace(SHORT, n_steps=2, free_steps=1, hold_out_every=None)
    first = run("tokenizer", corpus, tmp_path / "1", training)
    run("gram", corpus, tmp_path / "2", training, first=first)
    model = mne_gram.load_model(tmp_path / "2" / "model", verbose="error")
    assert set(model.card["stages"]) == {"tokenizer", "gram"}
    raw = mne_gram.datasets.sample(verbose="error").crop(0, 8)
    bad = raw.get_data("CP2")
    done = mne_gram.restore(raw, method="gram", model=tmp_path / "2" / "model", verbose="error")
    assert np.isfinite(done.get_data()).all()
    assert done.get_data("CP2").std() < 0.5 * bad.std()
    np.testing.assert_array_equal(done.get_data("C3"), raw.get_data("C3"))


# ---------------------------------------------------------------------------------------------
# What decides a run


def test_seed_decides(unbroken, corpus, tmp_path, monkeypatch):
    """Nothing else does: global random states are neither read nor moved."""
    drawn, draw = set(), Sampler.draw

    def spy(self, step, part=0):
        batch = draw(self, step, part)
        drawn.update(source.partition(" @ ")[0] for source in batch.sources)
        return batch

    monkeypatch.setattr(Sampler, "draw", spy)
    torch.rand(3), np.random.rand(3), random.random()
    before = get_random_states()
    run(unbroken.stage, corpus, tmp_path / "again")
    assert get_random_states() == before
    assert_same_run(tmp_path / "again", unbroken)
    # Nobody who is watched is trained on.
    assert drawn == {r.name for r in corpus.recordings if r.subject != "3"}
    training = replace(SHORT, n_steps=2, free_steps=1, seed=1)
    run(unbroken.stage, corpus, tmp_path / "other", training)
    assert get_values(tmp_path / "other", "loss")[0] != get_values(unbroken.out, "loss")[0]


def test_looking_changes_nothing(unbroken, corpus, tmp_path):
    """A run that is looked at more often takes the same steps to the same weights."""
    run(unbroken.stage, corpus, tmp_path, replace(SHORT, validate_every=2))
    for name in ("loss", "gradient_norm"):
        assert get_values(tmp_path, name).tolist() == get_values(unbroken.out, name).tolist()
    assert_same(get_checkpoint(tmp_path), get_checkpoint(unbroken.out))


@pytest.mark.parametrize("stage", STAGES)
def test_evaluation_has_no_side_effects(stage, corpus, tmp_path):
    one, sampler, batches = make_run(stage, corpus, tmp_path)
    take_steps(one, sampler, range(5))
    networks = [one.stage.network, one.average, getattr(one.stage, "tokenizer", None)]
    networks = [network for network in networks if network is not None]

    def get_state():
        tensors = {}
        for k, network in enumerate(networks):
            named = [*network.named_buffers(), *network.named_parameters()]
            tensors |= {f"{k}.{name}": value for name, value in named}
        tensors |= checkpoint.collect_optimizer(one.optimizer, one.names)
        book = getattr(one.stage, "codebook", None)
        if book is not None:
            tensors |= {"usage": book.usage, "sums": book.sums, "counts": book.counts}
            assert book.candidates == []
        modes = [module.training for network in networks for module in network.modules()]
        wanted = [p.requires_grad for network in networks for p in network.parameters()]
        return {name: value.clone() for name, value in tensors.items()}, (modes, wanted)

    tensors, rest = get_state()
    states = get_random_states()
    with Log(tmp_path / "log", resume_step=0) as log:
        one.validate(batches, log)
        one.validate(batches, log)
    network = one.get_network()
    values = one.stage.evaluate(network, batches)
    # Batches in another order give the same, too.
    again = one.stage.evaluate(network, batches[::-1])
    assert not any(module.training for module in network.modules())
    after, others = get_state()
    assert_same(after, tensors)
    assert others == rest and get_random_states() == states
    assert rest[0][0] is True and others[1][0] is True
    for subject in values:
        assert values[subject] == pytest.approx(again[subject], rel=1e-5)
    frame = read_log(tmp_path / "log")
    half = len(frame) // 2
    assert frame["value"][:half].tolist() == frame["value"][half:].tolist() and half > 5


def test_no_evaluation_without_anybody(corpus, tmp_path):
    one, _, _ = make_run("tokenizer", corpus, tmp_path)
    with Log(tmp_path) as log:
        one.validate([], log)
    assert len(read_log(tmp_path)) == 0 and "validation" not in one.progress


def test_measures(corpus, tmp_path):
    """What is told of people who were held out, computed by hand."""
    one, _, batches = make_run("tokenizer", corpus, tmp_path)
    network, (_, batch) = one.get_network(), batches[0]
    other = replace(batch, x=batch.x[:2], channels=batch.channels[:2])
    values = one.stage.evaluate(network, [("a", batch), ("b", other)])
    decoded = network.decode(network.encode(batch.x, batch.channels).indices, batch.channels)
    decoded, patches = decoded.numpy(), batch.x.unflatten(2, (-1, 200)).numpy()
    for name, shift in (("cosine", 0), ("cosine_centered", 1)):
        a, b = (v - shift * v.mean(-1, keepdims=True) for v in (decoded, patches))
        cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
        assert values["a"][name] == pytest.approx(cosine.mean(), abs=1e-5)
        mean = (values["a"][name] + values["b"][name]) / 2  # people count alike
        assert values[""][name] == pytest.approx(mean)
    indices = torch.cat([network.encode(b.x, b.channels).indices.flatten() for b in (batch, other)])
    assert values[""]["classes_used"] == pytest.approx(len(indices.unique()) / 32)
    share = np.bincount(indices.numpy()) / len(indices)
    share = share[share > 0]
    assert values[""]["perplexity"] == pytest.approx(np.exp(-(share * np.log(share)).sum()))


def test_measures_of_masks(corpus, tmp_path):
    one, _, batches = make_run("gram", corpus, tmp_path)
    values = one.stage.evaluate(one.get_network(), batches)
    entry = values["lab/3"]
    for name in ("accuracy", "cross_entropy"):
        kinds = [entry[f"{name}_{kind}"] for kind in ("random", "span")]
        assert entry[name] == pytest.approx(sum(kinds) / 2)
    assert values[""] == pytest.approx(entry)
    _, batch = batches[0]
    targets = one.stage.tokenizer.encode(batch.x, batch.channels).indices
    logits = one.get_network().predict(batch.x, batch.channels, batch.mask)
    accuracy = (logits.argmax(-1) == targets)[batch.mask].float().mean()
    found = one.stage.evaluate(one.get_network(), batches[:1])["lab/3"]
    assert found[f"accuracy_{batch.kind}"] == pytest.approx(accuracy.item())


# ---------------------------------------------------------------------------------------------
# The step


def test_steps_by_hand(corpus, tmp_path):
    """AdamW without decay of vectors, clipped mean gradients, the schedule, averaged weights."""
    config = replace(GRAM, dropout=0.0, drop_path=0.0)
    changes = dict(clip=0.5, weight_decay=0.3, learning_rate=5e-3, warm_start=False)
    training = replace(SHORT, **changes)
    one, sampler, _ = make_run("gram", corpus, tmp_path, training, config)
    network = Gram(config)
    network.load_state_dict(one.stage.network.state_dict())
    named = dict(network.named_parameters())
    groups = [
        dict(params=[p for p in named.values() if p.ndim > 1], weight_decay=0.3),
        dict(params=[p for p in named.values() if p.ndim == 1], weight_decay=0.0),
    ]
    optimizer = torch.optim.AdamW(groups, betas=training.betas, foreach=False)
    average = {name: value.clone() for name, value in network.state_dict().items()}
    for step in range(3):
        values = take_steps(one, sampler, [step])
        for group in optimizer.param_groups:
            group["lr"] = training.get_learning_rate(step)
        losses = []
        for part in range(training.n_parts):
            b = sampler.draw(step, part)
            targets = one.stage.tokenizer.encode(b.x, b.channels).indices
            out = network(b.x, b.channels, b.mask, targets, scale_weight=training.scale_weight)
            losses.append(out.loss)
        optimizer.zero_grad()
        loss = sum(losses) / training.n_parts
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
        optimizer.step()
        decay = min(0.9, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            average[name] = decay * average[name] + (1 - decay) * value
        assert values["loss"] == pytest.approx(loss.item(), rel=1e-5)
        assert values["gradient_norm"] == pytest.approx(norm.item(), rel=1e-3) and norm > 0.5
    for name, value in network.state_dict().items():
        # These have no effect, and hence gradients that are rounding errors.
        if name.endswith("key.bias") or ("conv" in name and name.endswith("bias")):
            continue
        for theirs, ours in ((one.stage.network, value), (one.average, average[name])):
            assert (theirs.state_dict()[name] - ours).abs().median() < 1e-6, name
    moved = (one.average.decoder.head.weight - one.stage.network.decoder.head.weight).abs().max()
    assert moved > 1e-4


@pytest.mark.parametrize("stage", STAGES)
def test_vectors_do_not_decay(stage, corpus, tmp_path):
    one, _, _ = make_run(stage, corpus, tmp_path)
    groups = one.optimizer.param_groups
    resting, decaying = sorted(groups, key=lambda group: group["weight_decay"])
    assert decaying["weight_decay"] == SHORT.weight_decay and resting["weight_decay"] == 0
    assert all(p.ndim > 1 for p in decaying["params"])
    assert all(p.ndim == 1 for p in resting["params"])
    resting = {one.names[p] for p in resting["params"]}
    assert {name for name in one.names.values() if name.endswith("bias")} <= resting
    assert sum(name.endswith("norm.weight") for name in resting) >= 2
    if stage == "gram":
        assert {"encoder.cls", "encoder.fusion.weights", "encoder.blocks.0.scale1"} <= resting
    n_all = sum(len(group["params"]) for group in one.optimizer.param_groups)
    assert n_all == len(list(one.stage.network.parameters()))


def test_average_of_the_codebook(corpus, tmp_path, monkeypatch):
    """It begins with the codebook's start, as what was there before meant nothing."""
    started, start = [], Codebook.start

    def spy(self, *args):
        start(self, *args)
        started.append(self.vectors.clone())

    monkeypatch.setattr(Codebook, "start", spy)
    run("tokenizer", corpus, tmp_path, replace(SHORT, n_steps=4))
    saved = get_checkpoint(tmp_path)
    now, average = (saved[f"{group}/codebook"] for group in ("network", "average"))
    decay = 4 / 13  # in the fourth step, the first one with a codebook
    wanted = decay * started[0] + (1 - decay) * now
    torch.testing.assert_close(average, wanted, rtol=0, atol=1e-6)
    assert (now - started[0]).norm(dim=1).max() > 0.1


def test_averaged_network(corpus, tmp_path):
    one, sampler, _ = make_run("tokenizer", corpus, tmp_path, replace(SHORT, free_steps=1))
    take_steps(one, sampler, range(3))
    network = one.get_network()
    torch.testing.assert_close(network.codebook.norm(dim=-1), torch.ones(32))
    assert not torch.allclose(one.average.codebook.norm(dim=-1), torch.ones(32))
    assert not network.training and one.average.training
    assert not any(p.requires_grad for p in network.parameters())
    # Without averages it is the network itself.
    one, sampler, _ = make_run("tokenizer", corpus, tmp_path / "b", replace(SHORT, average=0.0))
    take_steps(one, sampler, range(5))
    assert_same(one.average.state_dict(), one.stage.network.state_dict())


def test_start_of_the_codebook(corpus, tmp_path):
    """It is filled in eval mode, from as many patches as asked for, after the free steps."""
    training = replace(SHORT, free_steps=2, free_guide=False, start_tokens=1000)
    one, sampler, _ = make_run("tokenizer", corpus, tmp_path, training)
    stage, found = one.stage, []
    assert not stage.needs_start(1) and stage.needs_start(2) and stage.needs_start(3)
    start = stage.start

    def spy(step, batches, generator):
        found.extend(batches)
        return start(step, batches, generator)

    stage.start = spy
    states = get_random_states()
    loop._start_stage(stage, sampler, 2, one.config, CPU)
    assert get_random_states() == states and stage.network.training
    sizes = [batch.mask.numel() for batch in found]
    assert sum(sizes) >= 1000 > sum(sizes[:-1])
    assert not stage.needs_start(2) and stage.guide is None
    first = stage.network.codebook.clone()
    stage.network.codebook.zero_()
    stage.network.eval()
    start(2, found, loop.get_generator(0, 2, 0, loop._START))
    assert first.equal(stage.network.codebook) and not stage.network.training
    few = replace(found[0], x=found[0].x[:1, :1, :200], channels=found[0].channels[:1, :1])
    with pytest.raises(ValueError, match="codebook of 32 classes needs"):
        start(2, [few], loop.get_generator(0))


def test_guide(corpus, tmp_path):
    """Before the codebook starts, codes learn to be what principal components make of patches."""
    one, sampler, _ = make_run("tokenizer", corpus, tmp_path, SHORT)
    assert one.stage.needs_start(0)
    take_steps(one, sampler, [0])
    guide = one.stage.guide
    assert not one.stage.needs_start(1) and one.stage.needs_start(3)
    torch.testing.assert_close(guide.T @ guide, torch.eye(32), rtol=0, atol=1e-5)
    batch = sampler.draw(1, 0)
    one.stage.network.eval()
    loss, values = one.stage.get_loss(one.stage.network, batch)
    codes = one.stage.network.encode(batch.x, batch.channels).features
    patches = batch.x.unflatten(2, (-1, 200))
    wanted = (patches - patches.mean(-1, keepdim=True)) @ guide
    error = 1 - torch.nn.functional.cosine_similarity(codes, wanted, dim=-1).mean()
    torch.testing.assert_close(values["commitment"], error)
    torch.testing.assert_close(loss, values["reconstruction"] + error)
    state = one.stage.get_state()
    assert state["guide"].equal(guide)
    one.stage.guide = None
    one.stage.set_state(state)
    assert one.stage.guide.equal(guide) and not one.stage.codebook.started
    take_steps(one, sampler, [3])
    assert one.stage.codebook.started and not one.stage.needs_start(4)
    without = {name: value for name, value in state.items() if name != "guide"}
    one.stage.set_state(without)
    assert one.stage.guide is None


def test_components():
    """They are those of the shapes: what has large amplitude or offset counts no more."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((200, 4)))[0]
    basis = np.linalg.qr(basis - basis.mean(0))[0]
    weights = rng.standard_normal((500, 4)) * [4.0, 3.0, 2.0, 1.0]
    patches = weights @ basis.T * rng.uniform(0.1, 50, (500, 1)) + rng.standard_normal((500, 1))
    shapes = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    wanted = basis @ np.linalg.svd(shapes, full_matrices=False)[2].T
    found = find_components(torch.from_numpy(patches).float(), 3)
    assert found.shape == (200, 3) and found.dtype == torch.float32
    cosines = np.abs((found.numpy() * wanted[:, :3]).sum(0))
    np.testing.assert_allclose(cosines, 1, atol=1e-3)
    again = find_components(torch.from_numpy(-patches[::-1].copy()).float(), 3)
    torch.testing.assert_close(found, again, rtol=0, atol=1e-4)  # signs as well


# ---------------------------------------------------------------------------------------------
# Learning


def test_tokenizer_learns(corpus, tmp_path):
    """In seconds the decoded patches of somebody else look like theirs."""
    training = replace(
        SHORT,
        n_steps=45,
        n_parts=1,
        tokens_per_part=256,
        tokens_per_window=64,
        learning_rate=3e-3,
        codebook_decay=0.9,
        free_steps=25,
        start_tokens=256,
        centered=True,
        code_gain=40.0,
        dropout_channels=False,
        validate_every=45,
        checkpoint_every=45,
    )
    run("tokenizer", corpus, tmp_path, training, config=replace(TOKENIZER, dropout=0.0))
    losses = get_values(tmp_path, "reconstruction")
    assert losses[:3].mean() > 0.95 and losses[-5:].mean() < 0.75
    assert get_values(tmp_path, "cosine_centered", "validation")[-1] > 0.3
    assert get_values(tmp_path, "classes_used", "validation")[-1] > 0.3


def test_gram_learns(corpus, tmp_path):
    """It names hidden patches better than anybody who knows how frequent classes are."""
    training = replace(
        PLAIN,
        n_steps=1,
        tokens_per_part=256,
        tokens_per_window=64,
        start_tokens=256,
        validate_every=50,
        checkpoint_every=50,
        dropout_channels=False,
    )
    config = replace(TOKENIZER, n_classes=16)
    first = run("tokenizer", corpus, tmp_path / "1", training, config=config)
    # The codebook of an untrained encoder names places, which is quickly learnt.
    entropy = np.log(get_values(tmp_path / "1", "perplexity", "validation")[-1])
    config = replace(GRAM, n_classes=16, dropout=0.0, drop_path=0.0)
    training = replace(training, n_steps=35, learning_rate=3e-3)
    run("gram", corpus, tmp_path / "2", training, config=config, first=first)
    assert get_values(tmp_path / "2", "cross_entropy")[0] > entropy > 1
    assert get_values(tmp_path / "2", "cross_entropy", "validation")[-1] < 0.7 * entropy
    spectral = get_values(tmp_path / "2", "spectral")
    assert spectral[-5:].mean() < 0.5 * spectral[0]


def test_warm_start(corpus, tmp_path, monkeypatch):
    """It comes before the first step, once, and the averages begin with it."""
    one, sampler, _ = make_run("gram", corpus, tmp_path)
    assert one.stage.needs_start(0) and not one.stage.needs_start(1)
    before = {name: value.clone() for name, value in one.stage.network.state_dict().items()}
    loop._start_stage(one.stage, sampler, 0, one.config, CPU)
    one.restart_average(0)
    started = one.stage.network.state_dict()
    changed = {name for name, value in started.items() if not value.equal(before[name])}
    assert {"decoder.head.weight", "encoder.blocks.0.mlp.fc1.weight"} <= changed
    assert "spectral_head.weight" not in changed
    assert_same(one.average.state_dict(), started)
    assert one.stage.network.training
    cold, _, _ = make_run("gram", corpus, tmp_path / "b", replace(SHORT, warm_start=False))
    assert not cold.stage.needs_start(0)
    # Weights are those of the first process.
    monkeypatch.setattr(stage_module, "spread", lambda tensor: tensor.zero_())
    loop._start_stage(one.stage, sampler, 0, one.config, CPU)
    assert not any(value.any() for value in one.stage.network.state_dict().values())


@pytest.mark.parametrize(
    "changes",
    [
        dict(centered=True),
        dict(code_gain=40.0),
        dict(free_steps=1),
        dict(free_steps=1, free_guide=True),
    ],
)
def test_options_reach_the_network(corpus, tmp_path, plain_losses, changes):
    run("tokenizer", corpus, tmp_path, replace(PLAIN, **changes))
    assert get_values(tmp_path, "loss").tolist() not in plain_losses
    plain_losses.append(get_values(tmp_path, "loss").tolist())


# ---------------------------------------------------------------------------------------------
# Runs that break


def test_broken_run_goes_on(unbroken, corpus, tmp_path, monkeypatch):
    """Broken before, between and after checkpoints, it ends as the unbroken one."""
    draw, take_step = Sampler.draw, loop._Run.take_step
    for step in (1, 3, 6):

        def break_draw(self, at, part=0, step=step):
            if at == step and part == 1:
                raise Broken
            return draw(self, at, part)

        def break_step(self, at, *args, step=step):
            values = take_step(self, at, *args)
            if at == step:
                raise Broken
            return values

        with monkeypatch.context() as patch, pytest.raises(Broken):
            if step == 3:  # right after the codebook was started
                patch.setattr(loop._Run, "take_step", break_step)
            else:
                patch.setattr(Sampler, "draw", break_draw)
            run(unbroken.stage, corpus, tmp_path)
        assert get_values(tmp_path, "loss").shape == (step,)
        found = read_progress(tmp_path)[1]["step"] if step > 1 else None
        assert found == {1: None, 3: 2, 6: 6}[step]
    # A log that is ahead of the checkpoint is cut.
    with Log(tmp_path, resume_step=6) as log:
        log.write(7, "train", {"loss": 5.0})
    with catch_logging() as text:
        run(unbroken.stage, corpus, tmp_path, verbose="info")
    assert "Resuming after step 6 of 8" in text.getvalue()
    assert_same_run(tmp_path, unbroken)


def test_finished_run_is_not_repeated(unbroken, corpus, tmp_path, monkeypatch):
    shutil.copytree(unbroken.out, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "model")
    monkeypatch.setattr(loop._Run, "take_step", None)
    model = run(unbroken.stage, corpus, tmp_path / "run")
    assert_same_run(tmp_path / "run", unbroken)
    for found in (model, mne_gram.load_model(tmp_path / "run" / "model", verbose="error")):
        networks = (getattr(one, unbroken.stage) for one in (found, unbroken.model))
        assert_same(*(network.state_dict() for network in networks))
    name = "classes_used" if unbroken.stage == "tokenizer" else "accuracy"
    watched = model.card["stages"][unbroken.stage]["watched"]
    assert watched[name] == get_values(unbroken.out, name, "validation")[-1]


_KILLED = """
import os, signal, sys
import torch

sys.path.insert(0, {tests!r})
torch.set_num_threads({n_threads})
import test_training as t

t.loop._draw_curves = lambda folder: None
save_file, calls = t.checkpoint.save_file, []

def killed(tensors, fname, metadata):
    save_file(tensors, fname, metadata=metadata)
    calls.append(fname)
    if len(calls) == 2:
        os.truncate(fname, os.path.getsize(fname) // 2)
        os.kill(os.getpid(), signal.SIGKILL)

t.checkpoint.save_file = killed
t.run("tokenizer", {corpus!r}, {out!r})
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Nobody is killed on Windows.")
@pytest.mark.parametrize("unbroken", ["tokenizer"], indirect=True)
@pytest.mark.slow
def test_killed_process_goes_on(unbroken, corpus, tmp_path):
    """A process that was killed in the middle of a checkpoint has lost nothing before it."""
    code = _KILLED.format(
        tests=str(Path(__file__).parent),
        n_threads=torch.get_num_threads(),
        corpus=str(corpus.folder),
        out=str(tmp_path),
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=280)
    assert done.returncode == -signal.SIGKILL, done.stderr
    _, progress = read_progress(tmp_path)
    assert progress["step"] == 2 and get_values(tmp_path, "loss").shape == (4,)
    assert len(list(tmp_path.glob(".mne_gram-*"))) == 1
    run("tokenizer", corpus.folder, tmp_path)
    assert_same_run(tmp_path, unbroken)


def read_progress(out):
    """Return facts and progress of a checkpoint."""
    with checkpoint.safe_open(out / checkpoint.NAME, framework="pt") as file:
        content = checkpoint.json.loads(file.metadata()["mne_gram"])
    return content["facts"], content["progress"]


def test_full_disk(unbroken, corpus, tmp_path, monkeypatch):
    """Half a checkpoint does not replace a whole one, and the run goes on when there is room."""
    kept = []

    def fill_up(tensors, fname, metadata):
        if not kept:
            save_file(tensors, fname, metadata=metadata)
            kept.append(fname)
            return
        Path(fname).write_bytes(b"half of a checkpoint")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", fill_up)
        match = "checkpoint of step 4 could not be .*No space left.*is kept: make room"
        with pytest.raises(OSError, match=match):
            run(unbroken.stage, corpus, tmp_path)
    assert read_progress(tmp_path)[1]["step"] == 2
    assert not list(tmp_path.glob(".mne_gram-*"))
    run(unbroken.stage, corpus, tmp_path)
    assert_same_run(tmp_path, unbroken)


# ---------------------------------------------------------------------------------------------
# What is not finite


@pytest.fixture
def stages(monkeypatch):
    """Return a list to which the stage of each run is added."""
    found, train = [], runs.train

    def spy(stage, *args, **kwargs):
        found.append(stage)
        return train(stage, *args, **kwargs)

    monkeypatch.setattr(runs, "train", spy)
    return found


def spoil(monkeypatch, step, part):
    """Put a NaN into one batch; return the sources of all of the step's."""
    sources, draw = {}, Sampler.draw

    def spoilt(self, at, which=0):
        batch = draw(self, at, which)
        if at == step:
            sources[which] = batch.sources
            if which == part:
                batch.x[0, 0, 5] = torch.nan
        return batch

    monkeypatch.setattr(Sampler, "draw", spoilt)
    return sources


@pytest.mark.parametrize("stage", STAGES)
def test_nan_stops(stage, corpus, tmp_path, monkeypatch, stages):
    """The batch is named, the weights stay, and the checkpoint is kept."""
    training = replace(SHORT, checkpoint_every=1)
    sources = spoil(monkeypatch, 4, 1)
    with pytest.raises(RuntimeError, match="Step 5 gave a loss of nan") as error:
        run(stage, corpus, tmp_path, training)
    text = str(error.value)
    assert str(tmp_path / checkpoint.NAME) in text and "is kept" in text
    assert all(source in text for source in sources[1])
    others = set(sources[0]) - set(sources[1])
    assert others and not any(f"{source};" in text for source in others)
    saved = get_checkpoint(tmp_path)
    assert read_progress(tmp_path)[1]["step"] == 4
    for name, value in stages[0].network.state_dict().items():
        assert value.equal(saved[f"network/{name}"]), name
    assert len(get_values(tmp_path, "loss")) == 4


def test_infinite_gradient_stops(corpus, tmp_path, stages):
    """Also where the loss is finite, and before there is a checkpoint."""
    before = {}

    def build(*args):
        network = Tokenizer(TOKENIZER)
        before.update({name: value.clone() for name, value in network.state_dict().items()})
        network.code_head[0].weight.register_hook(lambda grad: grad * torch.inf)
        return TokenizerStage, (network,)

    match = r"Step 1 gave a loss of [0-9.]+ and a gradient of norm (nan|inf)"
    with pytest.raises(RuntimeError, match=match) as error:
        runs.run_stage("tokenizer", build, TOKENIZER, corpus, tmp_path, SHORT, None, False)
    assert "is kept" not in str(error.value)
    assert not (tmp_path / checkpoint.NAME).exists()
    assert_same(stages[0].network.state_dict(), before)


@pytest.mark.parametrize(("stage", "step"), [("tokenizer", 0), ("tokenizer", 3), ("gram", 0)])
def test_nan_in_a_start_stops(corpus, tmp_path, monkeypatch, stages, stage, step):
    """One patch would make the guide, the whole codebook or the first weights NaN."""
    sources = spoil(monkeypatch, step, 1)
    with pytest.raises(RuntimeError, match=f"Step {step + 1} cannot be prepared") as error:
        run(stage, corpus, tmp_path, SHORT)
    assert all(source in str(error.value) for source in sources[1])
    assert all(value.isfinite().all() for value in stages[0].network.state_dict().values())
    guide = getattr(stages[0], "guide", None)
    assert guide is None or guide.isfinite().all()


# ---------------------------------------------------------------------------------------------
# Checkpoints of another kind


@pytest.fixture
def copied(unbroken, tmp_path):
    """Return a copy of a finished run."""
    shutil.copytree(unbroken.out, tmp_path / "copy")
    return SimpleNamespace(stage=unbroken.stage, out=tmp_path / "copy")


def test_other_runs_are_refused(copied, corpus):
    kept = (copied.out / checkpoint.NAME).read_bytes()
    fewer = corpus.select(lambda recording: recording.subject != "2")
    config = TOKENIZER if copied.stage == "tokenizer" else GRAM
    other = next(stage for stage in STAGES if stage != copied.stage)
    cases = [
        (copied.stage, dict(config=replace(config, dropout=0.2)), r"network.dropout was 0.\d+ and"),
        (copied.stage, dict(training=replace(SHORT, clip=2.0)), "training.clip was 1.0 and is 2.0"),
        (copied.stage, dict(corpus=fewer), "corpus was '.*' and is '"),
        (other, {}, f"stage was '{copied.stage}' and is '{other}'"),
    ]
    if copied.stage == "gram":
        cases.append(("gram", dict(first=make_tokenizer(8)), "tokenizer was '.*' and is '"))
    for stage, changes, match in cases:
        with pytest.raises(ValueError, match=f"belongs to another run: .*{match}.*overwrite=True"):
            run(stage, **dict(corpus=corpus, out=copied.out) | changes)
        assert (copied.out / checkpoint.NAME).read_bytes() == kept
    with pytest.raises(ValueError) as error:
        run(copied.stage, corpus, copied.out, replace(SHORT, clip=2.0))
    assert "network" not in str(error.value)  # only what differs is told


def test_older_checkpoints(copied, corpus):
    """A run goes on that began before a setting existed, as that setting has a default."""
    path = copied.out / checkpoint.NAME
    with safe_open(path, framework="pt") as file:
        content = json.loads(file.metadata()["mne_gram"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    assert content["facts"]["training"].pop("code_gain") == 1
    save_file(tensors, path, metadata={"mne_gram": json.dumps(content)})
    run(copied.stage, corpus, copied.out)
    with pytest.raises(ValueError, match="training.code_gain was 1.0 and is 2.0"):
        run(copied.stage, corpus, copied.out, replace(SHORT, code_gain=2.0))


def test_warm_start_needs_room(copied, corpus):
    """What cannot start takes nothing away, not even when it is told to overwrite."""
    if copied.stage == "tokenizer":
        return
    kept = (copied.out / checkpoint.NAME).read_bytes()
    config = replace(GRAM, decoder_n_blocks=1)
    with pytest.raises(ValueError, match="at least 2 blocks.* has 1"):
        run(
            "gram",
            corpus,
            copied.out,
            replace(SHORT, warm_start=True),
            config=config,
            overwrite=True,
        )
    assert (copied.out / checkpoint.NAME).read_bytes() == kept


def test_overwrite_starts_anew(copied, corpus):
    training = replace(SHORT, n_steps=2, free_steps=1, learning_rate=1e-4)
    run(copied.stage, corpus, copied.out, training, overwrite=True)
    frame = read_log(copied.out)
    assert set(frame["step"]) == {1, 2} and read_progress(copied.out)[1]["step"] == 2
    assert get_values(copied.out, "learning_rate").max() <= 1e-4


@pytest.mark.parametrize("broken", ["garbage", "cut", "other"])
@pytest.mark.parametrize("unbroken", ["tokenizer"], indirect=True)
def test_no_checkpoint_of_ours(copied, corpus, broken):
    path = copied.out / checkpoint.NAME
    content = path.read_bytes()
    match = "cannot be read .*overwrite=True"
    if broken == "garbage":
        path.write_bytes(np.random.default_rng(0).bytes(5000))
    elif broken == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        save_file({"x": torch.zeros(3)}, path)
        match = "is not a checkpoint of this version .*overwrite=True"
    kept = path.read_bytes()
    with pytest.raises(RuntimeError, match=match):
        run("tokenizer", corpus, copied.out)
    assert path.read_bytes() == kept
    run("tokenizer", corpus, copied.out, replace(SHORT, n_steps=1, free_steps=0), overwrite=True)
    assert read_progress(copied.out)[1]["step"] == 1


def test_checkpoint_is_read_as_written(tmp_path):
    groups = {"network": {"a.b": torch.randn(3, 4).T, "c": torch.tensor(2.0)}, "empty": {}}
    facts = {"stage": "x", "betas": (0.9, 0.98), "kinds": None}
    checkpoint.write_checkpoint(tmp_path, groups, facts, {"step": 3, "seconds": 1.5})
    found, progress = checkpoint.read_checkpoint(tmp_path, facts)
    assert progress == {"step": 3, "seconds": 1.5} and list(found) == ["network"]
    for name, value in groups["network"].items():
        assert found["network"][name].equal(value)
    assert checkpoint.read_checkpoint(tmp_path / "nowhere", facts) == (None, {"step": 0})
    match = "betas was .* and is .*; kinds was None and is 1; new was None and is 'y'"
    with pytest.raises(ValueError, match=match):
        facts = {"stage": "x", "betas": (0.9, 0.99), "kinds": 1, "new": "y"}
        checkpoint.read_checkpoint(tmp_path, facts)


# ---------------------------------------------------------------------------------------------
# Bad input


def test_empty_corpus(corpus, tmp_path):
    empty = corpus.select(lambda recording: False)
    with pytest.raises(ValueError, match="has no recording to train on"):
        run("tokenizer", empty, tmp_path / "out")
    for wrong in (3, None):
        with pytest.raises(TypeError, match="corpus must be"):
            run("tokenizer", wrong, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_recording(corpus, tmp_path):
    """It trains, and nobody is watched."""
    one = corpus.select(lambda recording: recording.subject == "0")
    with catch_logging() as log:
        model = run("tokenizer", one, tmp_path, PLAIN, verbose="info")
    assert "No data set has 4 subjects, so none is held out" in log.getvalue()
    assert set(read_log(tmp_path)["split"]) == {"train"}
    card = model.card["stages"]["tokenizer"]
    assert card["watched"] == {} and card["data"][0]["subjects_watched"] == []


def test_split(corpus):
    seen, watched = runs.split_corpus(corpus, 2)
    assert [r.subject for r in seen.recordings] == ["0", "2"]
    assert [r.subject for r in watched.recordings] == ["1", "3"]
    assert runs.split_corpus(corpus, None) == (corpus, None)
    assert runs.split_corpus(corpus, 5) == (corpus, None)


def test_processes_that_do_not_fit(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "get_n_processes", lambda: 3)
    with pytest.raises(ValueError, match="3 processes cannot share 2 parts .* multiple of 3"):
        run("tokenizer", corpus, tmp_path)


@pytest.mark.parametrize("changes", [dict(precision="bfloat16"), dict(compile=True)])
def test_for_gpus_only(corpus, tmp_path, changes):
    for device in (None, "cpu"):
        with pytest.raises(ValueError, match="are for GPUs and slower on a CPU"):
            run("tokenizer", corpus, tmp_path / "out", replace(SHORT, **changes), device=device)
    assert not (tmp_path / "out").exists()


def test_stages_that_do_not_fit(corpus, tmp_path):
    out = tmp_path / "out"
    for name, value in (("n_classes", 16), ("n_channels", 114)):
        first = make_tokenizer(**{name: value})
        theirs = getattr(GRAM, name)
        match = f"tokenizer has {name}={value} and config has {name}={theirs}"
        with pytest.raises(ValueError, match=match):
            run("gram", corpus, out, first=first)
    with pytest.raises(ValueError, match="no tokenizer; train stage 1 first"):
        run("gram", corpus, out, first=GramModel(gram=Gram(GRAM)))
    with pytest.raises(TypeError, match="config must be an instance of TokenizerConfig"):
        run("tokenizer", corpus, out, config=GRAM)
    with pytest.raises(TypeError, match="config must be an instance of GramConfig"):
        run("gram", corpus, out, config=TOKENIZER)
    with pytest.raises(TypeError, match="training must be an instance of TrainingConfig"):
        run("gram", corpus, out, {"n_steps": 3})
    assert not out.exists()
    out.write_text("mine")
    with pytest.raises(FileExistsError, match="is a file; expected a folder"):
        run("tokenizer", corpus, out, overwrite=True)
    assert out.read_text() == "mine"


def test_tokenizer_from_its_folder(corpus, tmp_path):
    """A folder stands for the model in it, and the tokenizer is not touched."""
    model = make_tokenizer()
    before = {name: value.clone() for name, value in model.tokenizer.state_dict().items()}
    save_model(model, tmp_path / "first", verbose="error")
    run("gram", corpus, tmp_path / "a", PLAIN, first=tmp_path / "first")
    run("gram", corpus, tmp_path / "b", PLAIN, first=model)
    assert get_log(tmp_path / "a") == get_log(tmp_path / "b")
    assert_same(model.tokenizer.state_dict(), before)


# ---------------------------------------------------------------------------------------------
# Several processes

_TWO = """
import sys

sys.path.insert(0, {tests!r})
import test_training as t

t.loop._draw_curves = lambda folder: None
for stage in t.STAGES:
    t.run(stage, {corpus!r}, {out!r} + "/" + stage)
"""


@contextmanager
def one_thread():
    """Compute in one thread: some of the first weights are any of many that do the same."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch knows no processes here.")
@pytest.mark.slow
def test_two_processes_do_as_one(corpus, tmp_path):
    """Two gloo processes take the steps of one, the codebook's start and revival included."""
    script = tmp_path / "two.py"
    out = tmp_path / "two"
    tests = str(Path(__file__).parent)
    script.write_text(_TWO.format(tests=tests, corpus=str(corpus.folder), out=str(out)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(script)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
    ) as process:
        try:
            text, _ = process.communicate(timeout=240)
        except subprocess.TimeoutExpired:
            process.terminate()  # which ends both processes, where kill would not
            text, _ = process.communicate()
    assert process.returncode == 0, text
    for stage in STAGES:
        with one_thread():
            run(stage, corpus, tmp_path / "one" / stage)
        one, two = (read_log(folder / stage) for folder in (tmp_path / "one", out))
        columns = ["step", "split", "subject", "name"]
        assert one[columns].equals(two[columns])
        loss = (one["name"] != "gradient_norm") & (one["step"] <= 6)
        np.testing.assert_allclose(two["value"][loss], one["value"][loss], rtol=0, atol=1e-5)
        np.testing.assert_allclose(two["value"][~loss], one["value"][~loss], rtol=1e-2, atol=1e-5)
        facts, progress = read_progress(out / stage)
        assert facts == read_progress(tmp_path / "one" / stage)[0] and progress["step"] == 8
        mne_gram.load_model(out / stage / "model", verbose="error")
    assert get_values(out / "tokenizer", "revived").sum() > 0


def test_alone():
    """With one process nothing is exchanged."""
    x = torch.arange(3.0)
    assert processes.get_rank() == 0 and processes.get_n_processes() == 1
    assert processes.add_up(x) is x and processes.spread(x) is x
    assert processes.collect(x).tolist() == [[0, 1, 2]]
    processes.wait()
    with processes.process_group(CPU):
        assert not torch.distributed.is_initialized()


# ---------------------------------------------------------------------------------------------
# Settings


def test_schedule():
    config = TrainingConfig(n_steps=101, warm_up=0.1, learning_rate=1e-3, final_learning_rate=1e-5)
    rates = np.array([config.get_learning_rate(step) for step in range(101)])
    np.testing.assert_allclose(rates[:10], 1e-3 * np.arange(1, 11) / 10)
    np.testing.assert_allclose(rates[[10, 55, 100]], [1e-3, 5.05e-4, 1e-5])
    assert (np.diff(rates[10:]) < 0).all()
    quarter = 1e-5 + (1e-3 - 1e-5) * (1 + np.cos(np.pi / 3)) / 2
    assert rates[40] == pytest.approx(quarter)
    assert replace(config, warm_up=0.0).get_learning_rate(0) == 1e-3
    assert replace(config, warm_up=1.0).get_learning_rate(100) == 1e-3
    assert replace(config, n_steps=1, warm_up=0.0).get_learning_rate(0) == 1e-3


def test_published_settings(corpus):
    """1e-5 and 1e-4 for 256 windows, in proportion to the batch; a tenth is warm-up."""
    one, two = published_tokenizer(1000), published_gram(1000)
    # 8 parts of 16384 tokens are 512 windows of 256 tokens.
    assert (one.learning_rate, one.final_learning_rate) == pytest.approx((2e-5, 1e-6))
    assert (two.learning_rate, two.final_learning_rate) == pytest.approx((2e-4, 1e-5))
    assert (one.weight_decay, two.weight_decay) == (5e-4, 0.05)
    for config in (one, two):
        assert (config.n_steps, config.warm_up, config.clip) == (1000, 0.1, 1.0)
        assert not (config.centered or config.warm_start or config.free_guide)
        assert config.free_steps == 0 and config.code_gain == 1 and config.codebook_decay == 0.99
        assert config.get_learning_rate(99) == config.learning_rate
        assert config.get_learning_rate(999) == pytest.approx(config.final_learning_rate)
    assert published_tokenizer(10, 2, 8192, seed=4).learning_rate == pytest.approx(2.5e-6)
    assert published_tokenizer(10, seed=4).seed == 4
    half = replace(two, tokens_per_part=256, tokens_per_window=32)
    sampler = runs.make_sampler(corpus, half, masked=True)
    batches = [sampler.draw(step) for step in range(5)]
    assert all(batch.mask.float().mean() == 0.5 and batch.kind == "random" for batch in batches)


def test_config_round_trip():
    for config in (SHORT, TrainingConfig(), published_gram(100)):
        text = checkpoint.json.dumps(config.to_dict())
        fields = checkpoint.json.loads(text)
        fields["betas"] = tuple(fields["betas"])
        assert TrainingConfig(**fields) == config


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("n_steps", 0, "n_steps must be an int of at least 1"),
        ("n_parts", True, "n_parts must be an int"),
        ("log_every", 2.0, "log_every must be an int"),
        ("warm_up", 1.1, "warm_up must be from 0 to 1"),
        ("average", float("nan"), "average must be from 0 to 1"),
        ("learning_rate", 0.0, "learning_rate must be positive"),
        ("clip", float("inf"), "clip must be positive and finite"),
        ("weight_decay", -1.0, "weight_decay must be 0 or more"),
        ("free_steps", 1000, "free_steps must be from 0 to n_steps - 1"),
        ("seed", -1, "seed must be an int of at least 0"),
        ("precision", "float16", "precision must be 'float32' or 'bfloat16', got 'float16'"),
        ("hold_out_every", 1, "hold_out_every must be None or an int from 2"),
    ],
)
def test_config_validation(field, value, match):
    with pytest.raises(ValueError, match=match):
        TrainingConfig(**{field: value})
