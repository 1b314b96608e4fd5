# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The names of the 130 entries, and what a recording's channel name says about them."""

import re

# The order is the model's: a channel enters the network as its index in this list.
CH_NAMES = tuple(
    """
    FP1 FPZ FP2
    AF9 AF7 AF5 AF3 AF1 AFZ AF2 AF4 AF6 AF8 AF10
    F9 F7 F5 F3 F1 FZ F2 F4 F6 F8 F10
    FT9 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 FT8 FT10
    T9 T7 C5 C3 C1 CZ C2 C4 C6 T8 T10
    TP9 TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 TP10
    P9 P7 P5 P3 P1 PZ P2 P4 P6 P8 P10
    PO9 PO7 PO5 PO3 PO1 POZ PO2 PO4 PO6 PO8 PO10
    O1 OZ O2 O9 CB1 CB2
    IZ O10 T3 T5 T4 T6 M1 M2 A1 A2
    CFC1 CFC2 CFC3 CFC4 CFC5 CFC6 CFC7 CFC8
    CCP1 CCP2 CCP3 CCP4 CCP5 CCP6 CCP7 CCP8
    T1 T2
    FP1-F7 F7-T7 T7-P7 P7-O1 FP2-F8 F8-T8 T8-P8 P8-O2
    FP1-F3 F3-C3 C3-P3 P3-O1 FP2-F4 F4-C4 C4-P4 P4-O2
    """.split()
)
ELECTRODES = CH_NAMES[:114]
BIPOLAR = CH_NAMES[114:]
INDEX = {name: index for index, name in enumerate(CH_NAMES)}

# Two names of one place: the second row is the one that was trained.
RENAMED = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}

# Entries that the 10-05 template knows under another name. I1 and I2 are what 10-10 caps call O9
# and O10; CFC and CCP are half rows, and beyond column 5 10-05 calls these FTT and TTP.
TEMPLATE_NAMES = {
    **RENAMED,
    "T1": "FT9",
    "T2": "FT10",
    "CB1": "PO9",
    "CB2": "PO10",
    "O9": "I1",
    "O10": "I2",
    **{f"CFC{k}": f"FCC{k}h" for k in range(1, 7)},
    **{f"CCP{k}": f"CCP{k}h" for k in range(1, 7)},
    "CFC7": "FTT7h",
    "CFC8": "FTT8h",
    "CCP7": "TTP7h",
    "CCP8": "TTP8h",
}
# The same table read backwards gives names that a recording may use for these entries.
_ALIASES = {
    **RENAMED,
    **{
        template.upper(): entry
        for entry, template in TEMPLATE_NAMES.items()
        if entry[:2] in ("O9", "O1", "CF", "CC")
    },
}
# Earlobes are taken by name only (no scalp electrode lies there); the others share their place
# with a row that is trained on more data.
NOT_BY_POSITION = {*RENAMED, "T1", "T2", "CB1", "CB2", "A1", "A2"}
_EARS = {"A1", "A2", "M1", "M2"}

NO_NAME = "the name is not one of the montage"
_PREFIX = re.compile(r"^(EEG|POL)-?(?=[A-Z])")
_SUFFIX = re.compile(
    r"(-(LE|LER|CLE|TLE|AR|AV|AVE|AVG|CAR|COM|AA|A1|A2|A1-?A2|M1|M2|M1-?M2|VREF)|-?REF\d*)$"
)
_NUMBER = re.compile(r"-\d{1,2}$")
_BIPOLAR_KEYS = {
    a + b: f"{new_a}-{new_b}"
    for pair in BIPOLAR
    for new_a, new_b in [pair.split("-")]
    for a in [new_a, *(old for old, new in RENAMED.items() if new == new_a)]
    for b in [new_b, *(old for old, new in RENAMED.items() if new == new_b)]
}


def clean_name(name):
    """Return a channel name without prefix, reference, dots and running number, in capitals."""
    name = re.sub(r"[()\[\]+.]", "", name.upper())
    name = re.sub(r"[\s_:/\u2013-]+", "-", name).strip("-")
    name = _PREFIX.sub("", name)
    name = _NUMBER.sub("", name)
    stripped = _SUFFIX.sub("", name)
    if stripped in _EARS and stripped != name and name.split("-", 1)[1][:2] in _EARS:
        return name  # A2-A1 is the difference of the ears, which is not an electrode's signal
    return stripped


def parse_name(name):
    """Return (entry or None, how, note) for a channel name alone."""
    upper = name.upper()
    if upper in INDEX and upper not in RENAMED:
        return upper, ("bipolar" if "-" in upper else "exact"), ""
    cleaned = clean_name(name)
    entry = _ALIASES.get(cleaned, cleaned)
    if entry in INDEX and "-" not in entry:
        return entry, "name", ""
    pair = cleaned.split("-")
    key = cleaned.replace("-", "")
    if key in _BIPOLAR_KEYS:
        return _BIPOLAR_KEYS[key], "bipolar", ""
    if len(pair) == 2 and all(_ALIASES.get(end, end) in ELECTRODES for end in pair):
        flipped = _BIPOLAR_KEYS.get(pair[1] + pair[0])
        if flipped:
            return (
                None,
                "pair",
                (f"its polarity is the opposite of {flipped}: multiply it by -1 and rename it"),
            )
        return None, "pair", "a derivation between two electrodes that the montage does not have"
    return None, "none", NO_NAME


def derivation_ends(name):
    """Return the two electrodes of a bipolar derivation's name, or None."""
    ends = [_ALIASES.get(end, end) for end in clean_name(name).split("-")]
    return tuple(ends) if len(ends) == 2 and all(end in ELECTRODES for end in ends) else None


def _find_letter_labels(ch_names):
    """Return labels that show that A1 ... A32, B1 ... are meant, which look like 10-20 names."""
    return [n for n in ch_names if re.fullmatch(r"[A-H](1[1-9]|2\d|3[0-2])", n.upper())]


def settle_names(ch_names, *, among=None):
    """Return what each name says, with the conflicts between them settled, first come first.

    ``among`` holds all names of the recording, which tell of what kind they are; by default these.

    Returns a list of (entry or None, how, note), where how is ``"exact"``, ``"name"``,
    ``"bipolar"`` or, without an entry, ``"pair"`` (another derivation), ``"taken"`` or ``"none"``.
    """
    parsed = [parse_name(name) for name in ch_names]
    labels = _find_letter_labels(ch_names if among is None else among)
    if len(labels) > 1:
        note = f"{labels[0]} and {labels[1]} show that these are not 10-20 names"
        for index, name in enumerate(ch_names):
            if parsed[index][0] is not None and re.fullmatch(r"[A-H]\d{1,2}", name.upper()):
                parsed[index] = None, "none", note
    cleaned = {clean_name(name) for name in ch_names}
    taken = {}
    for exact_pass in (True, False):  # an exact name wins, wherever it stands
        for index, (entry, how, _) in enumerate(parsed):
            if entry is None or (how == "exact") != exact_pass:
                continue
            if entry.startswith("CCP") and how == "exact" and f"{entry}H" in cleaned:
                # With the h names beside it CCP1 means the 10-05 place, two centimetres off.
                parsed[index] = None, "none", f"{entry}h is in the recording and lies there"
            elif entry in taken:
                note = f"{entry} is already taken by {ch_names[taken[entry]]}"
                parsed[index] = None, "taken", note
            else:
                taken[entry] = index
    return parsed
