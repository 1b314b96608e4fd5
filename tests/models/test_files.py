# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Folders of models: written completely or not at all, and read strictly."""

import json
import os
import shutil
from dataclasses import replace

import pooch
import pytest
import torch
from safetensors.torch import load_file, save_file

from mne_gram.models import Gram, gram_nano
from mne_gram.models._registry import (
    GramModel,
    load_model,
    save_model,
)

pytestmark = pytest.mark.usefixtures("models_dir")
CHANNELS = [0, 17, 41]


def test_round_trip(model, tmp_path, list_files, assert_same_networks):
    folder = save_model(model, tmp_path / "some" / "model")
    assert folder == tmp_path / "some" / "model"
    assert list_files(tmp_path / "some") == [
        "model",
        "model/config.json",
        "model/model.safetensors",
    ]
    state = torch.get_rng_state()
    again = load_model(folder)
    assert torch.get_rng_state().equal(state)
    assert_same_networks(again, model)
    assert not again.gram.training and not again.tokenizer.training
    assert again.card == {"name": "test"} and again.config == model.config
    assert again.sha256 == pooch.file_hash(folder / "model.safetensors")
    assert {k.split(".")[0] for k in load_file(folder / "model.safetensors")} == {
        "tokenizer",
        "gram",
    }
    assert "test" in repr(again) and "M parameters" in repr(again)
    x = torch.randn(1, 3, 400, generator=torch.Generator().manual_seed(0))
    assert again.gram.predict(x, CHANNELS).equal(model.gram.predict(x, CHANNELS))


@pytest.mark.parametrize("part", ["tokenizer", "gram"])
def test_one_stage_alone(model, tmp_path, part, assert_same_networks):
    half = GramModel(**{part: getattr(model, part)})
    again = load_model(save_model(half, tmp_path / "half"))
    assert_same_networks(again, half)
    other = {"tokenizer": "gram", "gram": "tokenizer"}[part]
    assert getattr(again, other) is None and again.config[other] is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(model, tmp_path, dtype):
    folder = save_model(model, tmp_path / "half", dtype=dtype)
    full = save_model(model, tmp_path / "full")
    sizes = [(f / "model.safetensors").stat().st_size for f in (folder, full)]
    assert sizes[0] < 0.52 * sizes[1]
    again = load_model(folder)
    for name, value in again.gram.state_dict().items():
        assert value.dtype == torch.float32
        assert value.equal(model.gram.state_dict()[name].to(getattr(torch, dtype)).float())
    # Fixed tables are computed, so that they keep their precision.
    assert again.gram.encoder.positions.channels.equal(model.gram.encoder.positions.channels)


def test_weights_that_do_not_fit_half_precision(tmp_path, list_files):
    gram = Gram(gram_nano())
    with torch.no_grad():
        gram.encoder.cls[0] = 1e6
    with pytest.raises(ValueError, match="gram.encoder.cls is not finite in float16. Store it as"):
        save_model(GramModel(gram=gram), tmp_path / "model", dtype="float16")
    with torch.no_grad():
        gram.encoder.cls[0] = float("nan")
    with pytest.raises(ValueError, match="gram.encoder.cls is not finite in float32"):
        save_model(GramModel(gram=gram), tmp_path / "model")
    assert list_files(tmp_path) == []
    with pytest.raises(ValueError, match="'dtype' parameter"):
        save_model(GramModel(gram=gram), tmp_path / "model", dtype="int8")


def test_stages_must_belong_together(model):
    other = Gram(replace(gram_nano(), n_classes=65))
    with pytest.raises(ValueError, match="n_classes is 64 in the tokenizer and 65 in stage 2"):
        GramModel(model.tokenizer, other)
    with pytest.raises(ValueError, match="got neither"):
        GramModel()


def test_overwrite(model, tmp_path, list_files):
    folder = save_model(model, tmp_path / "model")
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="already contains config.json and model.safetensors"):
        save_model(GramModel(gram=model.gram), folder)
    save_model(GramModel(gram=model.gram), folder, overwrite=True)
    assert load_model(folder).tokenizer is None
    assert list_files(folder) == ["config.json", "model.safetensors", "notes.txt"]
    with pytest.raises(FileExistsError, match="is a file; expected a folder"):
        save_model(model, folder / "notes.txt")


