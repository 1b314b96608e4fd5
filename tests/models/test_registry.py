# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Weights: folders of models, the list of names, the conversion of published files."""

import json
import os
import shutil
import sys
import zipfile
from dataclasses import replace

import mne
import pooch
import pytest
import torch
from safetensors.torch import load_file, save_file

import mne_gram.models._registry as weights
from mne_gram.models import Gram, Tokenizer, gram_nano, tokenizer_nano
from mne_gram.models._registry import (
    GramModel,
    convert_checkpoint,
    fetch_model,
    get_models_dir,
    list_models,
    load_model,
    save_model,
)

CHANNELS = [0, 17, 41]


@pytest.fixture(scope="module")
def model():
    return GramModel(
        Tokenizer(tokenizer_nano()).eval(), Gram(gram_nano()).eval(), card={"name": "test"}
    )


@pytest.fixture(autouse=True)
def models_dir(tmp_path, monkeypatch):
    """Keep every test away from the user's own models."""
    monkeypatch.setenv("MNE_GRAM_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def list_files(folder):
    """Return all files in a folder, hidden ones too."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def assert_same_networks(first, second):
    for part in ("tokenizer", "gram"):
        one, two = getattr(first, part), getattr(second, part)
        assert (one is None) == (two is None)
        if one is not None:
            assert one.config == two.config
            for name, value in one.state_dict().items():
                assert value.equal(two.state_dict()[name]), name


# --- folders ------------------------------------------------------------------------------------


def test_round_trip(model, tmp_path):
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
def test_one_stage_alone(model, tmp_path, part):
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


def test_weights_that_do_not_fit_half_precision(tmp_path):
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


def test_overwrite(model, tmp_path):
    folder = save_model(model, tmp_path / "model")
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="already contains config.json and model.safetensors"):
        save_model(GramModel(gram=model.gram), folder)
    save_model(GramModel(gram=model.gram), folder, overwrite=True)
    assert load_model(folder).tokenizer is None
    assert list_files(folder) == ["config.json", "model.safetensors", "notes.txt"]
    with pytest.raises(FileExistsError, match="is a file; expected a folder"):
        save_model(model, folder / "notes.txt")


def test_interrupted_save_leaves_nothing(model, tmp_path, monkeypatch):
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


# --- names --------------------------------------------------------------------------------------


def test_models_dir(monkeypatch, tmp_path):
    assert get_models_dir() == tmp_path / "models"
    assert get_models_dir(tmp_path / "other") == tmp_path / "other"
    monkeypatch.delenv("MNE_GRAM_MODELS")
    monkeypatch.setenv("MNE_DATA", str(tmp_path / "data"))
    assert get_models_dir() == tmp_path / "data" / "mne_gram-models"
    monkeypatch.delenv("MNE_DATA")
    monkeypatch.setattr(mne, "get_config", lambda key: str(tmp_path / key))
    assert get_models_dir() == tmp_path / "MNE_DATA" / "mne_gram-models"
    monkeypatch.setattr(mne, "get_config", lambda key: None)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert get_models_dir() == tmp_path / "mne_data" / "mne_gram-models"


def test_list_models(model, models_dir):
    rows = {row.name: row for row in list_models()}
    assert set(rows) == {"gram-tiny", "gram-base"}
    base = rows["gram-base"]
    assert base.where == models_dir / "gram-base" and not base.present and base.sha256 is None
    assert "published" in base.description
    assert rows["gram-tiny"].where.parts[-3:] == ("data", "models", "gram-tiny")
    folder = save_model(model, models_dir / "gram-base")
    base = list_models()[1]
    assert base.present and base.sha256 == pooch.file_hash(folder / "model.safetensors")
    assert_same_networks(load_model("gram-base"), model)
    (folder / "config.json").write_text("{", encoding="utf-8")
    assert list_models()[1].sha256 is None


def test_bundled_model(model, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "_BUNDLED", tmp_path / "bundled")
    for get in (load_model, fetch_model):
        with pytest.raises(RuntimeError, match="has no trained model.*folder.*convert"):
            get("gram-tiny")
    folder = save_model(model, tmp_path / "bundled" / "gram-tiny")
    assert fetch_model("gram-tiny") == folder
    assert_same_networks(load_model(), model)
    assert list_models()[0].present


def test_missing_published_model(models_dir):
    with pytest.raises(RuntimeError, match=r"Get it with mne_gram.fetch_model\('gram-base'\)"):
        load_model("gram-base")
    with pytest.raises(RuntimeError) as error:
        fetch_model("gram-base")
    text = str(error.value)
    assert "sharing/eIMaE7DFr" in text and "sharing/J2PX8p185" in text
    assert all(f"\n{i}. " in text for i in (1, 2, 3))
    assert str(models_dir) in text and "weights convert" in text
    assert not models_dir.exists()
    with pytest.raises(ValueError, match="no model named 'gram-huge'. Known are gram-tiny"):
        fetch_model("gram-huge")


# --- published files ----------------------------------------------------------------------------

GRAM_FILE, TOKENIZER_FILE = "small_base.pth", "small_base_class_quantization.pth"


@pytest.fixture
def published(shared):
    return shared / "parity"


def read_pth(fname):
    """Read a published file as a test may: its own allow-list."""
    import collections
    import pathlib

    names = [
        (collections.OrderedDict, "addict.addict.Dict"),
        (pathlib.PurePosixPath, "pathlib.PosixPath"),
    ]
    with torch.serialization.safe_globals(names):
        content = torch.load(fname, weights_only=True)
    return dict(content["model"]), dict(content["cf"])


def change(published, tmp_path, name, edit):
    """Write a changed copy of a published file."""
    tensors, cf = read_pth(published / name)
    edit(tensors, cf)
    cf.pop("model_path", None)
    torch.save(
        {"model": tensors, "cf": cf, "optimizer": {}, "epoch": 1, "scaler": {}}, tmp_path / name
    )
    return tmp_path / name


@pytest.mark.data
def test_convert(published, tmp_path):
    with mne.utils.catch_logging(True) as log:
        folder = convert_checkpoint(published / GRAM_FILE, tmp_path / "gram", verbose="INFO")
    sha256 = pooch.file_hash(published / GRAM_FILE)
    assert sha256 in log.getvalue()
    assert list_files(tmp_path) == ["gram", "gram/config.json", "gram/model.safetensors"]
    inside = load_model(folder)
    assert inside.card["sources"] == [{"file": GRAM_FILE, "sha256": sha256}]
    assert inside.gram.config.fused_blocks == (0, 1) and inside.gram.config.n_classes == 96
    both = convert_checkpoint(
        published / GRAM_FILE, tmp_path / "both", tokenizer_fname=published / TOKENIZER_FILE
    )
    assert len(load_model(both).card["sources"]) == 2
    assert_same_networks(load_model(both), inside)
    alone = convert_checkpoint(None, tmp_path / "1", tokenizer_fname=published / TOKENIZER_FILE)
    assert load_model(alone).gram is None
    assert_same_networks(load_model(alone), GramModel(inside.tokenizer))
    with pytest.raises(FileExistsError, match="overwrite=True"):
        convert_checkpoint(published / GRAM_FILE, folder)
    convert_checkpoint(published / GRAM_FILE, folder, overwrite=True)
    with pytest.raises(ValueError, match="both None"):
        convert_checkpoint(None, tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="checkpoint .*nothing.pth does not exist"):
        convert_checkpoint(tmp_path / "nothing.pth", tmp_path / "none")


@pytest.mark.data
@pytest.mark.parametrize("place", ["", "gram-base"])
def test_fetch_converts_downloads(published, models_dir, place):
    (models_dir / place).mkdir(parents=True)
    shutil.copy(published / GRAM_FILE, models_dir / place / "base.pth")
    assert fetch_model("gram-base") == models_dir / "gram-base"
    assert load_model("gram-base").tokenizer.config.n_heads == 10
    shutil.copy(published / TOKENIZER_FILE, models_dir / "base_class_quantization.pth")
    assert len(load_model(fetch_model("gram-base")).card["sources"]) == 1
    assert len(load_model(fetch_model("gram-base", force=True)).card["sources"]) == 2


@pytest.mark.data
def test_addict_is_not_needed(published, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "addict", None)  # importing it would fail
    convert_checkpoint(published / GRAM_FILE, tmp_path / "gram")
    assert load_model(tmp_path / "gram").gram is not None


@pytest.mark.data
def test_heads_come_from_the_stage1_file(published, tmp_path):
    fname = change(published, tmp_path, TOKENIZER_FILE, lambda t, cf: cf.update(encoder_n_head=5))
    folder = convert_checkpoint(published / GRAM_FILE, tmp_path / "gram", tokenizer_fname=fname)
    config = load_model(folder).tokenizer.config
    assert (config.n_heads, config.decoder_n_heads) == (5, 10)


@pytest.mark.data
def test_entries_that_may_lack(published, tmp_path):
    def edit(tensors, cf):
        for name in ("target_n_embd", "layer_scale_init_values", "drop_path_rate"):
            del cf[name]

    fname = change(published, tmp_path, GRAM_FILE, edit)
    config = load_model(convert_checkpoint(fname, tmp_path / "gram")).gram.config
    assert config.layer_scale == 0.1 and config.drop_path == 0.1

    def without_scale(tensors, cf):
        for name in [k for k in tensors if "gamma_" in k]:
            del tensors[name]

    fname = change(published, tmp_path, GRAM_FILE, without_scale)
    model = load_model(convert_checkpoint(fname, tmp_path / "gram", overwrite=True))
    assert model.gram.config.layer_scale is None and model.gram.encoder.blocks[0].scale1 is None


def _delete(*names):
    return lambda tensors, cf: [tensors.pop(name) for name in names]


def _set(**entries):
    return lambda tensors, cf: cf.update(entries)


def _put(name, value):
    return lambda tensors, cf: tensors.update({name: value(tensors.get(name))})


REFUSED = [
    (_set(if_mff=False), "if_mff = False, expected True"),
    (_set(if_mimic=None), "if_mimic = None, expected True"),
    (_set(if_pad_with_cls_token=False), "if_pad_with_cls_token = False, expected True"),
    (_set(if_sandwich_norm=True), "if_sandwich_norm = True, expected False"),
    (_set(if_causal_attention=True), "if_causal_attention = True, expected False"),
    (_set(if_causal_attention=0), "if_causal_attention = 0, expected False"),
    (lambda tensors, cf: cf.pop("if_mff"), "if_mff = 'nothing', expected True"),
    (lambda tensors, cf: cf.pop("n_head"), "expected an int as 'n_head'"),
    (_set(out_indices=3), "expected a list of int as 'out_indices'"),
    (_set(out_indices=[0, "1"]), "expected an int as 'out_indices'"),
    (_set(out_indices=[1, 0]), "impossible shape: fused_blocks"),
    (_set(n_head=7), "impossible shape: n_heads must divide"),
    (_set(n_layer=12), "n_layer = 12, its tensors 2"),
    (_set(all_ch_list=["FP1", "FP2"]), "another montage"),
    (
        _delete("norm.weight", "blocks.1.ln1.bias"),
        "blocks.1.ln1.bias: missing; norm.weight: missing",
    ),
    (_delete("tconv.conv1.weight"), "lacks the tensor 'tconv.conv1.weight'"),
    (_put("extra.weight", lambda old: torch.zeros(3)), "extra.weight: not expected"),
    (_put("norm.weight", lambda old: old[:7]), r"norm.weight: shape \(7,\), expected \(200,\)"),
    (_put("norm.weight", lambda old: old * float("nan")), "norm.weight: expected finite"),
    (_put("norm.weight", lambda old: old.int()), "norm.weight: expected finite floating-point"),
    (_put("norm.weight", lambda old: "text"), "tensors only under 'model'"),
    (_put("ch_emb", lambda old: old[0]), r"'ch_emb' has shape \(130, 200\), expected 3 axes"),
    (_put("ch_emb", lambda old: old + 0.1), "ch_emb: values other than the fixed sines"),
    (_put("vqgan.encoder.ln_f.bias", lambda old: old[:7]), "encoder.ln_f.bias: shape"),
    (_delete("decoder_pred.weight"), "not a stage-2 checkpoint: it has no tensor 'decoder_pred"),
    (
        lambda tensors, cf: [tensors.pop(k) for k in list(tensors) if k.startswith("vqgan.")],
        "contains no tokenizer",
    ),
]


@pytest.mark.data
@pytest.mark.parametrize(("edit", "match"), REFUSED, ids=[match for _, match in REFUSED])
def test_refused(published, tmp_path, edit, match):
    fname = change(published, tmp_path, GRAM_FILE, edit)
    with pytest.raises(ValueError, match=match) as error:
        convert_checkpoint(fname, tmp_path / "gram")
    assert str(fname) in str(error.value)
    assert list_files(tmp_path) == [GRAM_FILE]


@pytest.mark.data
@pytest.mark.parametrize(
    ("edit", "match"),
    [
        (_set(regress_target="fft"), "regress_target = 'fft', expected 'raw'"),
        (_set(if_sandwich_norm=True), "if_sandwich_norm = True"),
        (_set(encoder_n_head=None), "expected an int as 'encoder_n_head'"),
        (_set(TConv_out_channel=16), "TConv_out_channel = 16, its tensors 8"),
        (
            _put("decoder.time_emb", lambda old: old[:, :3]),
            r"decoder.time_emb: shape \(1, 3, 200\)",
        ),
    ],
)
def test_refused_stage1(published, tmp_path, edit, match):
    fname = change(published, tmp_path, TOKENIZER_FILE, edit)
    with pytest.raises(ValueError, match=match):
        convert_checkpoint(None, tmp_path / "gram", tokenizer_fname=fname)
    assert list_files(tmp_path) == [TOKENIZER_FILE]


@pytest.mark.data
def test_stages_mixed_up(published, tmp_path):
    stage1, stage2 = published / TOKENIZER_FILE, published / GRAM_FILE
    with pytest.raises(ValueError, match="looks like stage 1.*give it as tokenizer_fname"):
        convert_checkpoint(stage1, tmp_path / "gram")
    with pytest.raises(ValueError, match="looks like stage 2"):
        convert_checkpoint(None, tmp_path / "gram", tokenizer_fname=stage2)
    with pytest.raises(ValueError, match="not a published Gram checkpoint.*'cls_head.bias'"):
        convert_checkpoint(published / "small_cls_head.pth", tmp_path / "gram")
    other = change(published, tmp_path, TOKENIZER_FILE, _put("encoder.ln_f.bias", lambda x: x + 1))
    with pytest.raises(ValueError, match=r"1 tensors differ, such as \['encoder.ln_f.bias'\]"):
        convert_checkpoint(stage2, tmp_path / "gram", tokenizer_fname=other)
    assert not (tmp_path / "gram").exists()


@pytest.mark.data
def test_codebook_of_other_lengths(published, tmp_path):
    edit = _put("quantize.embedding.weight", lambda old: 2 * old)
    fname = change(published, tmp_path, TOKENIZER_FILE, edit)
    with pytest.warns(RuntimeWarning, match="vectors of length 1, found lengths from 2.0000"):
        convert_checkpoint(None, tmp_path / "gram", tokenizer_fname=fname)


class _Evil:
    """Touches a file when it is unpickled freely."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class _Unknown:
    pass


def make_hostile(kind, tmp_path):
    """Write a file that is no checkpoint; return its name."""
    fname, trace = tmp_path / "base.pth", tmp_path / "trace"
    content = {
        "code in cf": {"model": {"a": torch.zeros(1)}, "cf": _Evil(trace)},
        "code in model": {"model": {"a": _Evil(trace)}, "cf": {}},
        "code at the top": _Evil(trace),
        "unknown class": {"model": {"a": torch.zeros(1)}, "cf": _Unknown()},
        "list": [1, 2],
        "no tensors": {"model": {}, "cf": {}},
    }
    if kind in content:
        torch.save(content[kind], fname)
        return fname
    torch.save({"model": {"a": torch.zeros(1000)}, "cf": {}}, fname)
    whole = fname.read_bytes()
    if kind == "zip of text":
        with zipfile.ZipFile(fname, "w") as file:
            file.writestr("data.txt", "hello")
    elif kind == "broken pickle":
        with zipfile.ZipFile(fname) as old:
            parts = {name: old.read(name) for name in old.namelist()}
        with zipfile.ZipFile(fname, "w") as new:
            for name, value in parts.items():
                new.writestr(name, value[:9] if name.endswith("data.pkl") else value)
    else:
        broken = {"truncated": whole[:-100], "empty": b"", "web page": b"<html></html>"}
        fname.write_bytes(broken[kind])
    return fname


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("code in cf", "a pickled .*mkdir, which .* might run code"),
        ("code in model", "a pickled .*mkdir"),
        ("code at the top", "a pickled .*mkdir"),
        ("unknown class", "a pickled .*_Unknown"),
        ("list", "expected a dict .* found list"),
        ("no tensors", "tensors only under 'model', found nothing"),
        ("truncated", "no complete zip archive"),
        ("empty", "no complete zip archive"),
        ("web page", "no complete zip archive"),
        ("zip of text", "cannot be read as a published Gram checkpoint"),
        ("broken pickle", "cannot be read as a published Gram checkpoint"),
    ],
)
def test_hostile_files(tmp_path, kind, match):
    fname = make_hostile(kind, tmp_path)
    for kwargs in (dict(fname=fname), dict(fname=None, tokenizer_fname=fname)):
        with pytest.raises((RuntimeError, ValueError), match=match) as error:
            convert_checkpoint(folder=tmp_path / "gram", **kwargs)
        text = str(error.value)
        assert str(fname) in text and "xpected" in text and "Download the file again" in text
        assert "weights_only" not in text  # torch advises to load such files unsafely
    assert list_files(tmp_path) == ["base.pth"]


def test_allow_list_is_restored(tmp_path):
    """Reading a published file allows its two classes for that moment only."""
    before = set(torch.serialization.get_safe_globals())
    with pytest.raises(RuntimeError, match="_Unknown"):
        convert_checkpoint(make_hostile("unknown class", tmp_path), tmp_path / "gram")
    assert set(torch.serialization.get_safe_globals()) == before
