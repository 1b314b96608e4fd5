# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The networks compute what the published network computes.

``python tests/models/test_parity.py`` prints the largest difference of every array;
``python tests/models/test_parity.py --write`` writes the data in ``tests/data/parity`` again.
"""

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from mne_gram.models import ClassificationNetwork, Tokenizer, tokenizer_nano
from mne_gram.models._published import convert_gram, convert_tokenizer
from mne_gram.models._published_reader import read_published
from mne_gram.montage import CH_NAMES

DATA = Path(__file__).parents[1] / "data" / "parity"
CASES = ("clinical19", "bipolar16", "sparse4_long", "one_patch")
BUNDLED_CASE = "clinical19"
STAGE1 = (
    "tok_features",
    "tok_quantized",
    "tok_indices",
    "tok_decoded",
    "restored",
    "loss_tok_reconstruction",
    "loss_tok_commitment_plus_codebook",
)
STAGE2 = (
    "cls",
    "latent_visible",
    "logits",
    "pred_indices",
    "loss_mimic",
    "loss_masked_ce",
    "masked_accuracy",
    "class_logits",
)
TOLERANCE = 1e-4


def read_reference(folder, case):
    """Return the reference arrays of a case."""
    with np.load(folder / "small_reference.npz") as arrays:
        names = [key for key in arrays.files if key.startswith(f"{case}/")]
        return {key.split("/")[1]: arrays[key] for key in names}


def read_networks(folder):
    """Return the tokenizer, stage 2 and the classifier of the reference, converted."""
    fname = folder / "small_base_class_quantization.pth"
    tokenizer = convert_tokenizer(*read_published(fname), fname=fname)
    fname = folder / "small_base.pth"
    gram = convert_gram(*read_published(fname), fname=fname)
    head = torch.load(folder / "small_cls_head.pth", weights_only=True)
    return tokenizer, gram, make_classifier(gram, head)


def make_classifier(gram, head):
    """Return the classifier with a published head."""
    classifier = ClassificationNetwork(gram, len(head["cls_head.bias"])).eval()
    classifier.head.load_state_dict({k.removeprefix("cls_head."): v for k, v in head.items()})
    return classifier


@torch.inference_mode()
def compute_stage1(tokenizer, reference):
    """Return what stage 1 computes on the input of a case."""
    x, channels = torch.tensor(reference["x"]), get_channels(reference)
    tokens, loss = tokenizer.encode(x, channels), tokenizer(x, channels)
    return {
        "tok_features": tokens.features,
        "tok_quantized": tokens.quantized,
        "tok_indices": tokens.indices,
        "tok_decoded": tokenizer.decode(tokens.indices, channels),
        "restored": tokenizer.decode(torch.tensor(reference["pred_indices"]), channels),
        "loss_tok_reconstruction": loss.reconstruction,
        "loss_tok_commitment_plus_codebook": loss.commitment,
    }


@torch.inference_mode()
def compute_stage2(gram, classifier, reference):
    """Return what stage 2 computes on the input of a case."""
    x, channels = torch.tensor(reference["x"]), get_channels(reference)
    mask, targets = torch.tensor(reference["mask"]), torch.tensor(reference["tok_indices"])
    encoding, logits = gram.encode(x, channels, mask), gram.predict(x, channels, mask)
    loss = gram(x, channels, mask, targets)
    assert torch.isclose(loss.loss, (loss.cross_entropy + loss.spectral) / 2)
    return {
        "cls": encoding.cls,
        "latent_visible": encoding.latents,
        "logits": logits,
        "pred_indices": logits.argmax(-1),
        "loss_mimic": loss.spectral,
        "loss_masked_ce": loss.cross_entropy,
        "masked_accuracy": loss.accuracy,
        "class_logits": classifier(x, channels),
    }


def get_channels(reference):
    """Return the montage indices of a case."""
    return [CH_NAMES.index(name) for name in reference["channels"]]


def get_difference(found, wanted):
    """Return the largest absolute difference."""
    found = np.asarray(found)
    assert found.size == wanted.size and (found.ndim == 0 or found.shape == wanted.shape)
    return float(np.abs(found.astype(np.float64) - wanted).max())


def check_arrays(found, reference, names):
    """Compare all arrays of a case with the reference."""
    assert set(found) == set(names)
    for name in names:
        exact = name.endswith("indices")
        assert get_difference(found[name], reference[name]) <= (0 if exact else TOLERANCE), name


@pytest.fixture(scope="module")
def networks(shared):
    return read_networks(shared / "parity")


@pytest.mark.data
@pytest.mark.parametrize("case", CASES)
def test_parity(shared, networks, case):
    tokenizer, gram, classifier = networks
    reference = read_reference(shared / "parity", case)
    assert set(reference) == {"x", "mask", "channels", *STAGE1, *STAGE2}
    check_arrays(compute_stage1(tokenizer, reference), reference, STAGE1)
    check_arrays(compute_stage2(gram, classifier, reference), reference, STAGE2)


@pytest.mark.data
def test_parity_of_tokenizer_inside_stage2(shared, networks):
    """The tokenizer inside the stage-2 file is the one of the stage-1 file."""
    fname = shared / "parity" / "small_base.pth"
    inside = convert_tokenizer(read_published(fname)[0], None, fname=fname)
    assert inside.config == networks[0].config
    for name, value in networks[0].state_dict().items():
        assert inside.state_dict()[name].equal(value), name


# Without the shared reference: stage 2 and one case of it, bundled bit by bit, and stage 1 with
# weights that anybody can draw, against values that the code gave when it passed the tests above.
# (Both stages together would not fit into a repository.)


def read_bundled_stage2():
    """Return stage 2, the classifier and one case from the files beside the tests."""
    with np.load(DATA / "stage2.npz") as planes:
        arrays = {name: from_planes(planes[name]) for name in planes.files if "/" not in name}
        reference = {name[5:]: planes[name] for name in planes.files if name.startswith("case/")}
        shapes = {name[6:]: planes[name] for name in planes.files if name.startswith("shape/")}
    tensors = {k: torch.from_numpy(v.reshape(shapes[k])) for k, v in arrays.items()}
    head = {k: tensors.pop(k) for k in list(tensors) if k.startswith("cls_head.")}
    for name in ("ch_emb", "time_emb", "decoder_ch_emb", "decoder_time_emb"):
        tensors[name] = torch.from_numpy(make_table(130 if "ch_" in name else 16, 200))
    cf = dict(n_head=10, decoder_n_head=10, out_indices=[0, 1], out_chans=8)
    cf |= dict(if_mff=True, if_mimic=True, if_pad_with_cls_token=True)
    cf |= dict(if_sandwich_norm=False, if_causal_attention=False)
    gram = convert_gram(tensors, cf, fname="stage2.npz")
    return gram, make_classifier(gram, head), reference


def make_table(n_rows, dim):
    """Return a position table, written down once more from its definition."""
    table = np.zeros((1, n_rows, dim), np.float32)
    for i in range(dim // 2):
        angle = np.arange(n_rows) / 1000 ** (2 * i / dim)
        table[0, :, 2 * i], table[0, :, 2 * i + 1] = np.sin(angle), np.cos(angle)
    return table


def to_planes(array):
    """Split float32 into its four bytes, each a plane of its own, which compresses better."""
    return np.ascontiguousarray(array.astype("<f4").reshape(-1, 1).view(np.uint8).T)


def from_planes(planes):
    """Undo `to_planes`, but for the shape."""
    return np.ascontiguousarray(planes.T).view("<f4").ravel()


def make_drawn_tokenizer():
    """Return a small tokenizer whose weights NumPy promises to draw alike for ever."""
    tokenizer = Tokenizer(tokenizer_nano(), seed=None).eval()
    rng = np.random.RandomState(0)  # noqa: NPY002 - a frozen stream, which default_rng is not
    state = tokenizer.state_dict()
    for name in sorted(state):
        shape = tuple(state[name].shape)
        values = rng.standard_normal(shape) / np.sqrt(shape[-1] if len(shape) > 1 else 100)
        if "norm" in name and name.endswith("weight"):
            values += 1
        if name == "codebook":
            values /= np.linalg.norm(values, axis=1, keepdims=True)
        state[name] = torch.from_numpy(values.astype(np.float32))
    tokenizer.load_state_dict(state)
    return tokenizer


def make_drawn_case():
    """Return an input for the drawn tokenizer, and classes to decode."""
    rng = np.random.RandomState(1)  # noqa: NPY002
    return {
        "x": rng.standard_normal((2, 5, 3 * 200)).astype(np.float32),
        "channels": np.array(["FP1", "CZ", "O2", "T7", "P7-O1"]),
        "pred_indices": rng.randint(0, 64, (2, 5, 3)),
    }


def test_parity_bundled_stage2():
    gram, classifier, reference = read_bundled_stage2()
    check_arrays(compute_stage2(gram, classifier, reference), reference, STAGE2)


def test_parity_bundled_stage1():
    case = make_drawn_case()
    with np.load(DATA / "stage1.npz") as arrays:
        reference = {name: arrays[name] for name in arrays.files}
    check_arrays(compute_stage1(make_drawn_tokenizer(), case), reference, STAGE1)
    assert len(np.unique(reference["tok_indices"])) > 10


def write_data(folder):
    """Write ``tests/data/parity`` from the shared reference."""
    tensors, _ = read_published(folder / "small_base.pth")
    tensors |= torch.load(folder / "small_cls_head.pth", weights_only=True)
    keep = [k for k in tensors if not k.startswith("vqgan.") and not k.endswith("_emb")]
    arrays = {k: to_planes(tensors[k].numpy()) for k in keep}
    arrays |= {f"shape/{k}": np.array(tensors[k].shape) for k in keep}
    reference = read_reference(folder, BUNDLED_CASE)
    names = ("x", "mask", "channels", "tok_indices", *STAGE2)
    arrays |= {f"case/{name}": reference[name] for name in names}
    np.savez_compressed(DATA / "stage2.npz", **arrays)
    stage1 = compute_stage1(make_drawn_tokenizer(), make_drawn_case())
    np.savez_compressed(DATA / "stage1.npz", **{k: v.numpy() for k, v in stage1.items()})


def print_table(folder):
    """Print the largest difference of every array in every case."""
    tokenizer, gram, classifier = read_networks(folder)
    columns = []
    for case in CASES:
        reference = read_reference(folder, case)
        found = compute_stage1(tokenizer, reference)
        found |= compute_stage2(gram, classifier, reference)
        columns.append({k: get_difference(v, reference[k]) for k, v in found.items()})
    print(f"{'array':36}" + "".join(f"{case:>14}" for case in CASES))
    for name in (*STAGE1, *STAGE2):
        print(f"{name:36}" + "".join(f"{column[name]:14.1e}" for column in columns))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the bundled data again")
    default = Path(__file__).resolve().parents[3] / "shared"
    shared_folder = Path(os.environ.get("MNE_GRAM_SHARED", default)) / "parity"
    if parser.parse_args().write:
        write_data(shared_folder)
    print_table(shared_folder)
