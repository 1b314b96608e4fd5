# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What was found to be bad, and how to put it to use."""

from typing import NamedTuple

import mne
import numpy as np
from mne import BaseEpochs
from mne.io import BaseRaw
from mne.utils import _validate_type, warn

_PREFIX = "BAD_gram_"
_SHOWN = 8  # names or spans in a summary


class Span(NamedTuple):
    """A stretch of one channel that is bad.

    Attributes
    ----------
    channel : str
        Name of the channel.
    start, stop : float
        In seconds from the first sample of a Raw, or on the time axis of an epoch.
    why : str
        ``"nan"``, ``"flat"``, ``"clipped"``, ``"amplitude"`` or ``"misfit"``.
    score : float
        For ``"misfit"`` the largest excess in robust standard deviations, else NaN.
    epoch : int | None
        Number of the epoch; None for Raw.
    """

    channel: str
    start: float
    stop: float
    why: str
    score: float = np.nan
    epoch: int | None = None


class BadsReport:
    """Channels and stretches of channels that were found to be bad.

    Nothing is marked until :meth:`mark` is called, or the :meth:`mask` handed to
    :func:`mne_gram.restore`.

    Parameters
    ----------
    inst : mne.io.Raw | mne.Epochs
        The data that were looked at.
    picks : array of int, shape (n_picks,)
        The channels that were looked at.
    reasons : dict of str
        Why a channel is bad all through, by name.
    spans : list of Span
        Bad stretches of the other channels.
    measures : dict of array, shape (n_picks,)
        What was measured of each channel.
    bridged : list of tuple of str
        Pairs of channels that are nearly the same signal.

    Attributes
    ----------
    channels : list of str
        Names of channels that are bad all through, in the order of the data.
    reasons : dict of str
        Why: ``"nan"``, ``"flat"``, ``"clipped"``, ``"amplitude"``, ``"line"``, ``"misfit"``, or
        ``"often"`` for a channel of which more than half is in bad stretches.
    spans : list of Span
        Bad stretches of other channels; whole epochs for Epochs.
    bridged : list of tuple of str
        A hint: pairs of channels that are nearly the same signal, as if gel joined the electrodes.
        They are not counted as bad.
    """

    def __init__(self, inst, picks, reasons, spans, measures, bridged):
        self._is_epochs = isinstance(inst, BaseEpochs)
        self._n_epochs = len(inst) if self._is_epochs else 1
        self._times = float(inst.times[0]), float(inst.times[-1])
        self._sfreq = inst.info["sfreq"]
        self._names = [inst.ch_names[pick] for pick in picks]
        self._measures = measures
        self.reasons = {name: reasons[name] for name in self._names if name in reasons}
        self.channels = list(self.reasons)
        self.spans = sorted(spans, key=lambda s: (s.epoch or 0, s.start, s.channel))
        self.bridged = list(bridged)

    @property
    def _seconds(self):
        """How long each channel is."""
        return self._n_epochs * (self._times[1] - self._times[0] + 1 / self._sfreq)

    @property
    def scores(self):
        """What was measured of each channel, a :class:`pandas.DataFrame` with a row each.

        ``misfit`` (log of the squared error with which the other channels predict it, over the
        expected one, relative to the median channel; the worst band counts too), ``correlation``
        (with that prediction), ``line`` (root mean square of the power line in volts),
        ``amplitude`` (median over windows of the standard deviation in volts), ``seconds`` in bad
        stretches, ``bad`` and ``why``. Misfit and correlation are NaN where neither the name nor
        the position of a channel is known.
        """
        import pandas as pd

        seconds = {name: 0.0 for name in self._names}
        for span in self.spans:
            seconds[span.channel] += span.stop - span.start
        columns = dict(self._measures, seconds=[seconds[name] for name in self._names])
        columns["bad"] = [name in self.reasons for name in self._names]
        columns["why"] = [self.reasons.get(name, "") for name in self._names]
        return pd.DataFrame(columns, index=pd.Index(self._names, name="channel"))

    def to_data_frame(self):
        """Return what was found as a table.

        Returns
        -------
        df : pandas.DataFrame
            A row each channel that is bad all through and each bad stretch: ``channel``,
            ``epoch`` (-1 where there are none), ``start`` and ``stop`` in seconds, ``why``,
            ``score`` and ``whole``.
        """
        import pandas as pd

        start, stop = self._times[0], self._times[1] + 1 / self._sfreq
        rows = [
            dict(channel=name, epoch=-1, start=start, stop=stop, why=why, score=np.nan, whole=True)
            for name, why in self.reasons.items()
        ]
        for span in self.spans:
            row = span._asdict()
            row["epoch"] = -1 if span.epoch is None else span.epoch
            rows.append(dict(row, whole=False))
        names = ["channel", "epoch", "start", "stop", "why", "score", "whole"]
        return pd.DataFrame(rows, columns=names)

    def mask(self, inst):
        """Return what was found as a mask for :func:`mne_gram.restore`.

        Parameters
        ----------
        inst : mne.io.Raw | mne.Epochs
            The data that were looked at, or a version of them: filtered, re-referenced, resampled,
            with other channels besides.

        Returns
        -------
        mask : array of bool
            True where bad, for all channels of ``inst``: ``(n_channels, n_times)`` for Raw,
            ``(n_epochs, n_channels)`` for Epochs.

        Raises
        ------
        ValueError
            If ``inst`` lacks a channel that was found to be bad, or has another length.
        """
        self._check(inst)
        rows = {name: row for row, name in enumerate(inst.ch_names)}
        whole = [rows[name] for name in self.channels]
        if self._is_epochs:
            mask = np.zeros((len(inst), len(rows)), bool)
            mask[:, whole] = True
            for span in self.spans:
                mask[span.epoch, rows[span.channel]] = True
            return mask
        mask = np.zeros((len(rows), inst.n_times), bool)
        mask[whole] = True
        sfreq = inst.info["sfreq"]
        for span in self.spans:
            start, stop = round(span.start * sfreq), round(span.stop * sfreq)
            mask[rows[span.channel], start : max(stop, start + 1)] = True
        return mask

    def to_annotations(self, inst):
        """Return the bad stretches as annotations that name their channel.

        Parameters
        ----------
        inst : mne.io.Raw
            The data that were looked at, or a version of them.

        Returns
        -------
        annotations : mne.Annotations
            One a stretch, described as ``BAD_gram_`` and why. Add them to ``inst.annotations``.

        Raises
        ------
        ValueError
            If the data are Epochs, which hold no stretches: use :meth:`mask`.
        """
        self._check(inst)
        if self._is_epochs:
            raise ValueError(
                "Found Epochs, expected Raw: stretches of Epochs are whole epochs of a channel. "
                "Use mask(epochs) and hand it to mne_gram.restore."
            )
        dated = inst.annotations.orig_time is not None
        shift = inst.first_time if dated else 0.0
        return mne.Annotations(
            [span.start + shift for span in self.spans],
            [span.stop - span.start for span in self.spans],
            [_PREFIX + span.why for span in self.spans],
            orig_time=inst.annotations.orig_time,
            ch_names=[(span.channel,) for span in self.spans],
        )

    def mark(self, inst, copy=True):
        """Mark what was found in the data.

        Parameters
        ----------
        inst : mne.io.Raw | mne.Epochs
            The data that were looked at, or a version of them.
        copy : bool
            Whether to leave ``inst`` as it is and return a copy.

        Returns
        -------
        inst : mne.io.Raw | mne.Epochs
            With the channels added to ``info["bads"]`` and, for Raw, the stretches annotated.

        Notes
        -----
        MNE drops an epoch that touches a ``BAD`` annotation, also if that names a single channel,
        unless ``reject_by_annotation=False``. Restore before you epoch.
        """
        self._check(inst)
        inst = inst.copy() if copy else inst
        new = [name for name in self.channels if name not in inst.info["bads"]]
        inst.info["bads"] = [*inst.info["bads"], *new]
        if self._is_epochs and self.spans:
            warn(
                f"{len(self.spans)} bad epochs of single channels cannot be marked in Epochs. Use "
                "mask(epochs) and hand it to mne_gram.restore."
            )
        elif self.spans:
            annotations = inst.annotations.copy()
            if annotations.orig_time is None:  # MNE then counts what it is given from the start
                annotations.onset -= inst.first_time
            inst.set_annotations(annotations + self.to_annotations(inst))
        return inst

    def plot(self, *, axes=None, show=True):
        """Draw which channels are bad when.

        Parameters
        ----------
        axes : matplotlib.axes.Axes | None
            Where to draw; None makes a figure.
        show : bool
            Whether to show the figure.

        Returns
        -------
        fig : matplotlib.figure.Figure
            The figure, as :func:`mne_gram.viz.plot_bads` draws it.
        """
        from ..viz import plot_bads

        return plot_bads(self, axes=axes, show=show)

    def _check(self, inst):
        """Refuse data that cannot be those that were looked at."""
        kind = (BaseEpochs, "Epochs") if self._is_epochs else (BaseRaw, "Raw")
        _validate_type(inst, kind[0], "inst", kind[1])
        found = {*self.channels, *(span.channel for span in self.spans)}
        lacking = [name for name in self._names if name in found and name not in inst.ch_names]
        if lacking:
            raise ValueError(
                f"The data lack {', '.join(lacking)}, found to be bad in others. Give the data "
                "that were looked at, or call find_bads with these."
            )
        times = float(inst.times[0]), float(inst.times[-1])
        step = max(1 / self._sfreq, 1 / inst.info["sfreq"])
        n_epochs = len(inst) if self._is_epochs else 1
        if n_epochs != self._n_epochs or np.abs(np.subtract(times, self._times)).max() > 1.5 * step:
            size = f"{n_epochs} epochs of " if self._is_epochs else ""
            old = f"{self._n_epochs} epochs of " if self._is_epochs else ""
            raise ValueError(
                f"Found {size}{times[0]:g} to {times[1]:g} s, expected {old}{self._times[0]:g} to "
                f"{self._times[1]:g} s. Call find_bads with these data."
            )

    def __str__(self):
        """Say in words what was found."""
        share = sum(span.stop - span.start for span in self.spans)
        share /= max(self._seconds * len(self._names), 1e-12)
        whole = ", ".join(f"{name} ({why})" for name, why in self.reasons.items()) or "none"
        pieces = f"{len(self.spans)} in {len({span.channel for span in self.spans})} channels"
        lines = [
            f"Looked at {len(self._names)} EEG channels. Nothing is marked yet: see mark and mask.",
            f"Bad all through: {whole}.",
            f"Bad for a while: {pieces}, {100 * share:.2g} % of the data.",
        ]
        if self.bridged:
            pairs = ", ".join("-".join(pair) for pair in self.bridged[:_SHOWN])
            more = ", ..." if len(self.bridged) > _SHOWN else ""
            lines.append(f"Perhaps bridged: {pairs}{more}.")
        return "\n".join(lines)

    def __repr__(self):
        """Return a line for the prompt."""
        kind = "epochs of channels" if self._is_epochs else "stretches"
        return f"<BadsReport | {len(self.channels)} bad channels, {len(self.spans)} bad {kind}>"
