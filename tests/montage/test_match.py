# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The entries of the montage, their positions, and matching of channels."""

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram.montage import (
    CH_NAMES,
    ELECTRODES,
    electrode_positions,
    match_channels,
    template_montage,
    template_sphere,
)

few = settings(deadline=None, max_examples=40)
MONTAGES = [name for name in mne.channels.get_builtin_montages() if not name.startswith("artinis")]
CLINICAL = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
# These label electrodes by the 10-05 system, and all of them lie where it says.
NAMED = [
    name
    for name in MONTAGES
    if name.startswith(("fsaverage", "spherical"))
    or name in ("colin27_1005", "colin27_1020", "standard_1005", "standard_1020")
    or name in ("biosemi16", "biosemi32", "biosemi64", "easycap-M1", "brainproducts-RNP-BA-128")
]
UNNAMED = [name for name in MONTAGES if name.startswith(("GSN", "EGI", "mgh", "easycap-M"))]
UNNAMED = [name for name in UNNAMED if name not in NAMED]
UNNAMED += ["biosemi128", "biosemi160", "biosemi256"]


def make_info(ch_names, montage=None):
    info = mne.create_info(list(ch_names), 200.0, "eeg")
    return info.set_montage(montage, on_missing="ignore")


def info_of(montage):
    montage = mne.channels.make_standard_montage(montage)
    return make_info(montage.ch_names, montage)


# Positions


def test_notes_of_a_dense_net():
    """E1 to E128 are no BioSemi labels; matches by position have no note."""
    channel_map = match_channels(info_of("GSN-HydroCel-128"), on_missing="ignore")
    notes = dict(zip(channel_map.ch_names, channel_map.notes, strict=True))
    assert {notes[name] for name in channel_map.ch_names if name not in channel_map.missing} == {""}
    said = "the name is not one of the montage, and "
    assert notes["E11"] == said + "AFZ, the nearest entry, is taken"
    assert "AFZ" in channel_map.entries
    assert notes["E126"] == said + "there is no entry within 2 cm"
    with pytest.raises(ValueError, match="(?s)E126: .*set missing positions"):
        match_channels(info_of("GSN-HydroCel-128"))


@pytest.mark.parametrize("montage", MONTAGES)
def test_builtin_montages(montage):
    """No entry is used twice, positions match within two centimetres, and notes say why not."""
    info = info_of(montage)
    channel_map = match_channels(info, on_missing="ignore")
    taken = [entry for entry in channel_map.entries if entry]
    assert len(taken) == len(set(taken)) >= 16
    assert_array_equal(
        channel_map.indices, [CH_NAMES.index(e) if e else -1 for e in channel_map.entries]
    )
    by_position = np.array(channel_map.how) == "position"
    assert_array_equal(np.isfinite(channel_map.distances), by_position)
    assert (channel_map.distances[by_position] <= 0.02).all()
    for entry, how, note in zip(
        channel_map.entries, channel_map.how, channel_map.notes, strict=True
    ):
        assert (entry is None) == (how == "none")
        assert note or entry
    # By position, rows that share a place are one electrode.
    place = dict(zip(ELECTRODES, electrode_positions(), strict=True))
    places = {
        tuple(place[e]) for e, h in zip(channel_map.entries, channel_map.how, strict=True) if e
    }
    assert len(places) == len(taken) - sum(
        {a, b} <= set(taken) for a, b in (("T1", "FT9"), ("T2", "FT10"))
    )


@pytest.mark.parametrize("montage", NAMED)
def test_named_montages_match_by_name(montage):
    info = info_of(montage)
    channel_map = match_channels(info, on_missing="ignore")
    entry = dict(zip(channel_map.ch_names, channel_map.entries, strict=True))
    upper = {name.upper() for name in info["ch_names"]}
    old = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
    for name, found in entry.items():
        if name.upper() not in ELECTRODES:
            continue
        if name.startswith("CCP"):  # MNE's CCP1 is elsewhere, and CCP1h is there
            assert found is None and entry[f"{name}h"] == name
        elif name in old and old[name] in upper:
            assert found is None
        else:
            assert found == old.get(name, name.upper())


@pytest.mark.parametrize(
    "montage, least",
    [(name, {"3": 25, "6": 50}.get(name.split("-")[-1][:1], 55)) for name in UNNAMED],
)
def test_unnamed_montages_match_by_position(montage, least):
    channel_map = match_channels(info_of(montage), on_missing="ignore")
    assert channel_map.how.count("position") >= least
    assert channel_map.how.count("exact") <= 1  # the vertex reference Cz of some nets


