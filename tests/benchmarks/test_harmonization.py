# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark of harmonization."""

import mne
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mne_gram
from mne_gram.metrics import subtract_kept_mean


@pytest.fixture(scope="module")
def bench(load_benchmark):
    """Return the script."""
    return load_benchmark("harmonization")


def test_what_is_dropped_is_hidden(bench):
    truth = mne_gram.datasets.sample(return_truth=True, verbose="error")[1]
    truth.drop_channels(["FT8"]).set_annotations(None).crop(0, 10).rename_channels(str.upper)
    referred, left, mask = bench.drop(truth, 19)
    assert len(left.ch_names) == 19 and not mask[:, 0].all()
    assert_allclose(left.get_data().mean(axis=0), 0, atol=1e-15)
    assert_allclose(referred.get_data(), subtract_kept_mean(truth.get_data(), mask))
    assert_array_equal(referred.get_data(left.ch_names), left.get_data())


@pytest.mark.data
def test_measures(bench, shared):
    path = bench.list_held_out(shared / "eeg" / "eegmat", quick=True)[0]
    with mne.utils.use_log_level("error"):
        inst = bench.load_truth(path, "eegmat")
        methods = [bench.BASELINE, "auto"]
        rows = bench.measure_recording(inst, "eegmat", path, 8, methods, None)
    cells = bench.summarize(rows, methods, bench.BASELINE)
    ratios = {(cell["regime"], cell["method"]): cell["ratio"] for cell in cells}
    assert ratios["8 of 19", bench.BASELINE] == 1
    assert ratios["8 of 19", "auto"] < 0.8
