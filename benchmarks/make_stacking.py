# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Make ``mne_gram/data/stacking.json``: default weights of the experts of ``method="auto"``.

Run ``python benchmarks/make_stacking.py --corpus corpus/ --out stacking.json``. Samples of each
recording are hidden and restored twice: by a library without its data set, as those of most users
are, and by one with the other subjects of the data set as a cohort.
"""

import argparse
import dataclasses
import json
import zlib
from pathlib import Path

import mne
import numpy as np

from mne_gram._files import staged
from mne_gram._recording import BadSpans, Recording, Samples, find_spans
from mne_gram.covariance import (
    estimate_prior,
    extend_prior,
    forward_components,
    load_prior,
)
from mne_gram.montage import CH_NAMES, ELECTRODES, electrode_positions
from mne_gram.preprocessing import SFREQ, VOLTS_TO_MODEL
from mne_gram.restoration import (
    EXPERTS,
    KINDS,
    MAX_CONTRASTS,
    Settings,
    Sums,
    Trial,
    fit_candidates,
    try_hidden,
    weigh_experts,
)
from mne_gram.training import read_corpus
from mne_gram.training._masks import channel_distances

PATCH = 200
SECONDS = 60  # of each recording
STEP = 8  # seconds that are restored at once
DRAWN = {"whole": ("channels", "cluster"), "intermittent": ("segments", "patches")}


def draw_hidden(kind, channels, pieces, n_times, rng):
    """Draw which samples are hidden: a bool array (n_channels, n_times) at 200 Hz.

    ``kind`` is ``"channels"`` (one, or up to half of them), ``"cluster"`` (a channel and its
    neighbours), ``"segments"`` (four of 0.5 to 4 s in each of four channels) or ``"patches"``
    (30 % of all seconds). ``channels`` are montage indices; ``pieces`` are continuous in time.
    """
    n_channels = len(channels)
    hidden = np.zeros((n_channels, n_times), bool)
    if kind == "channels":
        share = rng.choice([0.0, rng.uniform(0.05, 0.5)])
        n_hidden = int(np.clip(round(share * n_channels), 1, n_channels - 3))
        hidden[rng.permutation(n_channels)[:n_hidden]] = True
    elif kind == "cluster":
        distances = channel_distances()[channels[rng.integers(n_channels)], channels]
        n_hidden = 3 if n_channels < 32 else 6
        hidden[np.argsort(distances, kind="stable")[: min(n_hidden, n_channels - 3)]] = True
    elif kind == "segments":
        for channel in rng.permutation(n_channels)[:4]:
            for _ in range(4):
                length = round(rng.uniform(0.5, 4.0) * SFREQ)
                start = rng.integers(max(1, n_times - length))
                hidden[channel, start : start + length] = True
    else:
        for start, stop in pieces:
            n_patches = (stop - start) // PATCH
            drawn = np.repeat(rng.random((n_channels, n_patches)) < 0.3, PATCH, axis=1)
            hidden[:, start : start + n_patches * PATCH] = drawn
    return hidden


def leave_out(prior, dataset, subject):
    """Return a prior whose library gives no weight to a subject."""
    theirs = [source[:2] == (dataset, f"sub-{subject}") for source in prior.sources]
    return dataclasses.replace(prior, weights=np.where(theirs, 0.0, prior.weights))


def make_priors(recordings, datasets):
    """Return by data set the prior without it, and one with it as a cohort."""
    components = forward_components()
    found = {}
    for dataset in sorted(datasets):
        without = estimate_prior([r for r in recordings if r.source[0] != dataset], components)
        own = [r for r in recordings if r.source[0] == dataset]
        found[dataset] = without, extend_prior(without, own, components)
    return found


def make_info(channels):
    """Return an Info of electrodes (montage indices) with their positions, at 200 Hz."""
    names = [CH_NAMES[k] for k in channels]
    info = mne.create_info(names, SFREQ, "eeg", verbose="error")
    places = dict(zip(names, electrode_positions()[channels], strict=True))
    montage = mne.channels.make_dig_montage(places, coord_frame="head")
    return info.set_montage(montage, verbose="error")


def measure_recording(corpus, k, without, cohort, seed=0):
    """Hide samples of recording ``k`` and restore them by every expert.

    ``without`` and ``cohort`` are as in `make_priors`. Returns a list of `Trial` for each kind of
    gap.
    """
    recording = corpus.recordings[k]
    rng = np.random.default_rng([seed, zlib.crc32(recording.name.encode())])
    channels = np.array(recording.channels)
    rows = np.flatnonzero(channels < len(ELECTRODES))
    good = corpus.good(k)[rows].all(axis=0)
    found = {kind: [] for kind in KINDS}
    spans, length = [], 0
    for start, stop in recording.pieces:
        stop = min(start + (stop - start) // PATCH * PATCH, start + SECONDS * PATCH - length)
        if stop > start and good[start // PATCH : -(-stop // PATCH)].all():
            spans.append((start, stop))
            length += stop - start
    if length < 10 * PATCH or len(rows) < 8:
        return found
    parts = [corpus.read(k, rows, a, b) for a, b in spans]
    data = np.concatenate(parts, axis=1) / VOLTS_TO_MODEL
    edges = np.cumsum([0, *(part.shape[1] for part in parts)]).tolist()
    pieces = list(zip(edges[:-1], edges[1:], strict=True))
    nothing = BadSpans(tuple(np.zeros((0, 2), int) for _ in rows), length)
    samples = Samples(data, np.arange(len(data)), pieces)
    clean = Recording(samples, nothing, make_info(channels[rows]))
    ends = [(a, min(a + STEP * PATCH, length)) for a in range(0, length, STEP * PATCH)]
    priors = (without, leave_out(cohort, recording.dataset, recording.subject))
    for kind in KINDS:
        for drawn in DRAWN[kind]:
            hidden = draw_hidden(drawn, channels[rows], pieces, length, rng)
            hidden[:, (~hidden).sum(axis=0) < 4] = False
            if not hidden.any() or (drawn == "segments" and len(pieces) > 1):
                continue
            bad = find_spans(hidden)
            for one in priors:
                trial = Trial(kind, SFREQ, EXPERTS, EXPERTS)
                settings = Settings(prior=one, on_missing="ignore")
                plan = fit_candidates(clean.hide(bad), settings, max_contrasts=MAX_CONTRASTS)
                try_hidden(clean, bad, ends, plan, trial)
                found[kind].append(trial)
    return found


def summarize(trials, kind):
    """Average over trials: the products of errors, the weights that follow, the calibration."""
    sums = [trial.get_sums() for trial in trials]
    sums = [s for s in sums if s is not None]
    gram = np.mean([s.gram for s in sums], axis=0)
    across = np.mean([s.across for s in sums], axis=0)
    weights = weigh_experts(Sums(len(sums), gram, across), kind, EXPERTS)
    factors = [trial.get_calibration(weights) for trial in trials if trial.seconds]
    return dict(
        count=len(sums),
        gram=gram.round(5).tolist(),
        across=across.round(5).tolist(),
        calibration=float(np.exp(np.mean(np.log(factors)))),
        weights=[weights[name].round(4).tolist() for name in EXPERTS],
    )


def learn_defaults(corpus, *, per_subject=1, n_jobs=1):
    """Return the content of ``stacking.json``: the best weights on average over subjects.

    All subjects of the corpus have to be in the bundled prior.
    """
    from joblib import Parallel, delayed

    priors = make_priors(load_prior().recordings, {r.dataset for r in corpus.recordings})
    counts, picks = {}, []
    for k, recording in enumerate(corpus.recordings):
        subject = (recording.dataset, recording.subject)
        counts[subject] = counts.get(subject, 0) + 1
        if counts[subject] <= per_subject:
            picks.append(k)
    found = Parallel(n_jobs)(
        delayed(measure_recording)(corpus, k, *priors[corpus.recordings[k].dataset]) for k in picks
    )
    content = {"experts": list(EXPERTS), "recordings": len(picks)}
    for kind in KINDS:
        content[kind] = summarize([trial for one in found for trial in one[kind]], kind)
    return content


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", required=True, help="a corpus of training subjects")
    parser.add_argument("--out", required=True, help="the .json file to write")
    parser.add_argument("--per-subject", type=int, default=1, help="recordings of each subject")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    args = parser.parse_args(argv)
    with mne.use_log_level("error"):
        content = learn_defaults(
            read_corpus(args.corpus), per_subject=args.per_subject, n_jobs=args.jobs
        )
    with staged(Path(args.out), overwrite=True) as path:
        path.write_text(json.dumps(content) + "\n", encoding="utf-8")
    for kind in KINDS:
        means = np.mean(content[kind]["weights"], axis=1)
        shares = ", ".join(f"{e} {w:.2f}" for e, w in zip(EXPERTS, means, strict=True))
        factor = content[kind]["calibration"]
        print(f"{kind}: {shares}; calibration {factor:.2f}, {content[kind]['count']} trials")


if __name__ == "__main__":
    main()