@pytest.mark.parametrize(
    "montage, known",
    [
        (
            "biosemi128",
            "A1 CZ A3 CPZ A19 PZ A23 OZ B11 P8 B22 C4 B26 T8 C16 FP2 C17 FPZ C21 FZ C29 FP1 D19 C3 "
            "D23 T7",
        ),
        ("GSN-HydroCel-129", "E22 FP1 E9 FP2 E24 F3 E124 F4 E36 C3 E104 C4 E70 O1 E83 O2 E75 OZ"),
        ("easycap-M10", "1 CZ 2 FCZ 5 CPZ 8 FZ 14 PZ 11 C4 17 C3 35 FPZ 39 T8 47 T7 43 OZ"),
    ],
)
def test_known_equivalents(montage, known):
    """Manufacturers' tables of the 10-20 equivalents of electrodes."""
    channel_map = match_channels(info_of(montage), on_missing="ignore")
    known = dict(zip(known.split()[::2], known.split()[1::2], strict=True))
    entry = dict(zip(channel_map.ch_names, channel_map.entries, strict=True))
    assert {name: entry[name] for name in known} == known


def test_positions_decide_for_ccp():
    montage = template_montage()
    alone = match_channels(make_info([*CLINICAL, "CCP1"], montage), on_missing="ignore")
    # 10-05 says that this electrode is at column 1, where a free entry is closer than CCP1h.
    assert alone.how[-1] == "position" and alone.entries[-1] in ("C1", "CP1")
    assert 0.018 < alone.distances[-1] < 0.02
    assert "2 cm from CCP1" in alone.notes[-1]
    # An electrode of this name that is where the model's training data had it keeps its name.
    info = make_info([*CLINICAL, "CCP1"], montage)
    info["chs"][-1]["loc"][:3] = electrode_positions()[ELECTRODES.index("CCP1")]
    assert match_channels(info).how[-1] == "exact"


def test_a_name_far_from_its_place_is_not_believed():
    info = make_info([*CLINICAL, "A1"], template_montage())
    info["chs"][-1]["loc"][:3] = electrode_positions()[ELECTRODES.index("CPZ")]
    channel_map = match_channels(info)
    assert channel_map.entries[-1] == "CPZ" and channel_map.how[-1] == "position"
    assert channel_map.distances[-1] < 1e-3
    assert "cm from A1" in channel_map.notes[-1]
    # Swapped names: both are put right.
    info = make_info(CLINICAL, template_montage())
    f3, o2 = CLINICAL.index("F3"), CLINICAL.index("O2")
    locs = [info["chs"][k]["loc"].copy() for k in (f3, o2)]
    info["chs"][f3]["loc"], info["chs"][o2]["loc"] = locs[::-1]
    channel_map = match_channels(info)
    assert channel_map.entries[f3] == "O2" and channel_map.entries[o2] == "F3"


@few
@given(
    scale=st.floats(0.5, 1.5),
    shift=st.tuples(*[st.floats(-0.05, 0.05)] * 3),
    degrees=st.floats(-180, 180),
)
def test_matching_ignores_the_frame(scale, shift, degrees):
    """Size, origin and tilt of recorded positions do not matter if names are known."""
    info = make_info([*CLINICAL, "one", "two"], template_montage())
    places = electrode_positions()
    info["chs"][-2]["loc"][:3] = places[ELECTRODES.index("CP6")]
    info["chs"][-1]["loc"][:3] = places[ELECTRODES.index("AF3")] + [0.003, 0, 0]
    before = match_channels(info).positions
    a = np.radians(degrees)
    turn = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    for ch in info["chs"]:
        ch["loc"][:3] = scale * turn @ ch["loc"][:3] + shift
    channel_map = match_channels(info)
    assert channel_map.entries[-2:] == ("CP6", "AF3")
    assert_allclose(channel_map.distances[-2:], [0, 0.003], atol=1e-4)
    assert_allclose(channel_map.positions, before, atol=1e-4)


def test_positions_that_fit_no_head_are_ignored():
    info = make_info(CLINICAL, template_montage())
    for ch in info["chs"]:
        ch["loc"][:3] *= [-1, 1, 1]  # left and right exchanged
    with pytest.warns(RuntimeWarning, match="positions do not fit the channel names"):
        channel_map = match_channels(info)
    assert channel_map.entries == tuple(name.upper() for name in CLINICAL)
    assert np.isnan(channel_map.positions).all()


@pytest.mark.parametrize("filler", [0.0, np.nan, 0.1])
def test_placeholders_are_no_positions(filler):
    info = make_info([*CLINICAL, "one"])
    for ch in info["chs"]:
        ch["loc"][:3] = filler
    channel_map = match_channels(info, on_missing="ignore")
    assert np.isnan(channel_map.positions).all()
    assert channel_map.missing == ["one"]
    assert channel_map.notes[-1] == "the name is not one of the montage"


def test_matching_does_not_touch_the_info():
    info = info_of("biosemi64")
    before = info.copy()
    match_channels(info)
    assert mne.utils.object_diff(info, before) == ""


# Aligned positions


