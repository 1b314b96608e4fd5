# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A simulated recording with its ground truth."""

from dataclasses import dataclass

import mne
import numpy as np
import torch
from mne.utils import _check_option, _validate_type, verbose

from ..montage import ELECTRODES, electrode_positions, match_channels
from ..preprocessing import SFREQ
from . import _artefacts as kinds
from ._lead_field import EXTENTS
from ._signals import Grid
from ._sources import N_SOURCES, OF_SLEEP, Head, draw_brain, pass_band, subtract_average

ARTEFACTS = ("eyes", "muscles", "noise", "line", "pops")
_LINE_LEVEL = 0.3  # of the background
_BLINK_SECONDS = 0.4
_10_20 = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()


@dataclass(frozen=True, eq=False)
class SimulationTruth:
    """The components of a simulated recording.

    Attributes
    ----------
    ch_names : tuple of str
        The channels.
    parts : dict of str to array, shape (n_channels, n_times)
        In volts: ``"brain"``, the artefacts by kind, and ``"bads"``, the damage of bad channels.
        Their sum is the recording.
    kinds : tuple of str
        The kind of each source in the brain: ``"background"``, ``"alpha"``, ``"mu"``, ...
    positions : array, shape (n_sources, 3)
        Centres of the sources, in metres, head frame.
    orientations : array, shape (n_sources, 3)
        Unit vectors at the centres.
    extents : array, shape (n_sources,)
        Standard deviations of the patches, in radians seen from the centre of the head.
    maps : array, shape (n_channels, n_sources)
        Maps of the sources at the channels, in volts.
    signals : array, shape (n_sources, n_times)
        Time courses of the sources; ``maps @ signals`` is ``parts["brain"]``.
    """

    ch_names: tuple
    parts: dict
    kinds: tuple
    positions: np.ndarray
    orientations: np.ndarray
    extents: np.ndarray
    maps: np.ndarray
    signals: np.ndarray

    @property
    def brain(self):
        """The signal without any artefact, shape (n_channels, n_times), in volts."""
        return self.parts["brain"]

    @property
    def clean(self):
        """The recording as it would be if no channel were bad, in volts."""
        kept = [part for kind, part in self.parts.items() if kind != "bads"]
        return np.sum(kept, axis=0, dtype=float)


