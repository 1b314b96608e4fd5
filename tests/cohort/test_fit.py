# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Priors of the recordings at hand."""

import gc
import weakref

import mne
import mne_bids
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import mne_gram
from mne_gram import fit_prior
from mne_gram._files import list_recordings, read_path
from mne_gram.cohort import measure_recording
from mne_gram.covariance import extend_prior, forward_components, load_prior
from mne_gram.covariance._own import select_recordings
from mne_gram.metrics import nmse
from mne_gram.montage import INDEX
from mne_gram.training import split_subjects


def fit(insts, **kwargs):
    """Fit a prior to these recordings alone, which is fast, and without logging."""
    return fit_prior(insts, **(dict(base=None, verbose="error") | kwargs))


@pytest.fixture(scope="module")
def raws(make_raw):
    """Return the recordings of four subjects."""
    return [make_raw(subject, seconds=10) for subject in range(4)]


def test_with_and_without_base(raws):
    bundled = load_prior()
    prior = fit(raws, base="bundled")
    assert prior.n_cohort == 4
    assert prior.sources[:-4] == bundled.sources
    assert [source[0] for source in prior.sources[-4:]] == ["cohort"] * 4
    assert_array_equal(prior.base.library, bundled.library)
    assert_array_equal(prior.weights[:-4], bundled.weights)
    assert_array_equal(prior.weights[-4:], prior.weights[-1])  # one subject each
    assert np.abs(prior.population - bundled.population).max() > 0.01
    alone = fit(raws)
    assert alone.base is None and alone.n_cohort == len(alone.library) == 4
    again = fit(raws[:1], base=alone, subjects=["another"])
    assert (again.n_cohort, len(again.base.library)) == (1, 4)


def test_prior_of_a_file_is_the_same(raws, tmp_path):
    """The result of restore does not depend on whether the prior was saved in between."""
    prior = fit(raws, base="bundled")
    prior.save(tmp_path / "lab.npz")
    raw = raws[0].copy()
    raw.info["bads"] = ["C3"]
    options = dict(method="spatial", return_report=True, verbose="error")
    one, report = mne_gram.restore(raw, prior=prior, **options)
    other, from_file = mne_gram.restore(raw, prior=tmp_path / "lab.npz", **options)
    assert_array_equal(one.get_data(), other.get_data())
    assert not np.array_equal(one.get_data(), mne_gram.restore(raw, **options)[0].get_data())
    assert (report.prior["name"], from_file.prior["name"]) == ("fitted", "lab.npz")
    assert report.prior["n_cohort"] == 4
    assert "4 of 4 are the cohort" in str(report).replace("\n", " ")
    assert from_file.to_dict()["prior"]["n_recordings"] == len(prior.recordings)


def test_subjects_count_once(raws):
    prior = fit([*raws, raws[0]], subjects=["a", "b", "c", "d", "a"])
    assert_array_equal(prior.weights, [0.5, 1, 1, 1, 0.5])
    assert [source[1] for source in prior.sources] == ["a", "b", "c", "d", "a"]


def test_subjects_of_the_data(raws, tmp_path):
    """They are in the name of a file, or in the info; otherwise each recording is one."""
    named, unknown = raws[0].copy(), raws[1]
    named.info["subject_info"] = dict(his_id="anna")
    path = tmp_path / "sub-07_eeg.fif"
    raws[2].save(path, verbose="error")
    epochs = mne.make_fixed_length_epochs(raws[3], 2.0, preload=True, verbose="error")
    epochs.save(tmp_path / "sub-08_epo.fif", verbose="error")
    prior = fit([named, unknown, path, str(tmp_path / "sub-08_epo.fif"), mne.io.read_raw(path)])
    assert [source[1:] for source in prior.sources] == [
        ("anna", "recording-1"),
        ("recording-2", "recording-2"),
        ("sub-07", "sub-07_eeg.fif"),
        ("sub-08", "sub-08_epo.fif"),
        ("sub-07", "sub-07_eeg.fif"),
    ]
    assert_array_equal(prior.weights, [1, 1, 0.5, 1, 0.5])


