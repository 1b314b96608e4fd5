# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Reading and writing of files, in blocks and under a temporary name."""

from ._bids_recording import (
    find_sidecars,
    list_input_files,
    read_json,
    read_path,
    read_recording,
    read_table,
    read_tsv,
)
from ._find import (
    Unit,
    find_units,
    list_recordings,
    take_shard,
)
from ._io import (
    check_output,
    loaded,
    read_inst,
    staged,
    staged_together,
    write_figure,
    write_inst,
)
from ._logs import (
    LOG_COLUMNS,
    LOG_FILE,
    read_log,
    read_log_rows,
)

__all__ = [
    "LOG_COLUMNS",
    "LOG_FILE",
    "Unit",
    "check_output",
    "find_sidecars",
    "find_units",
    "list_input_files",
    "list_recordings",
    "loaded",
    "read_inst",
    "read_json",
    "read_log",
    "read_log_rows",
    "read_path",
    "read_recording",
    "read_table",
    "read_tsv",
    "staged",
    "staged_together",
    "take_shard",
    "write_figure",
    "write_inst",
]
