# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Whole BIDS data sets: restore or embed all recordings, in parallel, resuming after interruptions.

In the order of a run:

- ``_run.py``: `run_bids`, which checks its arguments and returns a report (``_report.py``)
- ``_steps.py``: its parts, the plan, the prior of the data set and the recordings
- ``_settings.py``: the settings of a run, and the plan of a dry run
- ``_dataset.py``: the derivative data set, its folder, description and participants
- ``_prior.py``: the prior of the data set, from one measurement per recording (``_cohort.py``);
  ``_prior_files.py``: where it is kept; ``_library.py``: what of it a recording may use
- ``_parallel.py``: recordings spread over processes, or in ``_shared_batches.py`` over a GPU
- ``_process.py``: one recording, locked (``_lock.py``), processed and entered in the journal
  (``_journal.py``)
- ``_restore.py``, ``_encode.py``: the jobs; ``_sidecars.py``: the sidecars that they write
- ``_pages.py``: HTML pages, made from the journal

In addition, ``_find_bads.py`` finds bad channels and segments of recordings and marks them in the
data set itself (``_bad_tables.py``).
"""

from ._find_bads import find_bads_in, select_for_marks
from ._report import BidsReport
from ._run import run_bids

__all__ = ["BidsReport", "run_bids"]