def test_subjects_of_files(raws, tmp_path):
    """Their info is read as that of data in memory; anonymized recordings are not one subject."""
    given = []
    for k, (raw, his_id) in enumerate(zip(raws, ["anna", "anna", "0", "X"], strict=True)):
        raw = raw.copy()
        raw.info["subject_info"] = dict(his_id=his_id)
        raw.save(tmp_path / f"night{k}_raw.fif", verbose="error")
        given.append(raw if k == 2 else tmp_path / f"night{k}_raw.fif")
    prior = fit(given)
    assert [source[1] for source in prior.sources] == ["anna", "anna", "recording-3", "recording-4"]
    assert_array_equal(prior.weights, [0.5, 0.5, 1, 1])


def test_one_recording_at_a_time(make_raw):
    """Of a generator, no more recordings are in memory than one is measured and one is next."""
    alive, most = weakref.WeakSet(), []

    def generate():
        for subject in range(6):
            raw = make_raw(subject, seconds=6)
            alive.add(raw)
            gc.collect()
            most.append(len(alive))
            yield raw
            del raw

    assert fit(generate(), subjects=list("abcdef")).n_cohort == 6
    assert max(most) <= 2


def test_input_is_unchanged(raws, tmp_path):
    path = tmp_path / "a_raw.fif"
    raws[0].save(path, verbose="error")
    raw = mne.io.read_raw(path, verbose="error")
    before = raws[1].get_data()
    fit([raw, *raws[1:]])
    assert not raw.preload
    assert_array_equal(raws[1].get_data(), before)


def test_result_does_not_depend_on_jobs(bids_root):
    one, other = fit(bids_root, subjects=["01", "02"]), fit(bids_root, n_jobs=2)
    assert one.sources == other.sources
    assert_array_equal(one.library, other.library)
    assert_array_equal(one.population, other.population)


# ---------------------------------------------------------------------------------------------
# BIDS data sets


def test_bids(bids_root, caplog):
    """Subjects count once, bads are left out, and so is what has no electrodes, with the reason."""
    with mne.utils.use_log_level("info"), pytest.warns(RuntimeWarning, match="2 subject"):
        prior = fit_prior(bids_root, base=None)
    assert [source[:2] for source in prior.sources] == [
        ("lab", "sub-01"),
        ("lab", "sub-02"),
        ("lab", "sub-02"),
    ]
    assert_array_equal(prior.weights, [1, 0.5, 0.5])
    assert INDEX["FZ"] not in prior.recordings[0].channels
    assert INDEX["FZ"] in prior.recordings[1].channels
    assert "sub-01_task-rest_eeg.vhdr: without Fz (bad)" in caplog.text
    assert "sub-03_task-rest_eeg.vhdr is left out: 0 of 8 EEG channels" in caplog.text
    assert "Prior: 3 of 4 recordings of 2 subjects, with 10 of 114 electrodes" in caplog.text


def test_selection(bids_root):
    path = mne_bids.BIDSPath(root=bids_root, run="2")
    assert [source[1] for source in fit(path, base="bundled").sources[-1:]] == ["sub-02"]
    with pytest.raises(ValueError, match="Found no recording with sub-9"):
        fit(bids_root, subjects=["9"])
    paths = [bids_path for bids_path in list_recordings(bids_root) if bids_path.subject == "01"]
    assert fit(paths, base="bundled").sources[-1][:2] == ("lab", "sub-01")
    with pytest.raises(ValueError, match="has no root"):
        fit(mne_bids.BIDSPath(subject="01"))


# ---------------------------------------------------------------------------------------------
# Dirty cohorts


def test_bad_in_some_subjects(make_raw):
    """A channel that is bad in half of the subjects is learnt from the others."""
    raws = [make_raw(subject, seconds=30) for subject in range(6)]
    clean = fit(raws)
    for raw in raws[::2]:
        raw._data[8] = 1e-3 * np.random.default_rng(0).standard_normal(raw.n_times)
        raw.info["bads"] = ["C3"]
    dirty = fit(raws)
    assert [INDEX["C3"] in r.channels for r in dirty.recordings] == [False, True] * 3
    c3 = INDEX["C3"]
    row, truth = dirty.population[:, c3], clean.population[:, c3]
    assert np.linalg.norm(row - truth) < 0.3 * np.linalg.norm(truth)


