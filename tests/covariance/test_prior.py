# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The bundled prior: its covariances, its file, and the rows that names and positions take."""

from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mne_gram
from mne_gram._files import list_recordings
from mne_gram.covariance._bands import N_BANDS
from mne_gram.covariance._conditional import (
    contrast_basis,
)
from mne_gram.covariance._library import Library
from mne_gram.covariance._places import channel_rows, sphere_kernel
from mne_gram.covariance._prior import (
    load_prior,
)
from mne_gram.montage import (
    BIPOLAR,
    ELECTRODES,
    INDEX,
    electrode_positions,
    template_sphere,
)
from mne_gram.training import split_subjects

PRIOR_FILE = Path(mne_gram.__file__).parent / "data" / "prior.npz"
TEN_TWENTY = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()


# ---------------------------------------------------------------------------------------------
# The bundled prior


def test_bundled_prior(prior):
    n = len(prior.sources)
    assert prior.population.shape == (N_BANDS, 114, 114)
    assert prior.library.shape == (n, N_BANDS, 114, 114)
    assert prior.weights.shape == (n,) and (prior.weights > 0).all()
    assert len({source[:2] for source in prior.sources}) == round(prior.weights.sum())
    assert_allclose(np.einsum("bii->b", prior.population) / 114, 1, rtol=1e-5)
    variances = np.einsum("rbii->rb", prior.library) / 114
    assert 0.5 < variances.min() and variances.max() < 2
    assert np.abs(variances.mean(axis=0) - 1).max() < 0.1
    for covs in (prior.population, prior.library[::10].astype(float)):
        assert_allclose(covs, covs.swapaxes(-1, -2), atol=1e-5)
        assert np.linalg.eigvalsh(covs).min() > -1e-4
    assert (np.einsum("bii->bi", prior.population) > 0.05).all()
    assert (prior.kernel >= 0).all()  # so that it is a covariance
    assert load_prior() is prior  # read once


def test_entries_of_one_place_are_one_electrode(prior):
    for old, new in (("T3", "T7"), ("T6", "P8"), ("T1", "FT9"), ("CB1", "PO9")):
        pair = [INDEX[old], INDEX[new]]
        for cov in (prior.population[2], prior.library[3, 2]):
            corner = cov[np.ix_(pair, pair)]
            assert_allclose(corner, corner[0, 0], rtol=1e-3)


def test_prior_knows_that_near_electrodes_are_alike(prior):
    average = np.eye(114) - 1 / 114
    for cov in prior.population:
        cov = average @ cov @ average

        def r(a, b, cov=cov):
            a, b = INDEX[a], INDEX[b]
            return cov[a, b] / np.sqrt(cov[a, a] * cov[b, b])

        assert r("C3", "C1") > 0.4 and r("O1", "OZ") > 0.4
        assert r("FP1", "O1") < 0.1
    assert sphere_kernel(1.0, prior.kernel) > sphere_kernel(0.9, prior.kernel) > 0


def test_prior_file():
    assert PRIOR_FILE.stat().st_size < 3e6
    with np.load(PRIOR_FILE, allow_pickle=False) as file:  # a pickle would be refused
        assert all(file[name].dtype != object for name in file.files)


def test_prior_keeps_covariances_only(prior):
    recordings = load_prior().recordings
    assert [r.source for r in recordings] == list(prior.sources)
    for r in recordings:
        n = len(r.channels)
        assert r.cov.shape == (N_BANDS, n, n)
        assert len(set(r.channels.tolist())) == n and max(r.channels) < 114
        assert_allclose(np.einsum("bii->b", r.cov) / n, 1, rtol=1e-2)
        # Average reference, to the precision of the file.
        assert np.abs(r.cov.sum(axis=-1)).max() < 0.05


def test_no_held_out_subject_is_in_the_prior(prior, shared):
    datasets = {source[0] for source in prior.sources}
    assert datasets
    for dataset in datasets:
        root = shared / "eeg" / dataset
        table = (root / "participants.tsv").read_text().splitlines()[1:]
        subjects = [line.split("\t")[0] for line in table]
        assert sorted({path.subject for path in list_recordings(root)}) == sorted(
            subject.removeprefix("sub-") for subject in subjects
        )
        train, test = split_subjects(subjects)
        used = {source[1] for source in prior.sources if source[0] == dataset}
        assert used <= set(train)
        assert test and not used & set(test)


def test_prior_from_another_file(tmp_path, prior):
    copy = tmp_path / "mine.npz"
    copy.write_bytes(PRIOR_FILE.read_bytes())
    again = load_prior(copy)
    assert again is not prior and again.sources == prior.sources
    assert_array_equal(again.library[5], prior.library[5])
    with pytest.raises(FileNotFoundError):
        load_prior(tmp_path / "none.npz")


