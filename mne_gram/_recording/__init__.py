# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Samples, masks and windows of Raw, Epochs and Evoked."""

from .._marks import annotated_spans, count_times, find_holes
from ._input import (
    check_recording,
    find_broken_channels,
    find_evidence,
    find_flat_channels,
    find_stray_channels,
    leave_out_strays,
    open_recording,
)
from ._masks import (
    BadSpans,
    collect_mask,
    collect_spans,
    find_all_channel_gaps,
    find_spans,
    is_inside,
    merge_spans,
)
from ._recording import Block, Recording
from ._reject_log import is_reject_log, read_reject_log
from ._samples import Samples, Scratch, check_room, cut_chunks, load_raw
from ._windows import (
    choose_windows,
    group_products,
    measure_moments,
    split_recording,
    subtract_mean,
)
