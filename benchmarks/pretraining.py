# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Measure both stages of a model on held-out subjects.

Only held-out subjects are used (the 4th, 8th, ... of each data set in sorted order). Run ::

    python benchmarks/pretraining.py --model gram-tiny

Stage 1: cosine of decoded patches, classes in use, perplexity. Stage 2: accuracy of the class of
hidden patches, by kind of mask, compared with always predicting the most frequent class and with
copying the class of the nearest visible patch; and the errors of gain and offset. All values are
means over subjects of a data set.
"""

import argparse
import os
import tempfile
from pathlib import Path

import mne
import numpy as np
import torch
import torch.nn.functional as F

import mne_gram
from mne_gram.training import prepare_corpus, read_corpus
from mne_gram.training._batches import validation_batches
from mne_gram.training._codebook import get_perplexity
from mne_gram.training._masks import MASK_KINDS, channel_distances
from mne_gram.training._stages import TokenizerStage

DATASETS = ("alcohol", "eegmat", "eegmmi", "mdd")


def copy_neighbour(classes, channels, mask):
    """Predict hidden patches as the nearest visible one in the same second, or else in time.

    ``classes`` and ``mask`` are ``(B, C, n)``, ``channels (B, C)``.
    """
    distance = torch.tensor(channel_distances())[channels[:, :, None], channels[:, None]]
    n_channels, n_patches = classes.shape[1:]
    copied = classes.clone()
    far = torch.where(mask, torch.inf, 0.0)
    # (B, C, C', n): from each channel to others that are visible in this second.
    reach = distance[..., None].float() + far[:, None]
    nearest = reach.argmin(2)
    found = classes.gather(1, nearest)
    alone = torch.isinf(reach.amin(2))
    seconds = torch.arange(n_patches)
    gap = (seconds[:, None] - seconds).abs().float() + far[:, :, None]  # (B, C, n, n')
    earlier = classes.gather(2, gap.argmin(3))
    copied = torch.where(alone, earlier, found)
    return copied


def find_frequent(model, corpus, seed=0):
    """Return the most frequent class in a corpus."""
    counts = torch.zeros(len(model.tokenizer.codebook))
    for _, batch in validation_batches(corpus, seed=seed):
        indices = model.tokenizer.encode(batch.x, batch.channels).indices
        counts += torch.bincount(indices.flatten(), minlength=len(counts))
    return int(counts.argmax()), counts


def measure_stage2(model, corpus, frequent, seed=0):
    """Return a dict of (data set, kind, measure) to a list of values, one per subject."""
    rows = {}
    for subject, batch in validation_batches(corpus, kinds=MASK_KINDS, seed=seed):
        truth = model.tokenizer.encode(batch.x, batch.channels).indices
        hidden = model.gram.predict_hidden(batch.x, batch.channels, batch.mask)
        logits = model.gram.decoder.head(hidden[batch.mask])
        wanted = truth[batch.mask]
        copied = copy_neighbour(truth, batch.channels, batch.mask)[batch.mask]
        values = {
            "accuracy": logits.argmax(-1) == wanted,
            "top 10": (logits.topk(10).indices == wanted[:, None]).any(-1),
            "most frequent": wanted == frequent,
            "neighbour": copied == wanted,
            "nats": F.cross_entropy(logits, wanted, reduction="none"),
        }
        if model.gram.config.predict_scale:
            values |= measure_scale(model, hidden, batch)
        for name, value in values.items():
            key = (subject, batch.kind, name)
            rows.setdefault(key, []).append(value.float())
    table = {}
    for (subject, kind, name), parts in rows.items():
        dataset = subject.split("/")[0]
        table.setdefault((dataset, kind, name), []).append(torch.cat(parts).mean().item())
    return table


def measure_scale(model, hidden, batch):
    """Return errors of gain (in nats) and offset (in standard deviations of the patch)."""
    patches = batch.x.unflatten(2, (-1, 200))
    std = patches.std(-1, unbiased=False)
    gain, offset = model.gram.predict_scale(hidden, batch.x, batch.mask)
    error = (gain.log() - (std + 1e-5).log()).abs()
    usual = std.masked_fill(batch.mask, torch.nan).flatten(1).nanmedian(1).values
    guess = (usual[:, None, None].log() - (std + 1e-5).log()).abs()
    offset_error = (offset - patches.mean(-1)).abs() / (std + 1e-5)
    zero_error = patches.mean(-1).abs() / (std + 1e-5)
    found = {"gain": error, "gain as usual": guess, "offset": offset_error, "offset 0": zero_error}
    return {name: value[batch.mask] for name, value in found.items()}


def measure_stage1(model, corpus, seed=0):
    """Return measures by data set, and of all classes together."""
    stage = TokenizerStage.__new__(TokenizerStage)  # only its measure is used
    batches = validation_batches(corpus, seed=seed)
    values = stage.evaluate(model.tokenizer, batches)
    total = values.pop("")
    table = {}
    for subject, entry in values.items():
        for name, value in entry.items():
            table.setdefault((subject.split("/")[0], name), []).append(value)
    return table, total


def get_corpus(args, folder, hold_out):
    """Prepare the recordings of held-out subjects, or of all others."""
    ready = args.test_corpus if hold_out == "only" else args.train_corpus
    if ready is not None:
        return read_corpus(ready)
    roots = [args.shared / "eeg" / name for name in args.datasets]
    return prepare_corpus(
        folder, bids_roots=roots, hold_out_every=4, hold_out=hold_out, n_jobs=args.jobs
    )


def print_tables(stage1, total, stage2, used_in_training):
    """Print all tables."""
    datasets = sorted({key[0] for key in stage1})
    print("Stage 1 on held-out subjects: mean cosine of decoded and true patch")
    print(f"{'data set':10}{'subjects':>9}{'original':>10}{'centered':>10}")
    for dataset in datasets:
        plain, centered = (stage1[dataset, n] for n in ("cosine", "cosine_centered"))
        print(f"{dataset:10}{len(plain):9}{np.mean(plain):10.3f}{np.mean(centered):10.3f}")
    print(f"{'all':10}{'':9}{total['cosine']:10.3f}{total['cosine_centered']:10.3f}")
    print(
        f"classes in use {100 * total['classes_used']:.1f} % ({100 * used_in_training:.1f} % in "
        f"training subjects), perplexity {total['perplexity']:.0f}"
    )
    if stage2 is None:
        return
    names = dict.fromkeys(key[2] for key in stage2)
    print("\nStage 2 on held-out subjects, hidden patches")
    print(f"{'data set':10}{'mask':10}" + "".join(f"{name:>15}" for name in names))
    for kind in MASK_KINDS:
        for dataset in [*datasets, "all"]:
            cells = []
            for name in names:
                sets = datasets if dataset == "all" else [dataset]
                found = [v for d in sets for v in stage2.get((d, kind, name), [])]
                cells.append(np.mean(found) if found else np.nan)
            print(f"{dataset:10}{kind:10}" + "".join(f"{value:15.4f}" for value in cells))


def parse_args(argv=None):
    """Read the command line."""
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--shared", type=Path, default=os.environ.get("MNE_GRAM_SHARED", root.parent / "shared"))
    add("--datasets", default=",".join(DATASETS))
    add("--model", default="gram-tiny")
    add("--test-corpus", type=Path, help="a corpus of the held-out subjects, prepared already")
    add("--train-corpus", type=Path, help="a corpus of the others, prepared already")
    add("--jobs", type=int, default=2)
    args = parser.parse_args(argv)
    args.datasets = args.datasets.split(",")
    args.shared = Path(args.shared)
    if args.test_corpus is None and not (args.shared / "eeg").is_dir():
        parser.error(f"no recordings in {args.shared}; set MNE_GRAM_SHARED to their folder")
    return args


@torch.inference_mode()
def main(argv=None):
    """Run the measurement."""
    args = parse_args(argv)
    mne.set_log_level("ERROR")
    model = mne_gram.load_model(args.model)
    with tempfile.TemporaryDirectory() as folder:
        test = get_corpus(args, Path(folder) / "test", "only")
        train = get_corpus(args, Path(folder) / "train", "leave")
        frequent, counts = find_frequent(model, train)
        stage1, total = measure_stage1(model, test)
        stage2 = measure_stage2(model, test, frequent) if model.gram is not None else None
        perplexity = get_perplexity(counts)
    print_tables(stage1, total, stage2, (counts > 0).float().mean().item())
    print(f"perplexity on training subjects {perplexity:.0f}")


if __name__ == "__main__":
    main()
