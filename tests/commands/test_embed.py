# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The commands ``embed`` and ``tokens``: their files, output and options."""

import json

import mne
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mne_gram
from mne_gram._commands._main import main
from mne_gram.models import Gram, Tokenizer, gram_nano, tokenizer_nano
from mne_gram.models._registry import GramModel, save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a recording, its epochs and a small model, which tests do not change."""
    folder = tmp_path_factory.mktemp("lab")
    rng = np.random.default_rng(0)
    info = mne.create_info("Fp1 Fp2 C3 C4 O1 O2".split(), 200.0, "eeg")
    with info._unlock():
        info.update(line_freq=50.0, lowpass=75.0, highpass=0.1)
    raw = mne.io.RawArray(20e-6 * rng.standard_normal((6, 4100)), info, verbose="error")
    raw.save(folder / "a_raw.fif", fmt="double", verbose="error")
    epochs = mne.make_fixed_length_epochs(raw, 4.0, preload=True, verbose="error")
    epochs.save(folder / "a-epo.fif", fmt="double", verbose="error")
    model = GramModel(Tokenizer(tokenizer_nano()), Gram(gram_nano()))
    save_model(model, folder / "model", verbose="error")
    return folder


def run(folder, command, *args, source="a_raw.fif"):
    return main([command, str(folder / source), *map(str, args), "--model", str(folder / "model")])


def test_embed(folder, tmp_path, capsys):
    out = tmp_path / "a.npz"
    assert run(folder, "embed", out, "--window", 4, "--overlap", 1, "--pool", "channels") == 0
    printed = capsys.readouterr()
    assert "7 windows of 2 to 4 s, 6 channels" in printed.out and f"Wrote {out}." in printed.out
    embedding = mne_gram.read_embedding(out)
    raw = mne.io.read_raw(folder / "a_raw.fif", verbose="error")
    expected = mne_gram.compute_embedding(
        *(raw,),
        **dict(model=folder / "model", window=4, overlap=1, pool="channels", verbose="error"),
    )
    assert_allclose(embedding.data, expected.data, atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_tokens_as_a_table(folder, tmp_path):
    out = tmp_path / "a.csv"
    assert run(folder, "tokens", out, "--bads", "C3", "--picks", "O1", "C3") == 0
    frame = pd.read_csv(out)
    assert list(frame) == ["window", "onset", "duration", "channel", "token"]
    assert len(frame) == 20 * 2 and set(frame["channel"]) == {"C3", "O1"}
    assert_array_equal(frame["token"] == -1, frame["channel"] == "C3")


def test_epochs_without_preprocessing(folder, tmp_path, capsys):
    args = [tmp_path / "a.npz", "--no-preprocess", "--json", "--batch-size", 2]
    assert run(folder, "tokens", *args, source="a-epo.fif") == 0
    printed = json.loads(capsys.readouterr().out)
    tokens = mne_gram.read_tokens(tmp_path / "a.npz")
    assert printed["kind"] == "Tokens" and printed["shape"] == [5, 6, 4] == list(tokens.data.shape)
    assert printed["onsets"] == tokens.onsets.tolist() and printed["sha256"] == tokens.sha256
    epochs = mne.read_epochs(folder / "a-epo.fif", verbose="error")
    options = dict(model=folder / "model", preprocess=False, verbose="error")
    assert_array_equal(tokens.data, mne_gram.compute_tokens(epochs, **options).data)


@pytest.mark.filterwarnings("ignore:A high-pass at 0.1 Hz needs")  # the sample lasts 20 s
@pytest.mark.parametrize("command", ["embed", "tokens"])
def test_sample_and_figure(command, tmp_path):
    out, figure = tmp_path / "a.npz", tmp_path / "a.png"
    # Short windows, so that there are points to draw.
    args = [command, "--sample", str(out), "--figure", str(figure), "--window", "4"]
    assert main(args) == 0
    assert figure.read_bytes().startswith(b"\x89PNG")
    with np.load(out, allow_pickle=False) as file:
        assert len(file["data"]) == 5


def test_no_file_is_left_by_a_failure(folder, tmp_path, capsys):
    # One window is too few for a figure, an error only when it is drawn.
    args = [tmp_path / "a.npz", "--figure", tmp_path / "a.png", "--window", 20]
    assert run(folder, "embed", *args) == 1
    assert "expected at least 3" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--window", "2.5"], "whole number of seconds"),
        (["--bads", "Q"], "no channel Q"),
        (["--device", "cuda:77"], "CUDA"),
        (["--model", "gram-huge"], "gram-huge"),
    ],
)
def test_errors_are_one_line(folder, tmp_path, capsys, args, text):
    assert main(["embed", str(folder / "a_raw.fif"), str(tmp_path / "a.npz"), *args]) == 1
    err = capsys.readouterr().err
    assert text in err and err.startswith("mne_gram: ") and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(folder, tmp_path, capsys):
    (tmp_path / "a.npz").write_bytes(b"mine")
    assert run(folder, "embed", tmp_path / "a.npz") == 1
    assert "already exists" in capsys.readouterr().err
    assert (tmp_path / "a.npz").read_bytes() == b"mine"
    assert run(folder, "embed", tmp_path / "a.npz", "--overwrite") == 0
    assert len(mne_gram.read_embedding(tmp_path / "a.npz")) == 2


@pytest.mark.parametrize(
    "args",
    [
        ["embed", "a_raw.fif", "a.h5"],
        ["embed", "a_raw.fif"],
        ["embed", "--sample", "a_raw.fif", "a.npz"],
        ["embed", "a_raw.fif", "a.npz", "--pool", "median"],
        ["tokens", "a_raw.fif", "a.npz", "--pool", "cls"],
    ],
)
def test_wrong_arguments(args, capsys):
    with pytest.raises(SystemExit) as left:
        main(args)
    assert left.value.code == 2 and "usage: mne_gram" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["embed", "tokens"])
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert f"example:\n  mne_gram {command} " in capsys.readouterr().out
