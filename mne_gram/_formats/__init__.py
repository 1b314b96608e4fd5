# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Files in general: reading those that anybody may have made, writing completely or not at all.

Readers check sizes, names and types before the content. They raise ValueError, in words that name
the file, whatever is wrong with it.

- ``_npz.py``: arrays
- ``_json.py``: JSON
- ``_places.py``: names of files in a folder of results
- ``_staging.py``: files are written elsewhere, and moved to their place when they are complete
"""

from ._json import parse_json, read_json_object
from ._npz import Member, read_npz
from ._places import check_folders, find_place, is_inside, remove_tree
from ._staging import (
    UnwritableError,
    check_free,
    make_scratch_folder,
    staged,
    staged_together,
    writing,
)
