# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Match the channels of a recording to the 130 entries of the montage."""

from dataclasses import dataclass

import mne
import numpy as np
from mne._fiff.pick import _picks_to_idx
from mne.utils import _check_option, _validate_type, logger, verbose, warn

from .._counts import count
from ._head import (
    AGREE,
    FAR,
    align_positions,
    electrode_positions,
    read_positions,
    template_places,
    template_sphere,
)
from ._names import ELECTRODES, INDEX, NO_NAME, NOT_BY_POSITION, settle_names

_BY_POSITION = [name for name in ELECTRODES if name not in NOT_BY_POSITION]


def _is_elsewhere(entry, aligned, limit):
    """Return whether an electrode is farther from its entry than a limit in metres."""
    distance = np.linalg.norm(aligned - electrode_positions()[INDEX[entry]])
    own = template_places().get(entry)
    if entry.startswith("CCP") and own is not None:
        return np.linalg.norm(aligned - own) < distance
    return distance > limit


def _believe_positions(parsed, aligned):
    """Discard entries from names that the positions contradict."""
    parsed = list(parsed)
    located = np.isfinite(aligned).all(axis=1)
    checked = [k for k, (e, how, _) in enumerate(parsed) if located[k] and how in ("exact", "name")]
    if not checked:
        return parsed
    template = electrode_positions()
    distance = [np.linalg.norm(aligned[k] - template[INDEX[parsed[k][0]]]) for k in checked]
    # If names and positions agree overall, single electrodes of an idealised cap may deviate more.
    median = np.median(distance)
    limit = max(FAR, 3 * median) if median < AGREE else FAR
    for k, metres in zip(checked, distance, strict=True):
        entry = parsed[k][0]
        if _is_elsewhere(entry, aligned[k], limit):
            parsed[k] = None, "none", f"its position is {100 * metres:.0f} cm from {entry}"
    return parsed


def _match_positions(parsed, aligned, max_distance):
    """Match channels without an entry to free entries by position, the nearest pair first."""
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
            note = parsed[k][2].replace(NO_NAME, "")  # an unknown name needs no explanation then
            parsed[k] = free[col], "position", note
            distances[k] = table[row, col]
            free[col] = None
    for k in seekers:
        if parsed[k][0] is None:
            note = f"{parsed[k][2]}, and {_describe_nearest(aligned[k], max_distance)}"
            parsed[k] = None, "none", note
    return parsed, distances


def _describe_nearest(position, max_distance):
    """Return why the position of a remaining channel matches no entry."""
    distance = np.linalg.norm(electrode_positions() - position, axis=1)
    nearest = min(_BY_POSITION, key=lambda name: distance[INDEX[name]])
    if distance[INDEX[nearest]] > max_distance:
        return f"there is no entry within {100 * max_distance:g} cm"
    return f"{nearest}, the nearest entry, is taken"


