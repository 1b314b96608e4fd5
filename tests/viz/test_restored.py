# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Figures of restorations."""

import copy

import matplotlib
import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose

import mne_gram
from mne_gram import restore
from mne_gram.restoration._evidence import Evidence
from mne_gram.viz import plot_channel_map, plot_restoration, plot_scores


@pytest.fixture(scope="module")
def truth():
    raw = mne_gram.datasets.sample(return_truth=True, verbose="error")[1]
    raw.set_annotations(None)
    return raw.pick(["F3", "F4", "C3", "C4", "Cz", "Pz", "O1", "O2"])


@pytest.fixture(scope="module")
def restored(truth):
    """Return a restored Raw with one whole channel and two segments restored, and its report."""
    raw = truth.copy()
    mask = np.zeros((8, raw.n_times), bool)
    mask[0] = True
    mask[2, 500:900] = True
    mask[3, 1000:1100] = True
    raw._data[mask] = 1e-3
    restored, report = restore(raw, mask=mask, return_report=True, verbose="error")
    report.evidence = None  # tests bring their own
    return restored, report


def artists(axis):
    """Return the labelled artists of the axes, by label."""
    handles, labels = axis.get_legend_handles_labels()
    return dict(zip(labels, handles, strict=True))


def channels_of(fig):
    """Return the channels that a figure shows."""
    return [axis.get_title(loc="left").split(":")[0] for axis in fig.axes]


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
    assert fig.axes[0].get_title(loc="left") == "F3: whole channel, 20.0 s"
    assert fig.axes[1].get_title(loc="left") == "C3: 1 segment, 2.5 s"
    assert {axis.get_ylabel() for axis in fig.axes} == {"µV"}
    # Dotted lines where the restored stretch meets good signal; a whole channel has no seams.
    seams = [[k.get_xdata()[0] for k in axis.lines if k.get_ls() == ":"] for axis in fig.axes]
    assert_allclose(seams[1], raw.times[[500, 899]])
    assert seams[0] == []


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
    monkeypatch.setattr(matplotlib, "get_backend", lambda **kwargs: "tkagg")  # as with a screen
    restored[1].plot(show=False)
    assert not shown
    restored[1].plot()
    assert shown


def test_nothing_restored(truth):
    _, report = restore(truth, method="spatial", return_report=True, verbose="error")
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
    after, report = restore(
        broken, mask=mask, method="spatial", return_report=True, verbose="error"
    )
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
    _, report = restore(epochs, method="spatial", return_report=True, verbose="error")
    fig = report.plot(show=False)
    fig.canvas.draw()
    assert channels_of(fig) == ["Cz"]
    assert_allclose(artists(fig.axes[0])["restored"].get_xdata(), epochs.times)


def test_evoked(truth):
    evoked = mne.EvokedArray(truth.get_data()[:, :320], truth.info, tmin=-0.5)
    evoked.info["bads"] = ["Pz"]
    after, report = restore(evoked, method="spatial", return_report=True, verbose="error")
    fig = report.plot(truth=evoked, show=False)
    fig.canvas.draw()
    assert channels_of(fig) == ["Pz"]
    assert_allclose(artists(fig.axes[0])["restored"].get_xdata(), evoked.times)
    assert_allclose(artists(fig.axes[0])["restored"].get_ydata(), after.get_data("Pz")[0] * 1e6)


def test_without_standard_deviation(truth):
    """A spline gives no standard deviation."""
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
    _, report = restore(raw, mask=mask, method="spatial", return_report=True, verbose="error")
    fig = report.plot(show=False)
    fig.canvas.draw()
    assert "C3" in channels_of(fig)
    assert np.isfinite(artists(fig.axes[0])["restored"].get_ydata()).all()


def test_picks(restored):
    fig = restored[1].plot(picks=["C4", "F3"], show=False)
    assert channels_of(fig) == ["C4", "F3"]
    assert channels_of(restored[1].plot(picks="C4", show=False)) == ["C4"]
    with pytest.raises(ValueError, match="not restored: Cz. The restored channels are F3, C3, C4"):
        restored[1].plot(picks=["C3", "Cz"], show=False)


def test_own_axes(restored):
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(2, 2)
    assert restored[1].plot(axes=axes, show=False) is fig
    fig.canvas.draw()
    assert channels_of(fig) == ["F3", "C3", "C4", ""]
    assert not fig.legends and axes[0, 0].get_legend() is not None
    with pytest.raises(ValueError, match="Found 2 axes, expected 3"):
        restored[1].plot(axes=axes[0], show=False)


def test_bad_input(restored, truth):
    raw, report = restored
    with pytest.raises(TypeError, match="report must be a RestorationReport, .* got RawEDF"):
        plot_restoration(raw)
    for plot in (plot_scores, plot_channel_map):
        with pytest.raises(TypeError, match="report must be a RestorationReport"):
            plot((raw, report))
    with pytest.raises(ValueError, match="n_channels must be at least 1, got 0"):
        plot_restoration(report, n_channels=0)
    with pytest.raises(ValueError, match="Found no channel F3 in truth"):
        plot_restoration(report, truth=truth.copy().drop_channels("F3"))
    with pytest.raises(ValueError, match="truth ends before the restored segment of F3"):
        plot_restoration(report, truth=truth.copy().crop(0, 5))


