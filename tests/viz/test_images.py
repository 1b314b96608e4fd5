# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Figures are compared with stored images.

The images are in ``tests/data/images``. After changing a figure on purpose, draw them again, look
at them, and commit them::

    MNE_GRAM_RENEW_IMAGES=1 python -m pytest tests/viz/test_images.py

Figures are drawn from made-up numbers and without text, which depends on the versions of matplotlib
and FreeType and is checked in the other tests of figures.
"""

import inspect
import os
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import matplotlib.legend
import matplotlib.style
import mne
import numpy as np
import pandas as pd
import pytest
from matplotlib import ticker
from matplotlib.colors import to_hex
from matplotlib.testing import set_font_settings_for_testing
from matplotlib.testing.compare import compare_images

from mne_gram import BadsReport, Embedding, RestorationReport, Tokens, viz
from mne_gram._recording import Block
from mne_gram.covariance import Prior, RecordingCovariance
from mne_gram.detection._report import Span
from mne_gram.models._registry import GramModel
from mne_gram.montage import INDEX
from mne_gram.restoration._evidence import Evidence
from mne_gram.restoration._gaps import Estimate
from mne_gram.restoration._tally import Tally
from mne_gram.viz import _style as style

IMAGES = Path(__file__).parents[1] / "data" / "images"
# Root mean square of the difference in steps of 255. With matplotlib 3.9, 3.10 and 3.11 it is 0, so
# this leaves room for other processors. That any kind of line, bar or dot is missing makes more.
TOLERANCE = 1.5
SFREQ = 100.0
RIGHT = dict(Fp=0.3, F=0.5, C=0.7, P=0.5, O=0.3)  # of even numbers, odd ones lie to the left
FRONT = dict(Fp=0.85, F=0.45, C=0.0, P=-0.45, O=-0.85)
SIDES = {"1": -1, "2": 1, "3": -1, "4": 1, "z": 0}
NAMES = ["Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "Fz", "Cz", "Pz"]


def _place(name):
    """Return the position of a channel on a half sphere, in metres."""
    x, y = RIGHT[name[:-1]] * SIDES[name[-1]], FRONT[name[:-1]]
    return 0.09 * np.array([x, y, np.sqrt(1 - x**2 - y**2)])


PLACES = {name: _place(name) for name in NAMES}


@pytest.fixture(autouse=True)
def figures():
    """Draw with default settings."""
    with matplotlib.rc_context():
        matplotlib.style.use("default")
        set_font_settings_for_testing()
        yield


# ---------------------------------------------------------------------------------------------
# What is drawn


def make_wave(k, n_times=2000):
    """Return the signal of a channel in volts: rhythms with a phase of its own."""
    times = np.arange(n_times) / SFREQ
    slow = np.sin(2 * np.pi * 0.35 * times + k)
    return 1e-5 * (slow + (1 + slow) * np.sin(2 * np.pi * 6 * times + 2.1 * k) / 2)


def make_truth():
    """Return the recording without artefacts."""
    info = mne.create_info(NAMES, SFREQ, "eeg")
    data = np.array([make_wave(k) for k in range(len(NAMES))])
    raw = mne.io.RawArray(data, info, verbose="error")
    # Places of our own: those of MNE's templates change from version to version.
    return raw.set_montage(mne.channels.make_dig_montage(PLACES, coord_frame="head"))


def make_report():
    """Return the report of a made-up restoration, and the truth."""
    truth = make_truth()
    before, after = truth.copy(), truth.get_data()
    bad = np.zeros(after.shape, bool)
    estimates = []
    for name, start, stop, std in [
        ("C3", 0, 2000, 4e-6),
        ("P4", 700, 1000, 2e-6),
        ("Fz", 1200, 1250, np.nan),
    ]:
        row = NAMES.index(name)
        bad[row, start:stop] = True
        # The estimate is too small, and its error grows from end to end.
        after[row, start:stop] *= 0.7
        growing = std * np.linspace(0.5, 1.5, stop - start)
        estimates.append(Estimate(row, start, stop, after[row, start:stop], growing))
        before._data[row, start:stop] = 4e-5 * np.sign(make_wave(17)[start:stop])
    evidence = Evidence(
        weights={"spatial": np.array([0.7]), "gram": np.array([0.3])},
        scores={"spline": 0.61, "spatial": 0.32, "gram": 0.44, "auto": 0.27},
        r={"spline": 0.66, "auto": 0.85},
        seconds=60.0,
        source="recording",
    )
    tally = Tally(before, np.arange(len(NAMES)))
    tally.add(Block(after, bad, [(0, after.shape[1])], 0, before.info["sfreq"]), estimates)
    return RestorationReport(tally, method="auto", evidence=evidence), truth


def make_bads():
    """Return a report of bad channels and segments, with every reason."""
    raw = make_truth()
    reasons = {"Fp2": "flat", "C4": "line", "O1": "often", "Cz": "misfit"}
    spans = [
        Span("F3", 2.0, 6.0, "amplitude"),
        Span("F4", 4.0, 9.0, "clipped"),
        Span("F4", 12.0, 15.0, "nan"),
        Span("P3", 7.5, 8.5, "misfit", 6.0),
    ]
    picks = np.arange(len(NAMES))
    measures = dict(misfit=np.zeros(len(picks)))
    return BadsReport(raw, picks, reasons, spans, measures, [])


def make_tokens():
    """Return base classes of different frequencies."""
    data = np.repeat(np.arange(12), 2 ** np.arange(12)[::-1])
    n = len(data)
    fields = dict(onsets=np.arange(n), durations=np.ones(n), good=np.ones(n), n_classes=64)
    return Tokens(data=data[:, None, None], ch_names=["C3"], **fields)


def make_model():
    """Return a model that decodes a class as a rhythm with its number as frequency."""
    import torch

    def decode(indices, channels):
        assert len(channels) == indices.shape[1]
        times = torch.arange(200) / 200
        return torch.sin(2 * torch.pi * (1 + indices[..., None]) * times)

    return GramModel(SimpleNamespace(config=SimpleNamespace(n_classes=64), decode=decode))


def make_embedding(n_kinds):
    """Return vectors of several kinds of trials, or without events."""
    n = 60
    angle = 2.4 * np.arange(n)
    data = np.zeros((n, 5), np.float32)
    data[:, 1], data[:, 3] = 3 * np.sqrt(np.arange(n)) * np.cos(angle), np.sqrt(np.arange(n))
    data[:, 3] *= np.sin(angle)
    fields = {}
    if n_kinds:
        kinds = np.arange(n) % n_kinds
        data[:, 1] += 12 * kinds
        fields["events"] = np.column_stack([np.arange(n), 0 * kinds, kinds])
        fields["event_id"] = {f"kind {k}": k for k in range(n_kinds)}
    fields |= dict(onsets=4.0 * np.arange(n), durations=np.full(n, 4.0), good=np.ones(n))
    return Embedding(data=data, pool="cls", ch_names=["C3"], **fields)


def make_log():
    """Return the log of a run."""
    steps = np.arange(10, 2001, 10)
    loss = 1 + 3 * np.exp(-steps / 400)
    rate = np.minimum(steps / 200, (1 + np.cos(np.pi * steps / 2000)) / 2) / 1000
    noisy = loss + np.sin(steps**2) / 3
    rows = []
    for k, step in enumerate(steps):
        rows.append((step, "train", "", "loss", noisy[k]))
        rows.append((step, "train", "", "learning_rate", rate[k]))
        if step % 250:
            continue
        for name, value in dict(loss=loss[k], accuracy=0.4 - loss[k] / 10).items():
            rows.append((step, "validation", "", name, value))
            for n, subject in enumerate(("a/01", "a/02", "b/07")):
                rows.append((step, "validation", subject, name, value * (0.8 + 0.2 * n)))
    return pd.DataFrame(rows, columns=["step", "split", "subject", "name", "value"])


def draw_restoration(**options):
    report, truth = make_report()
    return viz.plot_restoration(report, truth=truth, show=False, **options)


def make_prior():
    """Return a prior of two data sets and a cohort; only its recordings are drawn."""
    names = [["FP1", "FP2", "CZ", "O1", "O2"], ["FP1", "FP2", "C3", "CZ", "C4"], ["F3", "F4", "CZ"]]
    recordings = []
    for dataset, electrodes, n in zip(("one", "two", "lab"), names, (8, 5, 3), strict=True):
        channels = np.array([INDEX[name] for name in electrodes])
        for k in range(n):
            recordings.append(RecordingCovariance((dataset, f"sub-{k // 2}", ""), channels, None))
    return Prior(None, None, None, tuple(recordings), n_cohort=3)


FIGURES = {
    "restoration": draw_restoration,
    "prior": lambda **options: viz.plot_prior(make_prior(), show=False, **options),
    "scores": lambda **options: viz.plot_scores(make_report()[0], show=False, **options),
    "channel_map": lambda **options: viz.plot_channel_map(make_report()[0], show=False, **options),
    "bads": lambda **options: viz.plot_bads(make_bads(), show=False, **options),
    "base_classes": lambda **options: viz.plot_base_classes(
        make_tokens(), model=make_model(), n_classes=7, show=False, **options
    ),
    "codebook_usage": lambda **options: viz.plot_codebook_usage(
        make_tokens(), show=False, **options
    ),
    "embedding": lambda **options: viz.plot_embedding(make_embedding(0), show=False, **options),
    "embedding_kinds": lambda **options: viz.plot_embedding(
        make_embedding(9), show=False, **options
    ),
    "learning_curve": lambda **options: viz.plot_learning_curve(make_log(), show=False, **options),
}


# ---------------------------------------------------------------------------------------------
# How it is compared


def save(fig, fname):
    """Save a figure without text and legends, whose size depends on text."""
    for legend in fig.findobj(matplotlib.legend.Legend):
        legend.remove()
    for axis in fig.axes:
        for scale in (axis.xaxis, axis.yaxis):
            scale.set_major_formatter(ticker.NullFormatter())
            scale.set_minor_formatter(ticker.NullFormatter())
    for text in fig.findobj(matplotlib.text.Text):
        text.set_text("")
    fig.savefig(fname, dpi=60, metadata={"Software": None})


def compare(fig, name, folder):
    """Return None if a figure agrees with its image, otherwise the difference."""
    save(fig, folder / f"{name}.png")
    return compare_images(IMAGES / f"{name}.png", folder / f"{name}.png", TOLERANCE)


def list_artists(fig):
    """Return the lines, areas, bars and dots of a figure, grouped by appearance."""
    kinds = {}
    for axis in fig.axes:
        for artist in [*axis.lines, *axis.collections, *axis.patches]:
            label = artist.get_label()
            look = type(artist).__name__, "" if label.startswith("_") else label
            if artist.get_visible():
                kinds.setdefault((*look, artist.get_zorder()), []).append(artist)
    return kinds


@pytest.mark.parametrize("name", FIGURES)
def test_figure(name, tmp_path):
    """A figure agrees with its image."""
    fig, image = FIGURES[name](), IMAGES / f"{name}.png"
    if os.environ.get("MNE_GRAM_RENEW_IMAGES") == "1":
        image.parent.mkdir(exist_ok=True)
        save(fig, image)
        pytest.skip(f"{image} was drawn again: look at it.")
    how = "If this is on purpose, the docstring of this file explains how to renew images."
    found = compare(fig, name, tmp_path)
    assert found is None, f"{found}\n{how}"


@pytest.mark.parametrize("name", FIGURES)
def test_what_is_missing_is_seen(name, tmp_path):
    """The comparison detects any missing kind of line, area, bar or dot."""
    fig = FIGURES[name]()
    kinds = list_artists(fig)
    assert kinds
    for look, artists in kinds.items():
        for artist in artists:
            artist.set_visible(False)
        assert compare(fig, name, tmp_path) is not None, look
        for artist in artists:
            artist.set_visible(True)


# ---------------------------------------------------------------------------------------------
# What holds for all figures


@pytest.mark.parametrize("name", viz.__all__)
def test_signatures(name):
    """Every function takes existing axes, and need not show the figure."""
    parameters = inspect.signature(getattr(viz, name)).parameters
    for option, default in dict(axes=None, show=True).items():
        assert parameters[option].kind == inspect.Parameter.KEYWORD_ONLY
        assert parameters[option].default is default


def test_all_are_drawn():
    """All public figures are tested here."""
    assert {name.removeprefix("plot_") for name in viz.__all__} <= set(FIGURES)


@pytest.mark.parametrize("name", FIGURES)
def test_own_axes(name):
    """Only the given axes are used."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(4, 2)
    many = name in ("restoration", "base_classes", "learning_curve", "prior")
    assert FIGURES[name](axes=axes if many else axes[0, 0]) is fig
    assert plt.get_fignums() == [fig.number]
    assert axes[0, 0].has_data()
    assert not axes[3, 1].has_data()
    with pytest.raises(TypeError, match="axes must be"):
        FIGURES[name](axes="here")


@pytest.mark.parametrize("name", FIGURES)
def test_colours(name):
    """Colours are from the palette, greys, or from the scale."""
    known = {color.lower() for color in style.PALETTE}
    fig = FIGURES[name]()
    found = set()
    for axis in fig.axes:
        found |= {to_hex(line.get_color()) for line in axis.lines}
        found |= {to_hex(patch.get_facecolor()) for patch in axis.patches}
        for artist in axis.collections:
            if artist.get_array() is None:
                found |= {to_hex(color) for color in artist.get_facecolor()}
            else:
                assert artist.get_cmap().name.removesuffix("_r") == style.SCALE
    greys = {color for color in found if color[1:3] == color[3:5] == color[5:]}
    assert found - greys <= known
