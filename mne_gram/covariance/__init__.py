# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""How electrodes covary: bands, the conditional Gaussian, the prior, the forward model.

``__all__`` lists the public names. All others are for the rest of the package, and may change.
"""

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
    expect_covariance,
    find_precision,
    interpolation_operators,
    invert_parts,
    trace,
    update_covariance,
)
from ._estimate import (
    audit_cohort,
    audit_recordings,
    drop_channels,
    estimate_prior,
    extend_prior,
    fit_kernel,
    measure_errors,
    normalise_covariance,
    round_recording,
)
from ._forward import compute_components, fit_sources, forward_components, solve_sphere
from ._mixture import adapt_covariance, mix_covariance
from ._own import leave_out_own
from ._places import channel_rows, sphere_kernel
from ._prior import (
    PRIOR_FILE,
    Prior,
    RecordingCovariance,
    describe_prior,
    load_prior,
    read_prior,
    resolve_prior,
)
from ._prior_file import pack_symmetric

__all__ = ["Prior", "load_prior", "read_prior"]
