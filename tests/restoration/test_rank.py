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


def test_garbage_that_is_left_does_not_count(raw):
    given = raw.copy()
    given._data[1] = given._data[2]  # one less
    given._data[1, 800:1200] = 1e-3 * np.random.default_rng(0).standard_normal(400)
    given._data[:, 1000] = np.nan
    mask = np.zeros(given._data.shape, bool)
    mask[:, 800:1200] = True
    options = dict(mask=mask, reset_bads=False, annotate=False)
    assert restore(given, **options, **QUIET)[1].rank == {"eeg": 16}


def test_epochs_and_covariances_of_several_types(raw):
    extra = mne.io.RawArray(
        1e-12 * np.random.default_rng(0).standard_normal((3, raw.n_times)),
        mne.create_info(["M1", "M2", "M3"], raw.info["sfreq"], "mag"),
        verbose="error",
    )
    given = raw.copy().add_channels([extra], force_update_info=True)
    epochs = mne.make_fixed_length_epochs(
        given, 1.0, preload=True, reject_by_annotation=False, verbose="error"
    )
    restored, report = restore(epochs, **QUIET)
    assert report.rank == {"eeg": 17}
    cov = mne.compute_covariance(restored, rank=report.rank, verbose="error")
    rank = mne.compute_rank(cov, rank=dict(report.rank), info=restored.info, verbose="error")
    assert rank["eeg"] == 17 and rank["mag"] == 3
    _, report = restore(epochs.average(), **QUIET)
    assert report.rank == {"eeg": 17}


@pytest.mark.parametrize(("n_times", "average", "rank"), [(12, False, 17), (12, True, 16)])
def test_too_few_samples_are_counted(raw, n_times, average, rank):
    evoked = mne.EvokedArray(raw.get_data()[:, :n_times], raw.info, verbose="error")
    if average:
        evoked.set_eeg_reference("average", verbose="error")
    _, report = restore(evoked, **QUIET)
    assert report.rank_before is None and report.rank == {"eeg": rank}


def test_harmonized(raw):
    """New channels add nothing, and there are no more dimensions than channels."""
    more, report = harmonize(raw, [*raw.ch_names, "FC1", "FC2", "POz"], **QUIET)
    assert report.rank == {"eeg": 17}
    check_use(more, report.rank)
    fewer, report = harmonize(raw, ["Fz", "Cz", "CPz", "Oz"], **QUIET)
    assert report.rank == {"eeg": 4} and report.rank_before == 17
    check_use(fewer, report.rank)
    fewer, report = harmonize(
        raw.copy().set_eeg_reference("average", projection=True, verbose="error"),
        ["Fz", "Cz", "CPz", "Oz"],
        **QUIET,
    )
    assert report.rank == {"eeg": 3}


def test_beamformer(raw):
    restored, report = restore(raw, **QUIET)
    restored.filter(1, None, verbose="error").set_eeg_reference(
        "average", projection=True, verbose="error"
    ).apply_proj(verbose="error")
    rank = dict(eeg=report.rank["eeg"] - 1)  # as the report says of a reference set afterwards
    cov = mne.compute_raw_covariance(restored, rank=rank, verbose="error")
    sphere = mne.make_sphere_model("auto", "auto", restored.info, verbose="error")
    source = mne.setup_volume_source_space(
        sphere=sphere, pos=40.0, sphere_units="m", verbose="error"
    )
    forward = mne.make_forward_solution(
        restored.info, None, source, sphere, meg=False, verbose="error"
    )
    filters = mne.beamformer.make_lcmv(
        restored.info, forward, cov, rank=rank, reg=0.05, pick_ori="max-power", verbose="error"
    )
    assert filters["rank"] == rank["eeg"] == 16
