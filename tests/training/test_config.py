# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The settings of training."""

from dataclasses import replace

import numpy as np
import pytest

from mne_gram.training import _checkpoint as checkpoint
from mne_gram.training import _runs as runs
from mne_gram.training._config import TrainingConfig, published_gram, published_tokenizer

# ---------------------------------------------------------------------------------------------
# Settings


def test_schedule():
    config = TrainingConfig(n_steps=101, warm_up=0.1, learning_rate=1e-3, final_learning_rate=1e-5)
    rates = np.array([config.get_learning_rate(step) for step in range(101)])
    np.testing.assert_allclose(rates[:10], 1e-3 * np.arange(1, 11) / 10)
    np.testing.assert_allclose(rates[[10, 55, 100]], [1e-3, 5.05e-4, 1e-5])
    assert (np.diff(rates[10:]) < 0).all()
    quarter = 1e-5 + (1e-3 - 1e-5) * (1 + np.cos(np.pi / 3)) / 2
    assert rates[40] == pytest.approx(quarter)
    assert replace(config, warm_up=0.0).get_learning_rate(0) == 1e-3
    assert replace(config, warm_up=1.0).get_learning_rate(100) == 1e-3
    assert replace(config, n_steps=1, warm_up=0.0).get_learning_rate(0) == 1e-3


def test_published_settings(corpus):
    """1e-5 and 1e-4 for 256 windows, in proportion to the batch; a tenth is warm-up."""
    one, two = published_tokenizer(1000), published_gram(1000)
    # 8 parts of 16384 tokens are 512 windows of 256 tokens.
    assert (one.learning_rate, one.final_learning_rate) == pytest.approx((2e-5, 1e-6))
    assert (two.learning_rate, two.final_learning_rate) == pytest.approx((2e-4, 1e-5))
    assert (one.weight_decay, two.weight_decay) == (5e-4, 0.05)
    for config in (one, two):
        assert (config.n_steps, config.warm_up, config.clip) == (1000, 0.1, 1.0)
        assert not (config.centered or config.warm_start or config.free_guide)
        assert config.free_steps == 0 and config.code_gain == 1 and config.codebook_decay == 0.99
        assert config.get_learning_rate(99) == config.learning_rate
        assert config.get_learning_rate(999) == pytest.approx(config.final_learning_rate)
    assert published_tokenizer(10, 2, 8192, seed=4).learning_rate == pytest.approx(2.5e-6)
    assert published_tokenizer(10, seed=4).seed == 4
    half = replace(two, tokens_per_part=256, tokens_per_window=32)
    sampler = runs.make_sampler(corpus, half, masked=True)
    batches = [sampler.draw(step) for step in range(5)]
    assert all(batch.mask.float().mean() == 0.5 and batch.kind == "random" for batch in batches)


def test_config_round_trip(tiny):
    for config in (tiny.SHORT, TrainingConfig(), published_gram(100)):
        text = checkpoint.json.dumps(config.to_dict())
        fields = checkpoint.json.loads(text)
        fields["betas"] = tuple(fields["betas"])
        assert TrainingConfig(**fields) == config


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("n_steps", 0, "n_steps must be an int of at least 1"),
        ("n_parts", True, "n_parts must be an int"),
        ("log_every", 2.0, "log_every must be an int"),
        ("warm_up", 1.1, "warm_up must be from 0 to 1"),
        ("average", float("nan"), "average must be from 0 to 1"),
        ("learning_rate", 0.0, "learning_rate must be positive"),
        ("clip", float("inf"), "clip must be positive and finite"),
        ("weight_decay", -1.0, "weight_decay must be 0 or more"),
        ("free_steps", 1000, "free_steps must be from 0 to n_steps - 1"),
        ("seed", -1, "seed must be an int of at least 0"),
        ("precision", "float16", "precision must be 'float32' or 'bfloat16', got 'float16'"),
        ("compile", "all", "compile must be True, False, 'whole' or 'graphs', got 'all'"),
        ("compile", "graphs", "compile='graphs' needs n_parts=1, got 2"),
        ("hold_out_every", 1, "hold_out_every must be None or an int from 2"),
    ],
)
def test_config_validation(field, value, match):
    with pytest.raises(ValueError, match=match):
        TrainingConfig(**{field: value})
