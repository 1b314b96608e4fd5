# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The names of the entries, and the entries of channel names."""

import mne
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_gram.montage import (
    CH_NAMES,
    ELECTRODES,
    clean_name,
    find_channels,
    match_channels,
    parse_name,
    settle_names,
)

few = settings(deadline=None, max_examples=40)


def make_info(ch_names, montage=None):
    info = mne.create_info(list(ch_names), 200.0, "eeg")
    return info.set_montage(montage, on_missing="ignore")


def entry_of(*names):
    channel_map = match_channels(make_info(names), on_missing="ignore")
    return channel_map.entries[0] if len(names) == 1 else channel_map.entries


@pytest.mark.parametrize(
    "name, entry",
    [
        ("Fp1", "FP1"),
        ("CZ", "CZ"),
        ("Fc5.", "FC5"),
        ("Iz..", "IZ"),
        ("EEG Fp1", "FP1"),
        ("EEG Fp1-REF", "FP1"),
        ("EEG Fp1-Ref", "FP1"),
        ("Fp1Ref", "FP1"),
        ("EEG Fp1-LE", "FP1"),
        ("EEG F4-M1", "F4"),
        ("EEG C3-A1A2", "C3"),
        ("C3-(A1+A2)", "C3"),
        ("C3 - A2", "C3"),
        ("EEG FP1-REF-0", "FP1"),
        ("EEG_Oz_AVG", "OZ"),
        ("EEG:Pz", "PZ"),
        ("POL Fz", "FZ"),
        ("EEG T3-LE", "T7"),
        ("T3", "T7"),
        ("t4", "T8"),
        ("T5", "P7"),
        ("T6", "P8"),
        ("T1", "T1"),
        ("A1", "A1"),
        ("EEG A1-REF", "A1"),
        ("CCP1", "CCP1"),
        ("CCP1h", "CCP1"),
        ("FCC3h", "CFC3"),
        ("TTP8h", "CCP8"),
        ("I1", "O9"),
        ("FP1-F7", "FP1-F7"),
        ("EEG Fp1-F7", "FP1-F7"),
        ("Fp1F7", "FP1-F7"),
        ("F7-T3", "F7-T7"),
        ("T3-T5", "T7-P7"),
        ("T8-P8-0", "T8-P8"),
        ("P7 - O1", "P7-O1"),
        ("E.C3", "C3"),
        ("E.Fp1-Ref", "FP1"),
        ("C3-G2", "C3"),
        ("EEG T3-G2", "T7"),
        ("C3-AVG(1)", "C3"),
        ("EEG Fp2-LE(12)", "FP2"),
        ("C3 (2)", "C3"),
        ("C3'", None),
        ("EEG Fz''-REF", None),
        ("P4\u2019-M1", None),
        ("EEG A2-A1", None),
        ("F7-FP1", None),
        ("C3-Cz", None),
        ("EEG001", None),
        ("E17", None),
        ("X", None),
        ("", None),
    ],
)
def test_names(name, entry):
    assert parse_name(name)[0] == entry


@few
@given(st.sampled_from(CH_NAMES))
def test_every_entry_takes_its_own_name(name):
    entry, how, _ = parse_name(name)
    renamed = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
    assert entry == renamed.get(name, name)
    assert how == ("bipolar" if "-" in name else "name" if name in renamed else "exact")


@few
@given(
    name=st.sampled_from(ELECTRODES[:80]),
    prefix=st.sampled_from(["", "EEG ", "eeg-", "EEG_"]),
    suffix=st.sampled_from(["", ".", "..", "-REF", "-LE", "-A1", "-Av", " - M2", "-M1M2", "-ref1"]),
    lower=st.booleans(),
)
def test_dressed_names(name, prefix, suffix, lower):
    dressed = prefix + (name.lower() if lower else name) + suffix
    assert clean_name(dressed) == name
    assert parse_name(dressed)[0] == name


def test_primed_names_are_explained():
    """C3' is in front of C3 in MNE's montage of such names, and behind it in evoked potentials."""
    with pytest.warns(RuntimeWarning, match="C3': .*in front of C3 or behind.*\n.*[Rr]ename"):
        channel_map = match_channels(make_info(["C3'", "C3", "Cz"]), on_missing="warn")
    assert channel_map.entries == (None, "C3", "CZ")
    primed = [n for n in mne.channels.get_builtin_montages() if n.endswith("_primed")][0]
    info = make_info(["C3'", "C3", "Cz", "Pz", "Fz", "O1"], primed)
    assert match_channels(info).entries[:2] == ("FC3", "C3")  # with positions, these decide