def test_unmarked_bad_channels(make_raw, caplog):
    """The audit drops what nobody marked, and `find_bads` finds more."""
    raws = [make_raw(subject, seconds=30) for subject in range(6)]
    assert all(INDEX["C3"] in r.channels for r in fit(raws).recordings)
    for raw in raws[:2]:
        raw._data[8] = 5e-5 * np.random.default_rng(0).standard_normal(raw.n_times)
    with mne.utils.use_log_level("info"):
        dirty = fit_prior(raws, base=None)
    assert [INDEX["C3"] in r.channels for r in dirty.recordings] == [False] * 2 + [True] * 4
    assert "recording-1: without C3 (not predicted by the others)" in caplog.text
    found = fit(raws, mask="auto")
    assert [INDEX["C3"] in r.channels for r in found.recordings] == [False] * 2 + [True] * 4


def test_electrode_that_is_bad_in_all(make_raw, caplog):
    """It is known from the base, or from a model of the head, which is logged."""
    raws = [make_raw(subject, seconds=10) for subject in range(3)]
    for raw in raws:
        raw._data[8] = 0.0
    prior = fit(raws, base="bundled")
    assert not any(INDEX["C3"] in r.channels for r in prior.recordings[-3:])
    assert prior.covered[INDEX["C3"]]
    with mne.utils.use_log_level("info"):
        alone = fit_prior(raws, base=None)
    assert "No recording has a usable C3. What is known of it comes from a model" in caplog.text
    assert not alone.covered[INDEX["C3"]]
    assert (np.linalg.eigvalsh(alone.population) > -1e-9).all()
    raw = make_raw(5, seconds=10)
    truth, mask = raw.get_data(), np.zeros(raw.get_data().shape, bool)
    mask[8] = True
    raw._data[mask] = 1e-3
    raw.info["bads"] = ["C3"]
    restored = mne_gram.restore(raw, prior=alone, method="spatial", verbose="error")
    assert nmse(truth, restored.get_data(), mask) < 0.9


def test_units_do_not_matter(raws):
    wrong = [raw.copy().apply_function(lambda x: 1e6 * x, verbose="error") for raw in raws]
    np.testing.assert_allclose(fit(wrong).population, fit(raws).population, atol=1e-3)


def test_not_finite(raws):
    """A recording of NaN is left out, and single samples are."""
    dirty = [raw.copy() for raw in raws]
    dirty[0]._data[:] = np.nan
    dirty[1]._data[3, 100:200] = np.nan
    prior = fit(dirty)
    assert [source[1] for source in prior.sources] == [f"recording-{k}" for k in (2, 3, 4)]
    assert np.isfinite(prior.library).all()


# ---------------------------------------------------------------------------------------------
# What cannot be used


@pytest.mark.parametrize("insts", [[], (raw for raw in ())])
def test_no_recording(insts):
    with pytest.raises(ValueError, match="Found no recording to fit a prior to"):
        fit(insts)


def test_none_can_be_used(raws, tmp_path):
    short = [raw.copy().crop(0, 1) for raw in raws[:1]]
    (tmp_path / "broken_raw.fif").write_text("nothing")
    with pytest.raises(ValueError, match="None of 3 recordings can be used") as error:
        fit([*short, tmp_path / "broken_raw.fif", tmp_path / "none_raw.fif"])
    text = str(error.value)
    assert "recording-1: 0.5 s are clean" in text or "s are clean, expected" in text
    assert "broken_raw.fif" in text and "none_raw.fif does not exist" in text


def test_a_broken_file_is_left_out(raws, tmp_path, caplog):
    (tmp_path / "broken_raw.fif").write_text("nothing")
    with mne.utils.use_log_level("info"):
        prior = fit_prior([*raws, tmp_path / "broken_raw.fif"], base=None)
    assert prior.n_cohort == 4
    assert "broken_raw.fif is left out" in caplog.text


