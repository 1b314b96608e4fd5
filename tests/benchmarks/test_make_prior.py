# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Making the population prior: measured recordings, the estimate, the command line."""

import importlib.util
from pathlib import Path

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram._files import list_recordings
from mne_gram.covariance import (
    N_BANDS,
    RecordingCovariance,
    forward_components,
    load_prior,
    read_recordings,
    sphere_kernel,
)
from mne_gram.montage import ELECTRODES, INDEX, electrode_positions, template_sphere

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "make_prior.py"
if not SCRIPT.is_file():
    pytest.skip("The benchmarks are not beside the tests.", allow_module_level=True)
spec = importlib.util.spec_from_file_location("make_prior", SCRIPT)
make_prior = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_prior)
collect_recordings, main = make_prior.collect_recordings, make_prior.main
estimate_prior, fit_kernel = make_prior.estimate_prior, make_prior.fit_kernel
measure_recording, save_prior = make_prior.measure_recording, make_prior.save_prior

SOURCE = ("set", "sub-01", "sub-01_eeg.edf")
NAMES = "Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2".split()
AUDITED = "Fp1 Fp2 F3 Fz F4 C3 Cz C4 P3 Pz P4 O1 O2".split()


@pytest.fixture(scope="module")
def components():
    return forward_components()


def indices(names):
    """Return the montage indices of names."""
    return np.array([INDEX[name.upper()] for name in names])


def make_raw(names=NAMES, seconds=20.0, sfreq=100.0, seed=0, cov=None):
    """Return noise in volts, white or with a covariance."""
    white = np.random.default_rng(seed).standard_normal((len(names), round(seconds * sfreq)))
    root = np.eye(len(names)) if cov is None else np.linalg.cholesky(cov)
    info = mne.create_info(list(names), sfreq, "eeg")
    info["line_freq"] = 50.0
    return mne.io.RawArray(1e-5 * root @ white, info, verbose="error")


def test_kernel_is_found():
    truth = np.zeros(16)
    truth[[1, 2, 4]] = [0.6, 0.3, 0.1]
    origin, _ = template_sphere()
    units = electrode_positions() - origin
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    cosines = units @ units.T
    noise = 0.2 * (cosines > 1 - 1e-9)  # which belongs to no degree
    assert_allclose(fit_kernel(sphere_kernel(cosines, truth) + noise), truth, atol=1e-6)


# ---------------------------------------------------------------------------------------------
# The audit


def make_recordings(components, noisy, n_recordings=4):
    """Return recordings of three data sets; in the first one some electrodes are noisy."""
    channels, recordings = indices(AUDITED), []
    smooth = components[:-1].mean(axis=0)[np.ix_(channels, channels)]
    for dataset in ("one", "two", "three"):
        for k in range(n_recordings):
            noise = 0.05 * np.ones(len(channels))
            if dataset == "one":
                noise[[AUDITED.index(name) for name in noisy]] = 4.0
            cov = make_prior._normalise(np.repeat((smooth + np.diag(noise))[None], N_BANDS, axis=0))
            recordings.append(RecordingCovariance((dataset, f"sub-{k}", f"{k}"), channels, cov))
    return recordings


def test_audit_drops_what_nothing_predicts(components):
    """The noisy electrode of one data set is dropped there, and nowhere else."""
    recordings = make_recordings(components, ["Cz"])
    kept, dropped = make_prior.audit_recordings(recordings, components)
    assert dropped == {r.source: ["CZ"] for r in recordings if r.source[0] == "one"}
    for before, after in zip(recordings, kept, strict=True):
        assert (INDEX["CZ"] in after.channels) == (before.source[0] != "one")
        assert_allclose(np.trace(after.cov, axis1=1, axis2=2), len(after.channels))
        assert_allclose(after.cov.sum(axis=-1), 0, atol=1e-12)


def test_audit_keeps_what_is_predicted(components):
    """Nothing is dropped from recordings that are alike, or where there is no other data set."""
    recordings = make_recordings(components, [])
    assert make_prior.audit_recordings(recordings, components) == (recordings, {})
    alone = [r for r in make_recordings(components, ["Cz"]) if r.source[0] == "one"]
    assert make_prior.audit_recordings(alone, components) == (alone, {})


# ---------------------------------------------------------------------------------------------
# Recordings


