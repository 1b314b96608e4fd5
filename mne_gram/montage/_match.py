# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The 130 entries of the model's montage, and which of them each channel of a recording takes."""

from dataclasses import dataclass

import mne
import numpy as np
from mne._fiff.pick import _picks_to_idx
from mne.utils import _check_option, _validate_type, logger, verbose, warn

from ._head import (
    AGREE,
    FAR,
    align_positions,
    electrode_positions,
    fit_sphere,
    read_positions,
    template_places,
    template_sphere,
)
from ._names import BIPOLAR, CH_NAMES, ELECTRODES, INDEX, NO_NAME, NOT_BY_POSITION, settle_names

__all__ = [
    "BIPOLAR",
    "CH_NAMES",
    "ELECTRODES",
    "ChannelMap",
    "channel_directions",
    "electrode_positions",
    "fit_sphere",
    "match_channels",
    "template_sphere",
]


_BY_POSITION = [name for name in ELECTRODES if name not in NOT_BY_POSITION]


def _is_elsewhere(entry, aligned, limit):
    """Tell whether an electrode lies elsewhere than its entry."""
    distance = np.linalg.norm(aligned - electrode_positions()[INDEX[entry]])
    own = template_places().get(entry)
    if entry.startswith("CCP") and own is not None:
        return np.linalg.norm(aligned - own) < distance
    return distance > limit


def _believe_positions(parsed, aligned):
    """Take back the names that the positions contradict."""
    parsed = list(parsed)
    located = np.isfinite(aligned).all(axis=1)
    checked = [k for k, (e, how, _) in enumerate(parsed) if located[k] and how in ("exact", "name")]
    if not checked:
        return parsed
    template = electrode_positions()
    distance = [np.linalg.norm(aligned[k] - template[INDEX[parsed[k][0]]]) for k in checked]
    # Where names and positions agree on the whole, an idealised cap may be off by more in places.
    median = np.median(distance)
    limit = max(FAR, 3 * median) if median < AGREE else FAR
    for k, metres in zip(checked, distance, strict=True):
        entry = parsed[k][0]
        if _is_elsewhere(entry, aligned[k], limit):
            parsed[k] = None, "none", f"its position is {100 * metres:.0f} cm from {entry}"
    return parsed


def _match_positions(parsed, aligned, max_distance):
    """Give free places to channels without an entry, the nearest pair first."""
    parsed = list(parsed)
    distances = np.full(len(parsed), np.nan)
    template = electrode_positions()
    taken = np.array([template[INDEX[e]] for e, *_ in parsed if e in ELECTRODES]).reshape(-1, 3)
    free = [
        name
        for name in _BY_POSITION
        if not (np.linalg.norm(taken - template[INDEX[name]], axis=1) < 1e-6).any()
    ]
    seekers = [
        k
        for k, (entry, how, _) in enumerate(parsed)
        if entry is None and how == "none" and np.isfinite(aligned[k]).all()
    ]
    if not seekers:
        return parsed, distances
    places = np.array([template[INDEX[name]] for name in free]).reshape(-1, 3)
    table = np.linalg.norm(aligned[seekers][:, None] - places[None], axis=2)
    for flat in np.argsort(table, axis=None, kind="stable"):
        row, col = np.unravel_index(flat, table.shape)
        if table[row, col] > max_distance:
            break
        k = seekers[row]
        if parsed[k][0] is None and free[col] is not None:
            note = parsed[k][2].replace(NO_NAME, "")  # a name that says nothing needs no excuse
            parsed[k] = free[col], "position", note
            distances[k] = table[row, col]
            free[col] = None
    for k in seekers:
        if parsed[k][0] is None:
            note = f"{parsed[k][2]}, and {_tell_nearest(aligned[k], max_distance)}"
            parsed[k] = None, "none", note
    return parsed, distances


def _tell_nearest(position, max_distance):
    """Say why the position of a channel that was left over gave it no entry."""
    distance = np.linalg.norm(electrode_positions() - position, axis=1)
    nearest = min(_BY_POSITION, key=lambda name: distance[INDEX[name]])
    if distance[INDEX[nearest]] > max_distance:
        return f"no entry lies within {100 * max_distance:g} cm"
    return f"{nearest}, the nearest entry, is taken"


