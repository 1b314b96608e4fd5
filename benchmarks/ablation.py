# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Change one setting of stage 1 at a time, and compare on validation subjects.

Run ::

    python benchmarks/ablation.py --corpus corpus/ --seeds 2

A small tokenizer is trained for a few hundred steps with each setting, so differences show what
helps early on with little data, not after long training. The validation subjects are a tenth of the
training subjects; subjects that are held out for good are not used.
"""

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import mne
import numpy as np

from mne_gram.models import TokenizerConfig
from mne_gram.training import RECIPES, pretrain_tokenizer, read_log

CHANGES = {
    "as in the recipe": {},
    "codebook from the start": dict(free_steps=0),
    "small codes at first": dict(code_gain=1.0),
    "both as published": dict(free_steps=0, code_gain=1.0),
    "means compared too": dict(centered=False),
    "no channel drop-out": dict(dropout_channels=False),
    "no augmentation": dict(augment=False),
}


def run(args, changes, seed):
    """Train one tokenizer; return its validation measures."""
    stage1 = RECIPES["gram-tiny"].stage1
    training = dataclasses.replace(
        stage1,
        n_steps=args.steps,
        n_parts=1,
        tokens_per_part=2048,
        free_steps=args.steps // 4,
        warm_up=0.05,
        average=0.97,
        validate_every=args.steps,
        checkpoint_every=args.steps,
        seed=seed,
    )
    config = TokenizerConfig(
        n_blocks=1, n_heads=5, decoder_n_blocks=1, decoder_n_heads=5, n_classes=512, dropout=0.0
    )
    with tempfile.TemporaryDirectory() as folder:
        pretrain_tokenizer(
            args.corpus,
            folder,
            config=config,
            training=dataclasses.replace(training, **changes),
        )
        log = read_log(Path(folder))
    last = log[(log["split"] == "validation") & (log["subject"].fillna("") == "")]
    return dict(zip(last["name"], last["value"], strict=True))


def main(argv=None):
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--corpus", required=True, help="a corpus of training subjects")
    add("--steps", type=int, default=400)
    add("--seeds", type=int, default=1)
    add("--only", help="names of settings, separated by commas")
    args = parser.parse_args(argv)
    mne.set_log_level("ERROR")
    names = ("cosine", "cosine_centered", "classes_used", "perplexity")
    print(f"{'setting':26}" + "".join(f"{name:>17}" for name in names) + f"{'s':>6}")
    for label in args.only.split(",") if args.only else CHANGES:
        start = time.perf_counter()
        found = [run(args, CHANGES[label], seed) for seed in range(args.seeds)]
        cells = "".join(f"{np.mean([f[name] for f in found]):17.3f}" for name in names)
        print(f"{label:26}{cells}{time.perf_counter() - start:6.0f}", flush=True)


if __name__ == "__main__":
    main()
