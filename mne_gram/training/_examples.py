# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Examples of what the spatial estimate misses, for training the network that corrects it.

Samples of a corpus are hidden as bad channels and artefacts hide them, and estimated as
`mne_gram.restore` does, by a library without the person at hand. The files are plain arrays, one
set a shape of windows.
"""

import dataclasses
import json
import zlib
from pathlib import Path

import mne
import numpy as np
from mne.utils import logger

from .._files import staged
from .._recording import Samples, find_spans
from ..covariance import load_prior
from ..montage import CH_NAMES, ELECTRODES, electrode_positions
from ..preprocessing import SFREQ, VOLTS_TO_MODEL
from ..restoration import estimate_block, fit_plan
from ._masks import channel_distances

PATCH = 200
SECONDS = 60  # of recording that an estimate is made from
MAX_TOKENS, MAX_PATCHES = 512, 16
# What is hidden and how often: whole channels, neighbours, stretches of some channels, patches.
_KINDS = {"channels": 0.5, "cluster": 0.15, "segments": 0.2, "patches": 0.15}
ARRAYS = ("x", "target", "hidden", "spread", "channels")


def draw_hidden(kind, channels, pieces, n_times, rng):
    """Draw which samples are hidden.

    Parameters
    ----------
    kind : ``"channels"`` | ``"cluster"`` | ``"segments"`` | ``"patches"``
        Whole channels (one, or up to half of them), a channel and its neighbours all through, four
        stretches of 0.5 to 4 s in each of four channels, or 30 % of all seconds of all channels.
    channels : array of int, shape (n_channels,)
        Indices of the channels in the montage.
    pieces : list of tuple of int
        Stretches of continuous time.
    n_times : int
        Number of samples at 200 Hz.
    rng : numpy.random.Generator
        What draws.

    Returns
    -------
    hidden : array of bool, shape (n_channels, n_times)
        True where hidden.
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
    """Return a prior whose library gives no weight to a person."""
    theirs = [source[:2] == (dataset, f"sub-{subject}") for source in prior.sources]
    return dataclasses.replace(prior, weights=np.where(theirs, 0.0, prior.weights))


def make_info(channels):
    """Return an info of electrodes with positions.

    Parameters
    ----------
    channels : array of int, shape (n_channels,)
        Electrodes, as indices in the montage.

    Returns
    -------
    info : mne.Info
        At 200 Hz.
    """
    names = [CH_NAMES[k] for k in channels]
    info = mne.create_info(names, SFREQ, "eeg", verbose="error")
    places = dict(zip(names, electrode_positions()[channels], strict=True))
    montage = mne.channels.make_dig_montage(places, coord_frame="head")
    return info.set_montage(montage, verbose="error")


def estimate_hidden(data, hidden, pieces, info, prior):
    """Estimate hidden samples by the conditional Gaussian.

    Parameters
    ----------
    data : array, shape (n_channels, n_times)
        The signals in volts; what is hidden is not looked at.
    hidden : array of bool, shape (n_channels, n_times)
        True where hidden.
    pieces : list of tuple of int
        Stretches of continuous time.
    info : mne.Info
        The channels.
    prior : Prior
        The population prior.

    Returns
    -------
    filled : array, shape (n_channels, n_times)
        The signals with estimates where they were hidden.
    spread : array, shape (n_channels, n_times)
        Standard deviation of their error, 0 elsewhere.
    """
    samples = Samples(data, np.arange(len(data)), pieces)
    options = dict(method="spatial", prior=prior, on_missing="ignore")
    plan = fit_plan(samples, find_spans(hidden), info, **options)
    filled, spread = np.where(hidden, 0.0, data), np.zeros_like(data)
    for segment in estimate_block(filled, hidden, pieces, plan):
        spread[segment.channel, segment.start : segment.stop] = segment.std
    return filled, spread


