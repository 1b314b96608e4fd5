# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Interrupted runs resume unharmed; values that are not finite stop a run."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mne.utils import catch_logging
from safetensors import safe_open
from safetensors.torch import save_file

import mne_gram
from mne_gram.models import Tokenizer
from mne_gram.training import _checkpoint as checkpoint
from mne_gram.training import _loop as loop
from mne_gram.training import _runs as runs
from mne_gram.training._batches import Sampler
from mne_gram.training._logs import Log, read_log
from mne_gram.training._stages import TokenizerStage

pytestmark = pytest.mark.usefixtures("no_figures")


class Broken(Exception):
    """What breaks a run."""


# ---------------------------------------------------------------------------------------------
# Runs that break


def test_broken_run_goes_on(unbroken, corpus, tmp_path, monkeypatch, tiny):
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
            tiny.run(unbroken.stage, corpus, tmp_path)
        assert tiny.get_values(tmp_path, "loss").shape == (step,)
        found = tiny.read_progress(tmp_path)[1]["step"] if step > 1 else None
        assert found == {1: None, 3: 2, 6: 6}[step]
    # A log that is ahead of the checkpoint is cut.
    with Log(tmp_path, resume_step=6) as log:
        log.write(7, "train", {"loss": 5.0})
    with catch_logging() as text:
        tiny.run(unbroken.stage, corpus, tmp_path, verbose="info")
    assert "Resuming after step 6 of 8" in text.getvalue()
    tiny.assert_same_run(tmp_path, unbroken)


def test_finished_run_is_not_repeated(unbroken, corpus, tmp_path, monkeypatch, tiny):
    shutil.copytree(unbroken.out, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "model")
    monkeypatch.setattr(loop._Run, "take_step", None)
    model = tiny.run(unbroken.stage, corpus, tmp_path / "run")
    tiny.assert_same_run(tmp_path / "run", unbroken)
    for found in (model, mne_gram.load_model(tmp_path / "run" / "model", verbose="error")):
        networks = (getattr(one, unbroken.stage) for one in (found, unbroken.model))
        tiny.assert_same(*(network.state_dict() for network in networks))
    name = "classes_used" if unbroken.stage == "tokenizer" else "accuracy"
    watched = model.card["stages"][unbroken.stage]["watched"]
    assert watched[name] == tiny.get_values(unbroken.out, name, "validation")[-1]


