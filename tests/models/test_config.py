# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The configurations of the networks."""

import json
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from mne_gram.models import (
    Gram,
    GramConfig,
    Tokenizer,
    TokenizerConfig,
    gram_base,
    gram_large,
    gram_medium,
    gram_nano,
    tokenizer_base,
    tokenizer_nano,
)

# --- configurations -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [tokenizer_base(), tokenizer_nano(), gram_base(), gram_medium(), gram_large(), gram_nano()],
)
def test_config_round_trip(config):
    again = type(config).from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config and again.dim == 25 * config.n_filters
    with pytest.raises(FrozenInstanceError):
        config.n_blocks = 3


def test_config_from_dict_is_strict():
    good = gram_nano().to_dict()
    with pytest.raises(
        ValueError, match=r"missing fields \['n_heads'\].*unknown fields \['heads'\]"
    ):
        GramConfig.from_dict({("heads" if k == "n_heads" else k): v for k, v in good.items()})
    with pytest.raises(ValueError, match="needs a dict"):
        TokenizerConfig.from_dict([1])


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("n_blocks", 0, "n_blocks must be an int"),
        ("n_classes", 2.0, "n_classes must be an int"),
        ("n_filters", 6, "multiple of 4"),
        ("n_heads", 7, "n_heads must divide the width 100"),
        ("decoder_n_heads", 7, "decoder_n_heads must divide the width 200"),
        ("fused_blocks", (1, 0), "ascending block numbers"),
        ("fused_blocks", (0,), "ending with the last block"),
        ("fused_blocks", [0, 1], "must be a tuple"),
        ("dropout", 1.0, "dropout must be a number from 0"),
        ("drop_path", -0.1, "drop_path must be a number from 0"),
        ("layer_scale", float("nan"), "layer_scale must be None or"),
    ],
)
def test_config_validation(field, value, match):
    with pytest.raises(ValueError, match=match):
        replace(gram_nano(), **{field: value})
    if field in {f.name for f in fields(TokenizerConfig)} and field != "n_heads":
        with pytest.raises(ValueError, match=match):
            replace(tokenizer_nano(), **{field: value})


def test_networks_refuse_other_configs():
    with pytest.raises(TypeError, match="must be a GramConfig"):
        Gram(tokenizer_nano())
    with pytest.raises(TypeError, match="must be a TokenizerConfig"):
        Tokenizer(gram_nano())
