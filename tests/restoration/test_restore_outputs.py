# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The methods and their outputs: the mean, samples, the report."""

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram import restore
from mne_gram._recording._masks import collect_mask


def test_the_report_does_not_follow_the_data(clinical):
    raw = clinical.copy()
    raw.info["bads"] = ["O1", "O2"]
    restored, report = restore(raw, return_report=True, verbose="error")
    std = report.std
    restored.drop_channels(["Fz", "O1"]).crop(0, 3)
    raw.drop_channels(["Cz"])
    assert_array_equal(report.std, std)
    assert len(report.plot(scores=False, show=False).axes) == 2


def test_sample_of_the_posterior(clinical, fill):
    clinical = clinical.copy().filter(0.5, 45, verbose="error")
    mask = np.zeros(clinical.get_data().shape, bool)
    mask[[3, 8, 15]] = True
    mask[11, 500:1100] = True
    raw = fill(clinical, mask, np.nan)
    mean, report = restore(raw, mask=mask, return_report=True, verbose="error")
    draws = [
        restore(raw, mask=mask, output="sample", random_state=seed, verbose="error").get_data()
        for seed in (1, 1, 2)
    ]
    assert_array_equal(draws[0], draws[1])
    assert np.abs(draws[0] - draws[2])[mask].max() > 1e-6
    assert_array_equal(draws[0][~mask], clinical.get_data()[~mask])
    # A draw deviates from the mean by the standard deviation that the report tells.
    spread = (draws[0] - mean.get_data())[mask].std() / np.sqrt((report.std[mask] ** 2).mean())
    assert 0.6 < spread < 1.6


def test_sample_ends_where_its_covariance_was_read(clinical):
    """Above 45 Hz nothing tells the power of what is missing, so nothing is added."""
    raw = clinical.copy().filter(None, 45, verbose="error").resample(500, verbose="error")
    raw.info["bads"] = ["Cz"]
    mean = restore(raw, verbose="error").get_data("Cz")[0]
    drawn = restore(raw, output="sample", random_state=0, verbose="error").get_data("Cz")[0]
    power = np.abs(np.fft.rfft(drawn - mean)) ** 2
    freqs = np.fft.rfftfreq(len(mean), 1 / 500)
    assert power[freqs > 48].mean() < 0.01 * power[(freqs > 30) & (freqs < 44)].mean()


def test_report(sample, tmp_path):
    restored, report = restore(sample[0], return_report=True, verbose="error")
    frame = report.to_data_frame()
    assert {"channel", "seconds", "expected_nmse", "expected_r", "weight_spatial"} <= set(frame)
    assert_allclose(frame.set_index("channel").loc["F4", "seconds"], 3.0, atol=0.02)
    assert frame["expected_r"].between(0, 1).all()
    assert_allclose(frame["expected_r"] ** 2, 1 - frame["expected_nmse"])
    mask = collect_mask(sample[0], np.arange(64))
    assert (report.std[mask] > 0).all() and (report.std[~mask] == 0).all()
    good = sample[0].copy().drop_channels(["CP2", "FT8"])
    assert report.rank_before == mne.compute_rank(good.pick("eeg"), rank=None)["eeg"]
    assert f"The rank is {report.rank_before} for the channels" in str(report)
    for name in ("a.txt", "a.json", "a.csv"):
        report.save(tmp_path / name)
        assert "CP2" in (tmp_path / name).read_text()
        with pytest.raises(FileExistsError, match="already exists"):
            report.save(tmp_path / name)
    report.save(tmp_path / "a.txt", overwrite=True)
    with pytest.raises(ValueError, match="in .txt, .json, .csv or .html"):
        report.save(tmp_path / "a.pdf")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "a.json", "a.txt"]


