# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A run: what it writes, what decides it, what it measures, and the input it refuses."""

import random
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mne.utils import catch_logging

import mne_gram
from mne_gram.models import Gram
from mne_gram.models._files import GramModel, save_model
from mne_gram.training import _checkpoint as checkpoint
from mne_gram.training import _loop as loop
from mne_gram.training import _runs as runs
from mne_gram.training._batches import Sampler
from mne_gram.training._logs import Log, read_log

pytestmark = pytest.mark.usefixtures("no_figures")

draw_curves = loop._draw_curves


# ---------------------------------------------------------------------------------------------
# What a run leaves


def test_run_tells_all(unbroken, tiny):
    """Train values of every step, validation by subject, and all of the options at work."""
    frame = read_log(unbroken.out)
    train, validation = (frame[frame["split"] == split] for split in ("train", "validation"))
    assert sorted(train["step"].unique()) == list(range(1, 9))
    assert sorted(validation["step"].unique()) == [4, 8]
    assert set(validation["subject"]) == {"", "lab/3"}
    assert frame["value"].map(np.isfinite).all()
    rates = [tiny.SHORT.get_learning_rate(step) for step in range(8)]
    np.testing.assert_allclose(tiny.get_values(unbroken.out, "learning_rate"), rates)
    names = {"loss", "gradient_norm", "learning_rate"}
    if unbroken.stage == "tokenizer":
        assert set(train["name"]) == names | {
            *("reconstruction", "commitment", "revived", "classes_used")
        }
        assert tiny.get_values(unbroken.out, "revived").sum() > 0
        assert len(tiny.get_values(unbroken.out, "classes_used")) == 5  # not in the free steps
        wanted = {"cosine", "cosine_centered", "classes_used", "perplexity"}
        assert set(validation.query("subject == ''")["name"]) == wanted
    else:
        assert set(train["name"]) == names | {"cross_entropy", "spectral", "accuracy", "scale"}
        found = set(validation["name"])
        kinds = ("random", "channels", "cluster", "span")
        assert {f"accuracy_{kind}" for kind in kinds} <= found


def test_card(unbroken, tiny):
    card = unbroken.model.card["stages"][unbroken.stage]
    assert card["steps"] == 8 and card["training"] == tiny.SHORT.to_dict()
    (data,) = card["data"]
    assert data["dataset"] == "lab" and data["subjects_trained_on"] == ["0", "1", "2"]
    assert data["subjects_watched"] == ["3"] and data["hours"] == pytest.approx(
        108 / 3600, abs=1e-3
    )
    name = "cosine" if unbroken.stage == "tokenizer" else "accuracy"
    assert card["watched"][name] == tiny.get_values(unbroken.out, name, "validation")[-1]


def test_model_has_the_averaged_weights(unbroken, tiny):
    saved = tiny.get_checkpoint(unbroken.out)
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
    tiny.assert_same(network.state_dict(), getattr(unbroken.model, unbroken.stage).state_dict())
    if unbroken.stage == "gram":
        fresh = tiny.make_tokenizer.__wrapped__()
        tiny.assert_same(loaded.tokenizer.state_dict(), fresh.tokenizer.state_dict())


def test_curves(unbroken, tmp_path):
    shutil.copy(unbroken.out / "log.csv", tmp_path)
    draw_curves(tmp_path)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "log.csv"]


def test_curves_once_a_minute_and_at_the_end(corpus, tmp_path, monkeypatch, tiny):
    """Drawing takes longer than a step, so that a short run draws once."""
    drawn, clock = [], SimpleNamespace(now=0.0)
    monkeypatch.setattr(loop, "_draw_curves", lambda folder: drawn.append(len(read_log(folder))))
    training = replace(tiny.PLAIN, n_steps=3, validate_every=1)
    tiny.run("tokenizer", corpus, tmp_path / "run", training)
    assert drawn == [len(read_log(tmp_path / "run"))]
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: clock.now))
    Log(tmp_path).close()
    one, _, _ = tiny.make_run("tokenizer", corpus, tmp_path)
    found = []
    for clock.now in (59.0, 60.0, 119.0, 120.5, 121.0):
        drawn.clear()
        one.draw_curves(is_last=clock.now == 121.0)
        found.append(len(drawn))
    assert found == [0, 1, 0, 1, 1]


