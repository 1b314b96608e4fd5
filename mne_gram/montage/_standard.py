# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The montages that are built into MNE, by any of their names."""

import mne

from ._names import settle_names

_RENAMED = ("standard_", "colin27_")  # before MNE 1.13, and since


def make_montage(name):
    """Return a montage of MNE, by the name that this or another version of MNE gives it.

    Raises a ValueError if there is none.
    """
    known = mne.channels.get_builtin_montages()
    others = [
        new + name.removeprefix(old)
        for old, new in (_RENAMED, _RENAMED[::-1])
        if name.startswith(old)
    ]
    found = next((other for other in (name, *others) if other in known), None)
    if found is None:
        raise ValueError(
            f"Found no montage named {name!r}, expected one of {', '.join(known)}. Pass a single "
            f"channel as a list: channels=[{name!r}]."
        )
    return mne.channels.make_standard_montage(found)


def set_montage(inst, name):
    """Set the positions of a montage of MNE, in place; warn of channels that it lacks.

    Channels are found as by `match_channels`: ``EEG C3-LE`` is at C3.
    """
    montage = make_montage(name)
    upper = {own.upper() for own in montage.ch_names}
    places = {
        entry: own
        for own, (entry, *_) in zip(montage.ch_names, settle_names(montage.ch_names), strict=True)
        if entry is not None
    }
    renamed = {}
    for own, (entry, *_) in zip(inst.ch_names, settle_names(inst.ch_names), strict=True):
        if own.upper() not in upper and entry in places:
            renamed[places[entry]] = own
    montage.rename_channels(renamed)
    inst.set_montage(montage, match_case=False, on_missing="warn")
