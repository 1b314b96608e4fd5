# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Steps: optimisation, averages, starts, and that networks learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mne_gram.models import Gram
from mne_gram.training import _loop as loop
from mne_gram.training import _stages as stage_module
from mne_gram.training._codebook import Codebook
from mne_gram.training._stages import find_components

pytestmark = pytest.mark.usefixtures("no_figures")


@pytest.fixture(scope="module")
def plain_losses(corpus, tmp_path_factory, tiny):
    """Return a list with the losses of a run without options."""
    out = tmp_path_factory.mktemp("plain")
    tiny.run("tokenizer", corpus, out, tiny.PLAIN)
    return [tiny.get_values(out, "loss").tolist()]


# ---------------------------------------------------------------------------------------------
# The step


def test_steps_by_hand(corpus, tmp_path, tiny):
    """AdamW without decay of vectors, clipped mean gradients, the schedule, averaged weights."""
    config = replace(tiny.GRAM, dropout=0.0, drop_path=0.0)
    changes = dict(clip=0.5, weight_decay=0.3, learning_rate=5e-3, warm_start=False)
    training = replace(tiny.SHORT, **changes)
    one, sampler, _ = tiny.make_run("gram", corpus, tmp_path, training, config)
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
        values = tiny.take_steps(one, sampler, [step])
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


@pytest.mark.parametrize("stage", ["tokenizer", "gram"])
def test_vectors_do_not_decay(stage, corpus, tmp_path, tiny):
    one, _, _ = tiny.make_run(stage, corpus, tmp_path)
    groups = one.optimizer.param_groups
    resting, decaying = sorted(groups, key=lambda group: group["weight_decay"])
    assert decaying["weight_decay"] == tiny.SHORT.weight_decay and resting["weight_decay"] == 0
    assert all(p.ndim > 1 for p in decaying["params"])
    assert all(p.ndim == 1 for p in resting["params"])
    resting = {one.names[p] for p in resting["params"]}
    assert {name for name in one.names.values() if name.endswith("bias")} <= resting
    assert sum(name.endswith("norm.weight") for name in resting) >= 2
    if stage == "gram":
        assert {"encoder.cls", "encoder.fusion.weights", "encoder.blocks.0.scale1"} <= resting
    n_all = sum(len(group["params"]) for group in one.optimizer.param_groups)
    assert n_all == len(list(one.stage.network.parameters()))


def test_average_of_the_codebook(corpus, tmp_path, monkeypatch, tiny):
    """It begins with the codebook's start, as what was there before meant nothing."""
    started, start = [], Codebook.start

    def spy(self, *args):
        start(self, *args)
        started.append(self.vectors.clone())

    monkeypatch.setattr(Codebook, "start", spy)
    tiny.run("tokenizer", corpus, tmp_path, replace(tiny.SHORT, n_steps=4))
    saved = tiny.get_checkpoint(tmp_path)
    now, average = (saved[f"{group}/codebook"] for group in ("network", "average"))
    decay = 4 / 13  # in the fourth step, the first one with a codebook
    wanted = decay * started[0] + (1 - decay) * now
    torch.testing.assert_close(average, wanted, rtol=0, atol=1e-6)
    assert (now - started[0]).norm(dim=1).max() > 0.1


def test_averaged_network(corpus, tmp_path, tiny):
    one, sampler, _ = tiny.make_run(
        "tokenizer", corpus, tmp_path, replace(tiny.SHORT, free_steps=1)
    )
    tiny.take_steps(one, sampler, range(3))
    network = one.get_network()
    torch.testing.assert_close(network.codebook.norm(dim=-1), torch.ones(32))
    assert not torch.allclose(one.average.codebook.norm(dim=-1), torch.ones(32))
    assert not network.training and one.average.training
    assert not any(p.requires_grad for p in network.parameters())
    # Without averages it is the network itself.
    one, sampler, _ = tiny.make_run(
        "tokenizer", corpus, tmp_path / "b", replace(tiny.SHORT, average=0.0)
    )
    tiny.take_steps(one, sampler, range(5))
    tiny.assert_same(one.average.state_dict(), one.stage.network.state_dict())


def test_start_of_the_codebook(corpus, tmp_path, tiny):
    """It is filled in eval mode, from as many patches as asked for, after the free steps."""
    training = replace(tiny.SHORT, free_steps=2, free_guide=False, start_tokens=1000)
    one, sampler, _ = tiny.make_run("tokenizer", corpus, tmp_path, training)
    stage, found = one.stage, []
    assert (
        not stage.needs_start(1, 1 / 8)
        and stage.needs_start(2, 2 / 8)
        and stage.needs_start(3, 3 / 8)
    )
    start = stage.start

    def spy(step, progress, batches, generator):
        found.extend(batches)
        return start(step, progress, batches, generator)

    stage.start = spy
    states = tiny.get_random_states()
    loop._start_stage(stage, sampler, 2, one)
    assert tiny.get_random_states() == states and stage.network.training
    sizes = [batch.mask.numel() for batch in found]
    assert sum(sizes) >= 1000 > sum(sizes[:-1])
    assert not stage.needs_start(2, 2 / 8) and stage.guide is None
    first = stage.network.codebook.clone()
    stage.network.codebook.zero_()
    stage.network.eval()
    start(2, 2 / 8, found, loop.get_generator(0, 2, 0, loop._START))
    assert first.equal(stage.network.codebook) and not stage.network.training
    few = replace(found[0], x=found[0].x[:1, :1, :200], channels=found[0].channels[:1, :1])
    with pytest.raises(ValueError, match="codebook of 32 classes needs"):
        start(2, 2 / 8, [few], loop.get_generator(0))