def test_models_are_named_by_the_folder_of_the_run(corpus, tmp_path, tiny):
    first = tiny.run("tokenizer", corpus, tmp_path / "mine", replace(tiny.PLAIN, n_steps=1))
    model = tiny.run(
        "gram", corpus, tmp_path / "yours", replace(tiny.PLAIN, n_steps=1), first=first
    )
    loaded = mne_gram.load_model(tmp_path / "yours" / "model", verbose="error")
    for name, found in (("mine", first), ("yours", model), ("yours", loaded)):
        assert repr(found).startswith(f"<GramModel | {name}, tokenizer: ")


def test_trained_folder_restores(corpus, tmp_path, tiny):
    """What training writes is a model like any other."""
    training = replace(tiny.SHORT, n_steps=2, free_steps=1, hold_out_every=None)
    first = tiny.run("tokenizer", corpus, tmp_path / "1", training)
    tiny.run("gram", corpus, tmp_path / "2", training, first=first)
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


def test_seed_decides(unbroken, corpus, tmp_path, monkeypatch, tiny):
    """Nothing else does: global random states are neither read nor moved."""
    drawn, draw = set(), Sampler.draw

    def spy(self, step, part=0):
        batch = draw(self, step, part)
        drawn.update(source.partition(" @ ")[0] for source in batch.sources)
        return batch

    monkeypatch.setattr(Sampler, "draw", spy)
    torch.rand(3), np.random.rand(3), random.random()
    before = tiny.get_random_states()
    tiny.run(unbroken.stage, corpus, tmp_path / "again")
    assert tiny.get_random_states() == before
    tiny.assert_same_run(tmp_path / "again", unbroken)
    # Nobody who is watched is trained on.
    assert drawn == {r.name for r in corpus.recordings if r.subject != "3"}
    training = replace(tiny.SHORT, n_steps=2, free_steps=1, seed=1)
    tiny.run(unbroken.stage, corpus, tmp_path / "other", training)
    assert (
        tiny.get_values(tmp_path / "other", "loss")[0] != tiny.get_values(unbroken.out, "loss")[0]
    )


def test_looking_changes_nothing(unbroken, corpus, tmp_path, tiny):
    """A run that is looked at more often takes the same steps to the same weights."""
    tiny.run(unbroken.stage, corpus, tmp_path, replace(tiny.SHORT, validate_every=2))
    for name in ("loss", "gradient_norm"):
        assert (
            tiny.get_values(tmp_path, name).tolist() == tiny.get_values(unbroken.out, name).tolist()
        )
    tiny.assert_same(tiny.get_checkpoint(tmp_path), tiny.get_checkpoint(unbroken.out))


@pytest.mark.parametrize("stage", ["tokenizer", "gram"])
def test_evaluation_has_no_side_effects(stage, corpus, tmp_path, tiny):
    one, sampler, batches = tiny.make_run(stage, corpus, tmp_path)
    tiny.take_steps(one, sampler, range(5))
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
    states = tiny.get_random_states()
    with Log(tmp_path / "log", resume_step=0) as log:
        one.validate(batches, log)
        one.validate(batches, log)
    network = one.get_network()
    values = one.stage.evaluate(network, batches)
    # Batches in another order give the same, too.
    again = one.stage.evaluate(network, batches[::-1])
    assert not any(module.training for module in network.modules())
    after, others = get_state()
    tiny.assert_same(after, tensors)
    assert others == rest and tiny.get_random_states() == states
    assert rest[0][0] is True and others[1][0] is True
    for subject in values:
        assert values[subject] == pytest.approx(again[subject], rel=1e-5)
    frame = read_log(tmp_path / "log")
    half = len(frame) // 2
    assert frame["value"][:half].tolist() == frame["value"][half:].tolist() and half > 5