def test_measured_recording():
    factor = np.random.default_rng(1).standard_normal((10, 30))
    cov = factor @ factor.T / 30
    recording = measure_recording(make_raw(seconds=120, cov=cov), SOURCE)
    assert recording.source == SOURCE
    assert_array_equal(recording.channels, indices(NAMES))
    average = np.eye(10) - 1 / 10
    truth = average @ cov @ average
    for found in recording.cov:
        assert np.trace(found) == pytest.approx(10)
        assert_allclose(found.sum(axis=0), 0, atol=1e-9)
        assert np.linalg.norm(found - truth / np.trace(truth) * 10) < 1.5


def test_measured_channels():
    names = [*NAMES, "T3", "nobody", "Cz"]
    raw = make_raw(names)
    raw.info["bads"] = ["F3", "Cz"]
    raw.set_channel_types({"Fp2": "eog"}, verbose="error")
    recording = measure_recording(raw, SOURCE)
    expected = [n for n in NAMES if n not in ("F3", "Fp2")] + ["T7"]
    assert_array_equal(recording.channels, indices(expected))


def test_neither_reference_nor_unit_is_measured():
    raw = make_raw()
    moved = raw.copy()
    shared = np.random.default_rng(5).standard_normal(raw.n_times)
    moved._data = 1e3 * (moved._data + 1e-4 * shared)
    one, other = measure_recording(raw, SOURCE), measure_recording(moved, SOURCE)
    assert_allclose(one.cov, other.cov, atol=1e-6)


@pytest.mark.parametrize("bads", [[], NAMES[:7]])
def test_too_few_electrodes_are_not_measured(bads):
    raw = make_raw(NAMES if bads else NAMES[:3])
    raw.info["bads"] = bads
    assert measure_recording(raw, SOURCE) is None


def draw_recordings(truth, channels, dataset, n, seed):
    """Draw recordings of subjects whose covariances scatter around a truth."""
    rng = np.random.default_rng(seed)
    average = np.eye(len(channels)) - 1 / len(channels)
    recordings = []
    for person in range(n):
        covs = []
        for cov in truth[:, channels][:, :, channels]:
            root = np.linalg.cholesky(cov + 1e-6 * np.eye(len(channels)))
            x = root @ rng.standard_normal((len(channels), 400))
            cov = average @ (x @ x.T) @ average
            covs.append(cov / np.trace(cov) * len(channels))
        source = (dataset, f"sub-{person}", f"sub-{person}_eeg.edf")
        recordings.append(RecordingCovariance(source, channels, np.array(covs)))
    return recordings


def test_estimate_from_subjects_with_different_electrodes(components):
    """What two groups share is found, at the electrodes of either and between them."""
    rng = np.random.default_rng(0)
    amounts = rng.exponential(size=(N_BANDS, len(components))) ** 3
    truth = np.tensordot(amounts, components, axes=1)
    truth /= np.einsum("bii->b", truth)[:, None, None] / 114
    first = indices([*NAMES, "Cz", "Pz", "Fz", "T7", "T8"])
    second = indices([*NAMES, "FC1", "FC2", "CP5", "CP6", "POz", "Oz", "FC6"])
    recordings = [
        *draw_recordings(truth, first, "a", 12, seed=1),
        *draw_recordings(truth, second, "b", 12, seed=2),
    ]
    prior = estimate_prior(recordings, components, n_iter=3)
    assert prior.library.shape == (24, N_BANDS, 114, 114)
    assert prior.sources == tuple(r.source for r in recordings)
    assert_array_equal(prior.weights, 1)
    assert_allclose(np.einsum("bii->b", prior.population), 114)
    covered = np.union1d(first, second)
    start = components.mean(axis=0)
    for found, true in zip(prior.population, truth, strict=True):
        assert np.linalg.eigvalsh(found).min() > -1e-8
        for channels in (covered, np.arange(114)):
            average = np.eye(len(channels)) - 1 / len(channels)
            a, b, c = (
                average @ x[np.ix_(channels, channels)] @ average for x in (found, true, start)
            )
            assert np.linalg.norm(a - b) < 0.5 * np.linalg.norm(c - b)
            assert np.linalg.norm(a - b) < 0.35 * np.linalg.norm(b)


def test_subjects_count_once(components):
    recordings = draw_recordings(components[:N_BANDS], indices(NAMES), "a", 3, seed=0)
    again = RecordingCovariance(
        ("a", "sub-0", "sub-0_run-2_eeg.edf"), recordings[0].channels, recordings[0].cov
    )
    prior = estimate_prior(recordings, components, n_iter=2)
    twice = estimate_prior([*recordings, again], components, n_iter=2)
    assert_array_equal(twice.weights, [0.5, 1, 1, 0.5])
    assert_allclose(twice.population, prior.population, atol=1e-8)


