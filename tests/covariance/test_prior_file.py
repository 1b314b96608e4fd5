# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Files of priors: the same prior is read, and everything in a file is checked."""

import json
import pickle
import zipfile

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mne_gram
from mne_gram.covariance import (
    N_BANDS,
    RecordingCovariance,
    estimate_prior,
    extend_prior,
    forward_components,
    load_prior,
    normalise_covariance,
    read_prior,
    resolve_prior,
)
from mne_gram.montage import INDEX

NAMES = "FP1 FP2 F3 F4 C3 C4 P3 P4 O1 O2".split()


def draw_recordings(dataset, n, names=NAMES, seed=0):
    """Return recordings of subjects whose covariances scatter around a smooth one."""
    rng = np.random.default_rng(seed)
    channels = np.array([INDEX[name] for name in names])
    smooth = forward_components()[:N_BANDS][:, channels][:, :, channels]
    root = np.linalg.cholesky(smooth + 1e-3 * np.eye(len(names)))
    recordings = []
    for k in range(n):
        x = root @ rng.standard_normal((N_BANDS, len(names), 200))
        cov = normalise_covariance(x @ x.swapaxes(1, 2))
        recordings.append(RecordingCovariance((dataset, f"sub-{k}", f"{k}.edf"), channels, cov))
    return recordings


@pytest.fixture(scope="module")
def base():
    return extend_prior(None, draw_recordings("a", 3), forward_components())


@pytest.fixture(scope="module")
def lab(base):
    """Return that prior with a cohort, of other electrodes."""
    cohort = draw_recordings("lab", 2, [*NAMES[:6], "CZ", "PZ"], seed=1)
    return extend_prior(base, cohort, forward_components())


@pytest.fixture
def saved(lab, tmp_path):
    lab.save(tmp_path / "lab.npz")
    return tmp_path / "lab.npz"


def check_equal(one, other):
    """Check that two priors are the same, to the bit."""
    for name in ("population", "library", "weights", "kernel"):
        assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.sources == other.sources and one.n_cohort == other.n_cohort
    for a, b in zip(one.recordings, other.recordings, strict=True):
        assert_array_equal(a.channels, b.channels)
        assert_array_equal(a.cov, b.cov)
    assert (one.base is None) == (other.base is None)
    if one.base is not None:
        check_equal(one.base, other.base)


def test_prior_with_a_cohort(base, lab):
    assert (lab.n_cohort, base.n_cohort) == (2, 3)
    assert base.base is None and lab.base.base is None
    assert lab.base.n_cohort == 0  # a base has no part that is special
    assert_array_equal(lab.base.library, base.library)
    assert lab.sources[:3] == base.sources
    assert [source[0] for source in lab.sources[3:]] == ["lab", "lab"]
    assert len(lab.library) == 5
    assert lab.covered.sum() == 12 and base.covered.sum() == 10


def test_extended_again(lab):
    """All recordings of a prior with a cohort become the base of the next one."""
    again = extend_prior(lab, draw_recordings("other", 1, seed=2), forward_components())
    assert (again.n_cohort, len(again.base.recordings), again.base.n_cohort) == (1, 5, 0)
    assert again.base.base is None
    assert_array_equal(again.base.library, lab.library)


def test_same_prior_is_read(lab, base, saved, tmp_path):
    check_equal(read_prior(saved), lab)
    base.save(tmp_path / "base.npz")
    check_equal(read_prior(tmp_path / "base.npz"), base)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base.npz", "lab.npz"]
    with np.load(saved, allow_pickle=False) as file:  # a pickle would be refused
        assert str(file["made_by"]) == f"mne_gram {mne_gram.__version__}"
        assert file["version"] == 1


def test_estimates_are_saved_to_the_precision_of_files(tmp_path):
    recordings = draw_recordings("a", 3) + draw_recordings("b", 2, NAMES[:6], seed=1)
    prior = estimate_prior(recordings, forward_components(), n_iter=1)
    prior.save(tmp_path / "prior.npz")
    again = load_prior(tmp_path / "prior.npz")
    assert again.sources == prior.sources
    assert_array_equal(again.weights, prior.weights)
    assert_array_equal(again.kernel, prior.kernel)
    assert_allclose(again.population, prior.population, atol=1e-4)
    assert_allclose(again.library, prior.library, atol=0.05)
    for one, other in zip(load_prior(tmp_path / "prior.npz").recordings, recordings, strict=True):
        assert_array_equal(one.channels, other.channels)
        assert_allclose(one.cov, other.cov, atol=5e-3)


def test_save_refuses(lab, saved, monkeypatch):
    with pytest.raises(FileExistsError, match="lab.npz already exists"):
        lab.save(saved)
    with pytest.raises(ValueError, match="must end in .npz, got lab.fif"):
        lab.save(saved.with_suffix(".fif"))
    with pytest.raises(TypeError, match="fname must be"):
        lab.save(3)
    before = saved.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        lab.save(saved, overwrite=True)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["lab.npz"]


def test_a_file_that_changed_is_read_again(base, lab, saved):
    assert load_prior(saved) is load_prior(str(saved))
    base.save(saved, overwrite=True)
    check_equal(load_prior(saved), base)


def test_resolved(lab, saved):
    assert resolve_prior(lab) is lab
    assert resolve_prior(None) is resolve_prior("bundled") is load_prior()
    check_equal(resolve_prior(saved), lab)
    with pytest.raises(TypeError, match="prior must be"):
        resolve_prior(3)


# ---------------------------------------------------------------------------------------------
# What a prior says of itself