def test_guide(corpus, tmp_path, tiny):
    """Before the codebook starts, codes learn to be what principal components make of patches."""
    one, sampler, _ = tiny.make_run("tokenizer", corpus, tmp_path, tiny.SHORT)
    assert one.stage.needs_start(0, 0 / 8)
    tiny.take_steps(one, sampler, [0])
    guide = one.stage.guide
    assert not one.stage.needs_start(1, 1 / 8) and one.stage.needs_start(3, 3 / 8)
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
    tiny.take_steps(one, sampler, [3])
    assert one.stage.codebook.started and not one.stage.needs_start(4, 4 / 8)
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


def test_tokenizer_learns(corpus, tmp_path, tiny):
    """In seconds the decoded patches of somebody else look like theirs."""
    training = replace(
        tiny.SHORT,
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
    tiny.run("tokenizer", corpus, tmp_path, training, config=replace(tiny.TOKENIZER, dropout=0.0))
    losses = tiny.get_values(tmp_path, "reconstruction")
    assert losses[:3].mean() > 0.95 and losses[-5:].mean() < 0.75
    assert tiny.get_values(tmp_path, "cosine_centered", "validation")[-1] > 0.3
    assert tiny.get_values(tmp_path, "classes_used", "validation")[-1] > 0.3


def test_gram_learns(corpus, tmp_path, tiny):
    """It names hidden patches better than anybody who knows how frequent classes are."""
    training = replace(
        tiny.PLAIN,
        n_steps=1,
        tokens_per_part=256,
        tokens_per_window=64,
        start_tokens=256,
        validate_every=50,
        checkpoint_every=50,
        dropout_channels=False,
    )
    config = replace(tiny.TOKENIZER, n_classes=16)
    first = tiny.run("tokenizer", corpus, tmp_path / "1", training, config=config)
    # The codebook of an untrained encoder names places, which is quickly learnt.
    entropy = np.log(tiny.get_values(tmp_path / "1", "perplexity", "validation")[-1])
    config = replace(tiny.GRAM, n_classes=16, dropout=0.0, drop_path=0.0)
    training = replace(training, n_steps=35, learning_rate=3e-3)
    tiny.run("gram", corpus, tmp_path / "2", training, config=config, first=first)
    assert tiny.get_values(tmp_path / "2", "cross_entropy")[0] > entropy > 1
    assert tiny.get_values(tmp_path / "2", "cross_entropy", "validation")[-1] < 0.7 * entropy
    spectral = tiny.get_values(tmp_path / "2", "spectral")
    assert spectral[-5:].mean() < 0.5 * spectral[0]


def test_warm_start(corpus, tmp_path, monkeypatch, tiny):
    """It comes before the first step, once, and the averages begin with it."""
    one, sampler, _ = tiny.make_run("gram", corpus, tmp_path)
    assert one.stage.needs_start(0, 0 / 8) and not one.stage.needs_start(1, 1 / 8)
    before = {name: value.clone() for name, value in one.stage.network.state_dict().items()}
    loop._start_stage(one.stage, sampler, 0, one)
    one.restart_average(0)
    started = one.stage.network.state_dict()
    changed = {name for name, value in started.items() if not value.equal(before[name])}
    assert {"decoder.head.weight", "encoder.blocks.0.mlp.fc1.weight"} <= changed
    assert "spectral_head.weight" not in changed
    tiny.assert_same(one.average.state_dict(), started)
    assert one.stage.network.training
    cold, _, _ = tiny.make_run(
        "gram", corpus, tmp_path / "b", replace(tiny.SHORT, warm_start=False)
    )
    assert not cold.stage.needs_start(0, 0 / 8)
    # Weights are those of the first process.
    monkeypatch.setattr(stage_module, "spread", lambda tensor: tensor.zero_())
    loop._start_stage(one.stage, sampler, 0, one)
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
def test_options_reach_the_network(corpus, tmp_path, plain_losses, changes, tiny):
    tiny.run("tokenizer", corpus, tmp_path, replace(tiny.PLAIN, **changes))
    assert tiny.get_values(tmp_path, "loss").tolist() not in plain_losses
    plain_losses.append(tiny.get_values(tmp_path, "loss").tolist())