def test_saved_prior_is_read_back(components, tmp_path):
    recordings = draw_recordings(components[:N_BANDS], indices(NAMES), "a", 3, seed=0)
    recordings += draw_recordings(components[:N_BANDS], indices(NAMES[:6]), "b", 2, seed=1)
    prior = estimate_prior(recordings, components, n_iter=1)
    fname = tmp_path / "new" / "prior.npz"
    save_prior(prior, recordings, fname)
    assert [path.name for path in fname.parent.iterdir()] == ["prior.npz"]
    again = load_prior(fname)
    assert again.sources == prior.sources
    assert_array_equal(again.weights, prior.weights)
    assert_array_equal(again.kernel, prior.kernel)
    assert_allclose(again.population, prior.population, atol=1e-4)
    assert_allclose(again.library, prior.library, atol=0.05)
    for one, other in zip(read_recordings(fname), recordings, strict=True):
        assert one.source == other.source
        assert_array_equal(one.channels, other.channels)
        assert_allclose(one.cov, other.cov, atol=5e-3)


# ---------------------------------------------------------------------------------------------
# The command line


@pytest.fixture(scope="module")
def bids_root(tmp_path_factory):
    """Return a data set of five subjects; the second has two runs, the third has no 10-20 names."""
    from mne_bids import BIDSPath, make_dataset_description, write_raw_bids

    root = tmp_path_factory.mktemp("data") / "tiny"
    root.mkdir()
    make_dataset_description(path=root, name="tiny", verbose="error")
    for number, (subject, run) in enumerate(
        [("01", None), ("02", "1"), ("02", "2"), ("03", None), ("04", None), ("05", None)]
    ):
        names = [f"X{k}" for k in range(10)] if subject == "03" else NAMES
        raw = make_raw(names, seconds=8, seed=number)
        path = BIDSPath(root=root, subject=subject, task="rest", run=run, datatype="eeg")
        write_raw_bids(
            raw, path, format="BrainVision", allow_preload=True, overwrite=True, verbose="error"
        )
    return root


def test_recordings_of_a_data_set(bids_root):
    paths = list_recordings(bids_root)
    assert [(path.subject, path.run) for path in paths] == [
        ("01", None),
        ("02", "1"),
        ("02", "2"),
        ("03", None),
        ("04", None),
        ("05", None),
    ]


def test_held_out_subjects_are_left_out(bids_root):
    recordings = collect_recordings([bids_root])
    assert [r.source[:2] for r in recordings] == [
        ("tiny", "sub-01"),
        ("tiny", "sub-02"),
        ("tiny", "sub-02"),
        ("tiny", "sub-05"),
    ]  # 04 is held out, 03 has no electrode that is known
    assert recordings[1].source[2] != recordings[2].source[2]
    others = collect_recordings([bids_root], every=2)
    assert {r.source[1] for r in others} == {"sub-01", "sub-05"}


def test_command_line(bids_root, tmp_path, capsys):
    out = tmp_path / "prior.npz"
    out.write_text("an older file")
    main(["--bids-root", str(bids_root), "--out", str(out)])
    printed = capsys.readouterr().out
    assert "4 recordings of 3 subjects" in printed and str(out) in printed
    assert [path.name for path in tmp_path.iterdir()] == ["prior.npz"]  # no temporary file is left
    prior = load_prior(out)
    assert_array_equal(prior.weights, [1, 0.5, 0.5, 1])
    assert {source[1] for source in prior.sources} == {"sub-01", "sub-02", "sub-05"}
    assert set(read_recordings(out)[0].channels.tolist()) == set(indices(NAMES).tolist())
    assert prior.population.shape == (N_BANDS, len(ELECTRODES), len(ELECTRODES))


def test_a_failure_leaves_the_old_file(bids_root, tmp_path, monkeypatch):
    out = tmp_path / "prior.npz"
    out.write_text("an older file")

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        main(["--bids-root", str(bids_root), "--out", str(out)])
    assert out.read_text() == "an older file"


def test_command_line_without_arguments(capsys):
    with pytest.raises(SystemExit):
        main([])
    assert "--bids-root" in capsys.readouterr().err