def test_reversed_pair_is_not_taken():
    channel_map = match_channels(make_info(["F7-Fp1", "Cz"]), on_missing="ignore")
    assert channel_map.entries == (None, "CZ")
    assert channel_map.how == ("none", "exact")
    assert "opposite to FP1-F7: multiply it by -1" in channel_map.notes[0]


@pytest.mark.parametrize(
    "names, entries",
    [
        (["EEG Fp1", "Fp1."], ("FP1", None)),
        (["EEG Fp1", "Fp1"], (None, "FP1")),
        (["T3", "T7"], (None, "T7")),
        (["T7", "T3", "EEG T7"], ("T7", None, None)),
        (["T8-P8-0", "T8-P8-1"], ("T8-P8", None)),
        (["CCP1", "CCP1h"], (None, "CCP1")),
        (["T1", "FT9"], ("T1", "FT9")),
    ],
)
def test_no_entry_is_taken_twice(names, entries):
    assert entry_of(*names) == entries


def test_duplicates_say_who_was_first():
    channel_map = match_channels(make_info(["EEG Fp1", "Fp1."]), on_missing="ignore")
    assert channel_map.notes == ("", "FP1 is already taken by EEG Fp1")


def test_contacts_of_depth_electrodes_are_not_10_20_names():
    names = [f"{letter}{number}" for letter in "ABCOT" for number in range(1, 9)]
    assert {entry for entry, *_ in settle_names(names)} == {None}
    note = settle_names(names)[names.index("C3")][2]
    assert note == "names such as A3 and A4 show that this is not a 10-20 name"
    # A few other channels do not make a cap another system.
    cap = ["F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "Fz", "Cz"]
    for others in (["E1", "E2", "X1", "X2"], [f"X{number}" for number in range(1, 8)]):
        assert [entry for entry, *_ in settle_names([*cap, *others])][:10] == [
            name.upper() for name in cap
        ]


def test_labels_of_a_biosemi_cap_are_not_10_20_names():
    """Without positions, A1 and C3 of a BioSemi cap are no earlobe and no 10-20 C3."""
    names = [f"{letter}{number}" for letter in "ABCD" for number in range(1, 33)]
    channel_map = match_channels(make_info(names), on_missing="ignore")
    assert channel_map.entries == (None,) * 128
    assert channel_map.notes[0] == "names such as A11 and A12 show that this is not a 10-20 name"
    assert channel_map.notes[30] == "the name is not one of the montage"  # as A31 says itself
    # The rest of the recording still tells, when only some channels are picked.
    some = match_channels(make_info(names), picks=["A1", "C3"], on_missing="ignore")
    assert some.entries == (None, None)
    assert entry_of("A1", "C3", "C4", "F7", "F8") == ("A1", "C3", "C4", "F7", "F8")


def test_channels_by_names():
    """Names are those of the recording, or denote exactly one of its channels."""
    ch_names = ["EEG Cz-LE", "T3", "Fz", "EEG Fz-LE", "F7-T7", "Trigger 1", "C3..", "c3"]
    given = ["Cz", "T7", "Fz", "trigger-1", "f7-t3", "Cz", "C3", "O1"]
    found, unknown = find_channels(given, ch_names)
    assert found == ["EEG Cz-LE", "T3", "Fz", "Trigger 1", "F7-T7"]
    assert unknown == ["C3", "O1"]


def test_channels_by_numbers():
    """EEG 2 is not EEG 1, however they are written."""
    assert find_channels(["EEG 2", "eeg_1"], ["EEG 1"]) == (["EEG 1"], ["EEG 2"])
    ch_names = ["Trigger 1", "Trigger 2", "EMG-1", "Cz(2)"]
    given = ["trigger-2", "EMG-2", "EMG", "trigger", "Cz"]
    assert find_channels(given, ch_names) == (
        ["Trigger 2", "EMG-1", "Cz(2)"],
        ["EMG-2", "trigger"],
    )
