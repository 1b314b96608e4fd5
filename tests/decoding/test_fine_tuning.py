# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Fine-tuning: training, adapters, averages and reproducibility."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch

from mne_gram.decoding import _fine_tuning
from mne_gram.decoding._adapted_encoder import Adapter, apply_adaptation, predict_adapted
from mne_gram.decoding._fine_tuning import (
    SCHEDULES,
    FineTuner,
    choose_schedule,
    draw_batches,
    fine_tune,
)
from mne_gram.decoding._input_formats import TrialStack
from mne_gram.decoding._trial_reader import Trials
from mne_gram.models import Gram, _layers, encode_windows, gram_nano
from mne_gram.models._files import GramModel

CHANNELS = np.array([25, 27, 29])


def _make_backbone(**changes):
    gram = Gram(dataclasses.replace(gram_nano(), **changes), seed=0).eval()
    return GramModel(gram=gram, sha256="0" * 64)


def _make_trials(n=24, lengths=(200,), seed=0):
    """Return trials of two classes that differ in the strength of a rhythm in one channel."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    stacks = []
    for rows, length in zip(np.array_split(np.arange(n), len(lengths)), lengths, strict=True):
        x = 0.2 * rng.standard_normal((len(rows), 3, length))
        x[:, 1] += 0.6 * y[rows, None] * np.sin(2 * np.pi * 10 * np.arange(length) / 200)
        stacks.append(TrialStack(rows, x.astype(np.float32)))
    return Trials(stacks, ["C3", "Cz", "C4"], CHANNELS), y


def _train(kind, backbone, trials, y, *, seed=0, start=None, **changes):
    schedule = choose_schedule(kind, **{"n_epochs": 4, "batch_size": 8, **changes})
    tuner = FineTuner(backbone, kind, 2, schedule, 2, seed, start=start)
    rows = np.arange(len(y))
    weights = np.ones(len(y))
    return fine_tune(tuner, trials, y, weights, rows[rows % 3 > 0], rows[rows % 3 == 0])


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_learns(kind):
    """The stored arrays alone separate the classes after training."""
    backbone, (trials, y) = _make_backbone(), _make_trials(60)
    before = {name: value.clone() for name, value in backbone.gram.state_dict().items()}
    found = _train(kind, backbone, trials, y, n_epochs=15, learning_rate=5e-3)
    stored = pickle.loads(pickle.dumps(found))
    arrays = [*stored.tensors.values(), stored.coef, stored.intercept]
    assert all(type(array) is np.ndarray for array in arrays)
    logits = predict_adapted(backbone, stored, trials)
    assert np.mean(logits.argmax(axis=1) == y) > 0.9
    others, labels = _make_trials(40, seed=1)
    assert np.mean(predict_adapted(backbone, stored, others).argmax(axis=1) == labels) > 0.8
    for name, value in backbone.gram.state_dict().items():
        assert torch.equal(value, before[name])
    n_encoder = sum(p.numel() for p in backbone.gram.encoder.parameters())
    n_stored = sum(value.size for value in stored.tensors.values())
    assert n_stored == n_encoder if kind == "full" else n_stored < n_encoder / 5


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_best_epoch_is_restored(kind, monkeypatch):
    """The averaged weights of the best epoch are returned, not the last ones."""
    backbone, (trials, y) = _make_backbone(), _make_trials()
    seen = []

    def evaluate(tuner, *args):
        seen.append({name: value.numpy().copy() for name, value in tuner.average.items()})
        return (0.1, 0.9) if len(seen) == 3 else (1.0, 0.0)

    monkeypatch.setattr(FineTuner, "evaluate", evaluate)
    found = _train(kind, backbone, trials, y)
    assert found.best_epoch == 2 and len(seen) == len(found.history) == 5
    assert found.history[2]["validation_loss"] == 0.1
    for name, value in found.tensors.items():
        np.testing.assert_array_equal(value, seen[2][f"gram.encoder.{name}"])
    np.testing.assert_array_equal(found.coef, seen[2]["head.weight"])
    assert not np.array_equal(found.coef, seen[-1]["head.weight"])


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_history(kind):
    """The history contains the scores of the stored weights, chosen by loss or kappa."""
    backbone, (trials, y) = _make_backbone(), _make_trials(30)
    found = _train(kind, backbone, trials, y, learning_rate=2e-2, n_epochs=5)
    rows = np.arange(0, 30, 3)
    logits = predict_adapted(backbone, found, trials)[rows]
    losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(10), y[rows]]
    best = found.history[found.best_epoch]
    assert losses.mean() == pytest.approx(best["validation_loss"], abs=1e-4)
    if kind == "lora":
        assert best["validation_loss"] == min(row["validation_loss"] for row in found.history)
    else:
        assert best["validation_kappa"] == max(row["validation_kappa"] for row in found.history)


def test_stops_without_gain(monkeypatch):
    """Training ends after as many epochs without gain as the schedule says."""
    backbone, (trials, y) = _make_backbone(), _make_trials()
    monkeypatch.setattr(FineTuner, "evaluate", lambda *args: (1.0, 0.0))
    schedule = dataclasses.replace(choose_schedule("lora", n_epochs=9), patience=3)
    monkeypatch.setitem(SCHEDULES, "lora", schedule)
    found = _train("lora", backbone, trials, y, n_epochs=9)
    assert found.best_epoch == 0 and len(found.history) == 4


@pytest.mark.parametrize("kind", ["lora", "full"])
@pytest.mark.parametrize("rates", [{}, {"dropout": 0.2, "drop_path": 0.2}])
def test_determinism(kind, rates):
    """Results depend on the seed alone; no global random state is changed or read."""
    backbone, (trials, y) = _make_backbone(**rates), _make_trials()
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = _train(kind, backbone, trials, y, n_epochs=1)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    torch.rand(3)
    second, third = (_train(kind, backbone, trials, y, n_epochs=1, seed=s) for s in (0, 1))
    np.testing.assert_equal(first.history, second.history)
    for name, value in first.tensors.items():
        np.testing.assert_array_equal(value, second.tensors[name])
    assert first.history != third.history


def test_adapters_start_at_zero():
    """At first the adapted network equals the frozen one; only adapters and head are trained."""
    backbone, (trials, _) = _make_backbone(), _make_trials()
    tuner = FineTuner(backbone, "lora", 2, choose_schedule("lora"), 2, 0)
    layers = [m for m in tuner.network.modules() if isinstance(m, Adapter)]
    assert len(layers) == 6 * 2  # four of attention and two of the MLP in both blocks
    learnt = {name.rpartition(".")[2] for name in tuner.learnt}
    assert learnt == {"up", "down", "weight", "bias"}
    assert sum(n.startswith("head") for n in tuner.learnt) == 2
    x = trials.stacks[0].data
    wanted = encode_windows(backbone, x, CHANNELS)
    start = tuner.get_result(tuner.average)
    found = encode_windows(apply_adaptation(backbone, start), x, CHANNELS)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_adapters_where_weights_are_packed(monkeypatch):
    """A GPU packs the weights of attention layers, which those with adapters do not have."""
    backbone, (trials, _) = _make_backbone(), _make_trials()
    tuner = FineTuner(backbone, "lora", 2, choose_schedule("lora"), 2, 0)
    x, channels = torch.from_numpy(trials.stacks[0].data), torch.from_numpy(CHANNELS)
    wanted = tuner.network.eval()(x, channels)
    monkeypatch.setattr(_layers, "prefers_products", lambda x: True)
    torch.testing.assert_close(tuner.network(x, channels), wanted, rtol=1e-4, atol=1e-5)


def test_merged_adapters():
    """Merged adapters give the same outputs as separate ones."""
    backbone, (trials, y) = _make_backbone(), _make_trials(20, lengths=(200, 3600))
    tuner = FineTuner(backbone, "lora", 2, choose_schedule("lora"), 2, 0)
    generator = torch.Generator().manual_seed(3)
    for name, value in tuner.average.items():
        if "gram" in name:
            value.copy_(0.1 * torch.randn(value.shape, generator=generator))
    loss, _ = tuner.evaluate(trials, y, np.ones(20), np.arange(20))
    logits = predict_adapted(backbone, tuner.get_result(tuner.average), trials)
    losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(20), y]
    assert losses.mean() == pytest.approx(loss, rel=1e-4)
    plain = predict_adapted(
        backbone, FineTuner(backbone, "lora", 2, choose_schedule("lora"), 2, 0).get_result(
            {k: v for k, v in tuner.average.items() if "gram" not in k}
            | {k: torch.zeros_like(v) for k, v in tuner.average.items() if "gram" in k}
        ), trials,
    )  # fmt: skip
    assert np.abs(plain - logits).max() > 1e-2


def test_layer_decay():
    """The published factors: 1 above the blocks, times 0.65 for each layer below, CLS last."""
    backbone = _make_backbone()
    tuner = FineTuner(backbone, "full", 2, choose_schedule("full"), 2, 0)
    shares, decays = {}, {}
    names = {id(p): name for name, p in tuner.learnt.items()}
    for group in tuner.optimizer.param_groups:
        for parameter in group["params"]:
            shares[names[id(parameter)]] = group["share"]
            decays[names[id(parameter)]] = group["weight_decay"]
    assert set(shares) == set(tuner.learnt)
    expected = {
        "head.weight": 1.0,
        "gram.encoder.patch_embedding.conv1.weight": 1.0,
        "gram.encoder.fusion.weights": 1.0,
        "gram.encoder.blocks.1.mlp.fc1.weight": 0.65,
        "gram.encoder.blocks.0.attn.query.weight": 0.65**2,
        "gram.encoder.cls": 0.65**3,
    }
    for name, share in expected.items():
        assert shares[name] == pytest.approx(share)
    assert decays["head.weight"] == 0.05 and decays["gram.encoder.cls"] == 0
    assert decays["head.bias"] == 0 and decays["gram.encoder.norm.weight"] == 0


def test_rate():
    """The learning rate rises over the warm-up and falls to zero as a cosine."""
    tuner = FineTuner(_make_backbone(), "full", 2, choose_schedule("full"), 2, 0)
    rates = []
    for tuner.n_steps in range(50 * 4):
        rates.append(tuner._get_rate(4, 50))
    assert rates[0] == 1 / 20 and rates[19] == rates[20] == 1.0
    assert np.all(np.diff(rates[20:]) < 0) and rates[-1] < 1e-3
    assert choose_schedule("full", n_epochs=10).n_warmup == 1


@pytest.mark.parametrize("n, batch_size", [(17, 8), (3, 8), (24, 8), (9, 1)])
def test_no_trial_is_dropped(n, batch_size):
    """Each trial is in one batch of an epoch, and batches have nearly equal sizes."""
    trials, _ = _make_trials(n, lengths=(200, 400))
    rows = np.arange(n)[1:]
    batches = draw_batches(trials, rows, batch_size, np.random.default_rng(0))
    seen = np.concatenate([trials.stacks[stack].rows[which] for stack, which in batches])
    assert sorted(seen) == rows.tolist()
    for number in range(2):
        sizes = [len(which) for stack, which in batches if stack == number]
        assert not sizes or (max(sizes) <= batch_size and max(sizes) - min(sizes) <= 1)


def test_parts_of_a_batch(monkeypatch):
    """A batch in parts gives the same step; a trial's weight counts like copies of it."""
    backbone, (trials, y) = _make_backbone(), _make_trials(8)
    results = []
    for size, weights in ((4096, np.ones(8)), (6, np.ones(8)), (6, 3 * np.ones(8))):
        monkeypatch.setattr(_fine_tuning, "_TOKENS_AT_ONCE", size)
        tuner = FineTuner(backbone, "full", 2, choose_schedule("full"), 2, 0)
        tuner._take_step(trials, 0, np.arange(8), y, weights, (0, 0))
        results.append(tuner.network.head.weight.detach().numpy().copy())
    np.testing.assert_allclose(results[1], results[0], atol=1e-6)
    np.testing.assert_allclose(results[2], results[0], atol=1e-6)
    weights = np.where(y == 1, 1.0, 1e-9)
    tuner = FineTuner(backbone, "full", 2, choose_schedule("full"), 2, 0)
    tuner._take_step(trials, 0, np.arange(8), y, weights, (0, 0))
    bias = tuner.network.head.bias.detach()
    assert bias[1] > 0 > bias[0]


