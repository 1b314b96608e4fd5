# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Recipes: all steps from BIDS data sets to a model, under one name."""

import dataclasses
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mne.utils import _check_option, logger, verbose

from ..models import (
    GramConfig,
    TokenizerConfig,
    gram_base,
    gram_small,
    gram_tiny,
    save_model,
    tokenizer_base,
    tokenizer_small,
    tokenizer_tiny,
)
from ._config import TrainingConfig
from ._preparation import prepare_corpus
from ._pretraining import pretrain, pretrain_tokenizer
from ._processes import get_rank, process_group, wait
from ._runs import choose_device
from ._storage import read_index


@dataclass(frozen=True)
class PretrainingRecipe:
    """Shapes of both networks and settings of both stages."""

    description: str
    tokenizer: TokenizerConfig
    gram: GramConfig
    stage1: TrainingConfig
    stage2: TrainingConfig
    dtype: str = "float32"  #: of the stored weights
    first_share: float = 0.4  #: of the minutes, for stage 1


_TINY1 = TrainingConfig(
    n_steps=2500,
    n_parts=2,
    tokens_per_part=2048,
    learning_rate=2e-3,
    final_learning_rate=1e-5,
    warm_up=0.02,
    weight_decay=0.01,
    average=0.997,
    centered=True,
    free_steps=300,
    free_guide=True,
    code_gain=40.0,
    hold_out_every=10,
    validate_every=250,
    checkpoint_every=100,
)
_TINY2 = dataclasses.replace(
    _TINY1,
    n_steps=1400,
    learning_rate=4e-4,
    warm_up=0.05,
    weight_decay=0.05,
    free_steps=0,
    free_guide=False,
    warm_start=True,
)
# The same for a GPU: batches that keep it busy, half precision where it is harmless, and as many
# steps as the time allows.
_SMALL1 = dataclasses.replace(
    _TINY1,
    n_steps=4000,
    minutes=3.2,
    n_parts=1,
    tokens_per_part=65536,
    learning_rate=1.5e-3,
    warm_up=0.05,
    free_steps=480,
    precision="bfloat16",
)
_SMALL2 = dataclasses.replace(
    _SMALL1,
    minutes=4.8,
    compile=True,  # half a minute, which pays in this stage only
    learning_rate=8e-4,
    weight_decay=0.05,
    free_steps=0,
    free_guide=False,
    warm_start=True,
)

_SELDOM = dict(checkpoint_every=500, validate_every=1000)

_CPU_TOKENS = 4096  # in a part, on a CPU

RECIPES = {
    "gram-tiny": PretrainingRecipe(
        "small open model, trained on two CPU cores",
        tokenizer_tiny(),
        gram_tiny(),
        _TINY1,
        _TINY2,
        dtype="float16",
    ),
    "gram-small": PretrainingRecipe(
        "the same for a GPU, trained in eight minutes",
        tokenizer_small(),
        gram_small(),
        _SMALL1,
        _SMALL2,
        dtype="float16",
    ),
    "gram-base-open": PretrainingRecipe(
        "networks of the published Base shape, for a GPU and a large corpus",
        tokenizer_base(),
        dataclasses.replace(gram_base(), predict_scale=True),
        dataclasses.replace(
            _SMALL1,
            n_steps=60000,
            minutes=None,
            free_steps=3000,
            learning_rate=5e-4,
            compile=True,
            **_SELDOM,
        ),
        dataclasses.replace(_SMALL2, n_steps=60000, minutes=None, learning_rate=5e-4, **_SELDOM),
    ),
}


