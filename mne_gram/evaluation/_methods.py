# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Methods by name: classical decoders, and GramClassifier with any parameters."""

import inspect
import json
from dataclasses import dataclass, field

from ..decoding import GramClassifier
from ..models import load_model
from ._baselines import BandPowerDecoder, PatternsDecoder, TangentDecoder

BASELINES = ("csp-lda", "tangent-lr", "bandpower-lr")
GRAM = ("gram-probe", "gram-lora", "gram-full")
DEFAULT = (*BASELINES, "gram-probe")
_SET_BY_TASK = ("adapt", "line_freq", "reference", "random_state")


@dataclass(frozen=True)
class NamedClassifier:
    """A classifier by name."""

    name: str  #: as in the tables
    base: str  #: one of `BASELINES` and `GRAM`
    options: dict = field(default_factory=dict, hash=False)  #: arguments of GramClassifier

    @property
    def is_gram(self):
        """Whether it is a GramClassifier."""
        return self.base in GRAM

    def make(self, task, seed):
        """Return an unfitted estimator with ``fit(epochs, y, groups=...)``, ``predict_proba``."""
        if self.is_gram:
            adapt = self.base.removeprefix("gram-")
            settings = dict(task.settings) if adapt == "full" else {}
            return GramClassifier(
                adapt,
                line_freq=False,  # removed from the continuous recording
                reference=task.reference,
                random_state=seed,
                **{**settings, **self.options},
            )
        if self.base == "csp-lda":
            return PatternsDecoder(task.band)
        return TangentDecoder(task.band) if self.base == "tangent-lr" else BandPowerDecoder()

    def describe(self, task):
        """Return a dict of everything that its results depend on except the windows."""
        # With the defaults of the estimator, which may change.
        params = {name: repr(value) for name, value in self.make(task, 0).get_params().items()}
        about = dict(base=self.base, params=params)
        if self.is_gram:
            name = self.options.get("model", "gram-tiny")
            about["sha256"] = load_model(name, verbose="warning").sha256
        return about


def parse_method(text):
    """Return the NamedClassifier of ``gram-probe+pool=mean+features=["tangent"]`` or the like."""
    base, *settings = text.split("+")
    if base not in (*BASELINES, *GRAM):
        raise ValueError(
            f"Unknown method {base!r}, expected one of {', '.join((*BASELINES, *GRAM))}."
        )
    options = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"{text}: expected argument=value after the +, got {setting!r}.")
        try:
            options[key] = json.loads(value)
        except ValueError:
            options[key] = value
    if options:
        if base in BASELINES:
            raise ValueError(f"{base} takes no arguments, got {', '.join(options)}.")
        known = [name for name in inspect.signature(GramClassifier).parameters]
        known = [name for name in known if name not in _SET_BY_TASK]
        unknown = [name for name in options if name not in known]
        if unknown:
            raise ValueError(
                f"GramClassifier has no argument {', '.join(unknown)} that can be set here, only "
                f"{', '.join(known)}."
            )
    return NamedClassifier(text, base, options)
