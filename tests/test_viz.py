# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Figures of restorations: what is drawn, and that everything can be drawn."""

import matplotlib
import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose

import mne_gram
from mne_gram import restore
from mne_gram.viz import plot_restoration


@pytest.fixture(autouse=True)
def figures():
    """Draw without a screen, and leave no figure behind."""
    import matplotlib.pyplot as plt

    backend = matplotlib.get_backend()
    plt.switch_backend("agg")
    yield
    plt.close("all")
    plt.switch_backend(backend)


@pytest.fixture(scope="module")
def truth():
    raw = mne_gram.datasets.sample(return_truth=True, verbose="error")[1]
    raw.set_annotations(None)
    return raw.pick(["F3", "F4", "C3", "C4", "Cz", "Pz", "O1", "O2"])


@pytest.fixture(scope="module")
def restored(truth):
    """Return a restored Raw with one whole channel and two stretches, and its report."""
    raw = truth.copy()
    mask = np.zeros((8, raw.n_times), bool)
    mask[0] = True
    mask[2, 500:900] = True
    mask[3, 1000:1100] = True
    raw._data[mask] = 1e-3
    return restore(raw, mask=mask, return_report=True, verbose="error")


def artists(axis):
    """Return the labelled artists of an axis by label."""
    handles, labels = axis.get_legend_handles_labels()
    return dict(zip(labels, handles, strict=True))


def channels_of(fig):
    """Return the channels that a figure shows."""
    return [axis.get_ylabel().removesuffix(" (µV)") for axis in fig.axes]


def test_what_is_drawn(restored, truth):
    raw, report = restored
    fig = plot_restoration(report, truth=truth, show=False)
    fig.canvas.draw()
    assert channels_of(fig) == ["F3", "C3", "C4"]  # the longest first
    assert fig.axes[-1].get_xlabel() == "Time (s)"
    (legend,) = fig.legends
    labels = {text.get_text() for text in legend.get_texts()}
    assert labels == {"before", "90 % interval", "truth", "restored"}
    drawn = artists(fig.axes[1])
    assert set(drawn) == labels
    inside = slice(500, 900)
    for label, values in (
        ("restored", raw.get_data(picks=["C3"])[0, inside] * 1e6),
        ("truth", truth.get_data(picks=["C3"])[0, inside] * 1e6),
        ("before", np.full(400, 1e3)),
    ):
        assert_allclose(drawn[label].get_xdata(), raw.times[inside])
        assert_allclose(drawn[label].get_ydata(), values)
    # The band is 1.645 standard deviations to either side.
    vertices = drawn["90 % interval"].get_paths()[0].vertices
    height = [np.ptp(vertices[vertices[:, 0] == time, 1]) for time in raw.times[[600, 700]]]
    std = report.std[raw.ch_names.index("C3"), [600, 700]] * 1e6
    assert_allclose(height, 2 * 1.645 * std, rtol=1e-6)
    # Some of the good signal on either side.
    left, right = fig.axes[1].get_xlim()
    assert left < raw.times[500] - 1 and right > raw.times[900] + 1
    row = report.to_data_frame().set_index("channel").loc["C3"]
    assert fig.axes[1].get_title(loc="right") == f"expected r {row.expected_r:.2f}"


def test_without_truth(restored):
    fig = restored[1].plot(show=False)
    assert set(artists(fig.axes[0])) == {"before", "90 % interval", "restored"}


@pytest.mark.parametrize("n_channels", [1, 2, 10])
def test_number_of_channels(restored, n_channels):
    fig = restored[1].plot(n_channels=n_channels, show=False)
    assert channels_of(fig) == ["F3", "C3", "C4"][:n_channels]


def test_garbage_does_not_set_the_scale(restored):
    fig = restored[1].plot(show=False)
    for axis in fig.axes:
        low, high = axis.get_ylim()
        assert high - low < 1400  # the garbage stood at 1000 microvolts


def test_long_stretches_are_cut(restored):
    left, right = restored[1].plot(show=False).axes[0].get_xlim()
    assert right - left <= 12.1


def test_show(restored, monkeypatch):
    import matplotlib.pyplot as plt

    shown = []
    monkeypatch.setattr(plt, "show", lambda *args, **kwargs: shown.append(True))
    restored[1].plot(show=False)
    assert not shown
    restored[1].plot()
    assert shown


def test_nothing_restored(truth):
    _, report = restore(truth, return_report=True, verbose="error")
    fig = report.plot(show=False)
    fig.canvas.draw()
    assert [text.get_text() for text in fig.axes[0].texts] == ["Nothing was restored"]
    assert not fig.axes[0].axison and not fig.legends


def test_epochs(truth):
    epochs = mne.make_fixed_length_epochs(truth, 2.0, preload=True, verbose="error")
    mask = np.zeros((len(epochs), 8), bool)
    mask[3, 2] = True
    broken = epochs.copy()
    broken._data[3, 2] = 1e-3
    after, report = restore(broken, mask=mask, return_report=True, verbose="error")
    fig = report.plot(truth=epochs, show=False)
    fig.canvas.draw()
    assert channels_of(fig) == ["C3"]
    drawn = artists(fig.axes[0])
    values = after.get_data(copy=False)[3, 2] * 1e6
    assert_allclose(drawn["restored"].get_xdata(), epochs.times)
    assert_allclose(drawn["restored"].get_ydata(), values)
    assert_allclose(drawn["truth"].get_ydata(), epochs.get_data(copy=False)[3, 2] * 1e6)
    assert_allclose(drawn["before"].get_ydata(), 1e3)


def test_a_channel_bad_in_all_epochs(truth):
    epochs = mne.make_fixed_length_epochs(truth, 2.0, preload=True, verbose="error")
    epochs.info["bads"] = ["Cz"]
    _, report = restore(epochs, return_report=True, verbose="error")
    fig = report.plot(show=False)
    fig.canvas.draw()
    assert channels_of(fig) == ["Cz"]
    assert_allclose(artists(fig.axes[0])["restored"].get_xdata(), epochs.times)


def test_evoked(truth):
    evoked = mne.EvokedArray(truth.get_data()[:, :320], truth.info, tmin=-0.5)
    evoked.info["bads"] = ["Pz"]
    after, report = restore(evoked, return_report=True, verbose="error")
    fig = report.plot(truth=evoked, show=False)
    fig.canvas.draw()
    assert channels_of(fig) == ["Pz"]
    assert_allclose(artists(fig.axes[0])["restored"].get_xdata(), evoked.times)
    assert_allclose(artists(fig.axes[0])["restored"].get_ydata(), after.get_data("Pz")[0] * 1e6)


def test_without_standard_deviation(truth):
    """A spline does not tell how far off it is."""
    raw = truth.copy()
    raw.info["bads"] = ["C3"]
    _, report = restore(raw, method="spline", return_report=True, verbose="error")
    fig = report.plot(show=False)
    fig.canvas.draw()
    assert set(artists(fig.axes[0])) == {"before", "restored"}
    assert fig.axes[0].get_title(loc="right") == ""


def test_garbage_that_is_no_number(truth):
    raw = truth.copy()
    mask = np.zeros((8, raw.n_times), bool)
    mask[2, 500:900] = True
    mask[:, 1000:1020] = True  # all channels: left alone
    raw._data[mask] = np.nan
    _, report = restore(raw, mask=mask, return_report=True, verbose="error")
    fig = report.plot(show=False)
    fig.canvas.draw()
    assert "C3" in channels_of(fig)
    assert np.isfinite(artists(fig.axes[0])["restored"].get_ydata()).all()
