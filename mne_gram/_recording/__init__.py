# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Samples, masks and windows of Raw, Epochs and Evoked."""

from ._input import (
    check_data,
    find_evidence,
    open_samples,
    pick_eeg,
)
from ._masks import (
    BadSpans,
    annotated_spans,
    collect_mask,
    collect_spans,
    count_times,
    find_spans,
    find_untold,
    merge_spans,
)
from ._patches import (
    cut_windows,
    overlap_add,
    window_starts,
)
from ._samples import (
    Samples,
    Scratch,
    check_room,
    cut_stretches,
    load_raw,
)
from ._windows import (
    choose_windows,
    find_pieces,
    group_moments,
    group_products,
    window_products,
)

__all__ = [
    "BadSpans",
    "Samples",
    "Scratch",
    "annotated_spans",
    "check_data",
    "check_room",
    "choose_windows",
    "collect_mask",
    "collect_spans",
    "count_times",
    "cut_stretches",
    "cut_windows",
    "find_evidence",
    "find_pieces",
    "find_spans",
    "find_untold",
    "group_moments",
    "group_products",
    "load_raw",
    "merge_spans",
    "open_samples",
    "overlap_add",
    "pick_eeg",
    "window_products",
    "window_starts",
]
