# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""How electrodes covary: bands, the conditional Gaussian, the prior, the forward model."""

from ._bands import (
    N_BANDS,
    STATISTICS_EDGES,
    WINDOW,
    band_products,
    filter_length,
    lowpass_taps,
    split_bands,
    sum_bands,
)
from ._conditional import (
    MIN_GOOD,
    Moments,
    adapt_covariance,
    interpolation_operators,
    trace,
)
from ._forward import (
    fit_sources,
    forward_components,
)
from ._prior import (
    PRIOR_FILE,
    Prior,
    RecordingCovariance,
    assemble_prior,
    channel_rows,
    complete_recording,
    load_prior,
    pack_symmetric,
    read_recordings,
    sphere_kernel,
)

__all__ = [
    "MIN_GOOD",
    "Moments",
    "N_BANDS",
    "PRIOR_FILE",
    "Prior",
    "RecordingCovariance",
    "STATISTICS_EDGES",
    "WINDOW",
    "adapt_covariance",
    "assemble_prior",
    "band_products",
    "channel_rows",
    "complete_recording",
    "filter_length",
    "fit_sources",
    "forward_components",
    "interpolation_operators",
    "load_prior",
    "lowpass_taps",
    "pack_symmetric",
    "read_recordings",
    "sphere_kernel",
    "split_bands",
    "sum_bands",
    "trace",
]
