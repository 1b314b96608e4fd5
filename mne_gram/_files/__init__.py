# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Reading and writing files: recordings, their BIDS sidecars, and any other output.

- ``_io.py``: recordings in and out
- ``_brainvision.py``, ``_edf.py``: what MNE does not read or write in these formats
- ``_find.py``: the recordings of a BIDS data set
- ``_bids_recording.py``: one of them, with its sidecars (``_bids_sidecars.py``) and events
  (``_bids_events.py``)
- ``_logs.py``: the log of a training run
- ``_tsv.py``: tables that are changed in place
"""

from .._formats import staged, staged_together
from ._bids_events import fill_names
from ._bids_recording import list_input_files, read_path, read_recording
from ._bids_sidecars import find_sidecars, get_object, read_json, read_table, read_tsv
from ._find import BidsRecording, list_recordings, parse_entities, select_recordings, take_shard
from ._io import (
    CUT_SHORT,
    EVOKED_FIF,
    check_output,
    get_format,
    loaded,
    read_evokeds,
    read_inst,
    write_evokeds,
    write_figure,
    write_inst,
)
from ._logs import LOG_COLUMNS, LOG_FILE, read_log, read_log_rows
from ._tsv import TsvText