@dataclass(frozen=True, eq=False)
class ChannelMap:
    """Which entry of the montage each channel takes, and why.

    Attributes
    ----------
    ch_names : tuple of str
        The channels, in the order of the recording.
    entries : tuple of str or None
        The entry of each channel, None where it has none.
    indices : array of int, shape (n_channels,)
        The index of the entry in ``CH_NAMES``, -1 where there is none.
    how : tuple of str
        ``"exact"`` (the name is the entry's), ``"name"`` (after taking off prefix, reference and
        dots, or an old name), ``"bipolar"``, ``"position"`` or ``"none"``.
    distances : array of float, shape (n_channels,)
        Metres between electrode and entry where the position decided, else NaN.
    positions : array of float, shape (n_channels, 3)
        The recorded positions laid on the template head, in metres, NaN where there is none.
    notes : tuple of str
        Why a channel has no entry, or not the one that its name says; else empty.
    """

    ch_names: tuple
    entries: tuple
    indices: np.ndarray
    how: tuple
    distances: np.ndarray
    positions: np.ndarray
    notes: tuple

    def __len__(self):
        """Return the number of channels."""
        return len(self.ch_names)

    @property
    def missing(self):
        """The channels without an entry, a list of str."""
        return [n for n, entry in zip(self.ch_names, self.entries, strict=True) if entry is None]

    def __repr__(self):
        """Return one line: how many channels have an entry, and how they got it."""
        counts = {how: self.how.count(how) for how in dict.fromkeys(self.how)}
        how = ", ".join(f"{n} {key}" for key, n in counts.items())
        return f"<ChannelMap | {len(self)} channels: {how or 'none'}>"

    def __str__(self):
        """Return a table, one row a channel."""
        width = max([7, *(len(name) for name in self.ch_names)])
        rows = [repr(self), f"{'channel':{width}}  entry   how       mm    note"]
        for name, entry, how, distance, note in zip(
            self.ch_names, self.entries, self.how, self.distances, self.notes, strict=True
        ):
            mm = f"{1000 * distance:4.1f}" if np.isfinite(distance) else "   -"
            rows.append(f"{name:{width}}  {entry or '-':6}  {how:8}  {mm}  {note}".rstrip())
        return "\n".join(rows)

    def to_data_frame(self):
        """Return the map as a table.

        Returns
        -------
        df : pandas.DataFrame
            One row a channel, with columns ``channel, entry, index, how, distance, note``.
        """
        import pandas as pd

        return pd.DataFrame(
            {
                "channel": self.ch_names,
                "entry": self.entries,
                "index": self.indices,
                "how": self.how,
                "distance": self.distances,
                "note": self.notes,
            }
        )

    def plot(self, *, axes=None, show=True):
        """Draw the entries on a head, seen from above, nose up.

        Parameters
        ----------
        axes : matplotlib.axes.Axes | None
            Where to draw; None makes a figure.
        show : bool
            Whether to show the figure.

        Returns
        -------
        fig : matplotlib.figure.Figure
            The figure.
        """
        import matplotlib.pyplot as plt

        fig, axes = plt.subplots(layout="constrained") if axes is None else (axes.figure, axes)
        flat = _flatten(electrode_positions())
        axes.scatter(*flat.T, s=8, color="0.8", label="free")
        axes.add_patch(plt.Circle((0, 0), np.pi / 2, fill=False, color="0.5"))
        axes.plot([-0.15, 0, 0.15], [1.57, 1.75, 1.57], color="0.5")
        for color, how in enumerate(("exact", "name", "position", "bipolar")):
            taken = [e for e, h in zip(self.entries, self.how, strict=True) if h == how]
            if not taken:
                continue
            ends = [[flat[INDEX[end]] for end in entry.split("-")] for entry in taken]
            for pair in ends:
                axes.plot(*np.array(pair).T, color=f"C{color}", lw=1)
            middle = np.array([np.mean(pair, axis=0) for pair in ends])
            axes.scatter(*middle.T, s=40, color=f"C{color}", label=f"{how} ({len(taken)})")
            for (x, y), entry in zip(middle, taken, strict=True):
                axes.annotate(entry, (x, y), (0, 4), textcoords="offset points", fontsize=6)
        axes.set(aspect="equal", title=f"{len(self)} channels, {len(self.missing)} without entry")
        axes.axis("off")
        axes.legend(fontsize=7, loc="upper left")
        if show:
            plt.show()
        return fig


def _flatten(positions):
    """Return the azimuthal equidistant projection of head positions, shape (n, 2)."""
    unit = positions - template_sphere()[0]
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    plane = np.linalg.norm(unit[:, :2], axis=1, keepdims=True)
    return unit[:, :2] / np.maximum(plane, 1e-12) * np.arccos(np.clip(unit[:, 2:], -1, 1))


