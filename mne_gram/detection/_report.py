# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The report of find_bads."""

import textwrap
from typing import NamedTuple

import mne
import numpy as np
from mne import BaseEpochs
from mne.io import BaseRaw
from mne.utils import _validate_type, warn

from .._counts import count
from .._docs import fill_doc

BAD_PREFIX = "BAD_gram_"
_SHOWN = 8  # pairs of bridged channels in the printed report
_WIDTH = 72  # columns of the printed report


class Span(NamedTuple):
    """A bad segment of one channel."""

    channel: str
    start: float  # seconds from the first sample of a Raw, or on the time axis of an epoch
    stop: float  # likewise
    why: str  # "nan", "flat", "clipped", "amplitude" or "misfit"
    score: float = np.nan  # of a misfit: the largest excess in robust standard deviations
    epoch: int | None = None  # its number; None for Raw


class BadsReport:
    """Bad channels and bad segments of single channels.

    Returned by :func:`mne_gram.find_bads`. Nothing is marked until you call :meth:`mark` or pass
    the :meth:`mask` to :func:`mne_gram.restore`.

    Parameters
    ----------
    inst : mne.io.Raw | mne.Epochs
        The data that were checked.
    picks : array of int, shape (n_picks,)
        The channels that were checked.
    reasons : dict of str
        Why channels are bad, by name.
    spans : list of Span
        Bad segments of the other channels.
    measures : dict of array, shape (n_picks,)
        The measures of each channel.
    bridged : list of tuple of str
        Pairs of channels with nearly identical signals.
    unlocated : list of str
        Channels with neither a known name nor a position.

    Attributes
    ----------
    ch_names : list of str
        The channels that were checked.
    channels : list of str
        The bad channels, in the order of the data.
    reasons : dict of str
        Why each of them is bad: ``"nan"``, ``"flat"``, ``"clipped"``, ``"amplitude"``, ``"line"``,
        ``"misfit"``, ``"type"`` if the name is that of another signal, such as ``"EKG1"``, or
        ``"often"`` if more than half of the channel is in bad segments.
    spans : list of Span
        Bad segments of other channels; whole epochs for Epochs.
    bridged : list of tuple of str
        Pairs of channels with nearly identical signals, possibly bridged by gel. They do not count
        as bad.
    unlocated : list of str
        Channels with neither a known name nor a position. It is unknown how they should covary with
        the others, so a misfit throughout the recording is not found in them.
    start, stop : float
        Time range of the data, or of each epoch, in seconds.
    n_epochs : int | None
        Number of epochs; None for Raw.
    """

    def __init__(self, inst, picks, reasons, spans, measures, bridged, unlocated=()):
        self._step = 1 / inst.info["sfreq"]
        self._measures = measures
        self.n_epochs = len(inst) if isinstance(inst, BaseEpochs) else None
        self.start, self.stop = float(inst.times[0]), float(inst.times[-1]) + self._step
        self.ch_names = [inst.ch_names[pick] for pick in picks]
        self.reasons = {name: reasons[name] for name in self.ch_names if name in reasons}
        self.channels = list(self.reasons)
        self.spans = sorted(spans, key=lambda s: (s.epoch or 0, s.start, s.channel))
        self.bridged = list(bridged)
        self.unlocated = list(unlocated)

    @property
    def scores(self):
        """The measures of each channel, a :class:`pandas.DataFrame` with one row per channel.

        The columns are ``misfit`` (log of the squared error of predicting the channel from the
        others over the expected one, relative to the median channel; the worst band counts too),
        ``correlation`` (with that prediction), ``line`` (root mean square of the power line in
        volts), ``amplitude`` (median over windows of the standard deviation in volts), ``seconds``
        (time in bad segments), ``bad`` and ``why``. Misfit and correlation are NaN for channels
        with neither a known name nor a position.
        """
        import pandas as pd

        seconds = dict.fromkeys(self.ch_names, 0.0)
        for span in self.spans:
            seconds[span.channel] += span.stop - span.start
        columns = dict(self._measures, seconds=[seconds[name] for name in self.ch_names])
        columns["bad"] = [name in self.reasons for name in self.ch_names]
        columns["why"] = [self.reasons.get(name, "") for name in self.ch_names]
        return pd.DataFrame(columns, index=pd.Index(self.ch_names, name="channel"))

    def to_data_frame(self):
        """Return the bad channels and segments as a table.

        Returns
        -------
        df : pandas.DataFrame
            One row per bad channel and per bad segment: ``channel``, ``epoch`` (-1 for bad channels
            and for Raw), ``start`` and ``stop`` in seconds, ``why``, ``score`` and ``whole``
            (whether the channel is bad throughout the recording).
        """
        import pandas as pd

        whole = dict(epoch=-1, start=self.start, stop=self.stop, score=np.nan, whole=True)
        rows = [dict(whole, channel=name, why=why) for name, why in self.reasons.items()]
        for span in self.spans:
            row = span._asdict()
            row["epoch"] = -1 if span.epoch is None else span.epoch
            rows.append(dict(row, whole=False))
        names = ["channel", "epoch", "start", "stop", "why", "score", "whole"]
        return pd.DataFrame(rows, columns=names)

    def mask(self, inst):
        """Return the bad channels and segments as a mask for :func:`mne_gram.restore`.

        Parameters
        ----------
        inst : mne.io.Raw | mne.Epochs
            The data that were checked, or a version of them: filtered, re-referenced, resampled, or
            with additional channels.

        Returns
        -------
        mask : array of bool
            True where bad, for all channels of ``inst``: ``(n_channels, n_times)`` for Raw,
            ``(n_epochs, n_channels)`` for Epochs.

        Raises
        ------
        ValueError
            If a bad channel is missing in ``inst``, or the length differs.
        """
        self._check(inst)
        rows = {name: row for row, name in enumerate(inst.ch_names)}
        whole = [rows[name] for name in self.channels]
        if self.n_epochs is not None:
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
        """Return the bad segments as annotations of single channels.

        Parameters
        ----------
        inst : mne.io.Raw
            The data that were checked, or a version of them.

        Returns
        -------
        annotations : mne.Annotations
            One per segment, with the description ``BAD_gram_`` and the reason. Add them to
            ``inst.annotations``.

        Raises
        ------
        ValueError
            If the data are Epochs, which have no annotated segments: use :meth:`mask`.
        """
        self._check(inst)
        if self.n_epochs is not None:
            raise ValueError(
                "Found Epochs, expected Raw: bad epochs of single channels cannot be annotated. "
                "Pass report.mask(epochs) to mne_gram.restore."
            )
        dated = inst.annotations.orig_time is not None
        shift = inst.first_time if dated else 0.0
        return mne.Annotations(
            [span.start + shift for span in self.spans],
            [span.stop - span.start for span in self.spans],
            [BAD_PREFIX + span.why for span in self.spans],
            orig_time=inst.annotations.orig_time,
            ch_names=[(span.channel,) for span in self.spans],
        )

    def mark(self, inst, copy=True):
        """Mark the bad channels and segments in the data.

        Parameters
        ----------
        inst : mne.io.Raw | mne.Epochs
            The data that were checked, or a version of them.
        copy : bool
            If True, modify and return a copy.

        Returns
        -------
        inst : mne.io.Raw | mne.Epochs
            The data, with the channels added to ``info["bads"]`` and, for Raw, the segments
            annotated.

        Notes
        -----
        MNE drops every epoch that overlaps with a ``BAD`` annotation, even of a single channel,
        unless ``reject_by_annotation=False``. So restore the recording before you epoch it.
        """
        self._check(inst)
        inst = inst.copy() if copy else inst
        new = [name for name in self.channels if name not in inst.info["bads"]]
        inst.info["bads"] = [*inst.info["bads"], *new]
        if self.n_epochs is not None and self.spans:
            warn(
                f"{len(self.spans)} bad epochs of single channels cannot be marked in Epochs. Pass "
                "report.mask(epochs) to mne_gram.restore."
            )
        elif self.spans:
            annotations = inst.annotations.copy()
            if annotations.orig_time is None:  # MNE then counts onsets from the first sample
                annotations.onset -= inst.first_time
            inst.set_annotations(annotations + self.to_annotations(inst))
        return inst

    def plot(self, *, axes=None, show=True):
        """Plot when which channels are bad.

        Parameters
        ----------
        axes : matplotlib.axes.Axes | None
            The axes to plot in; None creates a figure.
        show : bool
            Whether to show the figure.

        Returns
        -------
        fig : matplotlib.figure.Figure
            The figure of :func:`mne_gram.viz.plot_bads`.
        """
        from ..viz import plot_bads

        return plot_bads(self, axes=axes, show=show)

    @fill_doc
    def add_to(
        self,
        mne_report,
        *,
        title="Bad channels",
        section=None,
        tags=("bad-channels",),
        replace=False,
    ):
        """Add the bad channels and segments to a report of MNE.

        Parameters
        ----------
        %(mne_report)s

        Notes
        -----
        Two items are added: a summary with a table of the channels that are bad at some time, and
        the figure of :func:`mne_gram.viz.plot_bads`.
        """
        from ..report import add_bads

        options = dict(title=title, section=section, tags=tags, replace=replace)
        add_bads(mne_report, self, **options)

    def _check(self, inst):
        """Raise an error if these cannot be the data that were checked."""
        is_epochs = self.n_epochs is not None
        kind, name = (BaseEpochs, "Epochs") if is_epochs else (BaseRaw, "Raw")
        _validate_type(inst, kind, "inst", name)
        bad = {*self.channels, *(span.channel for span in self.spans)}
        missing = [name for name in self.ch_names if name in bad and name not in inst.ch_names]
        if missing:
            raise ValueError(
                f"These data do not contain {', '.join(missing)}, found to be bad in the data that "
                "were checked. Pass those data, or call find_bads on these."
            )
        n_epochs, step = len(inst) if is_epochs else None, 1 / inst.info["sfreq"]
        start, stop = float(inst.times[0]), float(inst.times[-1]) + step
        off = max(abs(start - self.start), abs(stop - step - (self.stop - self._step)))
        if n_epochs != self.n_epochs or off > 1.5 * max(step, self._step):
            raise ValueError(
                f"Found {_describe_size(n_epochs, start, stop)}, expected "
                f"{_describe_size(self.n_epochs, self.start, self.stop)}, as in the data that were "
                "checked. Pass those data, or call find_bads on these."
            )

    @property
    def summary(self):
        """What was found, one sentence per line."""
        seconds = sum(span.stop - span.start for span in self.spans)
        total = (self.n_epochs or 1) * (self.stop - self.start) * len(self.ch_names)
        channels = ", ".join(f"{name} ({why})" for name, why in self.reasons.items()) or "none"
        segments = "none"
        if self.spans:
            where = count(len({span.channel for span in self.spans}), "channel")
            share = 100 * seconds / max(total, 1e-12)
            segments = f"{len(self.spans)} in {where}, {share:.2g} % of the data"
        lines = [
            f"Checked {count(len(self.ch_names), 'EEG channel')}.",
            f"Bad channels: {channels}.",
            f"Bad segments: {segments}.",
        ]
        if self.bridged:
            pairs = ", ".join("-".join(pair) for pair in self.bridged[:_SHOWN])
            more = ", ..." if len(self.bridged) > _SHOWN else ""
            lines.append(f"Possibly bridged: {pairs}{more}.")
        if self.unlocated:
            lines.append(
                "Not compared with the others over the whole recording, as they have neither a "
                f"known name nor a position: {', '.join(self.unlocated)}."
            )
        return "\n".join(lines)

    def __str__(self):
        """Return the report as text."""
        lines = self.summary.splitlines()
        if self.channels or self.spans:
            lines.append("Nothing is marked yet: use report.mark(inst) or report.mask(inst).")
        wrapped = [textwrap.wrap(line, _WIDTH, subsequent_indent="  ") for line in lines]
        return "\n".join(line for part in wrapped for line in part)

    def __repr__(self):
        """Return one line."""
        spans = count(len(self.spans), "bad segment" if self.n_epochs is None else "bad epoch")
        where = "" if self.n_epochs is None else " of single channels"
        return f"<BadsReport | {count(len(self.channels), 'bad channel')}, {spans}{where}>"


def _describe_size(n_epochs, start, stop):
    """Return the size of data for an error message."""
    epochs = "" if n_epochs is None else f"{count(n_epochs, 'epoch')} of "
    return f"{epochs}{start:g} to {stop:g} s"
