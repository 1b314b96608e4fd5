# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The figure of a prior."""

import matplotlib
import mne
import numpy as np
import pytest

from mne_gram.covariance import Prior, RecordingCovariance, load_prior
from mne_gram.montage import INDEX
from mne_gram.viz import plot_prior


def make_recording(dataset, subject, names):
    channels = np.array([INDEX[name] for name in names])
    return RecordingCovariance((dataset, subject, ""), channels, None)


@pytest.fixture
def prior():
    """Return two subjects, of whom one has two recordings, and a cohort of one."""
    recordings = [
        make_recording("one", "sub-1", ["CZ", "FZ"]),
        make_recording("one", "sub-1", ["CZ", "PZ"]),
        make_recording("one", "sub-2", ["CZ", "FZ"]),
        make_recording("lab", "sub-1", ["CZ", "OZ"]),
    ]
    return Prior(None, None, None, tuple(recordings), n_cohort=1)


def test_subjects_and_electrodes(prior):
    """Bars count subjects, not recordings, and so do the colours of electrodes."""
    bars, head, _ = plot_prior(prior, show=False).axes
    assert [bar.get_width() for bar in bars.patches] == [2, 1]
    assert [label.get_text() for label in bars.get_yticklabels()] == ["one", "lab (cohort)"]
    assert [text.get_text() for text in bars.texts] == ["3 recordings", "1 recording"]
    (known,) = [c for c in head.collections if c.get_array() is not None]
    assert sorted(known.get_array().tolist()) == [1, 1, 2, 3]  # Oz, Pz, Fz, Cz
    assert sum(width > 1 for width in known.get_linewidths()) == 2  # of the cohort
    assert {text.get_text() for text in head.texts} >= {"CZ", "OZ"}
    assert head.get_title() == "4 electrodes were measured"


def test_method(prior):
    assert len(prior.plot(show=False).axes) == 3
    assert len(load_prior().plot(show=False).axes[0].patches) == len(
        load_prior().describe()["datasets"]
    )


def test_refused(prior):
    with pytest.raises(TypeError, match="must be a Prior, as returned by mne_gram.fit_prior"):
        plot_prior("prior.npz")
    with pytest.raises(ValueError, match="Found 1 axes, expected 2"):
        plot_prior(prior, axes=matplotlib.figure.Figure().subplots(), show=False)


def test_section_of_a_report(tmp_path):
    page = mne.Report(verbose="error")
    load_prior().add_to(page, section="Method", tags=("lab",))
    page.save(tmp_path / "page.html", open_browser=False, verbose="error")
    saved = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Prior: summary" in saved and "Prior: recordings" in saved and page.tags == ("lab",)
    about = load_prior().describe()
    assert f"<td>{about['n_recordings']} of {about['n_subjects']} subjects</td>" in saved
    assert page.html[0].count("<img") == 1
