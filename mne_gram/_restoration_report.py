# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What a restoration did, and how far to trust it."""

import json
from pathlib import Path
from typing import NamedTuple

import mne
import numpy as np

from ._io import staged
from ._version import __version__

_EXCERPT_SECONDS = 12.0
_RANK_TOLERANCE = 1e-6  # of the largest singular value: more than single precision rounds


class Excerpt(NamedTuple):
    """A few seconds of one channel: what was bad, with its surroundings, in volts."""

    epoch: int
    start: int
    times: np.ndarray
    inside: slice
    before: np.ndarray
    after: np.ndarray
    std: np.ndarray


class RestorationReport:
    """What was restored, with which error to expect.

    Parameters
    ----------
    inst : mne.io.Raw | mne.Epochs | mne.Evoked
        The data before the estimates are written into them.
    picks : array of int, shape (n_picks,)
        The channels that were worked with.
    bad : array of bool, shape (n_picks, n_epochs * n_times)
        What was bad.
    segments : list of Segment
        The estimates, channels counted in ``picks``.
    method : str
        The method asked for.
    data : array, shape (n_picks, n_epochs * n_times) | None
        The data after; None if nothing was restored.
    units : array, shape (n_picks,) | None
        1 for channels that carry the reference, 0 for bipolar derivations.

    Attributes
    ----------
    method : str
        The method.
    summary : str
        One line.
    rank_before, rank_after : int | None
        Rank of the channels that are not bad all through, and of all channels after. Restored
        channels are band-wise combinations of the others: they can add to the rank, but nothing
        that was measured.
    """

    def __init__(self, inst, picks, bad, segments, *, method, data=None, units=None):
        self.method = method
        self._ch_names = list(inst.ch_names)
        self._sfreq = inst.info["sfreq"]
        self._is_epochs = isinstance(inst, mne.BaseEpochs)
        self._names = [inst.ch_names[k] for k in picks]
        self._picks = picks
        self._segments = segments
        self._n_times = len(inst.times)
        self._n_epochs = len(inst) if self._is_epochs else 1
        self._rows = []
        if segments:
            units = np.ones(len(picks)) if units is None else units
            kept_mean = _mean_of_kept(data, bad, units)
            for channel in sorted({segment.channel for segment in segments}):
                self._rows.append(self._describe(channel, units[channel], kept_mean, bad))
        whole = bad.all(axis=1)
        self._left = int(bad.sum()) - sum(s.stop - s.start for s in segments)
        self._excerpts = _cut_excerpts(inst, picks, segments, data)
        self.rank_before = self.rank_after = None
        if data is not None:
            self.rank_before, self.rank_after = _find_rank(data[~whole]), _find_rank(data)

    def _describe(self, channel, unit, kept_mean, bad):
        """Return the row of one channel."""
        own = [s for s in self._segments if s.channel == channel]
        n_samples = sum(s.stop - s.start for s in own)
        # The signal's variance is that of its estimate and that of the error, together.
        error = sum((s.std**2).sum() for s in own) / n_samples
        values = np.concatenate([s.values - unit * kept_mean[s.start : s.stop] for s in own])
        expected = float(error / (error + values.var())) if error else 0.0
        return dict(
            channel=self._names[channel],
            whole=bool(bad[channel].all()),
            n_segments=len(own),
            seconds=n_samples / self._sfreq,
            invented=sum(s.stop - s.start for s in own if s.invented) / self._sfreq,
            expected_nmse=expected,
            expected_r=float(np.sqrt(1 - expected)),
            weight_spatial=float(self.method in ("auto", "spatial")),
            weight_gram=float(self.method == "gram"),
            weight_spline=float(self.method == "spline"),
        )

    @property
    def std(self):
        """Standard deviation of the error of each sample in volts, 0 where nothing was done.

        It has the shape of the data. NaN where the method does not tell.
        """
        shape = (len(self._ch_names), self._n_epochs * self._n_times)
        std = np.zeros(shape)
        for segment in self._segments:
            std[self._picks[segment.channel], segment.start : segment.stop] = segment.std
        if self._is_epochs:
            return std.reshape(len(std), self._n_epochs, -1).transpose(1, 0, 2)
        return std

    @property
    def summary(self):
        """What was done, in one line."""
        text = "Nothing was restored."
        if self._rows:
            n_whole = sum(row["whole"] for row in self._rows)
            r = np.median([row["expected_r"] for row in self._rows])
            expected = f"; median expected r {r:.2f}" if np.isfinite(r) else ""
            text = (
                f"Restored {n_whole} channel(s) all through and parts of "
                f"{len(self._rows) - n_whole} by method {self.method!r}{expected}."
            )
        if self._left:
            text += (
                f" {self._left / self._sfreq:.1f} channel-seconds were left as they were: too few "
                "channels are good then (see all_channel_gaps), or nothing tells of them."
            )
        return text

    def to_data_frame(self):
        """Return the report as a table.

        Returns
        -------
        df : pandas.DataFrame
            One row a restored channel: ``channel``, ``whole`` (bad all through), ``n_segments``,
            ``seconds`` (restored), ``invented`` (seconds of them from past and future alone),
            ``expected_nmse``, ``expected_r``, and the weight of each expert.
        """
        import pandas as pd

        columns = None if self._rows else ["channel", "seconds", "expected_nmse", "expected_r"]
        return pd.DataFrame(self._rows, columns=columns)

    def __repr__(self):
        """Return one line."""
        return f"<RestorationReport | {len(self._rows)} channels, method {self.method!r}>"

    def __str__(self):
        """Return the report as text."""
        lines = [f"mne_gram {__version__}: {self.summary}"]
        if not self._rows:
            return "\n".join(lines)
        width = max(7, *(len(row["channel"]) for row in self._rows))
        lines += ["", f"{'channel':{width}}  what       seconds  expected NMSE  expected r"]
        for row in self._rows:
            what = "all through" if row["whole"] else f"{row['n_segments']} part(s)"
            nmse, r = (
                f"{row[key]:.2f}" if np.isfinite(row[key]) else "?"
                for key in ("expected_nmse", "expected_r")
            )
            lines.append(
                f"{row['channel']:{width}}  {what:11}{row['seconds']:7.1f}  {nmse:>13}  {r:>10}"
            )
            if row["invented"]:
                lines.append(f"{'':{width}}  {row['invented']:.1f} s of it invented")
        lines.append("")
        if self.rank_before is not None:
            lines += [
                f"Rank: {self.rank_before} of the channels that are good at some time, "
                f"{self.rank_after} of all after. Restored channels",
                "are combinations of the others, band by band, and add nothing that was measured: "
                "give an ICA",
                f"n_components={self.rank_before} or fewer, and a whitener this rank.",
            ]
        lines += [
            "Restored channels stand in the reference of the data. If that is an average which "
            "held a bad channel,",
            "reference again: inst.set_eeg_reference('average').",
            "To keep every bit in a file write fif with fmt='double'; BrainVision keeps single "
            "precision, EDF 16 bits.",
        ]
        return "\n".join(lines)

    def save(self, fname, *, overwrite=False):
        """Write the report.

        Parameters
        ----------
        fname : path-like
            A name that ends in ``.txt``, ``.json`` or ``.csv``.
        overwrite : bool
            Whether to replace a file that exists.

        Raises
        ------
        FileExistsError
            If the file exists and ``overwrite`` is False.
        ValueError
            If the name ends in something else.
        """
        fname = Path(fname)
        writers = {".txt": self._to_text, ".json": self._to_json, ".csv": self._to_csv}
        if fname.suffix not in writers:
            raise ValueError(f"Expected a name in .txt, .json or .csv, got {fname.name!r}.")
        text = writers[fname.suffix]()
        with staged(fname, overwrite) as file:
            file.write_text(text, encoding="utf-8")

    def _to_text(self):
        return f"{self}\n"

    def _to_csv(self):
        return self.to_data_frame().to_csv(index=False)

    def _to_json(self):
        content = dict(
            version=__version__,
            method=self.method,
            summary=self.summary,
            rank_before=self.rank_before,
            rank_after=self.rank_after,
            channels=[
                {key: None if value != value else value for key, value in row.items()}
                for row in self._rows
            ],
        )
        return json.dumps(content, indent=1) + "\n"

    def plot(self, *, truth=None, n_channels=6, show=True):
        """Plot restored channels before and after, with the 90 % interval.

        Parameters
        ----------
        truth : mne.io.Raw | mne.Epochs | mne.Evoked | None
            The recording without its garbage, where it is known.
        n_channels : int
            At most this many channels.
        show : bool
            Whether to show the figure.

        Returns
        -------
        fig : matplotlib.figure.Figure
            The figure.
        """
        from .viz import plot_restoration

        return plot_restoration(self, truth=truth, n_channels=n_channels, show=show)


