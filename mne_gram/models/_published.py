# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Networks from the tensors and the configuration of published checkpoint files."""

import re

import torch

from ._config import FEATURES_PER_FILTER, GramConfig, TokenizerConfig
from ._gram import Gram
from ._published_reader import SOURCES, is_huge, show
from ._tokenizer import Tokenizer

_MOST_INDICES = 1000

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


def convert_gram(tensors, cf, *, fname):
    """Return stage 2, in eval mode, from a published stage-2 file; ``fname`` is for messages."""
    tensors = {k: v for k, v in tensors.items() if not k.startswith("vqgan.")}
    if "decoder_pred.weight" not in tensors:
        hint = f"Found tensors such as {sorted(tensors)[:5]}. {SOURCES}"
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
            f"by itself nor under 'vqgan.'. Found tensors such as {sorted(tensors)[:5]}. {SOURCES}"
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
            raise ValueError(f"{self.fname} lacks the tensor {name!r}. {SOURCES}")
        shape = tuple(self.tensors[name].shape)
        if len(shape) != ndim:
            raise ValueError(
                f"{self.fname}: the tensor {name!r} has shape {shape}, expected {ndim} axes. "
                f"{SOURCES}"
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
                f"{name} = {show(found)}, expected {wanted!r}. Use the published checkpoint."
            )


def _check_agrees(cf, fname, **found):
    """Raise where the configuration contradicts the tensors; missing keys are accepted."""
    for name, value in found.items():
        said = cf.get(name)
        if said is not None and not (isinstance(said, int | float) and said == value):
            raise ValueError(
                f"{fname} contradicts itself: its configuration says {name} = {show(said)}, its "
                f"tensors {value!r}. {SOURCES}"
            )


def _integer(cf, name, fname):
    value = cf.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or is_huge(value):
        raise ValueError(
            f"{fname}: expected an int as {name!r} in its configuration, found {show(value)}. "
            f"{SOURCES}"
        )
    return value


def _integers(cf, name, fname):
    values = cf.get(name)
    if not isinstance(values, list | tuple) or len(values) > _MOST_INDICES:
        raise ValueError(
            f"{fname}: expected a list of int as {name!r} in its configuration, found "
            f"{show(values)}. {SOURCES}"
        )
    return tuple(_integer({name: value}, name, fname) for value in values)


def _number(cf, name, default):
    """Return a number that only matters in training, or the published one."""
    value = cf.get(name)
    ok = isinstance(value, int | float) and not isinstance(value, bool) and not is_huge(value)
    return float(value) if ok else default


def _build(cls, fname, **fields):
    try:
        return cls(**fields)
    except ValueError as error:
        raise ValueError(f"{fname} has an impossible shape: {error} {SOURCES}") from None


def _fill(cls, config, tensors, names, fname):
    """Return a network with exactly these published tensors."""
    theirs = _match_names(cls, config, names, fname)
    problems = {
        name: problem
        for name, shape in theirs.values()
        if (problem := _compare(tensors.get(name), shape))
    }
    expected = {name for name, _ in theirs.values()}
    problems |= {name: "not expected" for name in sorted(tensors.keys() - expected)}
    _check_problems(problems, fname)
    network = cls(config, seed=None)
    state = network.state_dict()
    for ours, tensor in (state | _get_tables(network)).items():
        name, _ = theirs[ours]
        values = tensors[name].detach().float().reshape(tensor.shape)
        if ours in state:
            state[ours] = values
        elif not torch.allclose(values, tensor, atol=1e-4):
            problems[name] = "values other than the fixed sines and cosines"
    _check_problems(problems, fname)
    network.load_state_dict(state, strict=True)
    return network.eval()


def _get_tables(network):
    """Return the position tables; other buffers are constants of this implementation."""
    return {name: value for name, value in network.named_buffers() if ".positions." in name}


def _match_names(cls, config, names, fname):
    """Return published name and shape of each tensor of a network, which takes no memory."""
    try:
        with torch.device("meta"):
            network = cls(config, seed=None)
    except Exception as error:  # torch cannot count that many numbers
        raise ValueError(f"{fname} has an impossible shape: {error}. {SOURCES}") from None
    found = {}
    for ours, tensor in (network.state_dict() | _get_tables(network)).items():
        theirs = ours
        for pattern, replacement in names:
            theirs = re.sub(pattern, replacement, theirs)
        found[ours] = theirs, tuple(tensor.shape)
    return found


def _check_problems(problems, fname):
    """Raise if tensors have problems."""
    if problems:
        texts = [f"{name}: {problem}" for name, problem in problems.items()]
        more = f"; and {len(texts) - 20} more" if len(texts) > 20 else ""
        raise ValueError(
            f"{fname} does not contain the published tensors: {'; '.join(texts[:20])}{more}. "
            f"{SOURCES}"
        )


def _compare(found, wanted):
    """Return the problem with a tensor of a file, or None."""
    if found is None:
        return "missing"
    # Tables have a singleton axis in front, the 1x1 convolution two at the end.
    if [s for s in found.shape if s != 1] != [s for s in wanted if s != 1]:
        return f"shape {tuple(found.shape)}, expected {wanted} up to axes of length 1"
    if not found.is_floating_point() or not torch.isfinite(found).all():
        return "expected finite floating-point numbers"
    return None
