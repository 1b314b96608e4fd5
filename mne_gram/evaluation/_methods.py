# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Methods by name: classical decoders, and GramClassifier with any of its settings."""

import inspect
import json
from dataclasses import dataclass, field

BASELINES = ("csp-lda", "tangent-lr", "bandpower-lr")
GRAM = ("gram-probe", "gram-lora", "gram-full")
DEFAULT = (*BASELINES, "gram-probe")
_TAKEN = ("adapt", "line_freq", "reference", "random_state")  # which the task settles


@dataclass(frozen=True)
class Method:
    """A way to classify.

    Attributes
    ----------
    name : str
        The name as it was given, which tables show.
    base : str
        One of `BASELINES` and `GRAM`.
    options : dict
        Further arguments of GramClassifier.
    """

    name: str
    base: str
    options: dict = field(default_factory=dict, hash=False)

    @property
    def is_gram(self):
        """Whether it is a GramClassifier."""
        return self.base in GRAM

    def make(self, task, seed):
        """Return an estimator that is not fitted.

        Parameters
        ----------
        task : Task
            The task.
        seed : int
            Where its draws come from, if it has any.

        Returns
        -------
        estimator : object
            With ``fit(epochs, y, groups=...)``, ``predict_proba`` and ``classes_``.
        """
        if self.is_gram:
            from ..decoding import GramClassifier

            adapt = self.base.removeprefix("gram-")
            settings = dict(task.settings) if adapt == "full" else {}
            return GramClassifier(
                adapt,
                line_freq=False,  # taken out of the continuous recording
                reference=task.reference,
                random_state=seed,
                **{**settings, **self.options},
            )
        from . import _baselines as baselines

        if self.base == "csp-lda":
            return baselines.PatternsDecoder(task.band)
        if self.base == "tangent-lr":
            return baselines.TangentDecoder(task.band)
        return baselines.BandPowerDecoder()

    def describe(self, task):
        """Return all that its results depend on but the windows, as a dict."""
        # With the defaults of the estimator, which may change.
        params = {name: repr(value) for name, value in self.make(task, 0).get_params().items()}
        about = dict(base=self.base, params=params)
        if self.is_gram:
            from ..models import load_model

            name = self.options.get("model", "gram-tiny")
            about["sha256"] = load_model(name, verbose="warning").sha256
        return about


def parse_method(text):
    """Read the name of a method.

    Parameters
    ----------
    text : str
        One of `BASELINES` and `GRAM`; of these, ``gram-probe+pool=mean+features=["tangent"]``
        sets arguments of GramClassifier, their values as JSON or plain words.

    Returns
    -------
    method : Method
        The method.

    Raises
    ------
    ValueError
        If there is no such method or argument.
    """
    base, *settings = text.split("+")
    if base not in (*BASELINES, *GRAM):
        raise ValueError(f"There is no method {base!r}, only {', '.join((*BASELINES, *GRAM))}.")
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
        from ..decoding import GramClassifier

        known = [name for name in inspect.signature(GramClassifier).parameters]
        known = [name for name in known if name not in _TAKEN]
        unknown = [name for name in options if name not in known]
        if unknown:
            raise ValueError(
                f"GramClassifier has no argument {', '.join(unknown)} that a name can set, only "
                f"{', '.join(known)}."
            )
    return Method(text, base, options)
