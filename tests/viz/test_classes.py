# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Figures of base classes and embeddings."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mne_gram
from mne_gram import Embedding, Tokens
from mne_gram.models import Gram, Tokenizer, gram_nano, tokenizer_nano
from mne_gram.models._registry import GramModel
from mne_gram.viz import plot_base_classes, plot_codebook_usage, plot_embedding


@pytest.fixture(scope="module")
def model():
    return GramModel(Tokenizer(tokenizer_nano(), seed=3).eval(), sha256="1" * 64)


def make_tokens(data, **kwargs):
    data = np.atleast_3d(data)
    n = len(data)
    fields = dict(ch_names=["C3"], onsets=np.arange(n), durations=np.ones(n), good=np.ones(n))
    return Tokens(data=data, n_classes=64, sha256="1" * 64, **(fields | kwargs))


def make_embedding(n=12, pool="cls", dim=5, **kwargs):
    rng = np.random.default_rng(0)
    shape = {"cls": (), "channels": (2,)}[pool]
    fields = dict(
        data=rng.standard_normal((n, *shape, dim)).astype(np.float32),
        ch_names=["C3", "C4"],
        onsets=4.0 * np.arange(n),
        durations=np.full(n, 4.0),
        good=np.ones(n),
    )
    return Embedding(pool=pool, **(fields | kwargs))


def test_base_classes_are_decoded_most_frequent_first(model):
    tokens = make_tokens([7, 3, 3, -1, 3, 9, 9, -1, 5, 5, 5, 5])
    fig = plot_base_classes(tokens, model=model, n_classes=3, ch_name="O1", show=False)
    shown = [axis for axis in fig.axes if axis.lines]
    assert [axis.get_title(loc="left") for axis in shown] == ["5: 40.0%", "3: 30.0%", "9: 20.0%"]
    wave = shown[1].lines[0].get_ydata()
    assert_allclose([wave.mean(), wave.std()], [0, 1], atol=1e-5)
    again = plot_base_classes(tokens, model=model, n_classes=3, ch_name="O1", show=False)
    assert_allclose(again.axes[1].lines[0].get_ydata(), wave)
    other = plot_base_classes([3, 7], model=model, ch_name="Cz", show=False).axes
    assert [axis.get_title(loc="left") for axis in other] == ["3", "7"]
    assert not np.allclose(other[0].lines[0].get_ydata(), wave, atol=1e-2)


def test_base_classes_look_like_their_patches():
    # What the bundled model draws of a class is the mean of the patches that it gave that class.
    raw = mne_gram.datasets.sample(verbose="error").load_data(verbose="error")
    raw.drop_channels(raw.info["bads"]).set_annotations(None)
    raw = mne_gram.preprocess(raw, line_freq=60, verbose="error")
    options = dict(window=4, preprocess=False, verbose="error")
    tokens = mne_gram.compute_tokens(raw, **options)
    patches = raw.get_data()[:, :4000].reshape(-1, 5, 4, 200).transpose(1, 0, 2, 3)
    fig = plot_base_classes(tokens, n_classes=6, show=False)
    similar = []
    for axis in fig.axes[:6]:
        number = int(axis.get_title(loc="left").split(":")[0])
        mean = patches[tokens.data == number].mean(axis=0)
        similar.append(np.corrcoef(mean, axis.lines[0].get_ydata())[0, 1])
    assert np.median(similar) > 0.8


def test_base_classes_bad_input(model):
    import matplotlib.pyplot as plt

    with pytest.raises(ValueError, match="ch_name must be one of"):
        plot_base_classes([1], model=model, ch_name="X9")
    with pytest.raises(ValueError, match="contains no base class"):
        plot_base_classes(make_tokens([-1, -1]), model=model)
    with pytest.raises(ValueError, match="list of base classes"):
        plot_base_classes([0.5], model=model)
    with pytest.raises(ValueError, match="at least 1"):
        plot_base_classes([1], model=model, n_classes=0)
    with pytest.raises(ValueError, match="computed with other weights"):
        plot_base_classes(_renamed(), model=model)
    with pytest.raises(ValueError, match="without a tokenizer"):
        plot_base_classes([1], model=GramModel(gram=Gram(gram_nano())))
    with pytest.raises(ValueError, match="from 0 to"):
        plot_base_classes([10**6], model=model)
    with pytest.raises(ValueError, match="Found 1 axes, expected 2"):
        plot_base_classes([1, 2], model=model, axes=plt.subplots()[1])