def test_completed_recording_agrees_with_the_recording(prior):
    recording = load_prior().recordings[0]
    full = Library([recording], prior.population, shrinkage=0.0).complete()[0].astype(float)
    basis = np.zeros((len(recording.channels) - 1, 114))
    basis[:, recording.channels] = contrast_basis(np.ones(len(recording.channels)))
    inner = contrast_basis(np.ones(len(recording.channels)))
    for found, seen in zip(basis @ full @ basis.T, inner @ recording.cov @ inner.T, strict=True):
        assert_allclose(found / np.trace(found), seen / np.trace(seen), atol=1e-4)


# ---------------------------------------------------------------------------------------------
# Channels


def test_rows_of_names(prior, map_names):
    names = ["EEG Fp1-REF", "T3", "Cz..", "FP1-F7", "F7-FP1", "Cz-Pz", "T3-P3", "mystery"]
    rows, own, carries, known = channel_rows(map_names(names), prior)
    expected = np.zeros((8, 114))
    for row, (plus, minus) in enumerate(
        [
            ("FP1", None),
            ("T7", None),
            ("CZ", None),
            ("FP1", "F7"),
            ("F7", "FP1"),
            ("CZ", "PZ"),
            ("T7", "P3"),
        ]
    ):
        expected[row, INDEX[plus]] = 1.0
        if minus:
            expected[row, INDEX[minus]] = -1.0
    assert_array_equal(rows, expected)
    assert_array_equal(carries, [1, 1, 1, 0, 0, 0, 0, 1])
    assert_array_equal(known, [True] * 7 + [False])
    assert own[7, 7] == 1 and not rows[7].any()
    assert_array_equal(own[:2], 0)


def test_rows_of_the_sixteen_derivations(prior, map_names):
    rows, own, carries, known = channel_rows(map_names(BIPOLAR), prior)
    assert known.all() and not carries.any() and not own.any()
    assert_array_equal(rows.sum(axis=1), 0)
    assert_array_equal(np.abs(rows).sum(axis=1), 2)
    loop = rows[:4].sum(axis=0)  # FP1-F7 F7-T7 T7-P7 P7-O1
    assert_array_equal(np.flatnonzero(loop), np.sort([INDEX["FP1"], INDEX["O1"]]))


def lay_out(positions, map_names):
    """Return a map of nameless electrodes at positions in the head frame, 10-20 ones beside."""
    places = dict(zip(ELECTRODES, electrode_positions(), strict=True))
    known = {name: places[name.upper()] for name in TEN_TWENTY}
    extra = {f"E{k + 100}": place for k, place in enumerate(positions)}
    montage = mne.channels.make_dig_montage({**known, **extra}, coord_frame="head")
    return map_names([*known, *extra], montage)


def smooth_field(positions):
    """Return smooth potentials at places on the head."""
    origin, radius = template_sphere()
    x, y, z = ((positions - origin) / radius).T
    return 1.0 + 0.5 * x - 0.3 * y + 0.4 * z + 0.3 * x * y


def test_rows_between_electrodes_reproduce_smooth_fields(prior, map_names):
    places = electrode_positions()
    pairs = [("F3", "FC1"), ("F4", "F6"), ("PZ", "P1"), ("FCZ", "FC2"), ("O1", "PO3")]
    positions = np.array([(places[INDEX[a]] + places[INDEX[b]]) / 2 for a, b in pairs])
    origin, _ = template_sphere()
    radii = [np.linalg.norm(places[[INDEX[a], INDEX[b]]] - origin, axis=1).mean() for a, b in pairs]
    units = positions - origin
    positions = (
        origin + units / np.linalg.norm(units, axis=1, keepdims=True) * np.array(radii)[:, None]
    )
    cmap = lay_out(positions, map_names)
    rows, own, units, known = channel_rows(cmap, prior)
    assert known.all() and (units == 1).all()
    assert_allclose(rows.sum(axis=1), 1, atol=1e-9)  # a reference goes straight through
    field = smooth_field(places)
    found, expected = (rows @ field)[-5:], smooth_field(cmap.positions[-5:])
    assert np.abs(found - expected).max() < 0.1 * field.std()
    # What the electrodes do not tell is small there, and a covariance.
    between = own[-5:, -5:]
    assert 0 < np.diag(between).min() and np.diag(between).max() < 0.3
    assert np.linalg.eigvalsh(between).min() > 0
    assert not own[:-5].any()


def test_rows_are_of_the_near(prior, map_names):
    places = electrode_positions()
    middle = (places[INDEX["C3"]] + places[INDEX["C1"]]) / 2
    rows, *_ = channel_rows(lay_out([middle], map_names), prior)
    near = np.argsort(-np.abs(rows[-1]))[:2]
    assert {ELECTRODES[k] for k in near} <= {"C3", "C1", "FC3", "FC1", "CP3", "CP1", "CFC3"} | {
        name for name in ELECTRODES if name[:3] in ("CFC", "CCP")
    }
