# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The methods that can be compared, by name.

``ridge`` and ``mne`` are baselines of ``ridge.py``; any other name is the ``method`` of
:func:`mne_gram.restore`. A name may end in the library to use: ``-left-out`` (the prior is
estimated without the data set at hand), ``-cohort-5`` (without it, but with five other subjects of
it as a cohort; ``-cohort-all`` with all) or ``-dirty-5`` (the same with one channel in ten marked
as bad in each of their recordings). Then may follow ``-sample``, a draw from the posterior instead
of its mean: ``auto-left-out-sample``. ``VARIANTS`` and ``ABLATIONS`` are settings that ``restore``
does not offer.
"""

import contextlib
import dataclasses
import functools
import inspect
import re
import zlib
from dataclasses import dataclass, field
from unittest import mock

import mne
import numpy as np
from _truth import flat
from ridge import repair_minimum_norm, repair_ridge

import mne_gram
from mne_gram.covariance import (
    Prior,
    drop_channels,
    estimate_prior,
    extend_prior,
    forward_components,
    load_prior,
)
from mne_gram.restoration import EXPERTS, _gram

LEFT_OUT, SAMPLE = "-left-out", "-sample"
WHOLE = "whole"  # the library as it is
LIBRARY = re.compile("(.+)-(left-out|(?:cohort|dirty)-(?:[0-9]+|all))")
DIRTY = 0.1  # of the channels of a cohort's recording
BASELINES = {"ridge": repair_ridge, "mne": repair_minimum_norm}
WITHOUT_PRIOR = ("spline", *BASELINES)
NETWORKS = ("gram",)  # methods that run only the network and the spatial estimate
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
# Ablations of method="auto": experts that are left out or added by `_change_experts`, which alone
# uses private parts of the package.
ABLATIONS = tuple(f"auto-without-{name}" for name in EXPERTS)


@contextlib.contextmanager
def _change_experts(name):
    """Remove an expert from method auto within the context."""
    expert = name.removeprefix("auto-without-")
    changed = {expert: EXPERTS[expert]._replace(fit=lambda *args: None)}
    with mock.patch.dict(EXPERTS, changed):
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
    library : str
        ``"whole"``, or the library in the name, such as ``"left-out"`` or ``"cohort-5"``.
    output : ``"mean"`` | ``"sample"``
        What ``restore`` returns.
    """

    name: str
    base: str
    library: str
    output: str


def parse_method(name):
    """Split a name into its parts."""
    base = name.removesuffix(SAMPLE)
    output = "sample" if base != name else "mean"
    match = LIBRARY.fullmatch(base)
    stem, library = match.groups() if match else (base, WHOLE)
    return Method(name, stem, library, output)


def expand_methods(names, leave_out):
    """Return the methods to run: always the spline, and variants with the prior left out.

    ``leave_out`` is None, ``"only"`` (these variants alone) or ``"also"`` (both).
    """
    names = names if "spline" in names else ["spline", *names]
    found = []
    for name in names:
        method = parse_method(name)
        other = method.base + LEFT_OUT + (SAMPLE if method.output == "sample" else "")
        if leave_out is None or method.base in WITHOUT_PRIOR or method.library != WHOLE:
            found.append(name)
        else:
            found += [other] if leave_out == "only" else [name, other]
    return list(dict.fromkeys(found))


@dataclass(frozen=True, eq=False)
class Priors:
    """The priors that a recording can be restored with.

    ``others`` are the recordings of its data set in the whole prior, of which ``subject`` never
    joins a cohort.
    """

    whole: Prior
    left_out: Prior | None = None
    others: tuple = ()
    subject: str = ""
    made: dict = field(default_factory=dict)

    def get(self, library):
        """Return the prior of a library, such as ``"cohort-5"``."""
        if library == WHOLE:
            return self.whole
        if library == "left-out":
            return self.left_out
        if library not in self.made:
            kind, number = library.split("-")
            cohort = self.draw(number, dirty=kind == "dirty")
            self.made[library] = extend_prior(self.left_out, cohort, forward_components())
        return self.made[library]

    def draw(self, number, dirty):
        """Draw a cohort of so many subjects (or all), always the same for a subject at hand."""
        rng = np.random.default_rng(zlib.crc32(self.subject.encode()))
        subjects = sorted({r.source[1] for r in self.others} - {self.subject})
        chosen = rng.permutation(subjects)[: None if number == "all" else int(number)]
        cohort = [r for r in self.others if r.source[1] in chosen]
        return [self.mark(r, rng) for r in cohort] if dirty else cohort

    @staticmethod
    def mark(recording, rng):
        """Return a recording without one channel in ten."""
        bad = np.zeros(len(recording.channels), bool)
        bad[rng.permutation(len(bad))[: max(1, round(DIRTY * len(bad)))]] = True
        return drop_channels(recording, bad)


def load_priors(fname, datasets):
    """Return the prior (key None), and estimates that leave out each data set, by its name."""
    priors = {None: load_prior(fname)}
    if datasets:
        recordings, components = load_prior(fname).recordings, forward_components()
        for dataset in datasets:
            rest = [r for r in recordings if r.source[0] != dataset]
            priors[dataset] = estimate_prior(rest, components)
    return priors


def pick_priors(priors, dataset, subject=""):
    """Return the Priors of a recording."""
    whole = priors[None]
    others = tuple(r for r in whole.recordings if r.source[0] == dataset)
    return Priors(whole, priors.get(dataset), others, f"sub-{subject}")


@functools.lru_cache(maxsize=2)
def load_network(name):
    """Load a network once; None for the default of restore."""
    default = inspect.signature(mne_gram.restore).parameters["model"].default
    return mne_gram.load_model(name or default)


def restore(name, inst, mask, priors, model=None, truth=None):
    """Restore hidden samples, True in ``mask`` (n_channels, n_samples) with epochs end to end.

    Returns the restored signals in volts and the standard deviation of their error or None, of the
    shape of the mask. Only the ceiling uses ``truth``.
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
            prior=priors.get(method.library),
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
    """Apply the settings of a variant within the context; return the method for restore."""
    if base in VARIANTS or base == CEILING:
        with mock.patch.object(_gram, "add_network", _choose_network(base, truth)):
            yield "gram"
    elif base in ABLATIONS:
        with _change_experts(base):
            yield "auto"
    else:
        yield base


def _choose_network(name, truth):
    """Return the replacement of the network's part in a variant of method gram."""
    add_network = _gram.add_network
    if name != CEILING:
        return functools.partial(add_network, **VARIANTS[name])

    def reach_ceiling(block, estimates, plan):
        if block.data.shape != truth.shape:
            raise ValueError("The ceiling needs a recording that is restored at once.")
        for estimate in estimates:
            estimate.values[:] = truth[estimate.channel, estimate.start : estimate.stop]
        complete = dataclasses.replace(block, data=np.array(truth))
        add_network(complete, estimates, plan, predict=_decode_truth)

    return reach_ceiling


def _decode_truth(model, x, channels, mask, **kwargs):
    """Return what the decoder makes of the true classes of all patches."""
    import torch

    with torch.inference_mode():
        indices = model.tokenizer.encode(torch.from_numpy(x), channels).indices
        return model.tokenizer.decode(indices, channels).numpy()