@verbose
def run_recipe(
    name,
    out,
    *,
    bids_roots,
    hold_out_every=4,
    device=None,
    n_jobs=1,
    corpus=None,
    minutes=None,
    changes=None,
    verbose=None,
):
    """Train a model from BIDS data sets: corpus, tokenizer, masked autoencoder.

    Parameters
    ----------
    name : str
        A key of ``RECIPES``, such as ``"gram-tiny"``.
    out : path-like
        Folder for ``corpus/``, ``tokenizer/``, ``gram/`` and the model itself, in a folder named
        after the recipe. Steps that are complete are not repeated.
    bids_roots : list of path-like
        The data sets.
    hold_out_every : int | None
        With 4, the 4th, 8th, ... subject of each data set, in sorted order, are not used. Ignored
        with ``corpus``.
    device : str | torch.device | None
        Where to compute. None means the CPU, ``"auto"`` a GPU if available.
    n_jobs : int
        Processes that prepare the corpus.
    corpus : path-like | None
        A prepared corpus, in place of ``out/corpus``.
    minutes : float | None
        Duration of the training of both stages together, in place of the steps or minutes of the
        recipe. Preparing the corpus does not count, nor does the time during an interruption.
    changes : dict | None
        Fields of the settings of both stages (:class:`TrainingConfig`) that differ from the recipe.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    model : GramModel
        The model, as written to the folder.

    Raises
    ------
    ValueError
        If the recipe does not exist, there is nothing to train on, or both ``minutes`` and a
        number of steps are given.

    Notes
    -----
    Under ``torchrun`` the first process prepares the corpus while the others wait, for at most two
    hours. If it takes longer, prepare the corpus beforehand.
    """
    _check_option("name", name, list(RECIPES))
    recipe, out, device = RECIPES[name], Path(out), choose_device(device)
    changes1, changes2 = _share_minutes(recipe, minutes, changes)
    stage1 = adapt(recipe.stage1, device, changes1)
    # Processes join first, as all have to wait for the corpus.
    with process_group(device):
        if corpus is None:
            corpus = out / "corpus"
            if get_rank() == 0:
                prepare_corpus(
                    corpus, bids_roots=bids_roots, hold_out_every=hold_out_every, n_jobs=n_jobs
                )
            wait()
        first = pretrain_tokenizer(
            corpus, out / "tokenizer", config=recipe.tokenizer, training=stage1, device=device
        )
        stage2 = adapt(recipe.stage2, device, {**changes2, "free_steps": 0})
        model = pretrain(
            corpus, first, out / "gram", config=recipe.gram, training=stage2, device=device
        )
        # The corpus knows which subjects were held out.
        selection = read_index(Path(corpus))["selection"]
        model.card.update(name=name, description=recipe.description, commit=get_commit())
        model.card.update(selection)
        if get_rank() == 0:
            save_model(model, out / name, dtype=recipe.dtype, overwrite=True)
            logger.info(f"Wrote {out / name}.")
        wait()
    return model


def _share_minutes(recipe, minutes, changes):
    """Return the changes of each stage, with its share of the minutes."""
    changes = dict(changes or {})
    if minutes is None:
        return changes, changes
    if not minutes > 0:
        raise ValueError(f"minutes must be positive, got {minutes!r}.")
    if {"n_steps", "minutes"} & set(changes):
        raise ValueError("Give either minutes or a number of steps, not both.")
    shares = recipe.first_share, 1 - recipe.first_share
    return tuple({**changes, "minutes": share * minutes} for share in shares)


def adapt(training, device, changes=None):
    """Return settings with changes, and adapted to a device.

    On a CPU training is in single precision, and the tokens of a step come in more and smaller
    parts; by the clock, in no more parts, so that there is time for enough steps. With other
    ``n_steps``, ``free_steps`` remain the same share of them unless changed, too, and the clock
    does not count.
    """
    changes = dict(changes or {})
    by_clock = "n_steps" not in changes and changes.get("minutes", training.minutes) is not None
    if device.type == "cpu" and (training.compile or training.precision != "float32"):
        logger.info(
            "These settings are meant for a GPU. On this CPU training is in single precision, "
            "without compilation, and takes long; the recipe gram-tiny is meant for any machine."
        )
        n_parts = training.n_parts
        if not by_clock:
            n_parts *= max(1, training.tokens_per_part // _CPU_TOKENS)
        size = dict(n_parts=n_parts, tokens_per_part=min(training.tokens_per_part, _CPU_TOKENS))
        if {"n_parts", "tokens_per_part"} & set(changes):
            size = {}
        changes = {"precision": "float32", "compile": False, **size, **changes}
    if "n_steps" in changes:
        changes = {"minutes": None, **changes}
    n_steps = changes.get("n_steps", training.n_steps)
    if "free_steps" not in changes:
        changes["free_steps"] = round(training.free_steps * n_steps / training.n_steps)
    return dataclasses.replace(training, **changes)


def get_commit():
    """Return the commit of the source tree, None outside of one."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607, where git is differs from user to user
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()
