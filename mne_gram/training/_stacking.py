# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Find how experts are best combined where a recording has too little to show.

Run ``python -m mne_gram.training._stacking --corpus corpus/ --out stacking.json``. Each is
restored twice: by a library without its person, and by one without its data set. Users' recordings
lie between.
"""

import argparse
import json
import zlib
from functools import partial
from pathlib import Path

import mne
import numpy as np

from .._files import staged
from .._recording import BadSpans, Samples, find_spans
from ..covariance import forward_components, load_prior, read_recordings
from ..montage import ELECTRODES
from ..preprocessing import SFREQ, VOLTS_TO_MODEL
from ..restoration import EXPERTS, KINDS, TRIAL, Trial, fit_plan, try_hidden, weigh_experts
from ._corpus import read_corpus
from ._examples import PATCH, SECONDS, draw_hidden, leave_out, make_info
from ._prior import estimate_prior

_SECONDS = 8
_DRAWN = {"whole": ("channels", "cluster"), "passing": ("segments", "patches")}


def measure_recording(corpus, k, prior, without, seed=0):
    """Hide samples of a recording and restore them by every expert.

    Parameters
    ----------
    corpus : Corpus
        The recordings.
    k : int
        Which.
    prior : Prior
        The prior of everybody.
    without : Prior
        The prior without this data set.
    seed : int
        Seed of what is hidden.

    Returns
    -------
    trials : dict of str to list of Trial
        By kind of gap.
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
    samples = Samples(data, np.arange(len(data)), pieces)
    info = make_info(channels[rows])
    nothing = BadSpans(tuple(np.zeros((0, 2), int) for _ in rows), length)
    ends = [(a, min(a + _SECONDS * PATCH, length)) for a in range(0, length, _SECONDS * PATCH)]
    priors = (leave_out(prior, recording.dataset, recording.subject), without)
    for kind in KINDS:
        for drawn in _DRAWN[kind]:
            hidden = draw_hidden(drawn, channels[rows], pieces, length, rng)
            hidden[:, (~hidden).sum(axis=0) < 4] = False
            if not hidden.any() or (drawn == "segments" and len(pieces) > 1):
                continue
            bad = find_spans(hidden)
            for one in priors:
                trial = Trial(kind, SFREQ)
                plan = fit_plan(samples, bad, info, method=TRIAL, prior=one, on_missing="ignore")
                try_hidden(samples, nothing, bad, ends, plan, trial)
                found[kind].append(trial)
    return found


def summarize(trials, kind):
    """Average over trials: what the weights follow from, and the calibration that they need."""
    sums = [trial.get_sums() for trial in trials]
    sums = [s for s in sums if s is not None]
    gram = np.mean([s.gram for s in sums], axis=0)
    across = np.mean([s.across for s in sums], axis=0)
    weights = weigh_experts(gram, across, kind)
    factors = [trial.get_calibration(weights) for trial in trials if trial.seconds]
    return dict(
        count=len(sums),
        gram=gram.round(5).tolist(),
        across=across.round(5).tolist(),
        calibration=float(np.exp(np.mean(np.log(factors)))),
        weights=weights.round(4).tolist(),
    )


def learn_defaults(corpus, *, per_person=1, n_jobs=1):
    """Find the weights that are best on average over the people of a corpus.

    Parameters
    ----------
    corpus : Corpus
        Recordings of people that are in the bundled prior.
    per_person : int
        How many recordings of each person are used.
    n_jobs : int
        Processes.

    Returns
    -------
    content : dict
        What ``stacking.json`` holds.
    """
    from joblib import Parallel, delayed

    prior, known = load_prior(), read_recordings()
    components = forward_components()
    without = {
        dataset: estimate_prior([r for r in known if r.source[0] != dataset], components)
        for dataset in sorted({r.dataset for r in corpus.recordings})
    }
    counts, picks = {}, []
    for k, recording in enumerate(corpus.recordings):
        person = (recording.dataset, recording.subject)
        counts[person] = counts.get(person, 0) + 1
        if counts[person] <= per_person:
            picks.append(k)
    measure = delayed(partial(measure_recording, corpus))
    found = Parallel(n_jobs)(
        measure(k, prior=prior, without=without[corpus.recordings[k].dataset]) for k in picks
    )
    content = {"experts": list(EXPERTS), "recordings": len(picks)}
    for kind in KINDS:
        content[kind] = summarize([trial for one in found for trial in one[kind]], kind)
    return content


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", required=True, help="a corpus of training people")
    parser.add_argument("--out", required=True, help="the .json file to write")
    parser.add_argument("--per-person", type=int, default=1, help="recordings of each person")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    args = parser.parse_args(argv)
    with mne.use_log_level("error"):
        content = learn_defaults(
            read_corpus(args.corpus), per_person=args.per_person, n_jobs=args.jobs
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
