# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Linear algebra in one thread: matrices of tens of channels lose time with more."""

import threading
from contextlib import ContextDecorator

from threadpoolctl import threadpool_limits


class _OneThread(ContextDecorator):
    """Limits BLAS of this process to one thread while any user is inside.

    Users are counted, as threads of the caller may enter and leave in any order.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._n_users = 0
        self._limits = None

    def __enter__(self):
        with self._lock:
            if not self._n_users:
                self._limits = threadpool_limits(1, user_api="blas")
            self._n_users += 1

    def __exit__(self, *_):
        with self._lock:
            self._n_users -= 1
            if not self._n_users:
                self._limits.restore_original_limits()


one_blas_thread = _OneThread()
