# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The methods of restoration, and the options that the command line and `run_bids` hand through.

Nothing here imports MNE or torch: the command line reads these tables before it does anything.
"""

from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True)
class Method:
    """A method of restoration.

    ``module`` has ``fit(recording, settings)`` and ``estimate(block, plan)``, a list of Estimates.
    """

    name: str
    description: str
    module: str
    needs_network: bool = False
    needs_prior: bool = True
    has_posterior: bool = False  # whether output="sample" is possible

    def fit(self, recording, settings):
        """Learn from a recording what estimates need, a Plan."""
        return import_module(self.module, __package__).fit(recording, settings)

    def estimate(self, block, plan):
        """Estimate the bad samples of a block, a list of Estimates."""
        return import_module(self.module, __package__).estimate(block, plan)


METHODS = {
    method.name: method
    for method in (
        Method(
            "auto",
            "weighted mean of experts, by how well they restore hidden clean samples",
            "._select",
            has_posterior=True,
        ),
        Method(
            "spatial",
            "conditional Gaussian whose covariance adapts to the recording",
            "._gaussian",
            has_posterior=True,
        ),
        Method(
            "gram",
            "spatial, with the waveform that the masked autoencoder predicts",
            "._gram",
            needs_network=True,
        ),
        Method(
            "spline",
            "spherical splines of MNE, only where a channel is bad",
            "._spline",
            needs_prior=False,
        ),
    )
}


@dataclass(frozen=True)
class Option:
    """An option of `restore` that the command line and `run_bids` hand through.

    ``type``, ``nargs`` and ``metavar`` are as in argparse; with ``choices`` they are not needed.
    """

    name: str
    default: object
    help: str
    choices: tuple | None = None
    type: object = None
    nargs: str | None = None
    metavar: str | None = None


OPTIONS = {
    option.name: option
    for option in (
        Option("method", "auto", "restoration method", tuple(METHODS)),
        Option(
            "output",
            "mean",
            "expected signal (mean), or a random draw with the power of real EEG (sample)",
            ("mean", "sample"),
        ),
        Option(
            "all_channel_gaps",
            "keep",
            "keep or fill gaps in which all channels are bad",
            ("keep", "fill"),
        ),
        Option("random_state", None, "seed for --output sample", type=int, metavar="SEED"),
        Option(
            "exclude",
            (),
            "channels to leave unchanged, from which no other is estimated",
            nargs="+",
            metavar="NAME",
        ),
    )
}


def check_options(**options):
    """Raise a ValueError for options that are unknown or do not go together."""
    from mne.utils import _check_option, _validate_type

    for name, value in options.items():
        if OPTIONS[name].choices is not None:
            _check_option(name, value, OPTIONS[name].choices)
    _validate_type(options["random_state"], ("int-like", None), "random_state")
    if options["random_state"] is not None and options["random_state"] < 0:
        raise ValueError(f"random_state must be at least 0, got {options['random_state']}.")
    _validate_type(options["exclude"], (list, tuple), "exclude")
    method = METHODS[options["method"]]
    if options["output"] == "sample" and not method.has_posterior:
        others = " or ".join(f"method={m.name!r}" for m in METHODS.values() if m.has_posterior)
        raise ValueError(
            f"method={method.name!r} has no posterior to draw from: use output='mean', or {others}."
        )