def test_no_evaluation_without_anybody(corpus, tmp_path, tiny):
    one, _, _ = tiny.make_run("tokenizer", corpus, tmp_path)
    with Log(tmp_path) as log:
        one.validate([], log)
    assert len(read_log(tmp_path)) == 0 and "validation" not in one.progress


def test_measures(corpus, tmp_path, tiny):
    """The measures in held-out subjects, computed by hand."""
    one, _, batches = tiny.make_run("tokenizer", corpus, tmp_path)
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


def test_measures_of_masks(corpus, tmp_path, tiny):
    one, _, batches = tiny.make_run("gram", corpus, tmp_path)
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
# Bad input


def test_empty_corpus(corpus, tmp_path, tiny):
    empty = corpus.select(lambda recording: False)
    with pytest.raises(ValueError, match="has no recording to train on"):
        tiny.run("tokenizer", empty, tmp_path / "out")
    for wrong in (3, None):
        with pytest.raises(TypeError, match="corpus must be"):
            tiny.run("tokenizer", wrong, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_recording(corpus, tmp_path, tiny):
    """It trains, and nobody is watched."""
    one = corpus.select(lambda recording: recording.subject == "0")
    with catch_logging() as log:
        model = tiny.run("tokenizer", one, tmp_path, tiny.PLAIN, verbose="info")
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


def test_processes_that_do_not_fit(corpus, tmp_path, monkeypatch, tiny):
    monkeypatch.setattr(loop, "get_n_processes", lambda: 3)
    with pytest.raises(ValueError, match="3 processes cannot share 2 parts .* multiple of 3"):
        tiny.run("tokenizer", corpus, tmp_path)


@pytest.mark.parametrize("changes", [dict(precision="bfloat16"), dict(compile=True)])
def test_for_gpus_only(corpus, tmp_path, changes, tiny):
    for device in (None, "cpu"):
        with pytest.raises(ValueError, match="are for GPUs and slower on a CPU"):
            tiny.run(
                "tokenizer", corpus, tmp_path / "out", replace(tiny.SHORT, **changes), device=device
            )
    assert not (tmp_path / "out").exists()


def test_stages_that_do_not_fit(corpus, tmp_path, tiny):
    out = tmp_path / "out"
    for name, value in (("n_classes", 16), ("n_channels", 114)):
        first = tiny.make_tokenizer(**{name: value})
        theirs = getattr(tiny.GRAM, name)
        match = f"tokenizer has {name}={value} and config has {name}={theirs}"
        with pytest.raises(ValueError, match=match):
            tiny.run("gram", corpus, out, first=first)
    with pytest.raises(ValueError, match="no tokenizer; train stage 1 first"):
        tiny.run("gram", corpus, out, first=GramModel(gram=Gram(tiny.GRAM)))
    with pytest.raises(TypeError, match="config must be an instance of TokenizerConfig"):
        tiny.run("tokenizer", corpus, out, config=tiny.GRAM)
    with pytest.raises(TypeError, match="config must be an instance of GramConfig"):
        tiny.run("gram", corpus, out, config=tiny.TOKENIZER)
    with pytest.raises(TypeError, match="training must be an instance of TrainingConfig"):
        tiny.run("gram", corpus, out, {"n_steps": 3})
    assert not out.exists()
    out.write_text("mine")
    with pytest.raises(FileExistsError, match="is a file; expected a folder"):
        tiny.run("tokenizer", corpus, out, overwrite=True)
    assert out.read_text() == "mine"


def test_tokenizer_from_its_folder(corpus, tmp_path, tiny):
    """A folder stands for the model in it, and the tokenizer is not touched."""
    model = tiny.make_tokenizer()
    before = {name: value.clone() for name, value in model.tokenizer.state_dict().items()}
    save_model(model, tmp_path / "first", verbose="error")
    tiny.run("gram", corpus, tmp_path / "a", tiny.PLAIN, first=tmp_path / "first")
    tiny.run("gram", corpus, tmp_path / "b", tiny.PLAIN, first=model)
    assert tiny.get_log(tmp_path / "a") == tiny.get_log(tmp_path / "b")
    tiny.assert_same(model.tokenizer.state_dict(), before)