@verbose
def simulate_raw(
    duration=60.0,
    *,
    ch_names=None,
    sfreq=SFREQ,
    seed=0,
    amplitude=10e-6,
    artefacts=("eyes", "muscles", "noise", "line"),
    blinks=12.0,
    pops=1.0,
    line_freq=50.0,
    asleep=False,
    bads=None,
    n_sources=N_SOURCES,
    verbose=None,
):
    """Simulate a recording with known ground truth.

    Parameters
    ----------
    duration : float
        Length in seconds, at least 1.
    ch_names : list of str | mne.channels.DigMontage | None
        Channels, which must have entries in the montage of the model: electrodes or bipolar
        derivations. None means the 19 electrodes of the 10-20 system.
    sfreq : float
        The sampling rate in Hz, at least 100. Except for line noise, signals are limited to 75 Hz
        at any rate.
    seed : int
        Determines the subject: sources, spectra, levels, electrodes. A recording of another
        duration or rate with the same seed is one of the same subject, with other signals.
    amplitude : float
        Standard deviation of the cortical background, averaged over the head, in volts. All other
        sizes are relative to it.
    artefacts : tuple of str
        Any of ``"eyes"``, ``"muscles"``, ``"noise"`` (of electrodes), ``"line"``, ``"pops"`` (of
        electrodes).
    blinks : float
        Blinks per minute, with ``"eyes"``.
    pops : float
        Pops per minute and electrode, with ``"pops"``.
    line_freq : float | None
        The power line frequency in Hz, for the info and the artefact. None only without the
        artefact.
    asleep : bool
        Whether there are spindles and slow waves.
    bads : list of str | dict of str to str | None
        Bad channels, and their kind: ``"noisy"`` (as in a list) or ``"flat"``. They are added to
        ``raw.info["bads"]``.
    n_sources : int
        Number of patches of cortex in the background.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    raw : instance of mne.io.RawArray
        The recording in volts, with positions, referenced to the average of the electrodes before
        damage. Blinks are annotated as ``blink``, and pops as ``pop`` with their channels.
    truth : SimulationTruth
        Its components and sources.

    Raises
    ------
    ValueError
        If a channel has no entry in the montage, or a value is out of range.

    Notes
    -----
    Sources are patches of cortex in MNE's four-shell sphere, fitted to the template head, each
    with an independent signal whose spectrum falls with a power of the frequency. Alpha is
    posterior, mu sensorimotor, theta at the frontal midline; beta comes in bursts. Blinks and eye
    movements are dipoles at the eyes; muscles are at forehead, temples, jaw and neck. Each
    electrode has white noise and drifts.

    An hour of 19 channels at 200 Hz takes a few seconds and 2 GB of memory.
    """
    _check_recording(duration, sfreq, amplitude, artefacts, line_freq)
    info, channels = _make_info(ch_names, sfreq, line_freq)
    bads = _check_bads(bads, info.ch_names)
    generator = torch.Generator().manual_seed(seed)
    # Signals have their own generator, so that the subject does not depend on their length.
    signal_seed = int(torch.randint(2**62, (), generator=generator))
    timed = torch.Generator().manual_seed(signal_seed)
    grid = Grid(round(duration * sfreq), sfreq, timed)
    head = Head()
    wired = torch.as_tensor(channels)[None]
    edges = torch.tensor([0.1, 75.0])[:, None, None, None]
    band = pass_band(grid, *edges)
    brain = draw_brain(head, 1, n_sources, grid, band, generator, asleep)
    if not asleep:  # drawn nevertheless, so that the rest does not change
        brain = {kind: part for kind, part in brain.items() if kind not in OF_SLEEP}
    draw = {
        "eyes": lambda: kinds.draw_eyes(head, 1, grid, band, generator, blinks),
        "muscles": lambda: kinds.draw_muscles(head, 1, grid, band, generator),
        "noise": lambda: kinds.draw_noise(head, wired, grid, band, generator),
        "line": lambda: kinds.draw_line(head, 1, grid, generator, line_freq, _LINE_LEVEL),
        "pops": lambda: kinds.draw_pops(head, wired, grid, generator, pops),
    }
    found = {kind: draw[kind]() for kind in ARTEFACTS if kind in artefacts}
    rng = np.random.default_rng([seed, 1])
    truth = _collect_truth(info.ch_names, head, brain, found, wired, amplitude, bads, rng)
    data = np.sum(list(truth.parts.values()), axis=0, dtype=float)
    raw = mne.io.RawArray(data, info)
    raw.set_annotations(_annotate(found, info.ch_names, sfreq))
    raw.info["bads"] = list(bads)
    return raw, truth


def _check_recording(duration, sfreq, amplitude, artefacts, line_freq):
    """Raise for parameters out of range."""
    for name, value, lowest in (("duration", duration, 1.0), ("sfreq", sfreq, 100.0)):
        _validate_type(value, "numeric", name)
        if not lowest <= value < np.inf:
            raise ValueError(f"{name} must be at least {lowest:g}, got {value}.")
    if not 0 < amplitude <= 1e-3:
        raise ValueError(f"amplitude must be in volts, above 0 and at most 1e-3, got {amplitude}.")
    _validate_type(artefacts, (tuple, list, set), "artefacts")
    for kind in artefacts:
        _check_option("artefacts", kind, ARTEFACTS)
    if "line" in artefacts and (line_freq is None or not 0 < line_freq < sfreq / 2):
        raise ValueError(
            f"A line at {line_freq} Hz cannot be sampled at {sfreq:g} Hz: change line_freq or "
            'sfreq, or leave "line" out of artefacts.'
        )