@dataclass(frozen=True, eq=False)
class ChannelMap:
    """The montage entry of each channel, and how it was found.

    Attributes
    ----------
    ch_names : tuple of str
        The channels, in the order of the recording.
    entries : tuple of str or None
        The entry of each channel, None where it has none.
    indices : array of int, shape (n_channels,)
        The index of the entry in ``CH_NAMES``, -1 where there is none.
    how : tuple of str
        ``"exact"`` (same name), ``"name"`` (an old name, or the name without prefix, reference and
        dots), ``"bipolar"``, ``"position"`` or ``"none"``.
    distances : array of float, shape (n_channels,)
        Metres between electrode and entry if matched by position, otherwise NaN.
    positions : array of float, shape (n_channels, 3)
        The recorded positions aligned to the template head, in metres, NaN where missing.
    notes : tuple of str
        Why a channel has no entry, or another one than its name suggests; otherwise empty.
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
        """Return one line with the number of channels by how they were matched."""
        counts = {how: self.how.count(how) for how in dict.fromkeys(self.how)}
        how = ", ".join(f"{n} {key}" for key, n in counts.items())
        return f"<ChannelMap | {count(len(self), 'channel')}: {how or 'none'}>"

    def __str__(self):
        """Return a table with one row per channel."""
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
            One row per channel, with columns ``channel, entry, index, how, distance, note``.
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
        """Plot the entries on a head, seen from above, nose up.

        Parameters
        ----------
        axes : matplotlib.axes.Axes | None
            The axes to plot in; None creates a figure.
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
    """Return the ChannelMap of the channels ``idx``, aligned by all EEG channels of the info."""
    eeg = mne.pick_types(info, eeg=True, exclude=())
    every = np.union1d(eeg, idx).astype(int)
    # Alignment uses all electrodes, so that the result does not depend on picks.
    all_names = [info["ch_names"][k] for k in every]
    named = settle_names(all_names)
    positions = read_positions(info, every)
    positions[[how in ("bipolar", "pair") for _, how, _ in named]] = np.nan  # between two positions
    aligned = align_positions(positions, [entry for entry, *_ in named])
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
    """Match channels to the 130 entries of the montage.

    Parameters
    ----------
    info : mne.Info
        The measurement info.
    picks : str | array-like | slice | None
        The channels to match; None takes all EEG channels, including bad ones.
    on_missing : "raise" | "warn" | "ignore"
        What to do if channels match no entry.
    max_distance : float
        The largest distance in metres between an electrode and its entry if matched by position.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    channel_map : ChannelMap
        The entry of each channel and how it was found. No entry is used twice.

    Raises
    ------
    ValueError
        If there is no channel to match, or a channel matches no entry and ``on_missing="raise"``.

    Notes
    -----
    Names are matched first: as they are, ignoring case; then without ``EEG``, dots and the
    reference (``EEG Fp1-LE``, ``Fc5.``), with T3, T4, T5 and T6 as T7, T8, P7 and P8; then as one
    of the 16 bipolar derivations. If two channels match the same entry, an exact name wins, or else
    the first channel. A derivation in reverse order has the opposite sign and is not matched.

    Positions are used for the remaining channels, and for those whose electrode is far from the
    entry of its name (``A1`` of a BioSemi cap is not an earlobe). Positions are aligned to the
    template by the electrodes with known names, or by the sphere that fits them.

    CCP1 to CCP6 of MNE's template lie two centimetres from the entries of these names, which are at
    CCP1h to CCP6h. They are matched by position if there are positions.
    """
    _validate_type(info, mne.Info, "info", "an instance of mne.Info, such as raw.info")
    _check_option("on_missing", on_missing, ("raise", "warn", "ignore"))
    if picks is None:
        idx = mne.pick_types(info, eeg=True, exclude=())
    else:
        idx = _picks_to_idx(info, picks, none="eeg", exclude=())
    if len(idx) == 0:
        raise ValueError(
            "Found no EEG channel to match. Set the types with inst.set_channel_types, or select "
            "channels with picks."
        )
    channel_map = _map_channels(info, idx, max_distance)
    logger.info("%r", channel_map)
    if channel_map.missing and on_missing != "ignore":
        message = describe_missing(channel_map)
        if on_missing == "raise":
            raise ValueError(message)
        warn(message)
    return channel_map


def describe_missing(channel_map):
    """Return a message about channels without an entry."""
    reasons = dict(zip(channel_map.ch_names, channel_map.notes, strict=True))
    missing = [f"  {name}: {reasons[name]}" for name in channel_map.missing]
    return (
        f"{len(missing)} of {len(channel_map)} channels match no entry of the montage:\n"
        + "\n".join(missing)
        + "\nRename them to 10-05 names (inst.rename_channels), set missing positions "
        "(inst.set_montage), or exclude the channels (inst.drop_channels, picks)."
    )


def check_matched(channel_map):
    """Return which channels have an entry, array of bool, or raise an error if none has one."""
    matched = channel_map.indices >= 0
    if not matched.any():
        raise ValueError(
            f"None of the {len(channel_map)} EEG channels matches an electrode of the model. "
            "Rename them to 10-05 names (inst.rename_channels) or set their positions "
            "(inst.set_montage)."
        )
    return matched
