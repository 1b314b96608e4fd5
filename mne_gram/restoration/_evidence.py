# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What was measured on hidden clean samples, and the weights that follow from it."""

import math
from dataclasses import dataclass

import numpy as np

_SOURCES = ("recording", "training subjects")


@dataclass(frozen=True, eq=False)
class Evidence:
    """How well each expert restored clean samples that were hidden for the purpose.

    The combination has a score under the name of the method, such as "auto"; an expert may have a
    score and no weight.
    """

    weights: dict  # of each expert in the combination, (n_bands,), the lowest band first
    scores: dict  # NMSE on the hidden samples
    r: dict  # correlation with the truth
    seconds: float  # channel-seconds that were hidden
    source: str  # "recording" or "training subjects": whose samples were hidden
    coverage: float | None = None  # share of hidden samples within the 90 % interval
    calibration: float | None = None  # the factor on the standard deviations

    def __post_init__(self):
        """Refuse values that cannot be."""
        if self.source not in _SOURCES:
            raise ValueError(f"Expected source to be one of {_SOURCES}, got {self.source!r}.")
        if self.coverage is not None and not 0 <= self.coverage <= 1:
            raise ValueError(f"Expected coverage to be between 0 and 1, got {self.coverage}.")

    @property
    def experts(self):
        """The names of all that have a score or a weight."""
        return list(dict.fromkeys([*self.scores, *self.weights]))

    @property
    def mean_weights(self):
        """The weight of each expert, averaged over bands."""
        return {expert: float(np.mean(weight)) for expert, weight in self.weights.items()}

    @property
    def title(self):
        """A caption for the scores."""
        whose = "this recording" if self.source == "recording" else "recordings of other subjects"
        return f"error on hidden clean samples of {whose} ({self.seconds:.0f} channel-seconds)"

    @property
    def calibration_note(self):
        """How the standard deviations were calibrated; empty if they were not."""
        parts = []
        if self.calibration is not None:
            parts.append(f"Standard deviations were multiplied by {self.calibration:.2f}.")
        if self.coverage is not None:
            parts.append(
                f"The 90 % interval then contains {100 * self.coverage:.0f} % of the hidden "
                "samples."
            )
        return " ".join(parts)

    def find_chosen(self, method):
        """Return the name under which the score of a method stands; None if there is none."""
        if method in self.scores:
            return method
        weighted = {e: w for e, w in self.mean_weights.items() if e in self.scores}
        return max(weighted, key=weighted.get) if weighted else None

    def to_table(self):
        """Return a tuple per expert: name, NMSE, r and mean weight, NaN where one is unknown."""
        columns = (self.scores, self.r, self.mean_weights)
        return [
            (expert, *(column.get(expert, math.nan) for column in columns))
            for expert in self.experts
        ]

    def to_dict(self):
        """Return a dict that JSON can represent; unknown numbers are None."""
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
    """Return a value as JSON can represent it: numbers of NumPy as Python's, NaN as None."""
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
