# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The bundled prior, and names as its rows."""

import mne
import pytest

from mne_gram.covariance._prior import (
    load_prior,
)
from mne_gram.montage import (
    match_channels,
)


@pytest.fixture(scope="module")
def prior():
    return load_prior()


@pytest.fixture(scope="session")
def map_names():
    """Return a function that matches channels by their names, and by a montage's positions."""

    def map_names(names, montage=None):
        info = mne.create_info(list(names), 200.0, "eeg")
        if montage is not None:
            info.set_montage(montage)
        return match_channels(info, on_missing="ignore", verbose="error")

    return map_names
