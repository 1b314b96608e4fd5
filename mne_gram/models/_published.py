# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Reading the published checkpoint files without executing anything in them.

A published file is a ``torch.save`` of ``{model, optimizer, epoch, scaler, cf}``. Its ``cf`` (the
authors' configuration) pickles two classes in addition to tensors and plain containers; they are
read as harmless stand-ins, and any other class makes reading fail.
"""

import collections
import pathlib
import re
import zipfile

import torch

from ._config import FEATURES_PER_FILTER, GramConfig, TokenizerConfig
from ._gram import Gram
from ._tokenizer import Tokenizer

#: Classes in published files, and their stand-ins.
_STAND_INS = [
    (collections.OrderedDict, "addict.addict.Dict"),
    (pathlib.PurePosixPath, "pathlib.PosixPath"),
]
_SOURCES = (
    "Download the file again from the authors' sharing page (see mne_gram.fetch_model) and compare "
    "its size with that on the page."
)

#: Our names of tensors (as patterns) and published ones, of both stages.
_BLOCK_NAMES = [
    (r"\.patch_embedding\.", ".tconv."),
    (r"\.positions\.channels$", ".ch_emb"),
    (r"\.positions\.times$", ".time_emb"),
    (r"(blocks\.\d+\.)norm([12])", r"\1ln\2"),
    (r"(blocks\.\d+\.)scale([12])", r"\1gamma_\2"),
]
_TOKENIZER_NAMES = [
    *_BLOCK_NAMES,
    (r"coder\.norm\.", "coder.ln_f."),
    (r"^decoder\.project\.", "decoder.conv_emb.proj."),
    (r"^code_head\.", "encode_task_layer."),
    (r"^codebook$", "quantize.embedding.weight"),
]
_GRAM_NAMES = [
    *_BLOCK_NAMES,
    (r"^encoder\.fusion\.projections\.", "proj_layers."),
    (r"^encoder\.fusion\.weights$", "proj_weights"),
    (r"^encoder\.cls$", "cls_token"),
    (r"^spectral_head\.", "mimic_head."),
    (r"^decoder\.project\.", "decoder_embed."),
    (r"^decoder\.head\.", "decoder_pred."),
    (r"^encoder\.", ""),
    (r"^decoder\.", "decoder_"),
]
#: Tensors of a published tokenizer that are used in training only, or not at all.
_TOKENIZER_UNUSED = {
    "encoder.cls_token",
    "decoder.cls_token",
    "quantize.cluster_size",
    "quantize.embedding.cluster_size",
    "quantize.embedding.embed_avg",
    "quantize.embedding.initted",
}
#: Required entries of the configuration; the shape is read from the tensors.
_GRAM_FLAGS = {
    "if_mff": True,
    "if_mimic": True,
    "if_pad_with_cls_token": True,
    "if_sandwich_norm": False,
    "if_causal_attention": False,
}
_TOKENIZER_FLAGS = {"if_sandwich_norm": False, "regress_target": "raw"}


def read_published(fname):
    """Return the tensors (entry ``model``) and the configuration (``cf``) of a published file.

    Raises RuntimeError for files that are broken or contain other classes, and ValueError for other
    formats.
    """
    if not zipfile.is_zipfile(fname):
        raise RuntimeError(
            f"{fname} cannot be read as a published Gram checkpoint. Found: no complete zip "
            f"archive. Expected: a file written by torch.save, which is one; a download that was "
            f"cut short or a saved web page is not. {_SOURCES}"
        )
    try:
        with torch.serialization.safe_globals(_STAND_INS):
            content = torch.load(fname, map_location="cpu", weights_only=True)
    except Exception as error:  # broken or hostile pickles raise anything
        raise RuntimeError(
            f"{fname} cannot be read as a published Gram checkpoint. Found: {_reason(error)}. "
            f"Expected: tensors, numbers and text; nothing else is ever executed. {_SOURCES}"
        ) from None
    wanted = ("model", "cf")
    if not isinstance(content, dict) or not all(isinstance(content.get(k), dict) for k in wanted):
        found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise ValueError(
            f"{fname} is not a published Gram checkpoint: expected a dict with the dicts 'model' "
            f"and 'cf', found {found}. {_SOURCES}"
        )
    tensors, cf = dict(content["model"]), dict(content["cf"])
    wrong = [name for name, value in tensors.items() if not isinstance(value, torch.Tensor)]
    if wrong or not tensors:
        raise ValueError(
            f"{fname} is not a published Gram checkpoint: expected tensors only under 'model', "
            f"found {wrong[:5] or 'nothing'}. {_SOURCES}"
        )
    return tensors, cf


def _reason(error):
    """Return torch's reason, without its advice to load the file unsafely."""
    text = str(error).strip()
    name = re.search(r"GLOBAL ([\w.]*\w)", text)
    if name:
        return f"a pickled {name.group(1)}, which does not belong in such a file and might run code"
    first = text.splitlines()[0] if text else ""
    return f"{type(error).__name__} ({first.split('. ')[0].rstrip('.')})"


def convert_gram(tensors, cf, *, fname):
    """Return stage 2, in eval mode, from a published stage-2 file; ``fname`` is for messages."""
    tensors = {k: v for k, v in tensors.items() if not k.startswith("vqgan.")}
    if "decoder_pred.weight" not in tensors:
        hint = f"Found tensors such as {sorted(tensors)[:5]}. {_SOURCES}"
        if "quantize.embedding.weight" in tensors:
            hint = (
                "It looks like stage 1 (the tokenizer): give it as tokenizer_fname, and None as "
                "fname to convert it alone."
            )
        raise ValueError(
            f"{fname} is not a stage-2 checkpoint: it has no tensor 'decoder_pred.weight'. {hint}"
        )
    _check_flags(cf, _GRAM_FLAGS, fname)
    n_blocks = _count(tensors, r"blocks\.(\d+)\.")
    scaled = "blocks.0.gamma_1" in tensors
    shape = _Shapes(tensors, fname)
    config = _build(
        GramConfig,
        fname,
        n_filters=shape("tconv.conv1.weight", 0, 4),
        n_blocks=n_blocks,
        n_heads=_integer(cf, "n_head", fname),
        fused_blocks=_integers(cf, "out_indices", fname),
        decoder_n_blocks=_count(tensors, r"decoder_blocks\.(\d+)\."),
        decoder_n_heads=_integer(cf, "decoder_n_head", fname),
        n_classes=shape("decoder_pred.weight", 0, 2),
        n_channels=shape("ch_emb", 1, 3),
        max_patches=shape("time_emb", 1, 3),
        layer_scale=_number(cf, "layer_scale_init_values", 0.1) if scaled else None,
        drop_path=_number(cf, "drop_path_rate", 0.1),
        dropout=_number(cf, "resid_pdrop", 0.05),
    )
    _check_agrees(
        cf,
        fname,
        out_chans=config.n_filters,
        n_embd=config.dim,
        n_layer=config.n_blocks,
        decoder_n_layer=config.decoder_n_blocks,
        vocab_size=config.n_classes,
        target_n_embd=FEATURES_PER_FILTER * 8,
        sample_rate=200,
        model_window_size=200,
    )
    return _fill(Gram, config, tensors, _GRAM_NAMES, fname)


def convert_tokenizer(tensors, cf, *, fname):
    """Return stage 1, in eval mode, from a published stage-1 or stage-2 file.

    ``cf`` is None for a stage-2 file, whose configuration lacks the heads of its tokenizer (under
    ``vqgan.``); they are assumed to be the published 10.
    """
    inside = {k[6:]: v for k, v in tensors.items() if k.startswith("vqgan.")}
    if inside and cf is not None:
        raise ValueError(
            f"{fname} is not a stage-1 checkpoint: it looks like stage 2, which contains stage "
            f"1 under 'vqgan.'. Give it as fname."
        )
    tensors = inside or tensors
    if "quantize.embedding.weight" not in tensors:
        raise ValueError(
            f"{fname} contains no tokenizer: it has no tensor 'quantize.embedding.weight', neither "
            f"by itself nor under 'vqgan.'. Found tensors such as {sorted(tensors)[:5]}. {_SOURCES}"
        )
    heads = {"encoder_n_head": 10, "decoder_n_head": 10} if cf is None else cf
    if cf is not None:
        _check_flags(cf, _TOKENIZER_FLAGS, fname)
    shape = _Shapes(tensors, fname)
    config = _build(
        TokenizerConfig,
        fname,
        n_filters=shape("encoder.tconv.conv1.weight", 0, 4),
        n_blocks=_count(tensors, r"encoder\.blocks\.(\d+)\."),
        n_heads=_integer(heads, "encoder_n_head", fname),
        decoder_n_blocks=_count(tensors, r"decoder\.blocks\.(\d+)\."),
        decoder_n_heads=_integer(heads, "decoder_n_head", fname),
        n_classes=shape("quantize.embedding.weight", 0, 2),
        code_dim=shape("quantize.embedding.weight", 1, 2),
        n_channels=shape("encoder.ch_emb", 1, 3),
        max_patches=shape("encoder.time_emb", 1, 3),
        dropout=_number(heads, "resid_pdrop", 0.1),
    )
    if cf is not None:
        _check_agrees(
            cf,
            fname,
            TConv_out_channel=config.n_filters,
            n_embd=config.dim,
            encoder_n_layer=config.n_blocks,
            decoder_n_layer=config.decoder_n_blocks,
            vocab_size=config.n_classes,
            vocab_emb=config.code_dim,
            sample_rate=200,
            model_window_size=200,
        )
    tensors = {k: v for k, v in tensors.items() if k not in _TOKENIZER_UNUSED}
    return _fill(Tokenizer, config, tensors, _TOKENIZER_NAMES, fname)


def check_same_tokenizer(tensors, alone, *, fname, tokenizer_fname):
    """Raise if the tokenizer in a stage-2 file differs from that of a stage-1 file."""
    names = {k[6:] for k in tensors if k.startswith("vqgan.")} - _TOKENIZER_UNUSED
    other = [
        k for k in sorted(names) if k not in alone or not alone[k].equal(tensors[f"vqgan.{k}"])
    ]
    if other:
        raise ValueError(
            f"{tokenizer_fname} is not the tokenizer that {fname} was trained with and contains: "
            f"{len(other)} tensors differ, such as {other[:3]}. Use the published pair, or leave "
            f"the stage-1 file out."
        )


class _Shapes:
    """Reads sizes from tensors, and names the tensor when that fails."""

    def __init__(self, tensors, fname):
        self.tensors, self.fname = tensors, fname

    def __call__(self, name, axis, ndim):
        if name not in self.tensors:
            raise ValueError(f"{self.fname} lacks the tensor {name!r}. {_SOURCES}")
        shape = tuple(self.tensors[name].shape)
        if len(shape) != ndim:
            raise ValueError(
                f"{self.fname}: the tensor {name!r} has shape {shape}, expected {ndim} axes. "
                f"{_SOURCES}"
            )
        return shape[axis]


def _count(tensors, pattern):
    """Return the number of blocks by their names."""
    return len({m.group(1) for m in (re.match(pattern, name) for name in tensors) if m})


def _check_flags(cf, flags, fname):
    for name, wanted in flags.items():
        found = cf.get(name, "nothing")
        if type(found) is not type(wanted) or found != wanted:
            raise ValueError(
                f"{fname} is a variant that mne_gram does not know: its configuration says "
                f"{name} = {found!r}, expected {wanted!r}. Use the published checkpoint."
            )


def _check_agrees(cf, fname, **found):
    """Raise where the configuration contradicts the tensors; missing keys are accepted."""
    for name, value in found.items():
        said = cf.get(name)
        if said is not None and not (isinstance(said, int | float) and said == value):
            raise ValueError(
                f"{fname} contradicts itself: its configuration says {name} = {said!r}, its "
                f"tensors {value!r}. {_SOURCES}"
            )


def _integer(cf, name, fname):
    value = cf.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(
            f"{fname}: expected an int as {name!r} in its configuration, found {value!r}. "
            f"{_SOURCES}"
        )
    return value


def _integers(cf, name, fname):
    values = cf.get(name)
    if not isinstance(values, list | tuple):
        raise ValueError(
            f"{fname}: expected a list of int as {name!r} in its configuration, found "
            f"{values!r}. {_SOURCES}"
        )
    return tuple(_integer({name: value}, name, fname) for value in values)


def _number(cf, name, default):
    """Return a number that only matters in training, or the published one."""
    value = cf.get(name)
    ok = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if ok else default


def _build(cls, fname, **fields):
    try:
        return cls(**fields)
    except ValueError as error:
        raise ValueError(f"{fname} has an impossible shape: {error} {_SOURCES}") from None


def _fill(cls, config, tensors, names, fname):
    """Return a network with exactly these published tensors."""
    network = cls(config, seed=None)
    wanted = network.state_dict()
    tables = {k: v for k, v in network.named_buffers() if k not in wanted}
    state, wrong, unused = {}, [], set(tensors)
    for ours, tensor in (wanted | tables).items():
        theirs = ours
        for pattern, replacement in names:
            theirs = re.sub(pattern, replacement, theirs)
        unused.discard(theirs)
        problem = _compare(tensors.get(theirs), tensor)
        if problem is None:
            values = tensors[theirs].detach().float().reshape(tensor.shape)
            if ours in wanted:
                state[ours] = values
            elif not torch.allclose(values, tensor, atol=1e-4):
                problem = "values other than the fixed sines and cosines"
        if problem is not None:
            wrong.append(f"{theirs}: {problem}")
    wrong += [f"{name}: not expected" for name in sorted(unused)]
    if wrong:
        more = f"; and {len(wrong) - 20} more" if len(wrong) > 20 else ""
        raise ValueError(
            f"{fname} does not contain the published tensors: {'; '.join(wrong[:20])}{more}. "
            f"{_SOURCES}"
        )
    network.load_state_dict(state, strict=True)
    return network.eval()


def _compare(found, wanted):
    """Return the problem with a tensor of a file, or None."""
    if found is None:
        return "missing"
    # Tables have a singleton axis in front, the 1x1 convolution two at the end.
    if [s for s in found.shape if s != 1] != [s for s in wanted.shape if s != 1]:
        return f"shape {tuple(found.shape)}, expected {tuple(wanted.shape)} up to axes of length 1"
    if not found.is_floating_point() or not torch.isfinite(found).all():
        return "expected finite floating-point numbers"
    return None