def test_one_subject(raws):
    with pytest.warns(RuntimeWarning, match="fitted to 1 subject.* use base='bundled'"):
        assert fit_prior(raws[0], base=None).n_cohort == 1
    prior = fit(raws[:1], base="bundled")
    assert prior.describe()["n_cohort_subjects"] == 1


@pytest.mark.parametrize("subjects", [["a"], list("abcde")])
def test_number_of_subjects(raws, subjects):
    for insts in (raws, iter(raws)):
        with pytest.raises(ValueError, match="Found .*4? recordings and . subjects|at least"):
            fit(insts, subjects=subjects)


def test_arguments(raws, tmp_path):
    with pytest.raises(TypeError, match="insts must be"):
        fit(3)
    with pytest.raises(TypeError, match="each of insts must be"):
        fit([raws[0], 3])
    with pytest.raises(TypeError, match="subjects must be an instance of a list of str"):
        fit(raws, subjects="abcd")
    with pytest.raises(TypeError, match="mask must be"):
        fit(raws, mask=np.zeros(3, bool))
    with pytest.raises(ValueError, match="Invalid value for the 'mask'"):
        fit(raws, mask="all")
    with pytest.raises(TypeError, match="base must be an instance of Prior"):
        fit(raws, base=3)
    with pytest.raises(FileNotFoundError, match="none.npz does not exist"):
        fit(raws, base=tmp_path / "none.npz")
    with pytest.raises(ValueError, match="is not a BIDS data set"):
        fit(tmp_path)


# ---------------------------------------------------------------------------------------------
# Use


def test_no_electrode_in_common(make_raw):
    """It is stated that the result is that of a model of the head."""
    left = ["Fp1", "F7", "F3", "T7", "C3", "P7", "P3", "O1"]
    prior = fit([make_raw(k, left, seconds=10) for k in range(3)])
    raw = make_raw(5, ["Fp2", "F4", "F8", "C4", "T8", "P4", "P8", "O2"], seconds=10)
    raw.info["bads"] = ["C4"]
    with pytest.warns(RuntimeWarning, match="no recording with any electrode of these data"):
        restored = mne_gram.restore(raw, prior=prior, method="spatial")
    assert np.isfinite(restored.get_data()).all()


@pytest.mark.parametrize("job", ["restore", "find_bads", "harmonize", "mask"])
def test_invalid_prior_is_refused(raws, tmp_path, job):
    (tmp_path / "lab.npz").write_text("nothing")
    jobs = {
        "restore": lambda prior: mne_gram.restore(raws[0], prior=prior),
        "mask": lambda prior: mne_gram.restore(raws[0], prior=prior, mask="auto"),
        "find_bads": lambda prior: mne_gram.find_bads(raws[0], prior=prior),
        "harmonize": lambda prior: mne_gram.harmonize(raws[0], ["Oz", "C3"], prior=prior),
    }
    with pytest.raises(ValueError, match="lab.npz is not an .npz file"):
        jobs[job](tmp_path / "lab.npz")
    with pytest.raises(TypeError, match="prior must be an instance of Prior"):
        jobs[job](3)


def test_prior_of_the_laboratory_is_used(raws):
    """All functions that take a prior use it."""
    prior = fit(raws)
    options = dict(verbose="error")
    assert mne_gram.find_bads(raws[0], prior=prior, **options).channels == []
    added = [
        mne_gram.harmonize(raws[0], ["Oz"], prior=p, **options).get_data() for p in (None, prior)
    ]
    assert not np.array_equal(*added)


@pytest.mark.slow
@pytest.mark.data
def test_cohort_of_real_children(shared):
    """Five other subjects of a data set that the library lacks make hidden channels better."""
    others = [r for r in load_prior().recordings if r.source[0] != "adhd"]
    without = extend_prior(None, others, forward_components())
    root = shared / "eeg" / "adhd"
    paths = list_recordings(root)
    train, test = split_subjects([path.subject for path in paths])
    prior = fit(root, subjects=train[:5], base=without)
    assert {source[1] for source in prior.sources[-prior.n_cohort :]} == {
        f"sub-{subject}" for subject in train[:5]
    }
    ratios = []
    for path in [path for path in paths if path.subject in test][:3]:
        raw = read_path(path).load_data().pick("eeg").crop(0, 20).filter(0.5, 45, verbose="error")
        for name in ("C3", "Pz", "T8"):
            row = raw.ch_names.index(name)
            bad = raw.copy()
            bad._data[row] = 1e-3
            bad.info["bads"] = [name]
            errors = []
            for given in (without, prior):
                restored = mne_gram.restore(bad, prior=given, method="spatial", verbose="error")
                mask = np.zeros(raw.get_data().shape, bool)
                mask[row] = True
                errors.append(nmse(raw.get_data(), restored.get_data(), mask))
            ratios.append(np.log(errors[1] / errors[0]))
    assert np.mean(ratios) < np.log(0.95)


