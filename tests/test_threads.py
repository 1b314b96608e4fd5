# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""One thread for linear algebra, and the number of the caller afterwards."""

import mne
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from threadpoolctl import threadpool_info, threadpool_limits

import mne_gram
from mne_gram._threads import one_blas_thread
from mne_gram.detection import _find_bads
from mne_gram.restoration import _restore, _restorer


def count_threads():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture
def two_threads():
    with threadpool_limits(2, user_api="blas"):
        yield


def test_users_leave_in_any_order(two_threads):
    one_blas_thread.__enter__()
    assert count_threads() == {1}
    one_blas_thread.__enter__()
    one_blas_thread.__exit__()  # the first of two threads, say
    assert count_threads() == {1}
    one_blas_thread.__exit__()
    assert count_threads() == {2}


def test_errors_end_it(two_threads):
    with pytest.raises(ValueError, match="no"), one_blas_thread:
        raise ValueError("no")
    assert count_threads() == {2}


@pytest.fixture(scope="module")
def raw():
    names = mne.channels.make_standard_montage("biosemi32").ch_names
    rng = np.random.default_rng(0)
    data = rng.standard_normal((32, 4)) @ rng.standard_normal((4, 2000))
    data += 0.1 * rng.standard_normal(data.shape)
    info = mne.create_info(names, 200.0, "eeg").set_montage("biosemi32")
    raw = mne.io.RawArray(1e-5 * data, info, verbose="error").filter(0.5, 60, verbose="error")
    raw.info["bads"] = ["Cz", "T7"]
    return raw


@pytest.fixture
def spy(monkeypatch):
    """Return a function that notes the number of threads in which a function is called."""

    def watch(module, name):
        seen, function = [], getattr(module, name)

        def look(*args, **kwargs):
            seen.append(count_threads())
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, look)
        return seen

    return watch


def test_restore_has_one_thread(raw, two_threads, spy):
    seen = spy(_restore, "restore_blocks")
    restored = mne_gram.restore(raw).get_data()
    assert seen == [{1}]
    assert count_threads() == {2}
    with threadpool_limits(1):
        assert_array_equal(restored, mne_gram.restore(raw).get_data())


def test_find_bads_has_one_thread(raw, two_threads, spy):
    seen = spy(_find_bads, "check_positions")
    found = mne_gram.find_bads(raw)
    assert seen == [{1}]
    assert count_threads() == {2}
    with threadpool_limits(1):
        alone = mne_gram.find_bads(raw)
    assert_array_equal(found.scores["misfit"], alone.scores["misfit"])


def test_restorer_has_one_thread(raw, two_threads, spy):
    seen = [spy(_restorer, name) for name in ("fit_trials", "restore_trials")]
    epochs = mne.make_fixed_length_epochs(raw, 2.0, preload=True, verbose="error")
    mne_gram.Restorer(method="spatial").fit(epochs).transform(epochs)
    assert seen == [[{1}], [{1}]]
    assert count_threads() == {2}
