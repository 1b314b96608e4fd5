# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Training by the clock: rates, free steps, validations and checkpoints follow the time."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mne_gram.models import load_model
from mne_gram.training import RECIPES, run_recipe
from mne_gram.training import _loop as loop
from mne_gram.training import _recipes as recipes
from mne_gram.training import _schedule as schedule
from mne_gram.training._config import TrainingConfig
from mne_gram.training._logs import read_log

pytestmark = pytest.mark.usefixtures("no_figures")
MINUTES = 0.5


class Clock:
    """A clock that steps of training advance; by ``setup``, if any, in the first three."""

    def __init__(self, monkeypatch, seconds, setup=0.0):
        self.now = 1000.0
        self.seconds, self.setup, self.break_at = seconds, setup, None
        self.rates, self.progress = [], []
        monkeypatch.setattr(schedule, "time", SimpleNamespace(monotonic=lambda: self.now))
        monkeypatch.setattr(schedule, "count_setup", lambda device: 3 if setup else 0)
        take_step = loop._Run.take_step

        def take(run, step, *args):
            if step == self.break_at:
                raise KeyboardInterrupt
            values = take_step(run, step, *args)
            self.rates.append(values["learning_rate"])
            self.progress.append(run.schedule.get_progress(step))
            self.now += self.setup if self.setup and step < 3 else self.seconds
            return values

        monkeypatch.setattr(loop._Run, "take_step", take)


@pytest.fixture
def training(tiny):
    """Return settings of half a minute; the warm-up is a fifth, free steps are three eighths."""
    return replace(tiny.SHORT, minutes=MINUTES, warm_up=0.2, tokens_per_part=64)


@pytest.mark.parametrize("stage", ["tokenizer", "gram"])
@pytest.mark.parametrize("seconds", [1.0, 3.0])
def test_it_ends_in_time(stage, seconds, corpus, tmp_path, training, monkeypatch, tiny):
    """Any machine goes through the whole schedule; a slow one in fewer steps."""
    clock = Clock(monkeypatch, seconds, setup=2.0)
    model = tiny.run(stage, corpus, tmp_path, training)
    card = model.card["stages"][stage]
    n_steps = 3 + (60 * MINUTES - 3 * 2.0) / seconds
    assert card["steps"] == n_steps == len(clock.rates)
    assert card["hours_of_training"] == pytest.approx(MINUTES / 60, abs=1e-4)
    assert card["seconds_of_setup"] == 6.0 and card["training"]["minutes"] == MINUTES
    # Compilation is no progress.
    assert clock.progress[:4] == [0.0] * 4 and clock.progress[-1] == 1 - seconds / 24
    for rate, progress in zip(clock.rates, clock.progress, strict=True):
        if progress < 0.2:
            wanted = training.learning_rate * max(progress / 0.2, 0.01)
        else:
            angle = np.pi * (progress - 0.2) / 0.8
            wanted = 1e-5 + (training.learning_rate - 1e-5) * (1 + np.cos(angle)) / 2
        assert rate == pytest.approx(wanted)
    validated = read_log(tmp_path).query("split == 'validation'")["step"].unique()
    assert len(validated) == 4 and validated[-1] == n_steps
    if stage == "tokenizer":
        # The codebook starts with the first step after the free ones.
        known = read_log(tmp_path).query("name == 'revived'")["step"].min()
        assert clock.progress[known - 1] >= 3 / 8 > clock.progress[known - 2]


def test_no_setup(tmp_path, corpus, training, monkeypatch, tiny):
    """On a CPU the first steps take no longer than others, and count."""
    assert schedule.count_setup(tiny.CPU) == 0
    assert schedule.count_setup(SimpleNamespace(type="cuda")) == 3
    clock = Clock(monkeypatch, 6.0)
    model = tiny.run("gram", corpus, tmp_path, training)
    assert clock.progress == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])
    assert model.card["stages"]["gram"]["seconds_of_setup"] == 0.0


@pytest.mark.parametrize("setup", [0.0, 40.0])
def test_the_codebook_always_starts(setup, corpus, tmp_path, training, monkeypatch, tiny):
    """Also where the first steps take all the time, by one step more."""
    clock = Clock(monkeypatch, 50.0, setup=setup)
    tiny.run("tokenizer", corpus, tmp_path, training)
    assert clock.progress == [0.0] * (4 if setup else 1) + [1.0]
    assert tiny.get_checkpoint(tmp_path)["stage/codebook.started"] == 1
    assert tiny.read_progress(tmp_path)[1]["done"]