def test_intervals_cover(truth, fill):
    """The 90 % interval holds about that share where drifts are filtered out."""
    raw = truth.copy().filter(0.5, 45, verbose="error")
    covered = []
    for first in range(3):
        mask = np.zeros(raw.get_data().shape, bool)
        mask[first::9] = True
        mask[first + 4 :: 12, 1000:1400] = True
        broken = fill(raw, mask, np.nan)
        restored, report = restore(broken, mask=mask, return_report=True, verbose="error")
        error = np.abs(restored.get_data() - raw.get_data())[mask]
        covered.append((error < 1.645 * report.std[mask]).mean())
    assert 0.75 < np.mean(covered) < 0.99


# ---------------------------------------------------------------------------------------------
# Splines and the network


def test_spline_is_that_of_mne(truth):
    raw = truth.copy()
    raw.set_montage(raw.get_montage())  # without the point of an electrode that was dropped
    raw.info["bads"] = ["C3", "Oz", "AF7"]
    expected = raw.copy().interpolate_bads(verbose="error").get_data()
    found = restore(raw, method="spline", verbose="error").get_data()
    assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_gram_changes_only_what_the_network_sees(clinical, network, fill):
    """Random weights: what it adds is confined to bad samples and to the network's band."""
    mask = np.zeros(clinical.get_data().shape, bool)
    mask[12] = True
    mask[5, 500:900] = True
    raw = fill(clinical, mask, np.nan)
    spatial = restore(raw, mask=mask, method="spatial", verbose="error").get_data()
    found = restore(raw, mask=mask, method="gram", model=network, verbose="error").get_data()
    change = found - spatial
    assert (change[~mask] == 0).all() and np.abs(change[12]).max() > 1e-7
    freqs = np.fft.rfftfreq(clinical.n_times, 1 / 160)
    power = np.abs(np.fft.rfft(change[12])) ** 2
    assert power[freqs > 76].sum() < 1e-3 * power.sum()


@pytest.mark.parametrize("method", ["spatial", "gram", "spline"])
def test_the_figure_shows_what_was_returned(clinical, network, method, fill):
    mask = np.zeros(clinical.get_data().shape, bool)
    mask[12] = True
    raw = fill(clinical, mask, 1e-3)
    restored, report = restore(
        raw, mask=mask, method=method, model=network, return_report=True, verbose="error"
    )
    (axis,) = report.plot(show=False).axes
    drawn = next(line for line in axis.lines if line.get_label() == "restored").get_ydata()
    assert_allclose(drawn, 1e6 * restored.get_data()[12, : len(drawn)], atol=1e-9)


@pytest.mark.parametrize("method", ["spatial", "auto", "spline"])
def test_baseline_of_restored_channels(clinical, method):
    """What is restored throughout an epoch is corrected, as epochs.baseline says."""
    events = mne.make_fixed_length_events(clinical, duration=1.0)
    make = dict(tmin=-0.2, tmax=0.7, baseline=(None, 0), preload=True, verbose="error")
    epochs = mne.Epochs(clinical, events, **make)
    epochs.info["bads"] = ["C3"]
    shape = epochs.get_data(copy=False).shape
    mask = np.zeros(shape, bool)
    mask[2, 5] = mask[3, 6, 50:90] = True
    before = epochs.times <= 0
    restored = restore(epochs, mask=mask, method=method, verbose="error")
    mask[:, epochs.ch_names.index("C3")] = True
    data = restored.get_data()
    whole = mask.all(axis=-1)
    assert np.abs(data[whole][:, before].mean(axis=-1)).max() < 1e-12
    assert_array_equal(data[~mask], epochs.get_data()[~mask])
    evoked = epochs.average("eeg")
    assert evoked.baseline is not None
    found = restore(evoked, method=method, verbose="error")
    assert np.abs(found.get_data("C3")[:, before].mean()) < 1e-12
    plain = mne.Epochs(clinical, events, **(make | dict(baseline=None)))
    plain.info["bads"] = ["C3"]
    found = restore(plain, method=method, verbose="error").get_data("C3")
    assert np.abs(found[..., before].mean(axis=-1)).max() > 1e-8
