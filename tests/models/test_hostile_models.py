# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Models and published checkpoints that an attacker made: refused before memory is taken."""

import json
import subprocess
import sys
import zipfile

import pooch
import pytest
import torch
from safetensors.torch import load_file, save_file

from mne_gram.models import Gram, Tokenizer, gram_nano, tokenizer_nano
from mne_gram.models._registry import GramModel, convert_checkpoint, load_model, save_model

DEEP = "[" * 100_000 + "]" * 100_000
HUGE = 10**9


@pytest.fixture
def folder(tmp_path):
    """Return the folder of a small model."""
    model = GramModel(Tokenizer(tokenizer_nano()).eval(), Gram(gram_nano()).eval())
    return save_model(model, tmp_path / "model")


def rewrite(folder, tensors=None, change=lambda config: None):
    """Change a model's files, keeping the checksum right."""
    if tensors is not None:
        save_file(tensors, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["sha256"] = pooch.file_hash(folder / "model.safetensors")
    change(config)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def set_entry(part, **entries):
    """Return a function that changes the configuration of a network."""
    return lambda config: config[part].update(entries)


def set_both(**entries):
    """Return a function that changes the configuration of both networks."""
    return lambda config: [config[part].update(entries) for part in ("gram", "tokenizer")]


CONFIGS = {
    "wide": set_entry("gram", n_filters=4 * HUGE, n_heads=4),
    "wider": set_entry("gram", n_filters=2**62),
    "no int": set_entry("gram", n_filters=1e300),
    "deep": set_entry("gram", n_blocks=HUGE, fused_blocks=[0, HUGE - 1]),
    "deep decoder": set_entry("tokenizer", decoder_n_blocks=HUGE),
    "many channels": set_both(n_channels=HUGE),
    "long windows": set_entry("gram", max_patches=HUGE),
    "many classes": set_both(n_classes=HUGE),
    "long codes": set_entry("tokenizer", code_dim=HUGE),
    "nested blocks": set_entry("gram", fused_blocks=[[0], 1]),
    "text": set_entry("gram", n_heads="4"),
    "card": lambda config: config.update(card={"name": 3}),
    "stages": lambda config: config.update(card={"stages": [1]}),
    "sha256": lambda config: config.update(sha256=DEEP[:1000]),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_hostile_configurations(folder, name):
    """A configuration that does not fit the tensors is refused before networks are built."""
    rewrite(folder, change=CONFIGS[name])
    with pytest.raises(RuntimeError, match="config.json"):
        load_model(folder)


@pytest.mark.parametrize("text", [DEEP, '{"format": "mne_gram", "card": ' + DEEP + "}", "\ud800"])
def test_hostile_json(folder, text):
    """Deep or broken JSON is an error that names the file."""
    (folder / "config.json").write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(RuntimeError, match="config.json is not valid JSON"):
        load_model(folder)


def measure(code, *args):
    """Run code that has to end in an error; return the error and the peak of memory in MB."""
    script = (
        "import resource, sys, torch\n"
        "from mne_gram.models._registry import convert_checkpoint, load_model\n"
        "start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        f"try:\n    {code}\nexcept Exception as error:\n"
        "    print(type(error).__name__, str(error)[:300].replace('\\n', ' '))\n"
        "else:\n    print('accepted')\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) // 1024)\n"
    )
    command = [sys.executable, "-c", script, *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=True)
    text, peak = done.stdout.strip().splitlines()[-2:]
    return text, int(peak)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is in kB on Linux")
def test_networks_are_not_built_before_tensors_fit(folder):
    """A configuration of a network of 3.6 GB beside small tensors takes no memory."""
    rewrite(
        folder, change=set_entry("gram", n_filters=256, n_blocks=2, fused_blocks=[0, 1], n_heads=4)
    )
    text, peak = measure("load_model(sys.argv[1])", folder)
    assert text.startswith("RuntimeError") and "of wrong shape" in text
    assert peak < 300


def test_hostile_tensors(folder):
    """Tensors that no network wants are refused by their header; NaN are found."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    name = "gram.spectral_head.bias"
    rewrite(folder, tensors | {name: torch.full((200,), torch.nan)})
    with pytest.raises(RuntimeError, match=f"model.safetensors.*not finite.*{name}"):
        load_model(folder)
    rewrite(folder, tensors | {name: torch.zeros(200, dtype=torch.int64)})
    with pytest.raises(RuntimeError, match=f"not floating-point: .*{name}"):
        load_model(folder)
    rewrite(folder, tensors | {f"gram.{k}": torch.zeros(1) for k in range(50_000)})
    with pytest.raises(RuntimeError, match="unexpected: .* and 49990 more") as error:
        load_model(folder)
    assert len(str(error.value)) < 2000
    header = ('{"a":' + DEEP + "}").encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    rewrite(folder)
    with pytest.raises(RuntimeError, match="not a safetensors file"):
        load_model(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
@pytest.mark.parametrize("name", ["", "config.json", "model.safetensors"])
def test_dangling_links_are_not_replaced(folder, tmp_path, name):
    """A link to nothing, in place of a model or one of its files, is not replaced silently."""
    model, other = load_model(folder), tmp_path / "other"
    if name:
        other.mkdir()
    (other / name).symlink_to(tmp_path / "missing")
    with pytest.raises(FileExistsError, match=name or "other is a"):
        save_model(model, other)
    assert (other / name).is_symlink()
    if name:
        save_model(model, other, overwrite=True)
        assert not (other / name).is_symlink() and load_model(other).card == model.card
    assert not (tmp_path / "missing").exists()


# --- published files ----------------------------------------------------------------------------


def bomb_of_lists(depth=30):
    """Return a list of a few objects that is written out as billions."""
    value = ["x"]
    for _ in range(depth):
        value = [value] * 10
    return value


ZERO = torch.zeros(1)


def make_published(tmp_path, tensors=None, cf=None):
    """Write a file like a published one of stage 2, with some tensors and entries replaced."""
    flags = dict(if_mff=True, if_mimic=True, if_pad_with_cls_token=True)
    flags |= dict(if_sandwich_norm=False, if_causal_attention=False)
    flags |= dict(n_head=4, decoder_n_head=10, out_indices=[0])
    good = {
        "decoder_pred.weight": torch.zeros(8, 200),
        "tconv.conv1.weight": torch.zeros(4, 1, 1, 15),
        "ch_emb": torch.zeros(1, 130, 100),
        "time_emb": torch.zeros(1, 16, 100),
        "blocks.0.ln1.weight": ZERO,
        "decoder_blocks.0.ln1.weight": ZERO,
    }
    path = tmp_path / "base.pth"
    torch.save({"model": {**good, **(tensors or {})}, "cf": {**flags, **(cf or {})}}, path)
    return path


HOSTILE = {
    "integer name": ({3: ZERO}, {}),
    "tuple name": ({("a", 1): ZERO}, {}),
    "expanded": ({"decoder_pred.weight": ZERO.expand(10**6, 10**6)}, {}),
    "expanded blocks": ({f"blocks.{k}.ln1.weight": ZERO.expand(10**9) for k in range(5)}, {}),
    "meta": ({"decoder_pred.weight": torch.zeros(8, 200, device="meta")}, {}),
    "sparse": ({"decoder_pred.weight": torch.zeros(8, 200).to_sparse()}, {}),
    "no columns": ({"ch_emb": torch.zeros(1, HUGE, 0)}, {}),
    "no filters": ({"tconv.conv1.weight": torch.zeros(4 * 10**5, 1, 1, 0)}, {}),
    "most filters": ({"tconv.conv1.weight": torch.zeros(2**40, 1, 1, 0)}, {}),
    "nested heads": ({}, {"n_head": bomb_of_lists()}),
    "nested indices": ({}, {"out_indices": [bomb_of_lists()]}),
    "nested flag": ({}, {"if_mff": bomb_of_lists()}),
    "huge heads": ({}, {"n_head": 10**5000}),
    "huge rate": ({}, {"drop_path_rate": 10**400}),
    "huge scale": ({"blocks.0.gamma_1": ZERO}, {"layer_scale_init_values": 10**400}),
    "many indices": ({}, {"out_indices": list(range(10**5))}),
    "integer entry": ({}, {3: 4}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_checkpoints(tmp_path, name):
    """Whatever a published file contains, the error is ours and short, and nothing is written."""
    path = make_published(tmp_path, *HOSTILE[name])
    with pytest.raises((RuntimeError, ValueError)) as error:
        convert_checkpoint(path, tmp_path / "gram")
    assert str(path) in str(error.value) and len(str(error.value)) < 5000
    assert "Download the file again" in str(error.value) or "published" in str(error.value)
    assert not (tmp_path / "gram").exists()


def test_compressed_checkpoint(tmp_path):
    """torch.save does not compress, so a compressed file is not unpacked."""
    path = tmp_path / "base.pth"
    torch.save({"model": {"a": torch.zeros(10**6)}, "cf": {}}, path)
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, value in parts.items():
            new.writestr(name, value)
    with pytest.raises(RuntimeError, match="is compressed"):
        convert_checkpoint(path, tmp_path / "gram")


def test_objects_of_any_size(tmp_path):
    """Classes that torch allows and that take memory by themselves are refused."""
    path = tmp_path / "base.pth"
    torch.save({"model": {"a": torch.zeros(1)}, "cf": {"x": bytearray(3)}}, path)
    with pytest.raises(RuntimeError, match="a pickled .*builtin.*bytearray"):
        convert_checkpoint(path, tmp_path / "gram")