def test_resumed(corpus, tmp_path, training, monkeypatch, tiny):
    """The time before an interruption counts, that of the interruption does not."""
    monkeypatch.setattr(schedule, "_CHECKPOINT_EVERY", 4.0)
    clock = Clock(monkeypatch, 2.0, setup=1.0)
    clock.break_at = 10
    with pytest.raises(KeyboardInterrupt):
        tiny.run("tokenizer", corpus, tmp_path, training)
    _, progress = tiny.read_progress(tmp_path)
    assert progress["step"] == 10 and progress["seconds"] == 17.0 and not progress["done"]
    clock.now += 5000.0
    clock.break_at, clock.progress = None, []
    model = tiny.run("tokenizer", corpus, tmp_path, training)
    assert clock.progress[0] == pytest.approx(14 / 27)
    assert model.card["stages"]["tokenizer"]["steps"] == 3 + 14
    # A finished run is only read again.
    clock.progress = []
    again = tiny.run("tokenizer", corpus, tmp_path, training)
    assert not clock.progress and again.card["stages"] == model.card["stages"]


def test_other_minutes(corpus, tmp_path, training, monkeypatch, tiny):
    Clock(monkeypatch, 5.0)
    tiny.run("tokenizer", corpus, tmp_path, training)
    with pytest.raises(ValueError, match="training.minutes was 0.5 and is 1.0"):
        tiny.run("tokenizer", corpus, tmp_path, replace(training, minutes=1.0))


def test_processes_follow_the_first(training, monkeypatch, tiny):
    """They agree on the time when they log."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(schedule, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(schedule, "count_setup", lambda device: 3)
    monkeypatch.setattr(schedule, "get_n_processes", lambda: 2)
    monkeypatch.setattr(schedule, "spread", lambda tensor: tensor.fill_(0.25))
    one = schedule.Schedule(replace(training, log_every=4), {"step": 0}, tiny.CPU)
    clock.now = 20.0
    found = [(one.advance(k), one.fraction) for k in range(1, 9)]
    assert found == [(False, 0.0)] * 3 + [(False, 0.25)] * 5
    assert one.setup == 0.25


@pytest.mark.parametrize("minutes", [0, -1.0, np.inf])
def test_wrong_minutes(minutes, tmp_path):
    with pytest.raises(ValueError, match="minutes must be None, or positive and finite"):
        TrainingConfig(minutes=minutes)
    if not np.isinf(minutes):
        with pytest.raises(ValueError, match="minutes must be positive"):
            run_recipe("gram-tiny", tmp_path, bids_roots=[], corpus=tmp_path, minutes=minutes)
    with pytest.raises(ValueError, match="either minutes or a number of steps"):
        run_recipe(
            "gram-tiny",
            tmp_path,
            bids_roots=[],
            corpus=tmp_path,
            minutes=2,
            changes={"n_steps": 3},
        )


def test_recipe_by_time(corpus, tmp_path, monkeypatch, tiny):
    """Both stages share the minutes, and the card has them."""
    recipe = replace(
        RECIPES["gram-small"],
        tokenizer=tiny.TOKENIZER,
        gram=tiny.GRAM,
        stage1=replace(tiny.SHORT, n_steps=100, free_steps=20),
        stage2=replace(tiny.SHORT, n_steps=100, free_steps=0),
    )
    monkeypatch.setitem(recipes.RECIPES, "gram-small", recipe)
    Clock(monkeypatch, 1.5, setup=1e-9)
    run_recipe("gram-small", tmp_path, bids_roots=[], corpus=corpus.folder, minutes=MINUTES)
    stages = load_model(tmp_path / "gram-small").card["stages"]
    assert [stages[name]["training"]["minutes"] for name in stages] == pytest.approx([0.2, 0.3])
    assert [stages[name]["steps"] for name in stages] == [3 + 8, 3 + 12]


def test_size_of_gram_small():
    """The file has at most 25 MB, and heads have a width that fast attention takes."""
    from mne_gram.models import Gram, Tokenizer

    recipe = RECIPES["gram-small"]
    networks = Tokenizer(recipe.tokenizer, seed=None), Gram(recipe.gram, seed=None)
    n_values = sum(v.numel() for one in networks for v in one.state_dict().values())
    assert recipe.dtype == "float16" and 2 * n_values < 24.9e6
    for config in (recipe.tokenizer, recipe.gram):
        assert config.dim // config.n_heads % 8 == 0 and 200 // config.decoder_n_heads % 8 == 0
    assert recipe.stage1.minutes + recipe.stage2.minutes == pytest.approx(8)