def _map_channels(info, idx, max_distance):
    """Return the ChannelMap of the channels ``idx``, laid out with all EEG channels of the info."""
    eeg = mne.pick_types(info, eeg=True, exclude=())
    every = np.union1d(eeg, idx).astype(int)
    # Alignment uses every electrode, so that a channel's place doesn't depend on what is picked.
    all_names = [info["ch_names"][k] for k in every]
    said = settle_names(all_names)
    positions = read_positions(info, every)
    positions[[how in ("bipolar", "pair") for _, how, _ in said]] = np.nan  # between two places
    aligned = align_positions(positions, [entry for entry, *_ in said])
    aligned = aligned[np.searchsorted(every, idx)]
    names = tuple(info["ch_names"][k] for k in idx)
    parsed = _believe_positions(settle_names(names, among=all_names), aligned)
    parsed, distances = _match_positions(parsed, aligned, max_distance)
    return ChannelMap(
        ch_names=names,
        entries=tuple(entry for entry, *_ in parsed),
        indices=np.array([INDEX.get(entry, -1) for entry, *_ in parsed], int),
        how=tuple(how if entry else "none" for entry, how, _ in parsed),
        distances=distances,
        positions=aligned,
        notes=tuple(note for *_, note in parsed),
    )


@verbose
def match_channels(info, *, picks=None, on_missing="raise", max_distance=0.02, verbose=None):
    """Find which of the 130 entries of the montage each channel takes.

    Parameters
    ----------
    info : mne.Info
        The measurement info.
    picks : str | array-like | slice | None
        Channels to match; None takes all EEG channels, bad ones included.
    on_missing : "raise" | "warn" | "ignore"
        What to do about channels that take no entry.
    max_distance : float
        Largest distance in metres between an electrode and the entry that it takes by position.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    channel_map : ChannelMap
        The entry of each channel and how it was found. No entry is taken twice.

    Raises
    ------
    ValueError
        If there is no channel to match, or a channel takes no entry and ``on_missing="raise"``.

    Notes
    -----
    A name decides first: as it is, in any case; then without ``EEG``, dots and the reference
    (``EEG Fp1-LE``, ``Fc5.``), with T3, T4, T5 and T6 read as T7, T8, P7 and P8; then as one of
    the 16 bipolar derivations. Of two channels with one entry the exact name wins, else the
    first. A derivation written the other way round has the opposite sign and is not matched.

    Then positions decide, for channels without a name of the montage and for those whose electrode
    lies elsewhere than the name says (``A1`` of a BioSemi cap is not an earlobe). Positions are
    laid on the template by the electrodes with known names, else by the sphere that fits
    them.

    MNE's own CCP1 to CCP6 lie two centimetres from the entries of these names, which are where
    10-05 says CCP1h to CCP6h: where there are positions, they decide.
    """
    _validate_type(info, mne.Info, "info", "an instance of mne.Info, such as raw.info")
    _check_option("on_missing", on_missing, ("raise", "warn", "ignore"))
    if picks is None:
        idx = mne.pick_types(info, eeg=True, exclude=())
    else:
        idx = _picks_to_idx(info, picks, none="eeg", exclude=())
    if len(idx) == 0:
        raise ValueError(
            "Found no EEG channel to match. If channels have another type, set it with "
            "inst.set_channel_types, or name them with picks."
        )
    channel_map = _map_channels(info, idx, max_distance)
    logger.info("%r", channel_map)
    if channel_map.missing and on_missing != "ignore":
        reasons = dict(zip(channel_map.ch_names, channel_map.notes, strict=True))
        missing = [f"  {name}: {reasons[name]}" for name in channel_map.missing]
        message = (
            f"{len(missing)} of {len(idx)} channels take no entry of the montage:\n"
            + "\n".join(missing)
            + "\nRename them to 10-05 names (inst.rename_channels), give them positions if they "
            "have none (inst.set_montage), or leave them out (inst.drop_channels, picks)."
        )
        if on_missing == "raise":
            raise ValueError(message)
        warn(message)
    return channel_map


def channel_directions(info, ch_names):
    """Return where channels lie on the head, seen from the centre of the head's sphere.

    Parameters
    ----------
    info : mne.Info
        The measurement info.
    ch_names : list of str
        Channels of the info.

    Returns
    -------
    directions : array, shape (n_channels, 3)
        Unit vectors in the template's head frame, a row a channel. They come from the
        recording's own positions where it has them, laid on the template as in
        :func:`match_channels`; else from the place of the entry that the channel's name takes. A
        row is NaN where there is neither, and for bipolar derivations.
    """
    names = list(info["ch_names"])
    absent = [name for name in ch_names if name not in names]
    if absent:
        raise ValueError(f"Found no channel named {', '.join(absent)} in the info.")
    idx = np.array([names.index(name) for name in ch_names], int)
    order = np.unique(idx)
    channel_map = _map_channels(info, order, max_distance=0.02)
    places = channel_map.positions.copy()
    template = electrode_positions()
    for k, entry in enumerate(channel_map.entries):
        if entry in ELECTRODES and not np.isfinite(places[k]).all():
            places[k] = template[INDEX[entry]]
    directions = places - template_sphere()[0]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return directions[np.searchsorted(order, idx)]
