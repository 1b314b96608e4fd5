# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Embeddings and base classes of Raw and Epochs: windows, bads, times, files."""

import json

import mne
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import mne_gram
from mne_gram import Embedding, Tokens, compute_embedding, compute_tokens
from mne_gram.features import _compute as features
from mne_gram.models import (
    Gram,
    Tokenizer,
    encode_tokens,
    encode_windows,
    gram_nano,
    tokenizer_nano,
)
from mne_gram.models._registry import GramModel, save_model
from mne_gram.montage import match_channels

NAMES = "Fp1 Fp2 C3 C4 Pz O1 O2 T3".split()
ATOL = 2e-5
READY = dict(preprocess=False, verbose="error")


@pytest.fixture(scope="module")
def model():
    """Return a model with large weights, so that every input has an influence."""
    gram, tokenizer = Gram(gram_nano(), seed=1).eval(), Tokenizer(tokenizer_nano()).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in (*gram.parameters(), *tokenizer.parameters()):
            if parameter.ndim > 1:
                scale = parameter[0].numel() ** -0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * scale)
    return GramModel(tokenizer, gram, card={"name": "noise"}, sha256="0" * 64)


def make_raw(seconds=37.3, sfreq=200.0, first_samp=0, names=NAMES, seed=0):
    """Return noise of 20 uV, smooth enough to be resampled."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((len(names), round(seconds * sfreq)))
    data = np.apply_along_axis(np.convolve, 1, noise, np.hanning(9) / 3, "same")
    info = mne.create_info(list(names), sfreq, "eeg")
    with info._unlock():
        info["line_freq"] = 50.0
        info["lowpass"], info["highpass"] = 75.0, 0.1
    return mne.io.RawArray(20e-6 * data, info, first_samp=first_samp, verbose="error")


def make_epochs(raw, seconds=3.0, **kwargs):
    """Return epochs with two alternating events."""
    events = mne.make_fixed_length_events(raw, duration=seconds)
    events[1::2, 2] = 2
    tmax = seconds - 1 / raw.info["sfreq"]
    options = dict(baseline=None, preload=True, verbose="error") | kwargs
    return mne.Epochs(raw, events, {"left": 1, "right": 2}, tmin=0.0, tmax=tmax, **options)


def test_is_what_the_network_says(model):
    raw = make_raw()
    embedding = compute_embedding(raw, model=model, window=4, **READY)
    tokens = compute_tokens(raw, model=model, window=4, **READY)
    channels = match_channels(raw.info, verbose="error").indices
    x = raw.get_data()[:, :7200].reshape(8, 9, 800).transpose(1, 0, 2) * 1e4
    assert_allclose(embedding.data[:9], encode_windows(model, x, channels), atol=ATOL)
    assert_array_equal(tokens.data[:9], encode_tokens(model, x, channels))
    assert embedding.ch_names == tokens.ch_names == NAMES
    assert (embedding.model, embedding.sha256, embedding.pool) == ("noise", "0" * 64, "cls")
    assert len(embedding) == len(tokens) == 10 and "10 windows of 1 to 4 s" in repr(embedding)
    assert "8 channels, noise" in repr(tokens)
    # The last window is shorter, and what its rest would be is not made up.
    alone = encode_windows(model, raw.get_data()[None, :, 7200:7400] * 1e4, channels)
    assert_allclose(embedding.data[9:], alone, atol=ATOL)
    assert (tokens.data[9, :, 0] >= 0).all() and (tokens.data[9, :, 1:] == -1).all()
    assert_array_equal(embedding.durations, [4.0] * 9 + [1.0])
    assert_array_equal(embedding.good, 1.0)


@pytest.mark.parametrize(
    ("window", "overlap", "starts", "lengths"),
    [
        (None, 0.0, [0, 16, 32], [16, 16, 5]),
        (20, 0.0, [0, 20], [20, 17]),
        (40, 0.0, [0], [37]),
        (16, 8.0, [0, 8, 16, 24], [16, 16, 16, 13]),
        (37, 36.5, [0], [37]),
        (36, 34.8, [0, 1.2], [36, 36]),
    ],
)
def test_windows_cover_the_recording(model, window, overlap, starts, lengths):
    raw = make_raw()
    options = dict(window=window, overlap=overlap, model=model, pool="times")
    with mne.utils.catch_logging(verbose="info") as log:
        embedding = compute_embedding(raw, preprocess=False, **options)
    assert_allclose(embedding.onsets, starts)
    assert_array_equal(embedding.durations, lengths)
    assert_allclose(embedding.times, embedding.onsets + embedding.durations / 2)
    there = np.isfinite(embedding.data).all(axis=-1)
    assert_array_equal(there.sum(axis=1), lengths)
    left = raw.n_times / 200 - (embedding.onsets + embedding.durations).max()
    assert f"{left:g} s at the ends of segments are left out" in log.getvalue()
    frame = embedding.to_data_frame()
    assert len(frame) == sum(lengths) and frame.filter(like="gram").notna().all(axis=None)


def test_first_samp_counts(model):
    raw = make_raw(first_samp=1000)
    embedding = compute_embedding(raw, model=model, window=4, **READY)
    assert embedding.first_time == 5.0 and embedding.onsets[:2].tolist() == [5.0, 9.0]
    cropped = compute_embedding(raw.copy().crop(4.0), model=model, window=4, **READY)
    assert_allclose(cropped.onsets[0], 9.0)
    assert_allclose(cropped.data[0], embedding.data[1], atol=ATOL)
    epochs = compute_embedding(make_epochs(raw, 4.0), model=model, **READY)
    assert_allclose(epochs.onsets, embedding.onsets[:9])
    assert_allclose(epochs.data, embedding.data[:9], atol=ATOL)
    assert epochs.first_time is None


def test_segments_are_not_crossed(model):
    pieces = [make_raw(6.5, seed=1), make_raw(5.25, seed=2), make_raw(0.5, seed=3)]
    raw = mne.concatenate_raws([piece.copy() for piece in pieces], verbose="error")
    raw.annotations.append(4.0, 1.0, "BAD_ACQ_SKIP")
    embedding = compute_embedding(raw, model=model, window=5, **READY)
    assert_allclose(embedding.onsets, [0.0, 5.0, 6.5])
    assert_array_equal(embedding.durations, [4.0, 1.0, 5.0])
    alone = compute_embedding(pieces[1], model=model, window=5, **READY)
    assert_allclose(embedding.data[2], alone.data[0], atol=ATOL)


def test_channels_go_by_name(model):
    raw = make_raw()
    order = [5, 3, 7, 0, 1, 6, 4, 2]
    turned = raw.copy().reorder_channels([NAMES[k] for k in order])
    turned.rename_channels({"Fp1": "EEG FP1-REF", "T3": "T7"})
    cls = [compute_embedding(a, model=model, **READY).data for a in (raw, turned)]
    assert_allclose(*cls, atol=ATOL)
    options = dict(model=model, pool="channels", picks=["O1", "C3", "T3"])
    first = compute_embedding(raw, **options, **READY)
    assert first.ch_names == ["C3", "O1", "T3"]  # as in the recording
    second = compute_embedding(turned, **(options | dict(picks=["O1", "C3", "T7"])), **READY)
    assert second.ch_names == ["O1", "T7", "C3"]
    assert_allclose(second.data[:, [2, 0, 1]], first.data, atol=ATOL)


def test_bads_and_spans_are_not_seen(model):
    raw = make_raw()
    raw.info["bads"] = ["C4"]
    raw.annotations.append(5.2, 1.0, "BAD_all")
    raw.annotations.append(17.0, 3.0, "bad_pop", ch_names=[["O1", "Pz"]])
    raw.annotations.append(25.0, 3.0, "movement")
    broken = raw.copy()
    broken._data[3] = np.nan
    broken._data[3, ::2] = 1e40  # more than single precision takes
    broken._data[:, 1040:1240] = 0.1
    broken._data[4:6, 3400:4000] = -0.01
    options = dict(model=model, pool="patches", window=16, **READY)
    clean, same = (compute_embedding(a, **options) for a in (raw, broken))
    assert_array_equal(clean.data, same.data)
    hidden = np.zeros((3, 8, 16), bool)
    hidden[:, 3] = hidden[0, :, 5:7] = hidden[1, 4:6, 1:4] = hidden[2, :, 5:] = True
    assert_array_equal(np.isnan(clean.data).all(axis=-1), hidden)
    assert_allclose(clean.good, 1 - np.array([30 / 128, 22 / 128, 5 / 40]))
    tokens = [compute_tokens(a, model=model, **READY) for a in (raw, broken)]
    assert_array_equal(tokens[0].data, tokens[1].data)
    assert_array_equal(tokens[0].data == -1, hidden)
    ignored = compute_embedding(raw, on_bads="ignore", **options)
    assert_array_equal(np.isnan(ignored.data).all(axis=-1).sum(), 8 * 11)
    with pytest.raises(ValueError, match="NaN, infinite or .* in C4"):
        compute_embedding(broken, on_bads="ignore", **options)


def test_bad_span_leaves_the_average_reference(model):
    # A channel that is bad for a while must not reach the others through the reference.
    raw = make_raw(64.0)
    raw.annotations.append(17.0, 3.0, "BAD_pop", ch_names=[["O1"]])
    broken = raw.copy()
    rng = np.random.default_rng(0)
    broken._data[5, 3500:3900] += 1e-4 * rng.standard_normal(400)
    options = dict(model=model, pool="patches", verbose="error")
    clean, popped = (compute_embedding(a, **options).data for a in (raw, broken))
    # Filters carry a little to the bad channel's neighbours in time, before the reference.
    others = [0, 1, 2, 3, 4, 6, 7]
    inside = np.abs(clean - popped)[1, others, 1:4].max()
    leaking = compute_embedding(broken, on_bads="ignore", **options).data
    kept = compute_embedding(raw, on_bads="ignore", **options).data
    assert inside < 0.05 * np.abs(leaking - kept)[1, others, 1:4].max()


def test_preprocesses_a_raw_as_a_whole(model):
    raw = make_raw(sfreq=256.0, first_samp=512)
    ready = mne_gram.preprocess(raw, verbose="error")
    direct = compute_embedding(raw, model=model, window=4, verbose="error")
    assert_allclose(
        direct.data, compute_embedding(ready, model=model, window=4, **READY).data, atol=1e-4
    )
    assert_allclose(direct.onsets[0], 2.0)
    assert raw.info["sfreq"] == 256.0 and not raw.info["custom_ref_applied"]
    # The reference is of all channels, those that are not embedded included.
    picked = compute_embedding(raw, model=model, picks=["C3", "Pz"], verbose="error")
    ready = compute_embedding(ready, model=model, picks=["C3", "Pz"], **READY)
    assert_allclose(picked.data, ready.data, atol=1e-4)


def test_not_preloaded_is_the_same(model, tmp_path):
    raw = make_raw()
    raw.set_channel_types({"Fp1": "eog"}, verbose="error")
    raw.save(tmp_path / "a_raw.fif", fmt="double", verbose="error")
    lazy = mne.io.read_raw(tmp_path / "a_raw.fif", preload=False, verbose="error")
    one, two = (compute_embedding(a, model=model, verbose="error") for a in (raw, lazy))
    assert_allclose(one.data, two.data, atol=ATOL)
    assert not lazy.preload and one.ch_names == NAMES[1:]
    epochs = make_epochs(lazy, preload=False)
    got = compute_embedding(epochs, model=model, **READY)
    assert not epochs.preload
    assert_allclose(got.data, compute_embedding(epochs.load_data(), model=model, **READY).data)


def test_epochs_keep_what_belongs_to_them(model):
    raw = make_raw(first_samp=300)
    epochs = make_epochs(raw, 3.2)
    epochs.metadata = pd.DataFrame({"event": range(11), "word": list("abcdefghijk")})
    with mne.utils.catch_logging(verbose="info") as log:
        embedding = compute_embedding(epochs, model=model, pool="times", preprocess=False)
    assert "The last 0.2 s of each epoch are left out." in log.getvalue()
    assert embedding.data.shape == (11, 3, model.gram.config.dim)
    assert_array_equal(embedding.events, epochs.events)
    assert embedding.event_id == {"left": 1, "right": 2}
    assert_array_equal(embedding.durations, 3.0)
    frame = embedding.to_data_frame()
    assert list(frame.columns[:7]) == [
        *("window", "onset", "duration", "good", "event", "event_metadata", "word")
    ]
    assert frame["event"].tolist()[:6] == ["left"] * 3 + ["right"] * 3
    assert_allclose(frame["onset"][:4], [1.5, 2.5, 3.5, 4.7])
    assert frame["word"].tolist() == [w for w in "abcdefghijk" for _ in range(3)]


def test_long_epochs_are_cut_and_pooled(model):
    epochs = make_epochs(make_raw(60.0), 20.0)
    embedding = compute_embedding(epochs, model=model, **READY)
    channels = match_channels(epochs.info, verbose="error").indices
    x = epochs.get_data() * 1e4
    halves = [encode_windows(model, part, channels) for part in (x[..., :2000], x[..., 2000:])]
    assert_allclose(embedding.data, np.mean(halves, axis=0), atol=ATOL)
    assert compute_tokens(epochs, model=model, **READY).data.shape == (3, 8, 20)


def test_annotations_of_epochs_count(model):
    raw = make_raw(30.0, sfreq=256.0, first_samp=700)
    raw.annotations.append(700 / 256 + 4.1, 0.5, "BAD_pop", ch_names=[["O1"]])
    epochs = make_epochs(raw, reject_by_annotation=False)
    tokens = compute_tokens(epochs, model=model, verbose="error")
    assert np.argwhere(tokens.data == -1).tolist() == [[1, 5, 1]]


def test_nothing_good_is_nan_with_a_warning(model):
    raw = make_raw()
    raw.annotations.append(15.0, 18.0, "BAD_sleep")
    for compute, empty in ((compute_embedding, np.isnan), (compute_tokens, lambda a: a == -1)):
        with pytest.warns(RuntimeWarning, match=r"bad in 1 of 3 windows \(1\)"):
            found = compute(raw, model=model, preprocess=False)
        assert empty(found.data[1]).all() and not empty(found.data[0]).all()
        assert found.good.tolist() == [15 / 16, 0, 4 / 5]


def test_channels_without_entry(model):
    raw = make_raw(names=["Fp1", "Fp2", "X1", "C3"])
    with pytest.warns(RuntimeWarning, match="X1: "):
        embedding = compute_embedding(raw, model=model, preprocess=False)
    assert embedding.ch_names == ["Fp1", "Fp2", "C3"]
    quiet = compute_embedding(raw, model=model, preprocess=False, on_missing="ignore")
    assert_array_equal(quiet.data, embedding.data)
    with pytest.raises(ValueError, match="match no entry"):
        compute_embedding(raw, model=model, preprocess=False, on_missing="raise")
    with pytest.raises(ValueError, match="None of the 1 EEG channels matches an electrode"):
        compute_embedding(raw, model=model, picks=["X1"], on_missing="ignore")
    # Two names of one electrode: the exact one wins.
    twice = make_raw(names=["T3", "T7", "C3"])
    with pytest.warns(RuntimeWarning, match="T3: "):
        assert compute_embedding(twice, model=model, preprocess=False).ch_names == ["T7", "C3"]


def test_chunks_and_batches_do_not_matter(model, monkeypatch):
    raw = make_raw()
    raw.info["bads"] = ["C4"]
    raw.annotations.append(17.0, 3.0, "bad_pop", ch_names=[["O1", "Pz"]])
    options = dict(model=model, window=4, overlap=1, **READY)
    whole = compute_embedding(raw, **options)
    tokens = compute_tokens(raw, **options)
    monkeypatch.setattr(features, "_CHUNK", 8 * 4 * 3)
    for batch_size in (None, 1, 5):
        part = compute_embedding(raw, batch_size=batch_size, **options)
        assert_allclose(part.data, whole.data, atol=ATOL)
        assert_array_equal(part.good, whole.good)
    assert (compute_tokens(raw, batch_size=2, **options).data == tokens.data).mean() > 0.99


def test_model_by_folder(model, tmp_path):
    save_model(model, tmp_path / "noise", verbose="error")
    raw = make_raw(5.0)
    embedding = compute_embedding(raw, model=tmp_path / "noise", **READY)
    assert_allclose(embedding.data, compute_embedding(raw, model=model, **READY).data, atol=ATOL)
    assert embedding.model == str(tmp_path / "noise") and len(embedding.sha256) == 64
    with pytest.raises(ValueError, match="tokenizer"):
        compute_tokens(raw, model=GramModel(gram=model.gram))
    with pytest.raises(ValueError, match="stage 2"):
        compute_embedding(raw, model=GramModel(tokenizer=model.tokenizer))


@pytest.mark.parametrize(
    ("change", "options", "error", "match"),
    [
        (lambda raw: raw.get_data(), {}, TypeError, "inst must be"),
        (lambda raw: raw.crop(0, 0.9), {}, ValueError, "Raw is 0.905 s long, expected at least 1"),
        (lambda raw: make_epochs(raw, 0.6), {}, ValueError, "Epochs are 0.6 s long"),
        (lambda raw: make_epochs(raw)[:0], {}, ValueError, "contain no epoch"),
        (lambda raw: make_epochs(raw), dict(window=4), ValueError, "apply to Raw"),
        (None, dict(window=2.5), ValueError, "whole number of seconds"),
        (None, dict(window=0), ValueError, "whole number of seconds"),
        (None, dict(window=4, overlap=4), ValueError, "overlap must be"),
        (None, dict(window=4, overlap=-1), ValueError, "overlap must be"),
        (None, dict(pool="median"), ValueError, "pool"),
        (None, dict(on_bads="drop"), ValueError, "on_bads"),
        (None, dict(preprocess=1), TypeError, "preprocess"),
        (None, dict(model=3), TypeError, "model"),
        (None, dict(picks=["Q"]), ValueError, "Q"),
        (None, dict(device="cuda:77"), RuntimeError, "CUDA"),
        (None, dict(batch_size=0), ValueError, "at least 1"),
        (lambda raw: raw.resample(250), {}, ValueError, "250 Hz, expected 200 Hz"),
        (lambda raw: raw.apply_function(lambda x: x * 1e6), {}, ValueError, "not in volts"),
        (lambda raw: raw.set_channel_types(dict.fromkeys(NAMES, "eog")), {}, ValueError, "no EEG"),
    ],
)
def test_bad_input(model, change, options, error, match):
    inst = make_raw()
    with mne.utils.use_log_level("error"):
        inst = change(inst) if change else inst
        with pytest.raises(error, match=match):
            compute_embedding(inst, **(dict(model=model, preprocess=False) | options))


def test_only_snippets(model):
    raw = mne.concatenate_raws([make_raw(0.8, seed=k) for k in range(3)], verbose="error")
    with pytest.raises(ValueError, match="All segments of the Raw"):
        compute_embedding(raw, model=model, **READY)


# ---------------------------------------------------------------------------------------------
# Files


@settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_files_give_back_what_was_saved(tmp_path, data):
    n, n_channels, n_patches = (data.draw(st.integers(1, 4)) for _ in range(3))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    pool = data.draw(st.sampled_from(["cls", "mean", "channels", "times", "patches"]))
    shape = {"channels": (n_channels,), "times": (n_patches,), "patches": (n_channels, n_patches)}
    fields = dict(
        ch_names=data.draw(
            st.lists(st.text(), min_size=n_channels, max_size=n_channels, unique=True)
        ),
        onsets=rng.standard_normal(n),
        durations=np.full(n, float(n_patches)),
        good=rng.random(n),
        first_time=data.draw(st.none() | st.floats(0, 1e9)),
        model=data.draw(st.none() | st.text()),
        sha256="ab",
    )
    if data.draw(st.booleans()):
        column = st.lists(st.none() | st.text(max_size=3), min_size=n, max_size=n)
        fields["events"] = rng.integers(0, 9, (n, 3))
        fields["event_id"] = data.draw(st.dictionaries(st.text(), st.integers(0, 9)))
        fields["metadata"] = pd.DataFrame(
            {
                "float": rng.standard_normal(n),
                "text": pd.Series(data.draw(column), dtype=object),
                "kind": pd.Categorical(["a", "b", None, "a"][:n]),
                "count": pd.array([1, None, 2**60, 3][:n], dtype="Int64"),
                "when": pd.to_datetime(["2020-01-01"] * n),
                7: rng.random(n) < 0.5,
            },
        ).set_axis(rng.permutation(50)[:n], axis=0)
    vectors = rng.standard_normal((n, *shape.get(pool, ()), 3)).astype(np.float32)
    classes = rng.integers(-1, 8196, (n, n_channels, n_patches))
    for kind, read, more in (
        (Embedding, mne_gram.read_embedding, dict(pool=pool, data=vectors)),
        (Tokens, mne_gram.read_tokens, dict(n_classes=8196, data=classes)),
    ):
        saved = kind(**fields, **more)
        saved.save(tmp_path / "a.npz", overwrite=True)
        back = read(tmp_path / "a.npz")
        assert repr(back) == repr(saved) and vars(back).keys() == vars(saved).keys()
        for name, value in vars(saved).items():
            if isinstance(value, pd.DataFrame):
                pd.testing.assert_frame_equal(back.metadata, value)
            else:
                assert type(getattr(back, name)) is type(value)
                assert_array_equal(getattr(back, name), value)
        assert len(back.to_data_frame()) >= n


def make_embedding(**kwargs):
    fields = dict(data=np.zeros((2, 3), np.float32), pool="cls", ch_names=["C3"])
    fields |= dict(onsets=np.arange(2.0), durations=np.ones(2), good=np.ones(2))
    return Embedding(**(fields | kwargs))


def test_files_are_whole_or_not_there(tmp_path):
    embedding = make_embedding()
    with pytest.raises(ValueError, match="must end in .npz"):
        embedding.save(tmp_path / "a.h5")
    embedding.save(tmp_path / "a.npz")
    before = (tmp_path / "a.npz").read_bytes()
    with pytest.raises(FileExistsError, match="a.npz"):
        embedding.save(tmp_path / "a.npz")
    odd = make_embedding(metadata=pd.DataFrame({"x": [object(), object()]}))
    with pytest.raises(ValueError, match="'x' of the metadata contains objects"):
        odd.save(tmp_path / "a.npz", overwrite=True)
    assert (tmp_path / "a.npz").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:  # no pickle in it
        assert_array_equal(file["data"], embedding.data)


def test_files_of_another_kind(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(FileNotFoundError, match="a.npz"):
        mne_gram.read_embedding(path)
    make_embedding().save(path)
    with pytest.raises(RuntimeError, match="contains Embedding, expected Tokens.*read_embedding"):
        mne_gram.read_tokens(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RuntimeError, match="is truncated"):
        mne_gram.read_embedding(path)
    np.savez(path, data=np.zeros(3))
    with pytest.raises(RuntimeError, match="was not written by"):
        mne_gram.read_embedding(path)
    np.savez(path, header=np.array(json.dumps(dict(kind="Embedding", version=99))))
    with pytest.raises(RuntimeError, match="newer version"):
        mne_gram.read_embedding(path)


def test_rows_have_to_fit():
    with pytest.raises(ValueError, match="onsets has 3 rows, expected 2"):
        make_embedding(onsets=np.zeros(3))


def test_sample_with_the_bundled_model():
    raw = mne_gram.datasets.sample(verbose="error")
    embedding = compute_embedding(raw, window=4, verbose="error")
    assert embedding.model == "gram-tiny" and embedding.data.shape[1] == 200
    assert np.isfinite(embedding.data).all() and embedding.data.std(axis=0).max() > 0.05
    tokens = compute_tokens(raw, window=4, verbose="error")
    assert len(np.unique(tokens.data)) > 100 and tokens.data.max() < 8196
