# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What was measured on hidden clean patches, and the weights that follow from it."""

import math
from dataclasses import dataclass

import numpy as np

SOURCES = ("recording", "training people")


@dataclass(frozen=True, eq=False)
class Evidence:
    """How well each expert restored clean patches that were hidden for the purpose.

    Attributes
    ----------
    weights : dict of str to array, shape (n_bands,)
        The weight of each expert in the combination, a band each, the lowest first.
    scores : dict of str to float
        The NMSE of each expert on the hidden patches. A score under the name of the method, such as
        ``"auto"``, is that of the combination; an expert may have a score and no weight, such as a
        spline for comparison.
    r : dict of str to float
        The correlation of the same with the truth.
    seconds : float
        Channel-seconds that were hidden.
    source : "recording" | "training people"
        Whether the patches are of this recording, or, where it has too little clean signal, of the
        recordings that the weights by default come from.
    coverage : float | None
        Share of the hidden samples within the 90 % interval.
    calibration : float | None
        The factor that the standard deviations were multiplied by.
    """

    weights: dict
    scores: dict
    r: dict
    seconds: float
    source: str
    coverage: float | None = None
    calibration: float | None = None

    def __post_init__(self):
        """Refuse what would be shown wrongly."""
        if self.source not in SOURCES:
            raise ValueError(f"Expected source to be one of {SOURCES}, got {self.source!r}.")
        if self.coverage is not None and not 0 <= self.coverage <= 1:
            raise ValueError(f"Expected coverage to be a share from 0 to 1, got {self.coverage}.")

    @property
    def experts(self):
        """The names of what has a score or a weight, in the order given."""
        return list(dict.fromkeys([*self.scores, *self.weights]))

    @property
    def mean_weights(self):
        """The weight of each expert, the plain mean over bands."""
        return {expert: float(np.mean(weight)) for expert, weight in self.weights.items()}

    @property
    def title(self):
        """What was measured, on what, in half a sentence."""
        whose = "this recording" if self.source == "recording" else "recordings of other people"
        return f"error on {self.seconds:.0f} channel-seconds of {whose}, clean and hidden"

    def find_chosen(self, method):
        """Return the name of the score that tells of what was done by a method."""
        if method in self.scores:
            return method
        weighted = {e: w for e, w in self.mean_weights.items() if e in self.scores}
        return max(weighted, key=weighted.get) if weighted else None

    def to_table(self):
        """Return a row an expert.

        Returns
        -------
        rows : list of tuple
            Expert, NMSE, r and mean weight; NaN where one is not known.
        """
        columns = (self.scores, self.r, self.mean_weights)
        return [
            (expert, *(column.get(expert, math.nan) for column in columns))
            for expert in self.experts
        ]

    def to_dict(self):
        """Return what JSON can hold; None for numbers that are none."""
        return dict(
            source=self.source,
            seconds=to_number(self.seconds),
            coverage=to_number(self.coverage),
            calibration=to_number(self.calibration),
            weights={e: [to_number(w) for w in np.atleast_1d(v)] for e, v in self.weights.items()},
            scores={expert: to_number(score) for expert, score in self.scores.items()},
            r={expert: to_number(r) for expert, r in self.r.items()},
        )


def to_number(value):
    """Return a value as JSON can hold it: numbers of NumPy as Python's, NaN as None."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
