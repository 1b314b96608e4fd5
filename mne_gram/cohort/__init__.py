# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Priors from recordings at hand: how electrodes covary in a laboratory or data set.

- ``_measure.py``: one recording becomes one covariance per band, a Measurement
- ``_inputs.py``: what a prior is fitted to: data, files, a BIDS data set
- ``_fit.py``: Measurements and a base become a Prior
"""

from ._fit import combine_measurements, fit_prior
from ._measure import Measurement, measure_recording

__all__ = ["fit_prior"]
