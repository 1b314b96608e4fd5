# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Which channels are wanted, which of these a recording has, and where the others are."""

from dataclasses import dataclass

import mne
import numpy as np
from mne.channels import DigMontage
from mne.utils import _validate_type, logger, warn

from ..montage import (
    ELECTRODES,
    FAR,
    INDEX,
    apply_similarity,
    clean_name,
    derivation_ends,
    electrode_positions,
    fit_similarity,
    make_montage,
    match_channels,
    parse_name,
    read_positions,
    settle_names,
    template_places,
)


@dataclass(frozen=True)
class Wanted:
    """The channels of the result: ``names`` in order.

    ``present`` maps the wanted channels that the recording has to their names in it, ``positions``
    maps all to positions in metres in its head frame, NaN where there is none.
    """

    names: list
    present: dict
    positions: dict

    @property
    def missing(self):
        """The names of the channels that have to be added."""
        return [name for name in self.names if name not in self.present]


def find_wanted(inst, channels, on_missing):
    """Find out which of the wanted channels are missing, and where they are: a `Wanted`.

    Arguments are as in `harmonize`. Raises a ValueError if two names are the same electrode, or one
    is unknown, the name of another channel, or a missing derivation.
    """
    target = _read_target(channels)
    of_template = isinstance(channels, (list, tuple))
    have = match_channels(inst.info, on_missing="ignore", verbose="error")
    want = match_channels(target, on_missing="ignore", verbose="error")
    present = _match(inst, want, have)
    positions = _lay_positions(inst.info, target, have, of_template)
    unplaced = []
    for name, entry in zip(want.ch_names, want.entries, strict=True):
        if name in present:
            continue
        if "-" in (entry or "") or derivation_ends(name) is not None:
            raise ValueError(
                f"{name} is a derivation of two electrodes, and only electrodes can be added. "
                "Harmonize to its two electrodes, then derive it with "
                "mne.set_bipolar_reference."
            )
        # An entry that was found by position is of no use if positions contradict names.
        named = entry is not None and parse_name(name)[0] == entry
        if not named and not np.isfinite(positions[name]).all():
            unplaced.append(name)
    if unplaced:
        _refuse_unknown(unplaced, on_missing)
    names = [name for name in target["ch_names"] if name not in unplaced]
    wanted = Wanted(names, present, positions)
    logger.info(
        "%d of %d wanted channels are in the recording, %d are added.",
        *(len(present), len(names), len(wanted.missing)),
    )
    return wanted


def _refuse_unknown(names, on_missing):
    """Raise, warn or do nothing about channels of unknown position."""
    message = (
        f"Cannot add {', '.join(names)}: neither a 10-05 name nor a known position. Check the "
        "spelling, or pass a montage that contains them (mne.channels.make_dig_montage)"
    )
    if on_missing == "raise":
        raise ValueError(f"{message}; on_missing='warn' leaves them out.")
    if on_missing == "warn":
        warn(f"{message}. They are left out.")


def _read_target(channels):
    """Return an info with the wanted channels in order, with their positions in the head frame."""
    _validate_type(channels, (list, tuple, str, DigMontage, mne.Info), "channels")
    if isinstance(channels, (list, tuple)):
        return _read_names(list(channels))
    if isinstance(channels, mne.Info):
        picks = mne.pick_types(channels, eeg=True, exclude=())
        names = [channels["ch_names"][k] for k in picks]
        target = make_info(names, read_positions(channels, picks))
    else:
        if isinstance(channels, str):
            channels = make_montage(channels)
        target = mne.create_info(list(channels.ch_names), 1.0, "eeg")
        target.set_montage(channels)
        names = target["ch_names"]
    if not names:
        raise ValueError("channels contains no EEG channel: there is nothing to harmonize to.")
    said = settle_names(names)
    twice = [name for name, (_, how, _) in zip(names, said, strict=True) if how == "taken"]
    if twice:
        others = ", ".join(parse_name(name)[0] for name in twice)
        warn(
            f"{', '.join(twice)} are left out: channels contains the same electrodes by their "
            f"newer names, {others}. Pass a list of names to choose."
        )
        target = mne.pick_info(target, [k for k, name in enumerate(names) if name not in twice])
    return target


