# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Found bad channels and segments are applied, tabulated and printed."""

import copy

import mne
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mne_gram

NAMES = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
SFREQ = 160.0


def find(inst, **kwargs):
    """Run find_bads quietly."""
    return mne_gram.find_bads(inst, verbose="error", **kwargs)


@pytest.mark.parametrize("date", [None, (1000, 0)])
def test_mark(make_raw, date, broken, report):
    """Channels and segments are marked on a copy or in place, wherever the recording starts."""
    raw = make_raw(first_samp=1234)
    raw._data[:] = broken.get_data()
    raw.set_meas_date(date)
    raw.info["bads"] = ["T8"]
    zero = raw.first_time if date else 0.0
    raw.set_annotations(
        mne.Annotations([zero + 2.0], [1.0], ["task"], orig_time=raw.info["meas_date"])
    )
    marked = report.mark(raw)
    assert raw.info["bads"] == ["T8"] and len(raw.annotations) == 1
    assert marked.info["bads"] == ["T8", "C3", "O2"]
    kept = marked.annotations.description == "task"
    assert_allclose(marked.annotations.onset[kept] - marked.first_time, 2.0, atol=1e-6)
    found = marked.annotations[~kept]
    assert len(found) == len(report.spans)
    assert all(text.startswith("BAD_gram_") for text in found.description)
    expected = {(s.channel, round(s.start, 3), round(s.stop - s.start, 3)) for s in report.spans}
    assert expected == {
        (names[0], round(onset - marked.first_time, 3), round(duration, 3))
        for names, onset, duration in zip(found.ch_names, found.onset, found.duration, strict=True)
    }
    assert report.mark(raw, copy=False) is raw and raw.info["bads"] == marked.info["bads"]


def test_mask_is_what_marks_say(broken, report):
    """The mask has the shape that restore takes, and agrees with the marks."""
    from mne_gram._recording._masks import collect_mask

    mask = report.mask(broken)
    assert mask.shape == broken.get_data().shape and mask.dtype == bool
    assert mask[NAMES.index("C3")].all() and not mask[NAMES.index("Cz")].any()
    marked = report.mark(broken)
    assert_array_equal(np.asarray(collect_mask(marked, np.arange(len(NAMES)))), mask)
    restored = mne_gram.restore(broken, mask=mask, verbose="error")
    assert_array_equal(restored.get_data()[~mask], broken.get_data()[~mask])
    changed = (restored.get_data() != broken.get_data())[mask]
    assert changed.mean() > 0.99


def test_mask_of_versions(broken, report):
    """A resampled version has the same bad segments; other data raise an error."""
    slower = broken.copy().resample(100, verbose="error").reorder_channels(NAMES[::-1])
    mask = report.mask(slower)
    assert mask.shape == (len(NAMES), slower.n_times)
    assert_allclose(mask[::-1].mean(axis=1), report.mask(broken).mean(axis=1), atol=0.01)
    with pytest.raises(ValueError, match="do not contain C3"):
        report.mask(broken.copy().drop_channels(["C3"]))
    with pytest.raises(ValueError, match="Found 0 to .* expected"):
        report.mask(broken.copy().crop(0, 20))
    epochs = mne.make_fixed_length_epochs(broken, 1.0, preload=True, verbose="error")
    with pytest.raises(TypeError, match="inst must be an instance of Raw"):
        report.mask(epochs)


def test_epochs(broken):
    """Epochs are bad as a whole, channel by channel."""
    epochs = mne.make_fixed_length_epochs(broken, 1.0, preload=True, verbose="error")
    found = find(epochs)
    assert found.reasons == {"C3": "misfit", "O2": "flat"}
    mask = found.mask(epochs)
    assert mask.shape == (len(epochs), len(NAMES)) and mask.dtype == bool
    assert mask[:, NAMES.index("C3")].all()
    assert mask[10:13, NAMES.index("P4")].all()
    assert mask[[20, 21], NAMES.index("F7")].all()
    assert mask.mean() < 0.2
    assert {span.epoch for span in found.spans if span.channel == "P4"} >= {10, 11, 12}
    with pytest.warns(RuntimeWarning, match="cannot be marked in Epochs"):
        marked = found.mark(epochs)
    assert marked.info["bads"] == ["C3", "O2"] and epochs.info["bads"] == []
    with pytest.raises(ValueError, match="Found Epochs, expected Raw"):
        found.to_annotations(epochs)
    with pytest.raises(ValueError, match="Found 5 epochs of"):
        found.mask(epochs[:5])


def test_tables(report):
    """Tables hold what was found and what was measured; the summary names it."""
    df = report.to_data_frame()
    assert len(df) == len(report.channels) + len(report.spans)
    assert df.whole.sum() == 2 and set(df.channel[df.whole]) == {"C3", "O2"}
    scores = report.scores
    assert list(scores.index) == NAMES
    assert scores.misfit["C3"] > 1.5 > scores.misfit["Cz"]
    assert scores.correlation["C3"] < 0.3 < scores.correlation["Cz"]
    assert scores.bad.sum() == 2 and scores.why["O2"] == "flat"
    assert_allclose(
        scores.seconds["P4"], sum(s.stop - s.start for s in report.spans if s.channel == "P4")
    )
    assert "C3 (misfit)" in str(report) and "2 bad channels" in repr(report)


def test_text_is_wrapped(report):
    """The printed report fits into 72 columns and continues lines with an indent."""
    reasons = dict.fromkeys(NAMES, "misfit")
    report = copy.copy(report)
    report.reasons = reasons
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 72
    assert sum(line.startswith("  ") for line in lines) >= 3
    assert all(f"{name} (misfit)" in " ".join(map(str.strip, lines)) for name in NAMES)