def test_description(lab, saved):
    about = lab.describe()
    assert json.loads(json.dumps(about)) == about
    assert about == dict(
        n_recordings=5,
        n_subjects=5,
        n_cohort=2,
        n_cohort_subjects=2,
        n_electrodes=12,
        datasets=dict(a=3, lab=2),
    )
    assert repr(lab) == "<Prior | 5 recordings of 5 subjects, 2 in the cohort, 12 electrodes>"
    assert "a (3), lab (2)" in lab._repr_html_()


# ---------------------------------------------------------------------------------------------
# Files of others


def change(saved, **changes):
    """Replace arrays of a file; None removes one."""
    with np.load(saved, allow_pickle=False) as file:
        arrays = dict(file)
    for name, value in changes.items():
        if value is None:
            del arrays[name]
        else:
            arrays[name] = value(arrays.get(name)) if callable(value) else np.array(value)
    np.savez(saved, **arrays)


def put(index, value):
    """Return a function that changes one value of an array."""

    def put(array):
        array = array.copy()
        array[index] = value
        return array

    return put


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (dict(version=2), "its format is version 2, this mne_gram reads version 1 .*Update"),
        (dict(version=1.5), "'version' is of type float64"),
        (dict(weights=put(1, -1.0)), "weights has the shape .* the least value -1"),
        (dict(weights=put(1, 0.0)), "positive values"),
        (dict(weights=put(1, np.nan)), "'weights' contains values that are not finite"),
        (dict(weights=np.ones(4)), r"weights has the shape \(4,\)"),
        (dict(population=put((0, 3), np.inf)), "'population' contains values that are not finite"),
        (dict(population=put((0, 1), 90.0)), "population is not positive semi-definite"),
        (dict(population=lambda x: 3 * x), "population has mean variances from 3"),
        (dict(population=lambda x: x[:, :-1]), "'population' has the shape"),
        (dict(kernel=put(0, -1.0)), "kernel does not have"),
        (dict(kernel=np.zeros(0)), "kernel does not have"),
        (dict(covs=put(3, np.nan)), "'covs' contains values that are not finite"),
        (dict(covs=put(1, 60.0)), "recording a / sub-0 / 0.edf is not positive semi-definite"),
        (dict(covs=lambda x: x[:-1]), "covs has .* values, expected"),
        (dict(covs=lambda x: 2 * x), "recording a / sub-0 / 0.edf has mean variances from"),
        (dict(channels=put(0, 114)), "numbers that are not 0 to 113"),
        (dict(channels=put(0, INDEX["FP2"])), "has electrodes twice"),
        (dict(channels=lambda x: x.astype(float)), "'channels' is of type float64"),
        (dict(n_channels=put(0, 9)), "channels has 46 values, expected 45"),
        (dict(n_channels=put(0, -10)), "has -10 to 10 channels"),
        (dict(n_channels=np.zeros(0, int)), "it has 0 recordings"),
        (dict(sources=lambda x: x[:-1]), "it has 5 recordings and 4 sources"),
        (dict(sources=lambda x: x[:, :2]), "'sources' has the shape"),
        (dict(sources=lambda x: x.astype("U300")), "longer than 200 characters"),
        (dict(n_cohort=6), "n_cohort is 6, expected 0 to 5"),
        (dict(n_cohort=0), "it has a base, but 0 of 5"),
        (dict(base_weights=None), "the base has only base_kernel, base_population"),
        (dict(base_weights=put(0, -1.0)), "base_weights has the shape"),
        (dict(base_population=put((0, 1), 90.0)), "base_population is not positive semi-definite"),
        (dict(kernel=None), "has no array 'kernel'"),
        (dict(surprise=np.zeros(3)), "unexpected array 'surprise.npy'"),
        (dict(kernel=np.array([1j])), "'kernel' is of type complex128"),
    ],
)
def test_invalid_arrays(saved, changes, match):
    """Each is a ValueError that names the file."""
    change(saved, **changes)
    with pytest.raises(ValueError, match=match) as error:
        read_prior(saved)
    assert str(saved) in str(error.value)
    with pytest.raises(ValueError, match=match):
        resolve_prior(saved)


def test_files_of_an_attacker(saved, tmp_path):
    """Objects are not unpickled, and arrays that would fill the memory are not unpacked."""

    class Evil:
        def __reduce__(self):
            return (tmp_path / "hacked").touch, ()

    objects = np.empty(5, object)
    objects[:] = Evil()
    change(saved, weights=objects)
    with pytest.raises(ValueError, match="'weights' is of type object"):
        read_prior(saved)
    saved.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ValueError, match="is not an .npz file"):
        read_prior(saved)
    assert not (tmp_path / "hacked").exists()
    with zipfile.ZipFile(saved, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("covs.npy", "w", force_zip64=True) as file:
            for _ in range(300):
                file.write(bytes(2**20))
    assert saved.stat().st_size < 2**20
    with pytest.raises(ValueError, match="has no array|would take"):
        read_prior(saved)


def test_recordings_that_would_fill_the_memory(saved):
    """A recording of few electrodes is small in a file, and 0.26 MB in the library."""
    n = 5000
    change(
        saved,
        n_channels=np.full(n, 3),
        channels=np.tile([0, 1, 2], n).astype(np.uint8),
        covs=np.ones(n * N_BANDS * 6, np.float16),
        sources=np.full((n, 3), "a"),
        weights=np.ones(n),
    )
    with pytest.raises(ValueError, match="it has 5000 recordings .*1 to 4096"):
        read_prior(saved)


@pytest.mark.parametrize("n_bytes", [0, 100, -100])
def test_truncated(saved, n_bytes):
    saved.write_bytes(saved.read_bytes()[:n_bytes])
    with pytest.raises(ValueError, match="lab.npz is not an .npz file, or is truncated"):
        read_prior(saved)


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.npz does not exist"):
        read_prior(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="not a regular file"):
        read_prior(tmp_path)
