# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The figure of bad channels and segments."""

import re

import mne
import numpy as np
import pytest
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose

from mne_gram import find_bads
from mne_gram.viz import plot_bads

NAMES = ["Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2"]


def make_raw(flat=None):
    """Return half a minute of noise, part of it shared by all channels."""
    rng = np.random.default_rng(0)
    data = rng.standard_normal((1, 6000)) + 0.5 * rng.standard_normal((10, 6000))
    raw = mne.io.RawArray(1e-5 * data, mne.create_info(NAMES, 200.0, "eeg"), verbose="error")
    if flat is not None:
        raw._data[flat] = 0.0
    return raw


def get_bars(axes):
    """Return left end, right end, row and colour of each bar."""
    found = []
    for bars in axes.collections:
        (x0, y0), (x1, y1) = bars.get_paths()[0].get_extents().get_points()
        found.append((x0, x1, (y0 + y1) / 2, to_hex(bars.get_facecolor()[0])))
    return found


def test_bad_channels_reach_from_end_to_end():
    report = find_bads(make_raw(flat=4), verbose="error")
    assert report.reasons == {"C3": "flat"}
    fig = report.plot(show=False)
    (axes,) = fig.axes
    ((x0, x1, row, colour),) = get_bars(axes)
    assert_allclose([x0, x1, row], [0, 30, 4], atol=1e-6)
    assert colour == "#0072b2"
    assert axes.get_xlim() == pytest.approx((0, 30))
    assert [text.get_text() for text in axes.get_yticklabels()] == NAMES
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["flat"]
    fig.canvas.draw()


def test_segments_lie_where_they_are():
    raw = make_raw()
    raw._data[2, 2000:3000] = 0.0
    report = find_bads(raw, verbose="error")
    assert not report.channels and report.spans
    bars = get_bars(report.plot(show=False).axes[0])
    assert [row for *_, row, _ in bars] == pytest.approx([2] * len(report.spans))
    spans = [(span.start, span.stop) for span in report.spans]
    assert_allclose([bar[:2] for bar in bars], spans, atol=1e-6)


def test_epochs_are_counted(tmp_path):
    raw = make_raw()
    raw._data[2, 2000:3000] = 0.0
    epochs = mne.make_fixed_length_epochs(raw, 5.0, preload=True, verbose="error")
    report = find_bads(epochs, verbose="error")
    (axes,) = report.plot(show=False).axes
    assert axes.get_xlabel() == "Epoch"
    assert {round((x0 + x1) / 2) for x0, x1, *_ in get_bars(axes)} == {2}


def test_nothing_bad_says_so():
    import matplotlib.pyplot as plt

    report = find_bads(make_raw(), verbose="error")
    axes = plt.subplots()[1]
    assert plot_bads(report, axes=axes, show=False) is axes.figure
    assert axes.get_title(loc="left") == "No bad channels or segments"
    assert not axes.collections


def test_no_report():
    with pytest.raises(TypeError, match="report must be a BadsReport, .* got RawArray"):
        plot_bads(make_raw())


def test_section_of_a_report(tmp_path):
    """The saved page of MNE has a table of bad channels and the figure."""
    raw = make_raw(flat=4)
    raw._data[6, 1000:1400] = 0.0
    report = find_bads(raw, verbose="error")
    page = mne.Report(title="<sub-01>", verbose="error")
    report.add_to(page, section="Bads", tags=("eeg",))
    page.save(tmp_path / "page.html", open_browser=False, verbose="error")
    assert page.tags == ("eeg",) and len(page) == 2
    saved = (tmp_path / "page.html").read_text(encoding="utf-8")
    rows = re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td>", saved)
    assert {("C3", "flat", ""), ("P3", "", "2.0")} <= set(rows) and len(rows) == len(
        report.scores[report.scores["bad"] | (report.scores["seconds"] > 0)]
    )
    assert "Bad channels: summary" in saved and "Bad channels: over time" in saved
    assert saved.count("data:image/") >= 1 and "Checked 10 EEG channels." in saved
    assert "Nothing is marked" in str(report) and "Nothing is marked" not in saved
    report.add_to(page, section="Bads", replace=True)
    assert len(page) == 2
    with pytest.raises(TypeError, match="mne_report must be"):
        report.add_to("page.html")


def test_section_of_a_clean_recording():
    report = find_bads(make_raw(), verbose="error")
    page = mne.Report(verbose="error")
    report.add_to(page, title="Clean")
    assert "Bad channels: none." in page.html[0] and "<table" not in page.html[0]
    assert page.html[1].count("<img") == 1