# ---------------------------------------------------------------------------------------------
# Scores of the experts


@pytest.fixture
def scored(restored):
    """Return a report with scores."""
    report = copy.copy(restored[1])
    report.evidence = Evidence(
        weights={"spatial": np.full(5, 0.8), "gram": np.full(5, 0.2)},
        scores={"spline": 0.6, "spatial": 0.3, "gram": np.nan, "auto": 0.25},
        r={"spline": 0.7, "auto": 0.85},
        seconds=60.0,
        source="recording",
    )
    return report


def check_scores(axis):
    """Check the bars of the scores."""
    from matplotlib.colors import to_hex

    bars = [bar for group in axis.containers for bar in group]
    assert_allclose([bar.get_width() for bar in bars], [0.6, 0.3, 0, 0.25])
    colors = [to_hex(bar.get_facecolor()) for bar in bars]
    assert colors[3] == "#0072b2" and set(colors[:3]) == {"#bbbbbb"}
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["spline", "spatial", "gram", "auto (used)"]
    assert [text.get_text().strip() for text in axis.texts] == [
        "NMSE 0.60, r 0.70",
        "NMSE 0.30, weight 0.80",
        "weight 0.20",
        "NMSE 0.25, r 0.85",
    ]
    assert axis.get_title(loc="left").startswith(
        "Error on hidden clean samples of this recording (60 "
    )
    low, high = axis.get_ylim()
    assert low > high  # in the order of the table, from the top


def test_scores(scored):
    fig = plot_scores(scored, show=False)
    fig.canvas.draw()
    (axis,) = fig.axes
    check_scores(axis)


def test_scores_below_the_channels(scored):
    fig = scored.plot(show=False)
    fig.canvas.draw()
    assert channels_of(fig)[:3] == ["F3", "C3", "C4"] and len(fig.axes) == 4
    check_scores(fig.axes[3])
    assert fig.axes[2].get_xlabel() == "Time (s)"
    assert len(plot_restoration(scored, scores=False, show=False).axes) == 3


def test_scores_on_own_axes(scored):
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 2)
    assert plot_scores(scored, axes=axes[1], show=False) is fig
    check_scores(axes[1])
    assert not axes[0].containers


def test_no_scores(restored):
    with pytest.raises(ValueError, match="no scores in the report"):
        plot_scores(restored[1], show=False)


# ---------------------------------------------------------------------------------------------
# The map


def test_channel_map(restored, truth):
    fig = plot_channel_map(restored[1], show=False)
    fig.canvas.draw()
    axis = fig.axes[0]
    nmse = restored[1].to_data_frame().set_index("channel")["expected_nmse"]
    # Where MNE puts the channels.
    reference = mne.viz.plot_sensors(truth.info, ch_type="eeg", show=False).axes[0]
    places = np.array(reference.collections[0].get_offsets())
    others, marked = [c for c in axis.collections if c.get_visible()][:2]
    assert_allclose(marked.get_offsets(), places[[0, 2, 3]])
    assert_allclose(others.get_offsets(), places[[1, 4, 5, 6, 7]])
    assert_allclose(marked.get_array(), nmse[["F3", "C3", "C4"]])
    assert marked.get_clim() == (0, 1)
    assert marked.get_linewidths()[0] > marked.get_linewidths()[1]  # the whole channel
    names = {text.get_text(): text.xy for text in axis.texts if text.get_text()}
    assert set(names) == {"F3", "C3", "C4"}
    assert_allclose(names["C4"], places[3])
    assert axis.get_title() == "3 of 8 channels restored"
    assert fig.axes[1].get_ylabel() == "Expected NMSE"


def test_channel_map_on_own_axes(restored):
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 2)
    assert plot_channel_map(restored[1], axes=axes[1], show=False) is fig
    assert axes[1].get_title() == "3 of 8 channels restored" and not axes[0].collections


def test_channel_map_of_nothing(truth):
    _, report = restore(truth, method="spatial", return_report=True, verbose="error")
    fig = plot_channel_map(report, show=False)
    fig.canvas.draw()
    assert fig.axes[0].get_title() == "0 of 8 channels restored" and len(fig.axes) == 1


def test_channel_map_without_expectation(truth):
    """A spline gives no expected error: the channel is marked in white."""
    raw = truth.copy()
    raw.info["bads"] = ["C3"]
    _, report = restore(raw, method="spline", return_report=True, verbose="error")
    fig = plot_channel_map(report, show=False)
    fig.canvas.draw()
    marked = fig.axes[0].collections[2]
    assert_allclose(marked.get_facecolors(), [[1, 1, 1, 1]])


def test_channel_map_needs_positions(truth):
    raw = truth.copy()
    raw.info["bads"] = ["C3"]
    _, report = restore(
        raw.set_montage(None), method="spatial", return_report=True, verbose="error"
    )
    with pytest.raises(ValueError, match="no channel positions"):
        plot_channel_map(report, show=False)
