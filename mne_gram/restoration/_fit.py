# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The two steps of a restoration: learn from the recording, then estimate what is bad.

The first step (:func:`fit_plan`) looks at samples from all over the recording and returns a small
plan. The second one (:func:`estimate_block`) follows the plan on any stretch of signal, so that it
does not matter how long the recording is.
"""

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from mne import Info
from mne.utils import logger, warn

from .._recording import choose_windows, group_products, window_products
from ..covariance import (
    Prior,
    adapt_covariance,
    channel_rows,
    fit_sources,
    forward_components,
    load_prior,
)
from ..montage import ChannelMap, match_channels
from ..preprocessing import find_line_freq
from ._evidence import Evidence
from ._gaussian import estimate_spatial, recall_steps
from ._gram import check_positions, repair_gram, repair_spline
from ._operators import Operators, SpatialFit, fit_spatial
from ._select import learn_stack, tell_evidence
from ._stacking import COMPARED, combine, estimate_experts
from ._steps import limit_steps

_MAX_WINDOWS = 240  # for statistics; two minutes of half-overlapping windows say enough
TRIAL = "trial"  # everything that "auto" has, but nothing learnt of it yet
_TRIAL_CONTRASTS = 32  # enough to compare experts by
_MIN_FOR_SPHERE = 8  # good channels: fewer say little about sources
_CHUNK_VALUES = 2**22  # of windows that are looked at together: 32 MB in double precision


@dataclass(frozen=True, eq=False)
class Network:
    """What the network needs besides the signals.

    Attributes
    ----------
    model : GramModel
        The network.
    cmap : ChannelMap
        The entries of the channels.
    line_freq : float | None
        The power line's frequency in Hz.
    options : dict
        ``device`` and ``batch_size``.
    """

    model: object
    cmap: ChannelMap
    line_freq: float | None
    options: dict


@dataclass(frozen=True, eq=False)
class Plan:
    """How the bad samples of one recording are to be estimated.

    Attributes
    ----------
    method : str
        The method asked for.
    info : mne.Info
        The channels that are worked with.
    units : array, shape (n_channels,) | None
        1 for channels that carry the reference, 0 for bipolar derivations; None if that plays no
        role.
    spatial : SpatialFit | None
        What the spatial expert has learnt; None for ``method="spline"``.
    network : Network | None
        The network, for ``method="gram"``.
    lost : frozenset of int
        Channels that cannot be restored.
    sphere : SpatialFit | None
        The spatial expert with a covariance that physics completes instead of other people, for
        channels that are bad all through.
    experts : dict of str to callable
        What else there is to combine: called with signals in which bad samples hold the spatial
        estimate, the mask, the pieces and the segments, returns segments.
    stacks : dict of str to Stack
        How the experts are combined, by kind of gap.
    evidence : Evidence | None
        What the hidden samples showed.
    """

    method: str
    info: Info
    units: np.ndarray | None = None
    spatial: SpatialFit | None = None
    network: Network | None = None
    lost: frozenset = frozenset()
    sphere: SpatialFit | None = None
    experts: dict = field(default_factory=dict)
    stacks: dict = field(default_factory=dict)
    evidence: Evidence | None = None

    @property
    def expert_names(self):
        """The names of the experts that may correct the spatial one."""
        others = (name for name in self.experts if name not in COMPARED)
        return (*(["sphere"] if self.sphere is not None else []), *others)


def fit_plan(
    samples,
    bad,
    info,
    *,
    method="auto",
    prior=None,
    on_missing="warn",
    seed=None,
    fill_gaps=False,
    model=None,
    line_freq=None,
    options=None,
):
    """Learn from a recording how its bad samples are to be estimated.

    Parameters
    ----------
    samples : Samples
        The signals, read in places.
    bad : BadSpans
        What is bad; it is not looked at.
    info : mne.Info
        The channels.
    method : str
        The method, as in :func:`mne_gram.restore`.
    prior : Prior | path-like | None
        Covariances of other people's recordings.
    on_missing : str
        What to do about channels of which nothing is known.
    seed : numpy.random.SeedSequence | None
        Draw from the posterior with this seed instead of taking its mean.
    fill_gaps : bool
        Whether to invent what no good channel tells.
    model : str | path-like | GramModel | None
        The network.
    line_freq : float | None
        The power line's frequency in Hz, for the network.
    options : dict | None
        ``device`` and ``batch_size`` of the network.

    Returns
    -------
    plan : Plan
        What :func:`estimate_block` needs.
    """
    if method == "spline":
        check_positions(info)
        return Plan(method, info)
    sfreq = info["sfreq"]
    prior = prior if isinstance(prior, Prior) else load_prior(prior)
    cmap = match_channels(info, on_missing="ignore", verbose="error")
    rows, own, units, known = channel_rows(cmap, prior)
    moments = find_moments(samples, bad, units, sfreq)
    lost = _find_lost(info["ch_names"], bad, known, moments, on_missing)
    adapt = partial(adapt_covariance, prior, rows, own, units, known, moments)
    adapt = partial(adapt, power=_typical_power(samples, bad))
    cov = adapt(max_contrasts=_TRIAL_CONTRASTS) if method == TRIAL else adapt()
    spatial = fit_spatial(samples, bad, sfreq, cov, units, seed=seed, fill_gaps=fill_gaps)
    network = None
    if method == "gram":
        line_freq = _choose_line_freq(samples, bad, info, line_freq)
        network = Network(_load_network(model), cmap, line_freq, options or {})
    plan = Plan(method, info, units, spatial, network, lost)
    if method not in ("auto", TRIAL):
        return plan
    if bad.whole.any() and (bad.n_bad == 0).sum() >= _MIN_FOR_SPHERE:
        cov = adapt(complete=partial(_complete_by_sphere, rows=rows, own=own, units=units))
        plan = replace(plan, sphere=_exchange_covariance(spatial, cov, units))
    plan = replace(plan, experts=_find_experts(plan, cmap))
    if method == TRIAL:
        return plan
    options = dict(info=info, method=TRIAL, prior=prior, on_missing="ignore")
    stacks, trials = learn_stack(samples, bad, plan, partial(fit_plan, samples, **options))
    return replace(plan, stacks=stacks, evidence=tell_evidence(stacks, trials))


def estimate_block(data, mask, pieces, plan, first=0):
    """Estimate the bad samples of a recording or of a stretch of it.

    Parameters
    ----------
    data : array, shape (n_channels, n_times)
        The signals in volts. Bad samples are overwritten by their estimate; what they held is not
        looked at. Good ones come back to within rounding.
    mask : array of bool, shape (n_channels, n_times)
        True where bad. Channels that the plan knows as bad all through are so here.
    pieces : list of tuple of int
        Stretches of continuous time, counted from the first sample of ``data``.
    plan : Plan
        What :func:`fit_plan` returned.
    first : int
        Number of the first sample in the recording.

    Returns
    -------
    segments : list of Segment
        The estimates, counted from the first sample of ``data``. Stretches that were left alone are
        not among them.
    """
    if plan.spatial is None:
        return repair_spline(data, mask, pieces, plan.info)
    if plan.stacks:
        draws = _draw_errors(data, mask, pieces, plan, first)
        segments, corrections = estimate_experts(data, mask, pieces, plan, first)
        whole, sfreq = plan.spatial.whole, plan.info["sfreq"]
        combine(segments, corrections, plan.stacks, whole, pieces, sfreq, draws)
        steps = recall_steps(plan.spatial, segments, first)
        limit_steps(data, mask, segments, pieces, sfreq, steps)
        for segment in segments:
            data[segment.channel, segment.start : segment.stop] = segment.values
        return segments
    segments = estimate_spatial(data, mask, pieces, plan.spatial, first)
    segments = [segment for segment in segments if segment.channel not in plan.lost]
    if plan.network is not None:
        _add_network(data, mask, pieces, segments, plan, first)
    return segments


def _draw_errors(data, mask, pieces, plan, first):
    """Draw what the spatial estimate may miss, shape of the data; None if nothing is drawn."""
    if plan.spatial.noise is None:
        return None
    drawn, mean = data.copy(), data.copy()
    estimate_spatial(drawn, mask, pieces, plan.spatial, first)
    estimate_spatial(mean, mask, pieces, replace(plan.spatial, noise=None), first)
    return drawn - mean


def _complete_by_sphere(cov, good, rows, own, units):
    """Complete a covariance to all electrodes by cortical sources in a sphere that explain it."""
    parts = forward_components()
    return fit_sources(parts, cov, rows[good], units[good], own[np.ix_(good, good)])


def _exchange_covariance(spatial, cov, units):
    """Return what the spatial expert has learnt, with another covariance and without noise."""
    operators = Operators(cov, units, spatial.operators.excess)
    return replace(spatial, operators=operators, noise=None)


def _find_experts(plan, cmap):
    """Return the experts that there are besides those with a covariance."""
    experts = {}
    if not plan.spatial.whole.any():
        return experts  # where channels are good at other times, their own data beat a spline
    try:
        check_positions(plan.info)
    except ValueError:  # then the spline is not among those that are combined
        pass
    else:
        experts["spline"] = partial(_run_spline, plan=plan)
    return experts


def _run_spline(data, mask, pieces, segments, first, plan):
    """Run the spline for channels that are bad all through.

    It sees signals relative to what was measured, so that no reference plays a role, and the
    repaired stretches of the other channels, so that one matrix serves the whole recording.
    """
    units, info = plan.units, plan.info
    mask = mask & plan.spatial.whole[:, None]
    data, times = data.copy(), first + np.arange(data.shape[1])
    for channel, baseline in plan.spatial.baselines.items():
        data[channel] -= baseline(times)  # each electrode's own: nothing of it is to spread
    good = ~mask & (units > 0)[:, None]
    mean = np.where(good, data, 0.0).sum(axis=0) / np.maximum(good.sum(axis=0), 1)
    found = repair_spline(data - units[:, None] * mean, mask, pieces, info)
    for segment in found:
        segment.values += units[segment.channel] * mean[segment.start : segment.stop]
        if segment.channel in plan.spatial.baselines:
            inside = times[segment.start : segment.stop]
            segment.values += plan.spatial.baselines[segment.channel](inside)
    return found


def find_moments(samples, bad, units, sfreq):
    """Find the covariances of a recording's clean data.

    Parameters
    ----------
    samples : Samples
        The signals.
    bad : BadSpans
        What is bad.
    units : array, shape (n_channels,)
        1 for channels that carry the reference, 0 for bipolar derivations.
    sfreq : float
        Sampling rate in Hz.

    Returns
    -------
    moments : list of Moments
        What :func:`group_moments` returns for windows from all over the recording.
    """
    starts, length, good = choose_windows(bad, samples.pieces, sfreq, _MAX_WINDOWS)
    size = max(1, _CHUNK_VALUES // max(1, len(bad) * length))
    products = []
    for k in range(0, len(starts), size):
        usable = good[k : k + size]
        windows = np.stack([samples.read(a, a + length) for a in starts[k : k + size]])
        windows[~usable] = 0.0
        products.append(window_products(windows, usable, sfreq, units))
    products = [np.concatenate(parts) for parts in zip(*products, strict=True)]
    return group_products(products, good)


def _typical_power(samples, bad):
    """Return the median over channels of the variance of their good samples."""
    step = samples.thin()
    good = ~bad.paint(step=step)
    part = np.where(good, samples.read(step=step), 0.0)
    count = np.maximum(good.sum(axis=1), 1)
    mean = part.sum(axis=1) / count
    variance = (((part - mean[:, None]) ** 2) * good).sum(axis=1) / count
    return np.median(variance[good.any(axis=1)])


def _find_lost(names, bad, known, moments, on_missing):
    """Find bad channels of which nothing tells how they go with the others."""
    heard = np.zeros(len(names), bool)
    for m in moments:
        heard[m.good] = True
    lost = np.flatnonzero((bad.n_bad > 0) & ~known & ~heard)
    if len(lost):
        message = (
            f"Cannot restore {', '.join(names[k] for k in lost)}: bad (nearly) all through, and "
            "neither name nor position tells where they are. Rename them to 10-05 names "
            "(inst.rename_channels) or give them positions (inst.set_montage)."
        )
        if on_missing == "raise":
            raise ValueError(message)
        if on_missing == "warn":
            warn(f"{message} They are left as they are.")
    return frozenset(lost.tolist())


def _choose_line_freq(samples, bad, info, line_freq):
    """Return the frequency of the power line, if need be by its peak in the good data."""
    line_freq = info["line_freq"] if line_freq is None else line_freq
    if line_freq is not None:
        return line_freq
    sfreq, n_times = info["sfreq"], samples.n_times
    length = min(int(2 * sfreq), n_times)
    starts = np.arange(0, n_times - length + 1, max(length // 2, 1))
    starts = starts[:: max(1, len(starts) // 60)]  # a minute or two
    windows = np.stack([samples.read(a, a + length) for a in starts])
    for window, a in zip(windows, starts, strict=True):
        window[bad.paint(a, a + length)] = np.nan
    line_freq = find_line_freq(windows, sfreq)
    if line_freq is not None:
        logger.info("Found the power line at %g Hz; give line_freq to choose.", line_freq)
    return line_freq


def _load_network(model):
    """Return a network that was named."""
    from ..models import GramModel, load_model

    return model if isinstance(model, GramModel) else load_model(model)


def _add_network(data, mask, pieces, segments, plan, first):
    """Let a network change the estimate."""
    sfreq, network = plan.info["sfreq"], plan.network
    options = dict(line_freq=network.line_freq, **network.options)
    repair_gram(data, mask, pieces, sfreq, network.cmap, segments, network.model, **options)
    steps = recall_steps(plan.spatial, segments, first)
    limit_steps(data, mask, segments, pieces, sfreq, steps)
    for segment in segments:
        data[segment.channel, segment.start : segment.stop] = segment.values
