# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The names of the 130 entries, and the entries that channel names stand for."""

import re
from functools import lru_cache

import numpy as np

# In the order of the model: a channel enters the network as its index in this list.
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

# Old names of the same position: the model was trained with the new ones.
RENAMED = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}

# Entries with another name in the 10-05 template. 10-10 caps call I1 and I2 O9 and O10. CFC and CCP
# are half rows, which 10-05 calls FTT and TTP beyond column 5.
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
# The same table backwards: names that a recording may use for these entries.
_ALIASES = {
    **RENAMED,
    **{
        template.upper(): entry
        for entry, template in TEMPLATE_NAMES.items()
        if entry[:2] in ("O9", "O1", "CF", "CC")
    },
}
# No scalp electrode lies at the earlobes; the others share their position with an entry that was
# trained on more data.
NOT_BY_POSITION = {*RENAMED, "T1", "T2", "CB1", "CB2", "A1", "A2"}
_EARS = {"A1", "A2", "M1", "M2"}

NO_NAME = "the name is not one of the montage"
_PRIMED = (
    "names such as C3' are electrodes in front of C3 or behind it, depending on the laboratory"
)
_PREFIX = re.compile(r"^(EEG|POL)-?(?=[A-Z])")
_SUFFIX = re.compile(
    r"(-(LE|LER|CLE|TLE|AR|AV|AVE|AVG|CAR|COM|AA|A1|A2|A1-?A2|M1|M2|M1-?M2|VREF|G2)|-?REF\d*)$"
)
# Signals that are not EEG in files that call every channel EEG. Electrodes at the eyes are none of
# these: with the reference of the EEG they are evidence.
_OTHER = re.compile(
    r"(^|-)(E[CK]G|EMG|RESP|PHOTIC|S[AP]O2|(ET)?CO2|PULSE|PLETH|GSR|EDA|STATUS|TRIG|IBI|BURSTS|SUPPR)"
)
_SHORT = r"[A-Z]\d{1,2}"
_MANY_UNKNOWN = 5  # short names: no cap with 10-20 names has as many others
_NUMBER = re.compile(r"-\d{1,2}$")
_BIPOLAR_KEYS = {
    a + b: f"{new_a}-{new_b}"
    for pair in BIPOLAR
    for new_a, new_b in [pair.split("-")]
    for a in [new_a, *(old for old, new in RENAMED.items() if new == new_a)]
    for b in [new_b, *(old for old, new in RENAMED.items() if new == new_b)]
}


def clean_name(name):
    """Return a channel name in capitals without prefix, reference, dots and running number."""
    name = re.sub(r"^E\.(?=[A-Z])|\(\d{1,2}\)$", "", name.upper())
    name = re.sub(r"[()\[\]+.]", "", name)
    name = re.sub(r"[\s_:/\u2013-]+", "-", name).strip("-")
    name = _PREFIX.sub("", name)
    name = _NUMBER.sub("", name)
    stripped = _SUFFIX.sub("", name)
    if stripped in _EARS and stripped != name and name.split("-", 1)[1][:2] in _EARS:
        return name  # A2-A1 is the difference between the ears, not an electrode's signal
    return stripped


def parse_name(name):
    """Return (entry or None, how, note) for a single channel name."""
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
                f"its polarity is opposite to {flipped}: multiply it by -1 and rename it",
            )
        return None, "pair", "a derivation that the montage does not contain"
    if re.search(r"[A-Z0-9]['\u2019\u2032]", cleaned):
        return None, "none", _PRIMED
    return None, "none", NO_NAME


def find_channels(names, ch_names):
    """Return the channels that names denote, as a recording writes them, and the unknown names.

    ``Cz`` denotes ``EEG Cz-LE`` and ``Cz..``, and ``T7`` denotes ``T3``, unless several would fit;
    ``EMG`` denotes ``EMG-1``, but ``EMG-2`` does not.
    """
    by_key = {}
    for name in ch_names:
        by_key.setdefault(_get_key(name), []).append(name)
    found, unknown = [], []
    for name in names:
        same = [name] if name in ch_names else by_key.get(_get_key(name), [])
        number = _get_number(name)
        same = [other for other in same if number in ("", _get_number(other))]
        found += same if len(same) == 1 else []
        unknown += [name] if len(same) != 1 else []
    return list(dict.fromkeys(found)), unknown


def _get_key(name):
    return parse_name(name)[0] or clean_name(name)


def _get_number(name):
    """Return the running number, which `clean_name` removes, or an empty text."""
    found = re.search(r"[\s_:/\u2013(-]0*(\d{1,2})\)?$", name)
    return found[1] if found else ""


def derivation_ends(name):
    """Return the two electrodes of a bipolar derivation's name, or None."""
    ends = [_ALIASES.get(end, end) for end in clean_name(name).split("-")]
    return tuple(ends) if len(ends) == 2 and all(end in ELECTRODES for end in ends) else None


@lru_cache(maxsize=4096)  # asked for every trial
def names_other_signal(name):
    """Return whether a name is that of a signal other than EEG, such as EKG1-REF."""
    return _OTHER.search(clean_name(name)) is not None


def _find_letter_labels(ch_names):
    """Return labels, such as A32, of systems in which A1, C3 ... are no 10-20 names.

    These are caps of BioSemi and contacts of depth electrodes.
    """
    found = [n for n in ch_names if re.fullmatch(r"[A-H](1[1-9]|2\d|3[0-2])", n.upper())]
    short = [n for n in ch_names if re.fullmatch(_SHORT, n.upper())]
    unknown = [n for n in short if parse_name(n)[0] is None]
    if len(unknown) >= max(_MANY_UNKNOWN, len(short) - len(unknown)):
        found += unknown
    return found


def find_derivations(ch_names):
    """Return which names are those of bipolar derivations, known or not, (n_channels,) of bool."""
    return np.array([how in ("bipolar", "pair") for _, how, _ in settle_names(ch_names)], bool)


def settle_names(ch_names, *, among=None):
    """Return (entry or None, how, note) for each name, with conflicts resolved, first come first.

    ``how`` is "exact", "name", "bipolar" or, without an entry, "pair" (another derivation), "taken"
    or "none". ``among`` are all names of the recording, by default these.
    """
    parsed = [parse_name(name) for name in ch_names]
    labels = _find_letter_labels(ch_names if among is None else among)
    if len(labels) > 1:
        note = f"names such as {labels[0]} and {labels[1]} show that this is not a 10-20 name"
        for index, name in enumerate(ch_names):
            if parsed[index][0] is not None and re.fullmatch(_SHORT, name.upper()):
                parsed[index] = None, "none", note
    cleaned = {clean_name(name) for name in ch_names}
    taken = {}
    for exact_pass in (True, False):  # an exact name wins, whatever the order
        for index, (entry, how, _) in enumerate(parsed):
            if entry is None or (how == "exact") != exact_pass:
                continue
            if entry.startswith("CCP") and how == "exact" and f"{entry}H" in cleaned:
                # In a recording with CCP1h, CCP1 is the 10-05 position, two centimetres away.
                parsed[index] = None, "none", f"the recording contains {entry}h, which lies there"
            elif entry in taken:
                note = f"{entry} is already taken by {ch_names[taken[entry]]}"
                parsed[index] = None, "taken", note
            else:
                taken[entry] = index
    return parsed