def _read_names(names):
    """Return an info with channels of these names at their positions in the template."""
    if not names:
        raise ValueError("channels is empty: there is nothing to harmonize to.")
    for name in names:
        _validate_type(name, str, "Each of channels")
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"channels contains {', '.join(twice)} more than once.")
    template = {name.upper(): place for name, place in template_places().items()}
    positions = np.full((len(names), 3), np.nan)
    first = {}
    for k, (name, (entry, how, _)) in enumerate(zip(names, settle_names(names), strict=True)):
        said = parse_name(name)[0]
        if entry in ELECTRODES:
            positions[k] = electrode_positions()[INDEX[entry]]
        elif said is None or said.startswith("CCP"):  # CCP1, unlike CCP1h, is where 10-05 has it
            positions[k] = template.get(clean_name(name), np.nan)
        place = _key(said if how == "taken" else entry)
        if place is not None and place in first:
            raise ValueError(
                f"{first[place]} and {name} are names of the same electrode: use one of them."
            )
        first[place] = name
    return make_info(names, positions)


def make_info(names, positions, sfreq=1.0):
    """Return an info of EEG channels at positions ``(n_channels, 3)`` in the head frame."""
    info = mne.create_info(list(names), sfreq, "eeg")
    for ch, position in zip(info["chs"], positions, strict=True):
        ch["loc"][:6] = *position, 0.0, 0.0, 0.0
    return info


def _key(entry):
    """Return a key that all names of an electrode share; None if there is no entry."""
    if entry not in ELECTRODES:
        return entry
    return tuple(electrode_positions()[INDEX[entry]].round(6))


def find_present(inst, info):
    """Return the name in the recording of each channel of an info that it has."""
    have = match_channels(inst.info, on_missing="ignore", verbose="error")
    want = match_channels(info, on_missing="ignore", verbose="error")
    return _match(inst, want, have)


def _match(inst, want, have):
    """Return the name in the recording of each wanted channel that it has."""
    by_name = ("exact", "name", "bipolar")  # by position they are only near, not the same
    places = {
        _key(entry): name
        for name, entry, how in zip(have.ch_names, have.entries, have.how, strict=True)
        if how in by_name
    }
    entries = dict(zip(have.ch_names, have.entries, strict=True))
    types = dict(zip(inst.ch_names, inst.get_channel_types(), strict=True))
    present = {}
    for name, entry, how in zip(want.ch_names, want.entries, want.how, strict=True):
        if types.get(name, "eeg") != "eeg":
            raise ValueError(
                f"{name} is wanted, but the recording has a channel of that name that is of type "
                f"{types[name]}. Set its type with inst.set_channel_types, or rename it."
            )
        if name in entries:
            _check_same(name, entry, entries[name])
            present[name] = name
        elif how in by_name and _key(entry) in places:
            present[name] = places[_key(entry)]
    return present


def _check_same(name, entry, found):
    """Refuse a channel that has the wanted name, but another position."""
    if entry not in ELECTRODES or found not in ELECTRODES:
        return
    template = electrode_positions()
    if np.linalg.norm(template[INDEX[entry]] - template[INDEX[found]]) > FAR:
        raise ValueError(
            f"{name} is wanted at {entry}, but the recording's channel of that name is at "
            f"{found}. Rename it with inst.rename_channels."
        )


def _lay_positions(info, target, have, of_template):
    """Return the positions of wanted channels in the recording's head frame, by name."""
    positions = read_positions(target, np.arange(len(target["ch_names"])))
    own = read_positions(info, mne.pick_types(info, eeg=True, exclude=()))
    located = np.isfinite(own).all(axis=1)
    used = located & np.isfinite(have.positions).all(axis=1)
    if located.any() and not used.any():
        positions[:] = np.nan  # the recording's positions contradict its names: names are enough
    elif of_template and used.any():
        try:
            positions = apply_similarity(positions, fit_similarity(have.positions[used], own[used]))
        except ValueError:
            logger.info(
                "Too few channel positions to align the template montage with the head: it is used "
                "as it is."
            )
    return dict(zip(target["ch_names"], positions, strict=True))
