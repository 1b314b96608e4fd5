# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The transformer passes the checks of scikit-learn, seen through rows of numbers."""

import warnings
from collections import Counter

import numpy as np
import pytest
from sklearn.utils.estimator_checks import check_estimator, check_transformer_general
from sklearn.utils.validation import check_is_fitted, validate_data

from mne_gram import Restorer


class _View(Restorer):
    """Takes rows of numbers, as scikit-learn's checks give them, and makes signals of them."""

    def _promote(self, X, reset):
        X = validate_data(self, X, reset=reset, dtype=float)
        rng = np.random.default_rng(0)
        base, patterns = rng.standard_normal((4, 100)), rng.standard_normal((X.shape[1], 4, 100))
        sizes = np.sign(X) * np.log1p(np.abs(X))  # any number becomes some microvolts
        return 1e-5 * (base + np.tensordot(sizes, patterns, 1))

    def fit(self, X, y=None, *, mask=None):
        """Fit to rows of numbers."""
        signals = self._promote(X, reset=True)
        n_features = self.n_features_in_
        super().fit(signals, y)
        self.n_features_in_ = n_features
        return self

    def transform(self, X, *, mask=None, ch_names=None):
        """Return the restored channel of what was made of rows of numbers."""
        check_is_fitted(self)
        return super().transform(self._promote(X, reset=False))[:, 1]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = True, False
        tags.transformer_tags.preserves_dtype = []  # they are those of the rows
        return tags


class _Drifting(_View):
    """Gives something else each time."""

    def transform(self, X, *, mask=None, ch_names=None):
        """Return noise."""
        return super().transform(X) + np.random.default_rng().standard_normal((len(X), 1))


_TABLES = "Signals are no table, and set_output does nothing."
FAILURES = {
    "check_set_output_transform_pandas": _TABLES,
    "check_global_output_transform_pandas": _TABLES,
    "check_set_output_transform_polars": _TABLES,
    "check_global_set_output_transform_polars": _TABLES,
}


@pytest.mark.slow
def test_check_estimator():
    """All checks pass but those of tables."""
    view = _View(ch_names=["C3", "Cz", "C4", "Pz"], sfreq=100.0, bads=["Cz"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # few channels, which are flat or alike
        results = check_estimator(view, expected_failed_checks=FAILURES, on_fail=None, on_skip=None)
    counts = Counter(result["status"] for result in results)
    failed = [f"{r['check_name']}: {r['exception']}" for r in results if r["status"] == "failed"]
    assert not failed, "\n".join(failed)
    assert counts["passed"] >= 40, counts
    assert {r["check_name"] for r in results if r["status"] == "xfail"} <= set(FAILURES)


def test_check_transformer():
    """The check of transformers in general passes, which takes less time than all of them."""
    view = _View(ch_names=["C3", "Cz", "C4", "Pz"], sfreq=100.0, bads=["Cz"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        check_transformer_general("Restorer", view)
        with pytest.raises(AssertionError):
            check_transformer_general("Restorer", _Drifting(**view.get_params()))