def test_interrupted_save_leaves_nothing(model, tmp_path, monkeypatch, list_files):
    bad_card = GramModel(gram=model.gram, card={"when": object()})
    with pytest.raises(TypeError):
        save_model(bad_card, tmp_path / "model")
    assert list_files(tmp_path) == []
    # An interruption between the two files of an overwritten model is noticed when reading.
    folder = save_model(model, tmp_path / "model")
    replace_file, calls = os.replace, []

    def fail_second(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        replace_file(*args)

    monkeypatch.setattr(os, "replace", fail_second)
    with pytest.raises(KeyboardInterrupt):
        save_model(GramModel(gram=model.gram), folder, overwrite=True)
    monkeypatch.undo()
    assert list_files(tmp_path) == ["model", "model/config.json", "model/model.safetensors"]
    with pytest.raises(RuntimeError, match="not the file described by config.json"):
        load_model(folder)


def rewrite(folder, tensors=None, **entries):
    """Change a model's files, keeping the checksum right."""
    if tensors is not None:
        save_file(tensors, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["sha256"] = pooch.file_hash(folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config | entries), encoding="utf-8")


def test_strict_loading_names_all_problems_at_once(model, tmp_path):
    folder = save_model(model, tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    del tensors["gram.encoder.cls"]
    tensors["gram.extra"] = torch.zeros(1)
    tensors["other.weight"] = torch.zeros(1)
    tensors["tokenizer.codebook"] = torch.zeros(64, 31)
    tensors["gram.decoder.norm.bias"] = torch.zeros(200, dtype=torch.int64)
    rewrite(folder, tensors)
    with pytest.raises(RuntimeError) as error:
        load_model(folder)
    text = str(error.value)
    assert "Missing: ['gram.encoder.cls']" in text
    assert "unexpected: ['gram.extra', 'other.weight']" in text
    assert "of wrong shape: ['tokenizer.codebook (64, 31), expected (64, 32)']" in text
    assert "not floating-point: ['gram.decoder.norm.bias']" in text


def test_broken_folders(model, tmp_path):
    folder = save_model(model, tmp_path / "model")

    def check(match, error=RuntimeError):
        with pytest.raises(error, match=match):
            load_model(folder)
        shutil.rmtree(folder)
        save_model(model, folder)

    rewrite(folder, format="other")
    check("does not describe a model of mne_gram")
    rewrite(folder, format_version=2)
    check("of format version 2, this mne_gram reads version 1. Update")
    rewrite(folder, card=None, gram="large")
    check(r"has missing or invalid entries \['card', 'gram'\]")
    rewrite(folder, gram=dict(model.config["gram"], n_heads=7))
    check("entry 'gram': n_heads must divide")
    rewrite(folder, tokenizer=None, gram=None)
    check("unexpected: ")
    (folder / "config.json").write_text("{", encoding="utf-8")
    check("config.json is not valid JSON")
    with open(folder / "model.safetensors", "r+b") as file:
        file.truncate(1000)
    check("sha256 is .* It was changed or is incomplete")
    with open(folder / "model.safetensors", "r+b") as file:
        file.truncate(1000)
    rewrite(folder)
    check("not a safetensors file")
    (folder / "model.safetensors").unlink()
    check("neither a known model .* nor a folder with config.json", FileNotFoundError)


def test_load_model_says_what_it_takes(model, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a known model \(gram-tiny, gram-base\)"):
        load_model("gram-huge")
    (tmp_path / "base.pth").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="is a file; .*convert_checkpoint"):
        load_model(tmp_path / "base.pth")
    with pytest.raises(TypeError, match="name_or_path must be"):
        load_model(3)
    folder = save_model(model, tmp_path / "model")
    with pytest.raises(ValueError, match="device must be a name that torch knows"):
        load_model(folder, device="gpu")
    with pytest.raises(RuntimeError, match="CUDA device"):
        load_model(folder, device="cuda:99")