_KILLED = """
import os, signal, sys
import torch

sys.path.insert(0, {tests!r})
torch.set_num_threads({n_threads})
import conftest as t

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
def test_killed_process_goes_on(unbroken, corpus, tmp_path, tiny):
    """A process that was killed in the middle of a checkpoint has lost nothing before it."""
    code = _KILLED.format(
        tests=str(Path(__file__).parent),
        n_threads=torch.get_num_threads(),
        corpus=str(corpus.folder),
        out=str(tmp_path),
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=280)
    assert done.returncode == -signal.SIGKILL, done.stderr
    _, progress = tiny.read_progress(tmp_path)
    assert progress["step"] == 2 and tiny.get_values(tmp_path, "loss").shape == (4,)
    assert len(list(tmp_path.glob(".mne_gram-*"))) == 1
    tiny.run("tokenizer", corpus.folder, tmp_path)
    tiny.assert_same_run(tmp_path, unbroken)


def test_full_disk(unbroken, corpus, tmp_path, monkeypatch, tiny):
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
            tiny.run(unbroken.stage, corpus, tmp_path)
    assert tiny.read_progress(tmp_path)[1]["step"] == 2
    assert not list(tmp_path.glob(".mne_gram-*"))
    tiny.run(unbroken.stage, corpus, tmp_path)
    tiny.assert_same_run(tmp_path, unbroken)


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


@pytest.mark.parametrize("stage", ["tokenizer", "gram"])
def test_nan_stops(stage, corpus, tmp_path, monkeypatch, stages, tiny):
    """The batch is named, the weights stay, and the checkpoint is kept."""
    training = replace(tiny.SHORT, checkpoint_every=1)
    sources = spoil(monkeypatch, 4, 1)
    with pytest.raises(RuntimeError, match="Step 5 gave a loss of nan") as error:
        tiny.run(stage, corpus, tmp_path, training)
    text = str(error.value)
    assert str(tmp_path / checkpoint.NAME) in text and "is kept" in text
    assert all(source in text for source in sources[1])
    others = set(sources[0]) - set(sources[1])
    assert others and not any(f"{source};" in text for source in others)
    saved = tiny.get_checkpoint(tmp_path)
    assert tiny.read_progress(tmp_path)[1]["step"] == 4
    for name, value in stages[0].network.state_dict().items():
        assert value.equal(saved[f"network/{name}"]), name
    assert len(tiny.get_values(tmp_path, "loss")) == 4


def test_infinite_gradient_stops(corpus, tmp_path, stages, tiny):
    """Also where the loss is finite, and before there is a checkpoint."""
    before = {}

    def build(*args):
        network = Tokenizer(tiny.TOKENIZER)
        before.update({name: value.clone() for name, value in network.state_dict().items()})
        network.code_head[0].weight.register_hook(lambda grad: grad * torch.inf)
        return TokenizerStage, (network,)

    match = r"Step 1 gave a loss of [0-9.]+ and a gradient of norm (nan|inf)"
    with pytest.raises(RuntimeError, match=match) as error:
        runs.run_stage(
            "tokenizer", build, tiny.TOKENIZER, corpus, tmp_path, tiny.SHORT, None, False
        )
    assert "is kept" not in str(error.value)
    assert not (tmp_path / checkpoint.NAME).exists()
    tiny.assert_same(stages[0].network.state_dict(), before)


@pytest.mark.parametrize(("stage", "step"), [("tokenizer", 0), ("tokenizer", 3), ("gram", 0)])
def test_nan_in_a_start_stops(corpus, tmp_path, monkeypatch, stages, stage, step, tiny):
    """One patch would make the guide, the whole codebook or the first weights NaN."""
    sources = spoil(monkeypatch, step, 1)
    with pytest.raises(RuntimeError, match=f"Step {step + 1} cannot be prepared") as error:
        tiny.run(stage, corpus, tmp_path, tiny.SHORT)
    assert all(source in str(error.value) for source in sources[1])
    assert all(value.isfinite().all() for value in stages[0].network.state_dict().values())
    guide = getattr(stages[0], "guide", None)
    assert guide is None or guide.isfinite().all()


def test_other_runs_are_refused(copied, corpus, tiny):
    kept = (copied.out / checkpoint.NAME).read_bytes()
    fewer = corpus.select(lambda recording: recording.subject != "2")
    config = tiny.TOKENIZER if copied.stage == "tokenizer" else tiny.GRAM
    other = next(stage for stage in tiny.STAGES if stage != copied.stage)
    cases = [
        (copied.stage, dict(config=replace(config, dropout=0.2)), r"network.dropout was 0.\d+ and"),
        (
            copied.stage,
            dict(training=replace(tiny.SHORT, clip=2.0)),
            "training.clip was 1.0 and is 2.0",
        ),
        (copied.stage, dict(corpus=fewer), "corpus was '.*' and is '"),
        (other, {}, f"stage was '{copied.stage}' and is '{other}'"),
    ]
    if copied.stage == "gram":
        cases.append(("gram", dict(first=tiny.make_tokenizer(8)), "tokenizer was '.*' and is '"))
    for stage, changes, match in cases:
        with pytest.raises(ValueError, match=f"belongs to another run: .*{match}.*overwrite=True"):
            tiny.run(stage, **dict(corpus=corpus, out=copied.out) | changes)
        assert (copied.out / checkpoint.NAME).read_bytes() == kept
    with pytest.raises(ValueError) as error:
        tiny.run(copied.stage, corpus, copied.out, replace(tiny.SHORT, clip=2.0))
    assert "network" not in str(error.value)  # only what differs is told


def test_older_checkpoints(copied, corpus, tiny):
    """A run goes on that began before a setting existed, as that setting has a default."""
    path = copied.out / checkpoint.NAME
    with safe_open(path, framework="pt") as file:
        content = json.loads(file.metadata()["mne_gram"])
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    assert content["facts"]["training"].pop("code_gain") == 1
    save_file(tensors, path, metadata={"mne_gram": json.dumps(content)})
    tiny.run(copied.stage, corpus, copied.out)
    with pytest.raises(ValueError, match="training.code_gain was 1.0 and is 2.0"):
        tiny.run(copied.stage, corpus, copied.out, replace(tiny.SHORT, code_gain=2.0))


def test_warm_start_needs_room(copied, corpus, tiny):
    """What cannot start takes nothing away, not even when it is told to overwrite."""
    if copied.stage == "tokenizer":
        return
    kept = (copied.out / checkpoint.NAME).read_bytes()
    config = replace(tiny.GRAM, decoder_n_blocks=1)
    with pytest.raises(ValueError, match="at least 2 blocks.* has 1"):
        tiny.run(
            "gram",
            corpus,
            copied.out,
            replace(tiny.SHORT, warm_start=True),
            config=config,
            overwrite=True,
        )
    assert (copied.out / checkpoint.NAME).read_bytes() == kept


def test_overwrite_starts_anew(copied, corpus, tiny):
    training = replace(tiny.SHORT, n_steps=2, free_steps=1, learning_rate=1e-4)
    tiny.run(copied.stage, corpus, copied.out, training, overwrite=True)
    frame = read_log(copied.out)
    assert set(frame["step"]) == {1, 2} and tiny.read_progress(copied.out)[1]["step"] == 2
    assert tiny.get_values(copied.out, "learning_rate").max() <= 1e-4


@pytest.mark.parametrize("broken", ["garbage", "cut", "other"])
@pytest.mark.parametrize("unbroken", ["tokenizer"], indirect=True)
def test_no_checkpoint_of_ours(copied, corpus, broken, tiny):
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
        tiny.run("tokenizer", corpus, copied.out)
    assert path.read_bytes() == kept
    tiny.run(
        "tokenizer",
        corpus,
        copied.out,
        replace(tiny.SHORT, n_steps=1, free_steps=0),
        overwrite=True,
    )
    assert tiny.read_progress(copied.out)[1]["step"] == 1


def test_checkpoint_is_read_as_written(tmp_path):
    groups = {"network": {"a.b": torch.randn(3, 4).T, "c": torch.tensor(2.0)}, "empty": {}}
    facts = {"stage": "x", "betas": (0.9, 0.98), "kinds": None}
    checkpoint.write_checkpoint(tmp_path, groups, facts, {"step": 3, "seconds": 1.5})
    shapes = ({"network": {"a.b": (4, 3), "c": ()}}, {})
    found, progress = checkpoint.read_checkpoint(tmp_path, facts, *shapes)
    assert progress == {"step": 3, "seconds": 1.5} and list(found) == ["network"]
    for name, value in groups["network"].items():
        assert found["network"][name].equal(value)
    assert checkpoint.read_checkpoint(tmp_path / "nowhere", facts, {}, {}) == (None, {"step": 0})
    match = "betas was .* and is .*; kinds was None and is 1; new was None and is 'y'"
    with pytest.raises(ValueError, match=match):
        facts = {"stage": "x", "betas": (0.9, 0.99), "kinds": 1, "new": "y"}
        checkpoint.read_checkpoint(tmp_path, facts, *shapes)
