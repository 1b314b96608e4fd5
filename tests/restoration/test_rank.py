# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The rank of restored data, as MNE's functions take it."""

import mne
import numpy as np
import pytest

from mne_gram import harmonize, restore

QUIET = dict(method="spline", return_report=True, verbose="error")


@pytest.fixture(scope="module")
def raw(clinical):
    """Return 19 channels, two of which are bad, the first with a bad segment."""
    raw = clinical.copy()
    raw.info["bads"] = ["F3", "P4"]
    raw.set_annotations(mne.Annotations(2, 1, "BAD_pop", ch_names=[("Fp1",)]))
    return raw


def check_use(inst, rank):
    """Whiten, decompose and localise with a rank, which must fit."""
    inst = inst.copy().filter(1, None, verbose="error")
    compute = mne.compute_raw_covariance if isinstance(inst, mne.io.BaseRaw) else None
    cov = (compute or mne.compute_covariance)(inst, rank=rank, verbose="error")
    *_, found = mne.cov.compute_whitener(
        cov, inst.info, rank=rank, return_rank=True, verbose="error"
    )
    ica = mne.preprocessing.ICA(n_components=rank["eeg"], method="infomax", max_iter=3)
    with mne.utils.use_log_level("error"), np.errstate(all="raise"):
        ica.fit(inst)
    assert found == ica.n_components_ == rank["eeg"]
    return cov


def test_channels_that_are_restored_add_none(raw):
    restored, report = restore(raw, **QUIET | dict(method="spatial"))
    assert report.rank == {"eeg": 17}
    assert mne.compute_rank(restored, verbose="error")["eeg"] > 17  # which is why it is needed
    assert "n_components=17 or fewer" in str(report) and "rank=dict(eeg=17)" in str(report)
    assert report.to_dict()["rank"] == {"eeg": 17}
    check_use(restored, report.rank)


def test_nothing_to_restore(clinical):
    _, report = restore(clinical, **QUIET)
    assert report.rank == mne.compute_rank(clinical, verbose="error") == {"eeg": 19}


@pytest.mark.parametrize("projection", [True, False])
def test_an_average_reference_takes_one(raw, projection):
    given = raw.copy().set_eeg_reference("average", projection=projection, verbose="error")
    restored, report = restore(given, **QUIET)
    assert report.rank == {"eeg": 16}
    restored.apply_proj(verbose="error") if projection else None
    check_use(restored, report.rank)
    # With nothing to restore it is what MNE finds.
    given.info["bads"] = []
    given.set_annotations(None)
    assert restore(given, **QUIET)[1].rank == mne.compute_rank(given, verbose="error")


def test_channels_that_stay_bad_do_not_count(raw):
    _, report = restore(raw, exclude=["P4"], **QUIET)
    assert report.rank == {"eeg": 17}
    given = raw.copy()
    given.info["bads"] = ["F3", "P4", "O1"]
    _, report = restore(given, reset_bads=False, exclude=["O1"], **QUIET)
    assert report.rank == {"eeg": 16}


def test_good_channels_that_were_not_picked_count(raw):
    given = raw.copy().set_eeg_reference("average", verbose="error")
    _, report = restore(given, picks=given.ch_names[:12], **QUIET)
    assert report.rank_before == 11 and report.rank == {"eeg": 16}
    _, report = restore(raw, exclude=["Cz"], **QUIET)
    assert report.rank == {"eeg": 17}


@pytest.mark.parametrize("value", [1e308, -1e200, np.inf, np.nan])
def test_garbage_that_is_left_gives_no_warning(raw, value):
    """Neither `harmonize` nor `picks` touches the bad segment of a channel."""
    raw = raw.copy()
    start, stop = (round(t * raw.info["sfreq"]) for t in (2, 3))
    raw._data[raw.ch_names.index("Fp1"), start:stop] = value
    _, report = restore(raw, picks=[n for n in raw.ch_names if n != "Fp1"], **QUIET)
    assert report.rank == {"eeg": 17}
    _, report = harmonize(raw, [*raw.ch_names, "FC1", "FC2", "POz"], **QUIET)
    assert report.rank == {"eeg": 17}
