# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The processes that joblib keeps for later use."""


def end_workers():
    """End the processes of joblib that have worked on recordings.

    They are large by then. If they were used again, for small tasks, joblib would take them for
    leaking and stop them, with a warning.
    """
    from joblib.externals.loky import reusable_executor

    executor = reusable_executor._executor  # None if no process was started
    if executor is not None:
        executor.shutdown(wait=True)