def _renamed():
    tokens = make_tokens([1])
    tokens.sha256 = "2" * 64
    return tokens


def test_bundled_model_by_default():
    fig = plot_base_classes(range(7), show=False)
    shown = [axis for axis in fig.axes if axis.lines]
    assert len(shown) == 7 and len(fig.axes) == 10
    waves = np.array([axis.lines[0].get_ydata() for axis in shown])
    assert_allclose(waves.std(axis=1), 1, atol=1e-3)


def test_codebook_usage():
    import matplotlib.pyplot as plt

    _, axis = plt.subplots()
    fig = plot_codebook_usage(make_tokens([4] * 6 + [2] * 3 + [60] + [-1] * 5), axes=axis)
    assert fig is axis.figure
    assert_allclose(axis.lines[0].get_ydata(), [0.6, 0.3, 0.1])
    assert_allclose(axis.lines[1].get_ydata(), 1 / 64)
    # exp(-(0.6 log 0.6 + 0.3 log 0.3 + 0.1 log 0.1)) = 2.45
    assert axis.get_title(loc="left") == "3 of 64 classes occur, perplexity 2"
    with pytest.raises(ValueError, match="no base class"):
        plot_codebook_usage(make_tokens([-1]))
    with pytest.raises(TypeError, match="tokens must be"):
        plot_codebook_usage(np.arange(3))


def test_embedding_shows_most_variance():
    rng = np.random.default_rng(1)
    data = np.zeros((40, 6), np.float32)
    data[:, 4], data[:, 2] = 10 * rng.standard_normal(40), 3 * rng.standard_normal(40)
    data[:, 0] = 0.1 * rng.standard_normal(40)
    data[7] = np.nan
    fig = plot_embedding(make_embedding(40, data=data), show=False)
    axis = fig.axes[0]
    dots = axis.collections[0].get_offsets().data
    rest = np.delete(data, 7, axis=0)
    rest = rest - rest.mean(axis=0)
    for k, column in enumerate((4, 2)):
        assert abs(np.corrcoef(dots[:, k], rest[:, column])[0, 1]) > 0.95
    share = rest.var(axis=0)[4] / rest.var(axis=0).sum()
    assert axis.get_xlabel() == f"Principal component 1 ({share:.0%} of variance)"
    assert fig.axes[1].get_ylabel() == "Onset (s)"
    again = plot_embedding(make_embedding(40, data=data), show=False).axes[0].collections[0]
    assert_allclose(again.get_offsets().data, dots)


def test_embedding_is_coloured_by_kind():
    events = np.column_stack([np.arange(12), np.zeros(12), np.arange(12) % 3]).astype(int)
    metadata = pd.DataFrame({"who": ["anna", "ben"] * 6, "speed": np.arange(12.0)})
    event_id = {"left": 0, "right": 1, "rest": 2}
    embedding = make_embedding(events=events, event_id=event_id, metadata=metadata)
    axis = plot_embedding(embedding, show=False).axes[0]
    handles, labels = axis.get_legend_handles_labels()
    assert labels == ["left", "rest", "right"]
    assert [len(handle.get_offsets()) for handle in handles] == [4, 4, 4]
    assert len({tuple(handle.get_facecolor()[0]) for handle in handles}) == 3
    axis = plot_embedding(embedding, color="who", show=False).axes[0]
    assert axis.get_legend_handles_labels()[1] == ["anna", "ben"]
    fig = plot_embedding(embedding, color="speed", show=False)
    assert fig.axes[1].get_ylabel() == "speed"
    by_channel = plot_embedding(make_embedding(pool="channels"), color="channel", show=False)
    assert by_channel.axes[0].get_legend_handles_labels()[1] == ["C3", "C4"]


def test_embedding_bad_input():
    with pytest.raises(ValueError, match="one of window, onset.*got 'age'"):
        plot_embedding(make_embedding(), color="age")
    with pytest.raises(ValueError, match="Found 2 vectors"):
        plot_embedding(make_embedding(2))
    with pytest.raises(TypeError, match="embedding must be"):
        plot_embedding(np.zeros((4, 4)))