def _make_info(ch_names, sfreq, line_freq):
    """Return an Info with positions, and the montage indices of its channels."""
    montage = ch_names if isinstance(ch_names, mne.channels.DigMontage) else None
    names = list(_10_20 if ch_names is None else montage.ch_names if montage else ch_names)
    info = mne.create_info(names, sfreq, "eeg")
    if montage is not None:
        info.set_montage(montage)
    channels = match_channels(info, verbose="error").indices
    if montage is None:
        places = electrode_positions()
        pairs = zip(names, channels, strict=True)
        known = {name: places[entry] for name, entry in pairs if entry < len(ELECTRODES)}
        montage = mne.channels.make_dig_montage(known, coord_frame="head")
        info.set_montage(montage, on_missing="ignore")
    info["line_freq"] = line_freq
    return info, channels


def _check_bads(bads, ch_names):
    """Return the kind of damage of each bad channel."""
    _validate_type(bads, (list, tuple, dict, None), "bads")
    bads = bads if isinstance(bads, dict) else dict.fromkeys(bads or (), "noisy")
    for name, how in bads.items():
        if name not in ch_names:
            raise ValueError(f"bads contains {name!r}, which is not among the channels {ch_names}.")
        _check_option(f"bads[{name!r}]", how, ("noisy", "flat"))
    return bads


def _collect_truth(ch_names, head, brain, found, channels, amplitude, bads, rng):
    """Return all parts in volts and in the average reference."""

    def wire(maps):
        maps = head.take(maps.expand(1, -1, -1), channels)
        return subtract_average(maps, channels)[0] * amplitude

    maps = torch.cat([wire(part.maps) for part in brain.values()], dim=1)
    signals = torch.cat([part.signals[0] for part in brain.values()])
    parts = {"brain": maps @ signals}
    for kind, part in found.items():
        if part.maps is None:
            parts[kind] = subtract_average(part.signals, channels)[0] * amplitude
        else:
            parts[kind] = wire(part.maps) @ part.signals[0]
    parts = {kind: part.numpy() for kind, part in parts.items()}
    if bads:
        parts["bads"] = _spoil(parts, ch_names, bads, rng)
    patches = zip(*(part.patches for part in brain.values()), strict=True)
    which, extent, facing = (torch.cat(values, dim=1)[0].numpy() for values in patches)
    return SimulationTruth(
        ch_names=tuple(ch_names),
        parts=parts,
        kinds=tuple(kind for kind, part in brain.items() for _ in range(part.signals.shape[1])),
        positions=head.lead.centres[which],
        orientations=np.einsum("sk,skx->sx", facing, head.lead.frames[which]),
        extents=np.array(EXTENTS)[extent],
        maps=maps.numpy(),
        signals=signals.numpy(),
    )


def _spoil(parts, ch_names, bads, rng):
    """Return the signals that make bad channels flat, or noisy: white noise and a random walk."""
    clean = np.sum(list(parts.values()), axis=0, dtype=float)
    added = np.zeros_like(clean)
    for name, how in bads.items():
        row = ch_names.index(name)
        if how == "flat":
            added[row] = -clean[row]
            continue
        white = rng.standard_normal((2, clean.shape[1]))
        walk = np.cumsum(white[1])
        walk -= walk.mean()
        noise = white[0] + walk / max(walk.std(), 1e-12)
        added[row] = rng.uniform(3.0, 8.0) * np.median(clean.std(axis=1)) * noise
    return added


def _annotate(found, ch_names, sfreq):
    """Return annotations of blinks and pops."""
    annotations = mne.Annotations([], [], [])
    if "eyes" in found:
        onsets = np.flatnonzero(found["eyes"].events[0, 0].numpy()) / sfreq
        annotations.append(onsets, _BLINK_SECONDS, "blink")
    if "pops" in found:
        rows, when = np.nonzero(found["pops"].events[0].numpy())
        names = [[ch_names[row]] for row in rows]
        annotations.append(when / sfreq, np.ones(len(when)), ["pop"] * len(when), names)
    return annotations
