# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The commands of pre-training: what they write and print, and what they hand on."""

import dataclasses
import json
import shutil
import warnings

import mne
import numpy as np
import pytest
import torch

import mne_gram
from mne_gram import models
from mne_gram._commands._main import main
from mne_gram.training import _recipes as recipes
from mne_gram.training._config import TrainingConfig, published_gram, published_tokenizer
from mne_gram.training._corpus import read_corpus
from mne_gram.training._logs import read_log
from mne_gram.training._recipes import RECIPES, adapt

CPU = torch.device("cpu")
TINY1 = RECIPES["gram-tiny"].stage1
# Two steps of a network for tests; the second person of each data set is watched.
TOKENIZER = ["pretrain", "tokenizer", "--corpus", "corpus", "--out"]
QUICK = [
    *"--size nano --steps 2 --parts 1 --tokens-per-part 128".split(),
    *"--device cpu --set start_tokens=128 hold_out_every=2 checkpoint_every=1".split(),
]


def _write_recording(path, seed=0):
    """Write six seconds of six channels of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).standard_normal((6, 1200))
    smooth = np.apply_along_axis(np.convolve, 1, noise, np.ones(5) / 5, "same")
    info = mne.create_info("Fp1 Fp2 C3 C4 O1 O2".split(), 200.0, "eeg")
    info["line_freq"] = 50.0
    mne.io.RawArray(20e-6 * smooth, info, verbose="error").save(path, verbose="error")
    return str(path)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Return a folder with recordings of five subjects and a broken file."""
    folder = tmp_path_factory.mktemp("data") / "lab"
    for k in range(1, 6):
        _write_recording(folder / f"sub-{k}_raw.fif", k)
    (folder / "broken_raw.fif").write_bytes(b"nothing")
    return folder