# ---------------------------------------------------------------------------------------------
# A recording that is in the prior itself


@pytest.fixture(scope="module")
def dirty(make_raw):
    """Return recordings of five subjects; C3 of the first is bad, and marked."""
    raws = [make_raw(subject, seconds=30) for subject in range(5)]
    raws[0]._data[8] = 5e-5 * np.random.default_rng(0).standard_normal(raws[0].n_times)
    raws[0].info["bads"] = ["C3"]
    return raws


@pytest.mark.parametrize("method", ["spatial", "auto"])
def test_recording_does_not_learn_from_itself(dirty, method):
    """Its own covariance, which lacks the bad channel, is not taken into account."""
    subjects = list("abcde")
    everybody = fit(dirty, subjects=subjects)
    # The population of everybody, so that the libraries are all that differs.
    keep = np.arange(5) > 0
    others = select_recordings(everybody, keep)
    one, other = (
        mne_gram.restore(dirty[0], prior=prior, method=method, verbose="error").get_data()
        for prior in (everybody, others)
    )
    assert_array_equal(one, other)
    assert others.n_cohort == len(others.library) == 4


def test_other_recordings_of_the_subject_are_used(dirty, make_raw):
    """A second run in which the channel is good is the best source there is."""
    run = make_raw(0, seconds=30, seed=99)
    truth = make_raw(0, seconds=30).get_data()
    mask = np.zeros(truth.shape, bool)
    mask[8] = True
    errors = []
    for raws, subjects in ((dirty, "abcde"), ([*dirty, run], "abcdea")):
        prior = fit(raws, subjects=list(subjects))
        restored = mne_gram.restore(dirty[0], prior=prior, method="spatial", verbose="error")
        errors.append(nmse(truth, restored.get_data(), mask))
    assert errors[1] < 0.9 * errors[0]


def test_bad_channels_are_found_in_a_recording_of_the_prior(dirty):
    """They would look normal to a prior that has learnt them."""
    raw = dirty[0].copy()
    raw.info["bads"] = []
    prior = fit([raw, *dirty[1:]], subjects=list("abcde"))
    known = prior.recordings[0].channels
    # As if the audit had not noticed.
    if INDEX["C3"] not in known:
        whole = measure_recording(raw, ("cohort", "a", "recording-1")).recording
        prior = extend_prior(None, [whole, *prior.recordings[1:]], forward_components())
    assert INDEX["C3"] in prior.recordings[0].channels
    found = mne_gram.find_bads(raw, prior=prior, verbose="error")
    assert found.channels == ["C3"]
    others = select_recordings(prior, np.arange(5) > 0)
    again = mne_gram.find_bads(raw, prior=others, verbose="error")
    assert_array_equal(found.scores["misfit"], again.scores["misfit"])


def test_prior_of_nothing_but_the_recording_itself(make_raw):
    """Without its recordings, the population is left."""
    raw = make_raw(0, seconds=10)
    prior = fit([raw])
    assert not len(mne_gram.find_bads(raw, prior=prior, verbose="error").channels)
    raw.info["bads"] = ["C3"]
    prior, mask = fit([raw]), np.zeros(raw.get_data().shape, bool)
    mask[8] = True
    for method in ("spatial", "auto"):
        restored = mne_gram.restore(raw, prior=prior, method=method, verbose="error")
        assert not restored.info["bads"]
        assert nmse(raw.get_data(), restored.get_data(), mask) < 1