def _excerpts(recording, rng):
    """Cut a recording into stretches of about a minute: start, stop and their pieces."""
    pieces = [(a, a + (b - a) // PATCH * PATCH) for a, b in recording.pieces]
    taken, length, is_first = [], 0, True
    for start, stop in pieces:
        # A long piece is cut, short ones (trials) are put together.
        first = start + int(rng.integers(PATCH)) if stop - start > SECONDS * PATCH else start
        for a in range(first, stop, SECONDS * PATCH):
            b = min(a + SECONDS * PATCH, stop)
            taken.append((a, b))
            length += b - a
            if length >= SECONDS * PATCH:
                yield taken
                taken, length, is_first = [], 0, False
    if length >= SECONDS * PATCH // 4 or (is_first and length >= 2 * PATCH):
        yield taken


def make_examples(corpus, k, prior, n_draws, seed):
    """Make the examples of one recording.

    Parameters
    ----------
    corpus : Corpus
        The corpus.
    k : int
        Which recording.
    prior : Prior
        The prior of everybody.
    n_draws : int
        How often each minute is used, with other samples hidden.
    seed : int
        Seed of the draws.

    Returns
    -------
    examples : dict of tuple of int to dict of str to array
        By shape (channels, patches) the windows: ``x`` filled signals and ``target`` true ones
        minus these in 0.1 mV, relative to the mean of what is not hidden; ``hidden`` samples;
        ``spread`` of the estimate a patch; ``channels``.
    """
    recording = corpus.recordings[k]
    rng = np.random.default_rng([seed, zlib.crc32(recording.name.encode())])
    channels = np.array(recording.channels)
    electrodes = np.flatnonzero(channels < len(ELECTRODES))
    good = corpus.good(k)[electrodes].all(axis=0)
    prior = leave_out(prior, recording.dataset, recording.subject)
    found = {}
    for _ in range(n_draws):
        for taken in _excerpts(recording, rng):
            # Marked seconds would be taught as truth.
            spans = [(a, b) for a, b in taken if good[a // PATCH : -(-b // PATCH)].all()]
            if sum(b - a for a, b in spans) < min(10 * PATCH, sum(b - a for a, b in taken)):
                continue
            rows = electrodes
            if len(rows) > 24 and rng.random() < 0.5:  # montages differ
                n_kept = int(rng.integers(16, len(rows)))
                rows = np.sort(rng.permutation(electrodes)[:n_kept])
            parts = [corpus.read(k, rows, a, b) for a, b in spans]
            data = np.concatenate(parts, axis=1).astype(float)
            edges = np.cumsum([0, *(part.shape[1] for part in parts)]).tolist()
            pieces = list(zip(edges[:-1], edges[1:], strict=True))
            kind = rng.choice(list(_KINDS), p=list(_KINDS.values()))
            hidden = draw_hidden(kind, channels[rows], pieces, data.shape[1], rng)
            hidden[:, (~hidden).sum(axis=0) < 3] = False
            if hidden.any():
                _add(found, data, hidden, pieces, channels[rows], prior)
    return {
        shape: {name: np.concatenate([e[name] for e in entries]) for name in ARRAYS}
        for shape, entries in found.items()
    }


def _add(found, data, hidden, pieces, channels, prior):
    """Estimate what is hidden and cut the windows that hold any of it."""
    filled, spread = estimate_hidden(
        data / VOLTS_TO_MODEL, hidden, pieces, make_info(channels), prior
    )
    filled, spread = filled * VOLTS_TO_MODEL, spread * VOLTS_TO_MODEL
    mean = np.where(hidden, 0, data).sum(axis=0) / (~hidden).sum(axis=0)
    n_channels = len(channels)
    for start, stop in pieces:
        n_patches = min(MAX_TOKENS // n_channels, MAX_PATCHES, (stop - start) // PATCH)
        length = n_patches * PATCH
        if not n_patches:
            continue
        for a in range(start, stop - length + 1, length):
            part = slice(a, a + length)
            if not hidden[:, part].any():
                continue
            by_patch = hidden[:, part].reshape(n_channels, n_patches, PATCH)
            size = (spread[:, part] ** 2).reshape(by_patch.shape).sum(axis=-1)
            size = np.sqrt(size / np.maximum(by_patch.sum(axis=-1), 1))
            found.setdefault((n_channels, n_patches), []).append(
                dict(
                    x=(filled[:, part] - mean[part])[None].astype(np.float16),
                    target=(data - filled)[None, :, part].astype(np.float16),
                    hidden=hidden[None, :, part],
                    spread=size[None].astype(np.float32),
                    channels=channels[None].astype(np.int64),
                )
            )


def prepare_examples(corpus, folder, *, n_draws=8, seed=0, n_jobs=1, prior=None):
    """Write examples of all recordings.

    Parameters
    ----------
    corpus : Corpus
        The recordings.
    folder : path-like
        Where to. A recording that is there is not done again.
    n_draws, seed : int
        See `make_examples`.
    n_jobs : int
        Processes.
    prior : Prior | None
        None for the bundled one.

    Returns
    -------
    folder : pathlib.Path
        The folder.
    """
    from joblib import Parallel, delayed

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [delayed(_write)(corpus, k, prior, n_draws, seed, folder) for k in range(len(corpus))]
    n_windows = sum(Parallel(n_jobs)(jobs))
    logger.info(f"{n_windows} windows of examples in {folder}.")
    return folder


def _write(corpus, k, prior, n_draws, seed, folder):
    """Write the examples of one recording, whole or not at all."""
    recording = corpus.recordings[k]
    facts = dict(sha256=recording.sha256, n_draws=n_draws, seed=seed, name=recording.name)
    fname = folder / f"{recording.name.replace('/', '_')}.npz"
    if fname.exists():
        with np.load(fname, allow_pickle=False) as file:
            if json.loads(str(file["facts"])) == facts:
                return int(file["n_windows"])
    found = make_examples(corpus, k, load_prior() if prior is None else prior, n_draws, seed)
    arrays = {f"{c}_{n}_{name}": a for (c, n), e in found.items() for name, a in e.items()}
    n_windows = sum(len(e["x"]) for e in found.values())
    with staged(fname, overwrite=True) as path:
        np.savez(path, facts=json.dumps(facts), n_windows=n_windows, **arrays)
    return n_windows