@pytest.fixture(scope="module")
def corpus(lab, tmp_path_factory):
    """Return the folder of a corpus of these subjects."""
    out = tmp_path_factory.mktemp("corpora") / "corpus"
    files = map(str, sorted(lab.glob("sub-*")))
    assert main(["pretrain", "prepare", "--file", *files, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def tokenizer(corpus, tmp_path_factory):
    """Return the folder of a trained stage 1; tests leave it as it is."""
    out = tmp_path_factory.mktemp("runs") / "tokenizer"
    assert _train("tokenizer", corpus, out) == 0
    return out


def _train(stage, corpus, out, *args):
    return main(["pretrain", stage, "--corpus", str(corpus), "--out", str(out), *QUICK, *args])


@pytest.fixture(autouse=True)
def no_curves(monkeypatch):
    """Save the time for figures, but in the run that all tests share."""
    monkeypatch.setattr("mne_gram.training._loop._draw_curves", lambda folder: None)


def _stop(*args, **kwargs):
    raise RuntimeError("enough")


@pytest.fixture
def got(monkeypatch):
    """Return a dict that is filled with what a command hands to the library."""
    found = {}

    def spy(*args, **kwargs):
        found.update(kwargs, args=args)
        _stop()

    for name in ("prepare_corpus", "pretrain_tokenizer", "run_recipe"):
        monkeypatch.setattr(f"mne_gram.training.{name}", spy)
    return found


# ---------------------------------------------------------------------------------------------
# Corpus


def test_prepare(lab, tmp_path, capsys):
    """What could be prepared is counted, what could not is named, a line each."""
    _write_recording(tmp_path / "other" / "sub-1_raw.fif")
    files = [*map(str, sorted(lab.iterdir())), str(tmp_path / "other" / "sub-1_raw.fif")]
    args = ["pretrain", "prepare", "--out", str(tmp_path / "corpus"), "--hold-out-every", "4"]
    assert main([*args, "--file", files[0], "--file", *files[1:]]) == 0
    out, err = capsys.readouterr()
    head, lab_row, other_row, all_row, failed, where = out.splitlines()
    assert head.split() == "data set recordings subjects hours tokens marked".split()
    assert lab_row.split() == ["lab", "4", "4", "0.01", "144", "0.0%"]
    assert other_row.split()[:3] == ["other", "1", "1"] and all_row.split()[:3] == ["all", "5", "5"]
    assert failed == "Recordings that could not be prepared: 1." and "corpus" in where
    (line,) = [line for line in err.splitlines() if line.startswith("mne_gram: warning")]
    assert "lab/broken_raw.fif" in line
    prepared = read_corpus(tmp_path / "corpus")
    assert [r.subject for r in prepared.recordings if r.dataset == "lab"] == ["1", "2", "3", "5"]


def test_prepare_nothing(lab, tmp_path, capsys):
    """If nothing is left that is a failure, in one line."""
    args = ["pretrain", "prepare", "--out", str(tmp_path / "corpus")]
    assert main([*args, "--file", str(lab / "broken_raw.fif")]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "None of the 1 recordings" in err.splitlines()[-1]
    with pytest.raises(SystemExit) as exc:
        main(args)
    assert exc.value.code == 2
    assert "--bids-root or --file" in capsys.readouterr().err


def test_prepare_hands_on(tmp_path, got):
    """All options of the corpus reach the function."""
    options = "--bids-root a --bids-root b --out c --hold-out-every 4 --hold-out only --jobs 2"
    options += " --dtype float32 --line-freq 60 --overwrite"
    assert main(["pretrain", "prepare", *options.split()]) == 1
    assert got == dict(
        args=("c",),
        bids_roots=["a", "b"],
        files=[],
        hold_out_every=4,
        hold_out="only",
        dtype="float32",
        line_freq=60.0,
        n_jobs=2,
        overwrite=True,
    )


# ---------------------------------------------------------------------------------------------
# Both stages


def test_tokenizer(tokenizer, corpus, tmp_path, capsys):
    """A run leaves a model, a log and curves; the same command finds it done."""
    for name in ("checkpoint.safetensors", "log.csv", "curves.png"):
        assert (tokenizer / name).is_file()
    out = shutil.copytree(tokenizer, tmp_path / "run")
    assert _train("tokenizer", corpus, out) == 0
    printed, err = capsys.readouterr()
    assert "Resuming after step 2 of 2" in err
    line, where = printed.splitlines()
    assert line.startswith("tokenizer: 2 steps; held-out subjects: cosine ")
    assert where == f"The model is in {out / 'model'}."
    model = mne_gram.load_model(out / "model")
    assert model.gram is None and model.tokenizer.config == models.tokenizer_nano()
    card = model.card["stages"]["tokenizer"]
    assert card["training"]["hold_out_every"] == 2 and card["training"]["free_steps"] == 0
    assert f"cosine {card['watched']['cosine']:.3g}" in line


def test_other_settings_and_overwrite(tokenizer, corpus, tmp_path, capsys):
    """A run is not continued with other settings, but it can be replaced."""
    out = shutil.copytree(tokenizer, tmp_path / "run")
    capsys.readouterr()
    assert _train("tokenizer", corpus, out, "--seed", "7") == 1
    assert "training.seed was 0 and is 7" in capsys.readouterr().err.splitlines()[-1]
    assert _train("tokenizer", corpus, out, "--seed", "7", "--overwrite") == 0
    card = mne_gram.load_model(out / "model").card
    assert card["stages"]["tokenizer"]["training"]["seed"] == 7


@pytest.mark.parametrize("inner", ["", "model"])
def test_gram(tokenizer, corpus, tmp_path, capsys, inner):
    """Stage 2 takes the folder of stage 1 or the model in it; its curves can be drawn."""
    out, figure = tmp_path / "gram", tmp_path / "curves.pdf"
    assert _train("gram", corpus, out, "--tokenizer", str(tokenizer / inner)) == 0
    assert "gram: 2 steps; held-out subjects: loss" in capsys.readouterr().out
    model = mne_gram.load_model(out / "model")
    assert list(model.card["stages"]) == ["tokenizer", "gram"]
    assert set(read_log(out)["split"]) == {"train", "validation"}
    if inner:
        return
    command = ["pretrain", "curves", str(out), "--out", str(figure)]
    assert main(command) == 0
    assert figure.read_bytes().startswith(b"%PDF")
    assert main(command) == 1
    assert "already exists" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert main(["pretrain", "curves", str(tmp_path), "--out", str(tmp_path / "b.png")]) == 1
    assert "no log" in capsys.readouterr().err


def test_tokenizer_of_another_size(tokenizer, corpus, tmp_path, capsys, monkeypatch):
    """Stage 2 has as many classes as its tokenizer; what has no tokenizer is refused."""
    asked = []

    def spy(*args, config, **kwargs):
        asked.append(config)
        _stop()

    monkeypatch.setattr("mne_gram.training.pretrain", spy)
    args = ["--tokenizer", str(tokenizer), "--size", "tiny"]
    assert _train("gram", corpus, tmp_path, *args) == 1
    assert asked == [dataclasses.replace(models.gram_tiny(), n_classes=64)]
    assert _train("gram", corpus, tmp_path, "--tokenizer", str(tmp_path)) == 1
    assert "neither a known model" in capsys.readouterr().err.splitlines()[-1]


def test_no_corpus(tmp_path, capsys):
    """Both stages need a corpus."""
    with pytest.raises(SystemExit) as exc:
        main(["pretrain", "tokenizer", "--out", str(tmp_path / "run"), *QUICK])
    assert exc.value.code == 2 and not (tmp_path / "run").exists()
    assert "--corpus" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "size", "expected"),
    [
        ("", "tiny", TINY1),
        ("--steps 2000", "tiny", adapt(TINY1, CPU, {"n_steps": 2000})),
        (
            "--preset small --size nano --learning-rate 1e-4",
            "nano",
            dataclasses.replace(
                RECIPES["gram-small"].stage1,
                learning_rate=1e-4,
                precision="float32",
                compile=False,
                tokens_per_part=4096,
            ),
        ),
        (
            "--preset published --steps 50 --parts 2 --tokens-per-part 1024 --set centered=true",
            "base",
            published_tokenizer(50, 2, 1024, centered=True),
        ),
    ],
)
def test_presets(tmp_path, got, options, size, expected):
    """Presets stand for settings and a size; without a GPU they are fitted to the CPU."""
    args = [
        *TOKENIZER,
        str(tmp_path),
        "--device",
        "cpu",
        *options.split(),
    ]
    assert main([*args, "--overwrite"]) == 1
    assert got["training"] == expected
    assert got["config"] == getattr(models, f"tokenizer_{size}")()
    assert got["args"] == ("corpus", str(tmp_path))
    assert got["device"] == "cpu" and got["overwrite"] is True


def test_published_gram(tokenizer, tmp_path, monkeypatch):
    """Stage 2 has published settings of its own."""
    asked = []
    monkeypatch.setattr(
        "mne_gram.training.pretrain", lambda *a, training, **k: asked.append(training)
    )
    args = ["pretrain", "gram", "--corpus", "corpus", "--tokenizer", str(tokenizer)]
    args += ["--out", str(tmp_path)]
    main([*args, "--preset", "published", "--steps", "9"])  # fails later, as nothing comes back
    assert asked == [published_gram(9)]


def test_set(tmp_path, got):
    """Any field can be set, each by a value of its type."""
    values = ["augment=false", "betas=[0.8, 0.9]", 'mask_kinds={"span": 1}', "seed=3", "clip=2"]
    values += ["precision=float32", "hold_out_every=null"]
    assert (
        main(
            [
                *TOKENIZER,
                str(tmp_path),
                "--set",
                *values,
            ]
        )
        == 1
    )
    expected = dict(augment=False, betas=(0.8, 0.9), mask_kinds={"span": 1}, seed=3, clip=2)
    assert got["training"] == adapt(TINY1, CPU, dict(expected, hold_out_every=None))


@pytest.mark.parametrize(("word", "value"), [("true", True), ("false", False), ("whole", "whole")])
def test_set_compile(word, value, tmp_path, got):
    """It is a truth value or a word."""
    assert main([*TOKENIZER, str(tmp_path), "--set", f"compile={word}"]) == 1
    assert got["training"].compile == value and type(got["training"].compile) is type(value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("--set nope=1", "no field 'nope', only n_steps, "),
        ("--set augment", "takes FIELD=VALUE, got 'augment'"),
        ("--set augment=False", "augment is of type bool"),
        ("--set augment=1", "augment is of type bool"),
        ("--set seed=1.5", "seed is of type int"),
        ("--set clip=true", "clip is of type float"),
        ("--set clip=null", "clip is of type float"),
        ("--set betas=[0.9]", "betas is of type tuple[float, float]"),
        ("--set betas=0.9", "betas is of type tuple[float, float]"),
        ("--set hold_out_every=2.5", "hold_out_every is of type int | None"),
        ("--set mask_kinds=3", "mask_kinds is of type dict | None"),
        ("--steps 3 --set n_steps=4", "n_steps is given twice"),
        ("--set clip=1 --set clip=2", "clip is given twice"),
        ("--preset published", "needs --steps"),
        ("--preset huge", "invalid choice"),
    ],
)
def test_wrong_settings(tmp_path, got, capsys, options, text):
    """Settings that make no sense are wrong arguments."""
    with pytest.raises(SystemExit) as exc:
        main(
            [
                *TOKENIZER,
                str(tmp_path),
                *options.split(),
            ]
        )
    assert exc.value.code == 2 and not got
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("options", ["--steps 0", "--learning-rate -1", "--device nonesuch"])
def test_refused_settings(tmp_path, got, capsys, options):
    """Values that the library refuses are told in one line."""
    assert (
        main(
            [
                *TOKENIZER,
                str(tmp_path),
                *options.split(),
            ]
        )
        == 1
    )
    assert not got
    assert capsys.readouterr().err.splitlines()[-1].startswith("mne_gram: error: ")