def _mean_of_kept(data, bad, units):
    """Return the mean at each time of the channels that are good then."""
    total, count = np.zeros(data.shape[1]), np.zeros(data.shape[1])
    for row, wrong in zip(data[units > 0], bad[units > 0], strict=True):
        total += np.where(wrong, 0.0, row)
        count += ~wrong
    return total / np.maximum(count, 1)


def _find_rank(data):
    """Return the numerical rank of channels x samples."""
    step = max(1, data.shape[1] // 20_000)
    part = data[:, ::step]
    part = part[:, np.isfinite(part).all(axis=0)]
    if not part.size:
        return 0
    # Offsets would hide the rest behind the tolerance.
    part = part - part.mean(axis=1, keepdims=True)
    values = np.linalg.svd(part, compute_uv=False)
    return int((values > _RANK_TOLERANCE * values[0]).sum()) if values[0] > 0 else 0


def _cut_excerpts(inst, picks, segments, data):
    """Keep what a figure needs of each channel: its first stretch and some signal around."""
    excerpts, n_times, sfreq = {}, len(inst.times), inst.info["sfreq"]
    longest = round(_EXCERPT_SECONDS * sfreq)
    for segment in segments:
        if segment.channel in excerpts:
            continue
        epoch, start = divmod(segment.start, n_times)
        length = min(segment.stop - segment.start, n_times - start, longest)
        # Some of the channel's own good signal on either side shows the seams.
        margin = (longest - length) // 2
        left, right = max(0, start - margin), min(n_times, start + length + margin)
        before = inst._data[epoch] if isinstance(inst, mne.BaseEpochs) else inst._data
        offset = epoch * n_times
        excerpts[segment.channel] = Excerpt(
            epoch=epoch,
            start=left,
            times=inst.times[left:right].copy(),
            inside=slice(start - left, start + length - left),
            before=before[picks[segment.channel], start : start + length].copy(),
            after=data[segment.channel, offset + left : offset + right].copy(),
            std=segment.std[:length].copy(),
        )
    return excerpts