def test_derivations_have_no_position():
    """A position that a derivation carries along is one electrode's, not its own."""
    info = make_info([*CLINICAL, "C3-Cz", "Fp1-F7"], template_montage())
    for ch in info["chs"][-2:]:
        ch["loc"][:3] = electrode_positions()[0] + [0, 0.001, 0]
    positions = match_channels(info, on_missing="ignore").positions
    assert np.isfinite(positions[:-2]).all()
    assert np.isnan(positions[-2:]).all()


def test_alignment_of_four_electrodes():
    names = ["C3", "C4", "Fz", "Pz"]
    info = make_info(names, mne.channels.make_standard_montage("easycap-M1"))
    expected = electrode_positions()[match_channels(info).indices]
    for found, place in zip(match_channels(info).positions, expected, strict=True):
        a, b = found - template_sphere()[0], place - template_sphere()[0]
        cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
        assert np.degrees(np.arccos(cosine)) < 8
    # Three are placed as they are, relative to the template's centre.
    three = make_info(names[:3], mne.channels.make_standard_montage("easycap-M1"))
    assert np.isfinite(match_channels(three).positions).all()


# The map and what goes wrong


def test_missing_channels():
    info = make_info(["Cz", "E17", "VREF9"])
    with pytest.raises(ValueError, match="2 of 3 channels match no entry") as error:
        match_channels(info)
    for piece in ("E17", "VREF9", "rename_channels", "set_montage", "drop_channels"):
        assert piece in str(error.value)
    with pytest.warns(RuntimeWarning, match="2 of 3 channels match no entry"):
        match_channels(info, on_missing="warn")
    assert match_channels(info, on_missing="ignore").missing == ["E17", "VREF9"]
    assert match_channels(info, picks=["Cz"]).entries == ("CZ",)
    with pytest.raises(ValueError, match="on_missing"):
        match_channels(info, on_missing="skip")
    with pytest.raises(TypeError, match="instance of mne.Info"):
        match_channels(mne.EvokedArray(np.zeros((3, 5)), info))


def test_only_eeg_is_matched_by_default():
    info = mne.create_info(["Fz", "Cz", "STI", "Fp1"], 200.0, ["eeg", "eeg", "stim", "eog"])
    info["bads"] = ["Cz"]
    assert match_channels(info).ch_names == ("Fz", "Cz")
    assert match_channels(info, picks=["Fp1"]).entries == ("FP1",)
    with pytest.raises(ValueError, match="no EEG channel to match"):
        match_channels(mne.create_info(["STI"], 200.0, "stim"))


def test_map_prints_as_a_table():
    info = make_info([*CLINICAL, "one"], template_montage())
    info["chs"][-1]["loc"][:3] = electrode_positions()[ELECTRODES.index("AF3")] + [0.004, 0, 0]
    text = str(match_channels(info))
    lines = text.splitlines()
    assert lines[0] == "<ChannelMap | 20 channels: 19 exact, 1 position>"
    assert lines[1].split() == ["channel", "entry", "how", "mm", "note"]
    assert len(lines) == 22
    assert lines[2].split() == ["Fp1", "FP1", "exact", "-"]
    assert lines[-1].split()[:4] == ["one", "AF3", "position", "4.0"]


def test_map_as_data_frame():
    frame = match_channels(make_info(["Cz", "T3", "what"]), on_missing="ignore").to_data_frame()
    assert list(frame.columns) == ["channel", "entry", "index", "how", "distance", "note"]
    assert list(frame["how"]) == ["exact", "name", "none"]
    assert list(frame["index"]) == [41, 37, -1]
    assert frame["entry"].isna().tolist() == [False, False, True]


def test_map_plots():
    plt = pytest.importorskip("matplotlib.pyplot")
    channel_map = match_channels(make_info(["Cz", "T3", "Fp1-F7", "what"]), on_missing="ignore")
    fig = channel_map.plot(show=False)
    assert "1 without entry" in fig.axes[0].get_title()
    texts = {text.get_text() for text in fig.axes[0].texts}
    assert texts == {"CZ", "T7", "FP1-F7"}
    _, axes = plt.subplots()
    assert channel_map.plot(axes=axes, show=False) is axes.figure


@pytest.mark.parametrize(
    "path, n_matched, missing",
    [
        ("eegmmi/sub-004/eeg/sub-004_task-imagery_run-04_eeg.edf", 64, []),
        ("alcohol/sub-a0364/eeg/sub-a0364_task-pictures_eeg.edf", 61, ["EOG X", "EOG Y"]),
        ("eegmat/sub-04/eeg/sub-04_task-rest_eeg.edf", 19, ["ECG ECG"]),
        ("mdd/sub-hc01/eeg/sub-hc01_task-eyesclosed_eeg.edf", 19, []),
    ],
)
def test_shared_recordings(shared, path, n_matched, missing):
    raw = mne.io.read_raw_edf(shared / "eeg" / path)
    channel_map = match_channels(raw.info, on_missing="ignore")
    assert channel_map.missing == missing
    assert len(set(channel_map.entries) - {None}) == n_matched
