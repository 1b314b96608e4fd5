# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What can be compared, by name.

``ridge`` and ``mne`` are baselines of ``ridge.py``; any other name goes to
:func:`mne_gram.restore` as its ``method``. A name may end in ``-left-out`` (the prior is estimated
without the data set at hand), in ``-sample`` (a draw from the posterior instead of its mean), or in
both, in this order: ``auto-left-out-sample``. Beside these there are the names in ``VARIANTS``,
which lead to settings that ``restore`` does not offer, and in ``ABLATIONS``.
"""

import contextlib
import functools
import inspect
from dataclasses import dataclass
from unittest import mock

import mne
import numpy as np
from _truth import flat
from make_prior import estimate_prior
from ridge import repair_minimum_norm, repair_ridge

import mne_gram
from mne_gram.covariance import forward_components, load_prior, read_recordings
from mne_gram.restoration import _fit as _estimation
from mne_gram.restoration import _stacking

LEFT_OUT, SAMPLE = "-left-out", "-sample"
BASELINES = {"ridge": repair_ridge, "mne": repair_minimum_norm}
WITHOUT_PRIOR = ("spline", *BASELINES)
NETWORKS = ("gram",)  # methods that run nothing else beside the spatial estimate
# Variants of method="gram": keyword arguments of the network's repair.
VARIANTS = {
    "gram-argmax": dict(decode="argmax"),
    "gram-own": dict(scale="network"),
    "gram-own-argmax": dict(scale="network", decode="argmax"),
    "gram-bare": dict(scale=None),
    "gram-bare-argmax": dict(scale=None, decode="argmax"),
}
CEILING = "gram-ceiling"

# ---------------------------------------------------------------------------------------------
# Ablations of method="auto": the experts that are left out, or taken in. How that is brought about,
# with private parts of the package, is in `_change_experts` and nowhere else.
ABLATIONS = ("auto-without-sphere", "auto-with-spline")


@contextlib.contextmanager
def _change_experts(name):
    """Take an expert from method auto for a while, or give it one more."""
    with contextlib.ExitStack() as stack:
        patch = functools.partial(mock.patch.object, _estimation)
        if name == "auto-with-spline":
            stack.enter_context(patch("COMPARED", ()))
            stack.enter_context(mock.patch.object(_stacking, "COMPARED", ()))
        else:  # it is the spatial expert once more, with another covariance
            stack.enter_context(patch("_exchange_covariance", lambda *args: None))
        yield


# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Method:
    """What a name means.

    Attributes
    ----------
    name : str
        The whole name.
    base : str
        The name without its endings.
    left_out : bool
        Whether the prior is estimated without the data set at hand.
    output : ``"mean"`` | ``"sample"``
        What ``restore`` returns.
    """

    name: str
    base: str
    left_out: bool
    output: str


def parse_method(name):
    """Take a name apart."""
    base = name.removesuffix(SAMPLE)
    output = "sample" if base != name else "mean"
    stem = base.removesuffix(LEFT_OUT)
    return Method(name, stem, stem != base, output)


def expand_methods(names, leave_out):
    """List the methods to run: the spline always, and those with the prior left out if wanted.

    Parameters
    ----------
    names : list of str
        What was asked for.
    leave_out : None | ``"only"`` | ``"also"``
        Whether the methods that use a prior get the one estimated without the data set at hand, or
        are run with either.

    Returns
    -------
    names : list of str
        Each once, the spline first if it was not asked for.
    """
    names = names if "spline" in names else ["spline", *names]
    found = []
    for name in names:
        method = parse_method(name)
        other = method.base + LEFT_OUT + (SAMPLE if method.output == "sample" else "")
        if leave_out is None or method.base in WITHOUT_PRIOR:
            found.append(name)
        else:
            found += [other] if leave_out == "only" else [name, other]
    return list(dict.fromkeys(found))


def load_priors(fname, datasets):
    """Load the prior, and estimate the ones that leave out a data set.

    Parameters
    ----------
    fname : path-like | None
        The prior; None for the bundled one.
    datasets : list of str
        The data sets to leave out, one at a time.

    Returns
    -------
    priors : dict of str | None to Prior
        By the data set left out; None for the whole.
    """
    priors = {None: load_prior(fname)}
    if datasets:
        recordings, components = read_recordings(fname), forward_components()
        for dataset in datasets:
            rest = [r for r in recordings if r.source[0] != dataset]
            priors[dataset] = estimate_prior(rest, components)
    return priors


def pick_priors(priors, dataset):
    """Return the prior as it is and, where there is one, the one without the data set."""
    return {"whole": priors[None], "left-out": priors.get(dataset)}


@functools.lru_cache(maxsize=2)
def load_network(name):
    """Load a network once; None for the one that restore takes by itself."""
    default = inspect.signature(mne_gram.restore).parameters["model"].default
    return mne_gram.load_model(name or default)


def restore(name, inst, mask, priors, model=None, truth=None):
    """Restore hidden samples.

    Parameters
    ----------
    name : str
        The method.
    inst : mne.io.Raw | mne.Epochs
        The recording with garbage in it.
    mask : array of bool, shape (n_channels, n_samples)
        True where bad, epochs end to end.
    priors : dict of str to Prior
        From :func:`pick_priors`.
    model : str | None
        The network; None for the default.
    truth : array, shape (n_channels, n_samples) | None
        The signals without garbage; the ceiling alone may look at them.

    Returns
    -------
    estimate : array, shape (n_channels, n_samples)
        The restored signals in volts.
    std : array, shape (n_channels, n_samples) | None
        Standard deviation of the error, where the method tells. A draw has none.
    """
    method = parse_method(name)
    if method.base in BASELINES:
        return BASELINES[method.base](flat(inst), mask, inst.info), None
    wanted = mask
    if isinstance(inst, mne.BaseEpochs):
        wanted = mask.reshape(len(mask), len(inst), -1).transpose(1, 0, 2)
    options = {} if model is None else dict(model=model)
    if method.base.startswith(NETWORKS):
        options["model"] = load_network(model)
    with _set_up(method.base, truth) as base:
        restored, report = mne_gram.restore(
            inst,
            mask=wanted,
            method=base,
            output=method.output,
            prior=priors["left-out" if method.left_out else "whole"],
            random_state=0 if method.output == "sample" else None,
            return_report=True,
            **options,
        )
    if method.output == "sample":
        return flat(restored), None
    std = report.std
    return flat(restored), std if std.ndim == 2 else std.transpose(1, 0, 2).reshape(mask.shape)


@contextlib.contextmanager
def _set_up(base, truth):
    """Bring about what a variant needs for a while; give the method that restore knows."""
    if base in VARIANTS or base == CEILING:
        with mock.patch.object(_estimation, "repair_gram", _choose_repair(base, truth)):
            yield "gram"
    elif base in ABLATIONS:
        with _change_experts(base):
            yield "auto"
    else:
        yield base


def _choose_repair(name, truth):
    """Return what stands in for the network's repair in a variant of method gram."""
    repair = _estimation.repair_gram
    if name != CEILING:
        return functools.partial(repair, **VARIANTS[name])

    def reach_ceiling(data, mask, pieces, sfreq, cmap, segments, model, *, line_freq, **kwargs):
        if data.shape != truth.shape:
            raise ValueError("The ceiling is found where all of the truth is restored at once.")
        for segment in segments:
            segment.values[:] = truth[segment.channel, segment.start : segment.stop]
        repair(
            np.array(truth),
            *(mask, pieces, sfreq, cmap, segments, model),
            line_freq=line_freq,
            predict=_decode_truth,
        )

    return reach_ceiling


def _decode_truth(model, x, channels, mask, **kwargs):
    """Return what the decoder makes of the true classes of all patches."""
    import torch

    with torch.inference_mode():
        indices = model.tokenizer.encode(torch.from_numpy(x), channels).indices
        return model.tokenizer.decode(indices, channels).numpy()