# ---------------------------------------------------------------------------------------------
# Recipes


@pytest.fixture
def quick_recipe(monkeypatch):
    """Make a recipe of two steps."""
    training = TrainingConfig(
        n_steps=2, n_parts=1, tokens_per_part=128, start_tokens=128, hold_out_every=2
    )
    shapes = models.tokenizer_nano(), models.gram_nano()
    recipe = recipes.PretrainingRecipe("for a test", *shapes, training, training, "float16")
    monkeypatch.setitem(RECIPES, "quick", recipe)


def test_recipe(lab, tmp_path, quick_recipe, capsys):
    """One command makes corpus, both stages and the model, and does nothing twice."""
    root, out = tmp_path / "set", tmp_path / "out"
    for k, path in enumerate(sorted(lab.glob("sub-*"))):
        folder = root / f"sub-{k}" / "eeg"
        folder.mkdir(parents=True)
        shutil.copy(path, folder / f"sub-{k}_task-rest_eeg.fif")
    about = {"Name": "Made up", "BIDSVersion": "1.10.0", "License": "CC0"}
    (root / "dataset_description.json").write_text(json.dumps(about))
    command = ["pretrain", "recipe", "quick", "--bids-root", str(root), "--out", str(out)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "tokenizer: 2 steps" in printed and "gram: 2 steps" in printed
    assert f"The model is in {out / 'quick'}." in printed
    assert sorted(path.name for path in out.iterdir()) == ["corpus", "gram", "quick", "tokenizer"]
    model = mne_gram.load_model(out / "quick")
    assert model.card["name"] == "quick" and model.card["hold_out_every"] == 4
    (data,) = model.card["stages"]["gram"]["data"]
    # Of 0 to 4 the fourth is held out for good, and every second of the rest is watched.
    assert data["subjects_trained_on"] == ["0", "2"] and data["subjects_watched"] == ["1", "4"]
    assert main(command) == 0
    assert capsys.readouterr().err.count("Resuming after step 2 of 2") == 2


def test_recipe_with_a_corpus(corpus, tmp_path, quick_recipe):
    """A corpus that is there is taken as it is, and the card tells who was held out of it."""
    args = ["pretrain", "recipe", "quick", "--corpus", str(corpus), "--out", str(tmp_path)]
    assert main([*args, "--steps", "1", "--set", "seed=5"]) == 0
    assert not (tmp_path / "corpus").exists()
    card = mne_gram.load_model(tmp_path / "quick").card
    assert card["hold_out_every"] is None
    for stage in ("tokenizer", "gram"):
        assert card["stages"][stage]["training"]["n_steps"] == 1
        assert card["stages"][stage]["training"]["seed"] == 5


def test_recipe_hands_on(got, capsys):
    """All options of a recipe reach the function; the data are given once."""
    options = "--bids-root a b --out c --hold-out-every 0 --steps 7 --device cpu --jobs 2"
    assert main(["pretrain", "recipe", "gram-tiny", *options.split()]) == 1
    assert got == dict(
        args=("gram-tiny", "c"),
        bids_roots=["a", "b"],
        hold_out_every=None,
        device="cpu",
        n_jobs=2,
        corpus=None,
        minutes=None,
        changes={"n_steps": 7},
    )
    options = "--corpus b --out c --minutes 1.5 --set seed=3"
    assert main(["pretrain", "recipe", "gram-small", *options.split()]) == 1
    assert (got["minutes"], got["changes"]) == (1.5, {"seed": 3})
    with pytest.raises(SystemExit):
        main(["pretrain", "recipe", "gram-tiny", *options.split(), "--steps", "4"])
    assert "either --steps or --minutes" in capsys.readouterr().err
    for data in ([], ["--bids-root", "a", "--corpus", "b"]):
        with pytest.raises(SystemExit):
            main(["pretrain", "recipe", "gram-tiny", "--out", "c", *data])
        assert "either --bids-root or --corpus" in capsys.readouterr().err


def test_unknown_recipe(tmp_path, capsys):
    """A recipe that does not exist is refused, and those that do are named."""
    args = ["pretrain", "recipe", "nonesuch", "--out", str(tmp_path), "--corpus", "a"]
    assert main(args) == 1
    assert "gram-tiny" in capsys.readouterr().err


def test_adapt():
    """Settings for a GPU are fitted to a CPU unless they are asked for, and on a GPU kept."""
    small = RECIPES["gram-small"].stage1
    assert RECIPES["gram-small"].stage2.compile and small.precision == "bfloat16"
    with mne.utils.catch_logging("info") as log:
        fitted = adapt(small, CPU)
    # By the clock, many small steps; otherwise as many tokens, in parts that fit into memory.
    changes = dict(compile=False, precision="float32", tokens_per_part=4096)
    assert small.minutes and fitted == dataclasses.replace(small, **changes)
    changes.update(n_parts=16, n_steps=8, minutes=None, free_steps=1)
    assert 16 * 4096 == small.n_parts * small.tokens_per_part
    assert adapt(small, CPU, {"n_steps": 8}) == dataclasses.replace(small, **changes)
    timed = adapt(dataclasses.replace(small, minutes=None), CPU, {"minutes": 2.0})
    assert (timed.n_parts, timed.minutes) == (1, 2.0)
    assert adapt(small, CPU, {"n_parts": 3}).tokens_per_part == small.tokens_per_part
    assert small.minutes and adapt(small, CPU, {"n_steps": 9}).minutes is None
    text = log.getvalue()
    assert "GPU" in text and "gram-tiny" in text
    assert adapt(small, torch.device("cuda:0")) == small
    assert adapt(small, CPU, {"precision": "bfloat16"}).precision == "bfloat16"
    with mne.utils.catch_logging("info") as log:
        assert adapt(TINY1, CPU) == TINY1
    assert log.getvalue() == ""
    plain = TrainingConfig(n_steps=100, free_steps=25)
    for n_steps, free_steps in ((200, 50), (10, 2), (1, 0)):
        expected = TrainingConfig(n_steps=n_steps, free_steps=free_steps)
        assert adapt(plain, CPU, {"n_steps": n_steps}) == expected
    assert adapt(plain, CPU, {"n_steps": 10, "free_steps": 9}).free_steps == 9


# ---------------------------------------------------------------------------------------------
# Interruptions and several processes


def _interrupt(*args, **kwargs):
    raise KeyboardInterrupt


@pytest.mark.parametrize("overwrite", [True, False])
def test_interrupted(corpus, tmp_path, capsys, monkeypatch, overwrite):
    """After Ctrl-C one line tells what is kept, and the same command goes on from there."""
    options = ["--overwrite"] * overwrite
    with monkeypatch.context() as patch:
        patch.setattr("mne_gram.training._loop._Run.validate", _interrupt)
        assert _train("tokenizer", corpus, tmp_path, "--set", "validate_every=2", *options) == 130
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("mne_gram: stopped. The last checkpoint is kept. ")
    assert ("without --overwrite" in lines[-1]) == overwrite
    assert _train("tokenizer", corpus, tmp_path, "--set", "validate_every=2") == 0
    assert "Resuming after step 1 of 2" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["tokenizer", "recipe", "prepare"])
