# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Reading files that anybody may have made: sizes, names and types are checked before content.

Each reader raises ValueError, in words that name the file, whatever is wrong with it.

- ``_npz.py``: arrays
- ``_json.py``: JSON
"""

from ._json import parse_json, read_json_object
from ._npz import Member, read_npz