def test_average_is_used():
    """The running average is evaluated and stored, not the last weights."""
    backbone, (trials, y) = _make_backbone(), _make_trials()
    tuner = FineTuner(backbone, "full", 2, choose_schedule("full"), 2, 0)
    weights, rows = np.ones(len(y)), np.arange(len(y))
    expected = tuner.average["head.bias"].clone()
    for k in range(3):
        tuner._take_step(trials, 0, rows, y, weights, (0, k))
        decay = (1 + k) / (10 + k)
        expected.lerp_(tuner.learnt["head.bias"].detach(), 1 - decay)
    result = tuner.get_result(tuner.average)
    np.testing.assert_allclose(result.intercept, expected, atol=1e-8)
    assert not np.allclose(result.intercept, tuner.learnt["head.bias"].detach())
    loss, _ = tuner.evaluate(trials, y, weights, rows)
    logits = predict_adapted(backbone, result, trials)
    losses = np.logaddexp.reduce(logits, axis=1) - logits[rows, y]
    assert losses.mean() == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_continue_training(kind):
    """Training continues from a former result."""
    backbone, (trials, y) = _make_backbone(), _make_trials()
    first = _train(kind, backbone, trials, y, learning_rate=5e-3)
    second = _train(kind, backbone, trials, y, start=first)
    start, best = second.history[0], first.history[first.best_epoch]
    assert start["validation_loss"] == pytest.approx(best["validation_loss"], abs=1e-5)


@pytest.mark.parametrize(
    "changes, match",
    [
        ({"n_epochs": 0}, "n_epochs must be a whole number"),
        ({"batch_size": 1.5}, "batch_size must be"),
        ({"learning_rate": -1.0}, "learning_rate must be"),
    ],
)
def test_bad_schedules(changes, match):
    """Invalid settings raise an error."""
    with pytest.raises(ValueError, match=match):
        choose_schedule("full", **changes)


def test_infinite_loss():
    """A loss that is not finite stops training with a hint."""
    backbone, (trials, y) = _make_backbone(), _make_trials()
    trials.stacks[0].data[4] = np.nan  # a training trial
    with pytest.raises(RuntimeError, match="lower learning_rate"):
        _train("full", backbone, trials, y)