def test_interrupted_early(corpus, lab, tmp_path, capsys, monkeypatch, command):
    """Before the first checkpoint there is nothing to go on from, and no traceback."""
    for name in ("prepare_corpus", "_runs.run_stage"):
        monkeypatch.setattr(f"mne_gram.training.{name}", _interrupt)
    args = {
        "tokenizer": ["--corpus", str(corpus)],
        "recipe": ["gram-tiny", "--corpus", str(corpus)],
        "prepare": ["--file", str(lab)],
    }[command]
    assert main(["pretrain", command, *args, "--out", str(tmp_path)]) == 130
    out, err = capsys.readouterr()
    kept = "recordings are kept" if command == "prepare" else "before the first checkpoint"
    assert out == "" and kept in err.splitlines()[-1]


def test_other_processes_are_silent(lab, tmp_path, capsys, monkeypatch):
    """Of the processes of torchrun the first prints; the others only tell errors."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("RANK", "1")
    card = {"stages": {"tokenizer": {"steps": 1, "watched": {}}}}

    def pretend(*args, **kwargs):
        mne.utils.logger.info("Working.")
        warnings.warn("Careful.", stacklevel=1)
        return models.GramModel(models.Tokenizer(models.tokenizer_nano()), card=card)

    monkeypatch.setattr("mne_gram.training.pretrain_tokenizer", pretend)
    command = [*TOKENIZER, str(tmp_path)]
    assert main(command) == 0
    # What one process does alone the others leave to it.
    others = ["--file", str(lab / "broken_raw.fif"), "--out", str(tmp_path / "corpus")]
    assert main(["pretrain", "prepare", *others]) == 0
    assert main(["pretrain", "curves", "nowhere", "--out", str(tmp_path / "a.png")]) == 0
    assert capsys.readouterr() == ("", "") and list(tmp_path.iterdir()) == []
    monkeypatch.setattr("mne_gram.training.pretrain_tokenizer", _interrupt)
    with pytest.raises(SystemExit) as exc:
        main(command)
    assert exc.value.code == 130 and capsys.readouterr().err == ""
    monkeypatch.setattr("mne_gram.training.pretrain_tokenizer", _stop)
    assert main(command) == 1
    assert capsys.readouterr().err == "mne_gram: error: enough\n"


def test_bar_in_the_first_process_only(corpus, tmp_path, capsys, monkeypatch):
    """Whoever calls the library, other processes show no progress."""
    assert _train("tokenizer", corpus, tmp_path / "a") == 0
    assert "Training the tokenizer" in capsys.readouterr().err
    monkeypatch.setattr("mne_gram.training._loop.get_rank", lambda: 1)
    assert _train("tokenizer", corpus, tmp_path / "b", "--parts", "2") == 0
    assert "Training the tokenizer" not in capsys.readouterr().err
