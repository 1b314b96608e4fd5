# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The rank of restored data, to which restored channels add nothing that was measured."""

import mne
import numpy as np
from mne.io.constants import FIFF
from mne.proj import make_projector

from .._marks import find_holes
from .._recording import Samples, is_inside

_TOLERANCE = 1e-6  # of the largest singular value: more than single precision rounds
_SAMPLES = 5_000  # at least, and twenty per channel
_FLAT = 1e-9  # of the typical standard deviation
_LARGEST = 1e100  # volts: squares of garbage, which may be NaN too, would overflow


def find_rank(inst, *, restored=(), bad=(), left=()):
    """Return the rank of the measured EEG channels, as a dict of MNE: those that are not bad.

    ``restored`` are channels of which no sample was measured; ``bad`` and ``left`` are merged spans
    (n, 2), when others were bad and when garbage was left in place. Projectors that are not applied
    yet count as if they were.
    """
    good = mne.pick_types(inst.info, eeg=True, exclude="bads")
    picks = np.array([k for k in good if inst.ch_names[k] not in restored], int)
    data = inst.data if isinstance(inst, mne.Evoked) else inst._data
    samples = Samples(data, picks, [], find_holes(inst))
    step = max(1, samples.n_times // max(_SAMPLES, 20 * len(picks)))
    part, names = samples.read(step=step), [inst.ch_names[k] for k in picks]
    times = np.flatnonzero((np.abs(part) < _LARGEST).all(axis=0))
    part = part[:, times]
    projector, n_proj, _ = make_projector(inst.info["projs"], names, include_active=False)
    if n_proj:
        part = projector @ part
    # A restored segment obeys no reference, which would seem to be one more dimension.
    for spans in (bad, left):
        rank = _find_scaled(part[:, ~is_inside(spans, step * times)])
        if rank is not None:
            return dict(eeg=rank)
    return dict(eeg=_count_expected(inst.info, names, part))


def _find_scaled(part):
    """Return the rank of channels x samples of any size, or None if there are too few samples."""
    part = part[:, np.isfinite(part).all(axis=0)]
    if part.shape[1] <= part.shape[0] or not part.size:
        return None
    spread = part.std(axis=1)
    alive = spread > _FLAT * np.median(spread)
    # No large channel hides the others behind the tolerance.
    return count_dimensions(part[alive] / spread[alive, None]) if alive.any() else 0


def count_dimensions(part):
    """Return the numerical rank of channels x samples, or None if there are too few samples."""
    part = part[:, np.isfinite(part).all(axis=0)]
    if part.shape[1] <= part.shape[0] or not part.size:
        return None
    # Offsets would hide the rest behind the tolerance.
    part = part - part.mean(axis=1, keepdims=True)
    values = np.linalg.svd(part, compute_uv=False)
    return int((values > _TOLERANCE * values[0]).sum()) if values[0] > 0 else 0


def _count_expected(info, names, part):
    """Return the rank by the number of channels, for data with too few samples to measure it."""
    n_proj = make_projector(info["projs"], names)[1]
    if not n_proj and info["custom_ref_applied"] == FIFF.FIFFV_MNE_CUSTOM_REF_ON and part.size:
        n_proj = int(np.abs(part.mean(axis=0)).max() < _TOLERANCE * np.abs(part).max())
    return len(names) - n_proj
