# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The conversion of published files, which are not trusted."""

import os
import shutil
import sys
import zipfile

import mne
import pooch
import pytest
import torch

from mne_gram.models._registry import (
    GramModel,
    convert_checkpoint,
    fetch_model,
    load_model,
)

pytestmark = pytest.mark.usefixtures("models_dir")

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
def test_convert(published, tmp_path, list_files, assert_same_networks):
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
def test_refused(published, tmp_path, edit, match, list_files):
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
def test_refused_stage1(published, tmp_path, edit, match, list_files):
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
def test_hostile_files(tmp_path, kind, match, list_files):
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
