# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Holes of a recording: samples that are missing where annotations mark them.

They mean the same to every function: nothing is read from them, whatever they contain.
"""

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mne_gram

START, STOP = 8.0, 11.0
NAMES = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
HOLES = {"BAD_ACQ_SKIP": (), "BAD_movement": (), "BAD_jump": ("F3", "Pz")}
CONTENTS = (np.nan, np.inf, 0.3)


@pytest.fixture(scope="module")
def recording():
    """Return twenty seconds without bad channels or annotations."""
    raw = mne_gram.datasets.sample(return_truth=True, verbose="error")[1].pick(NAMES)
    raw.set_annotations(None)
    raw.info["line_freq"] = 50.0
    return raw


def make_raw(recording, text, content):
    """Return the recording with a hole that contains one value; where it is, and where not."""
    raw, names = recording.copy(), HOLES[text]
    start, stop = (round(t * raw.info["sfreq"]) for t in (START, STOP))
    rows = [raw.ch_names.index(name) for name in names or raw.ch_names]
    hole = np.zeros(raw.get_data().shape, bool)
    hole[rows, start:stop] = True
    raw._data[hole] = content
    raw.set_annotations(mne.Annotations([START], [STOP - START], [text], ch_names=[names]))
    return raw, hole


def make_epochs(recording, text, content):
    """Return epochs of two seconds of it, and where the hole is."""
    raw, hole = make_raw(recording, text, content)
    options = dict(duration=2.0, preload=True, reject_by_annotation=False, verbose="error")
    epochs = mne.make_fixed_length_epochs(raw, **options)
    n_times = len(epochs.times)
    hole = hole[:, : len(epochs) * n_times].reshape(len(raw.ch_names), len(epochs), n_times)
    return epochs, hole.transpose(1, 0, 2)


MAKE = {"Raw": make_raw, "Epochs": make_epochs}


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("text", HOLES)
def test_restore_reads_nothing_from_holes(recording, kind, text):
    found = []
    for content in (0.0, *CONTENTS):
        inst, hole = MAKE[kind](recording, text, content)
        inst.info["bads"] = ["C4"]
        restored = mne_gram.restore(inst, verbose="error")
        kept = ~hole
        kept[..., inst.ch_names.index("C4"), :] = False
        assert_array_equal(restored.get_data()[kept], inst.get_data()[kept])
        found.append(restored.get_data()[~hole])
        assert np.isfinite(found[-1]).all()
        if HOLES[text]:  # the others were good then
            assert np.isfinite(restored.get_data()).all()
    for other in found[1:]:
        assert_array_equal(other, found[0])


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("text", HOLES)
def test_harmonize_reads_nothing_from_holes(recording, kind, text):
    names, found = [*NAMES, "FCz", "Oz"], []
    for content in (0.0, *CONTENTS):
        inst, hole = MAKE[kind](recording, text, content)
        harmonized = mne_gram.harmonize(inst, names, verbose="error")
        data, new = harmonized.get_data(), np.zeros_like(hole[..., :2, :])
        new[:] = hole.all(axis=-2, keepdims=True)
        found.append(data[~np.concatenate([hole, new], axis=-2)])
        assert np.isfinite(found[-1]).all()
    for other in found[1:]:
        assert_array_equal(other, found[0])


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("text", HOLES)
def test_find_bads_reads_nothing_from_holes(recording, kind, text):
    found = []
    for content in (0.0, *CONTENTS):
        inst, _ = MAKE[kind](recording, text, content)
        inst.load_data()._data[..., 3, :] *= 20
        found.append(mne_gram.find_bads(inst, verbose="error"))
    for other in found:
        assert other.reasons == found[0].reasons and other.spans == found[0].spans


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("text", HOLES)
def test_preprocess_keeps_holes(recording, kind, text):
    """What is missing stays missing, and does not spread."""
    inst, hole = MAKE[kind](recording, text, np.nan)
    made = mne_gram.preprocess(inst, verbose="error")
    missing = np.isnan(made.get_data())
    step = made.info["sfreq"] / inst.info["sfreq"]
    index = np.floor((np.arange(missing.shape[-1]) + 0.5) / step).astype(int)
    assert_array_equal(missing, hole[..., index.clip(0, hole.shape[-1] - 1)])
    assert_array_equal(np.isnan(inst.get_data()), hole)
    whole, _ = MAKE[kind](recording, text, 0.0)
    if text == "BAD_ACQ_SKIP":  # where recording paused, files hold zeros
        assert_array_equal(
            made.get_data()[~missing],
            mne_gram.preprocess(whole, verbose="error").get_data()[~missing],
        )


@pytest.mark.parametrize("text", HOLES)
def test_a_hole_does_not_change_what_is_far_from_it(recording, text):
    """A filter that is a few seconds long forgets it."""
    raw, _ = make_raw(recording, text, np.nan)
    options = dict(l_freq=2.0, reference=None, verbose="error")
    made, truth = (mne_gram.preprocess(r, **options).get_data() for r in (raw, recording))
    far = np.r_[400:1200, 2600:3600]  # two seconds and more
    assert np.abs(made[:, far] - truth[:, far]).max() < 0.01 * truth[:, far].std()


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("text", HOLES)
@pytest.mark.parametrize("preprocess", [True, False])
def test_embeddings_read_nothing_from_holes(recording, kind, text, preprocess):
    inst, hole = MAKE[kind](recording, text, np.nan)
    ready = inst if preprocess else mne_gram.preprocess(inst, verbose="error")
    options = dict(preprocess=preprocess, verbose="error")
    if kind == "Raw":
        options["window"] = 2
    embedding = mne_gram.compute_embedding(ready, pool="mean", **options)
    tokens = mne_gram.compute_tokens(ready, **options)
    masked = text != "BAD_ACQ_SKIP" or kind == "Epochs"  # else windows lie around the hole
    assert (embedding.good < 1).any() == masked and (tokens.good < 1).any() == masked
    full = embedding.good > 0
    assert np.isfinite(embedding.data[full]).all()
    if text == "BAD_ACQ_SKIP" and kind == "Raw":
        assert full.all()
        zeros = mne_gram.compute_embedding(
            make_raw(recording, text, 0.0)[0], pool="mean", **(options | dict(preprocess=True))
        )
        assert_allclose(embedding.data, zeros.data, rtol=0, atol=1e-5)


def test_what_is_missing_has_to_be_marked(recording):
    raw, _ = make_raw(recording, "BAD_jump", np.nan)
    raw._data[raw.ch_names.index("O1"), 100] = np.inf
    for function in (mne_gram.preprocess, mne_gram.compute_embedding, mne_gram.restore):
        with pytest.raises(ValueError, match=r"NaN, infinite or .*not marked as bad in O1\. .*BAD"):
            function(raw, verbose="error")
    raw, _ = make_raw(recording, "BAD_jump", np.nan)
    with pytest.raises(ValueError, match="NaN, infinite or .* in F3, Pz, .*on_bads='mask'"):
        mne_gram.compute_embedding(raw, on_bads="ignore", verbose="error")
    raw, _ = make_raw(recording, "BAD_ACQ_SKIP", np.nan)
    found = mne_gram.compute_embedding(raw, on_bads="ignore", verbose="error")
    assert np.isfinite(found.data).all()
