# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The published recipes, and how they split subjects."""

import dataclasses
import random

import pytest

from mne_gram import metrics
from mne_gram.datasets import (
    RECIPES,
    split_hmc,
    split_seedv,
    split_shumi,
    split_tuev,
)
from mne_gram.datasets._recordings import cut_share

# ---------------------------------------------------------------------------------------------
# Splits and recipes


def test_splits():
    """The published splits, with the number of subjects of each data set."""
    names = [f"s{k:02d}" for k in range(10)]
    assert split_tuev(names[::-1], ["t1", "t0"]) == dict(
        train=names[:1:-1], validation=["s01", "s00"], test=["t0", "t1"]
    )
    assert split_hmc(names) == dict(train=names[4:], validation=names[:2], test=names[2:4])
    assert split_seedv(range(1, 17)) == dict(
        train=[*range(7, 17)], validation=[4, 5, 6], test=[1, 2, 3]
    )


def test_split_shumi_is_that_of_the_global_generator():
    """The order is that of random.seed(214), and the global generator is unchanged."""
    subjects = [f"{k:03d}" for k in range(1, 26)]
    expected = list(subjects)
    state = random.getstate()
    random.seed(214)
    random.shuffle(expected)
    random.seed(5)
    before = random.getstate()
    parts = split_shumi(subjects[::-1])
    assert random.getstate() == before
    random.setstate(state)
    assert parts["train"] == expected[:15]
    assert parts["test"] == expected[15:20]
    assert parts["validation"] == expected[20:]


@pytest.mark.parametrize("split", [split_tuev, split_hmc, split_seedv, split_shumi])
@pytest.mark.parametrize("n", [1, 4, 7, 25, 151])
def test_parts_are_disjoint_and_whole(split, n):
    subjects = [f"{k:04d}" for k in range(n)]
    parts = split(subjects)
    assert sorted(sum(parts.values(), [])) == subjects
    assert list(parts) == ["train", "validation", "test"]
    with pytest.raises(ValueError, match="no subjects"):
        split([])
    with pytest.raises(TypeError, match="list of subjects"):
        split("0001")


def test_cut_share_goes_down():
    assert list(map(len, cut_share([*range(16)], 20, 40))) == [3, 3, 10]
    assert list(map(len, cut_share([*range(5)], 60, 80))) == [3, 1, 1]


def test_subject_of_both_sets():
    with pytest.raises(ValueError, match="both the train and the eval set: b"):
        split_tuev(["a", "b"], ["b"])


def test_recipes():
    """The settings of the publication."""
    assert list(RECIPES) == ["tuev", "hmc", "seedv", "shumi"]
    rows = {
        name: (r.line_freq, r.reference, round(200 * r.window), r.learning_rate, r.batch_size)
        for name, r in RECIPES.items()
    }
    assert rows == dict(
        tuev=(60.0, "average", 1000, 5e-4, 128),
        hmc=(50.0, None, 3000, 1e-4, 128),
        seedv=(50.0, "average", 800, 1e-4, 64),
        shumi=(False, None, 800, 5e-4, 128),
    )
    for recipe in RECIPES.values():
        assert recipe.chosen_by == ("roc_auc" if recipe.name == "shumi" else "kappa")
        assert {*recipe.measures} <= {*metrics.CLASS_MEASURES}
        assert recipe.chosen_by in recipe.measures
        assert recipe.seeds == (0, 10, 20, 30, 40)
    assert RECIPES["hmc"].split(["a", "b", "c", "d", "e"])["test"] == ["b"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        RECIPES["hmc"].window = 30
