# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What a restoration did, and how far to trust it."""

from pathlib import Path
from statistics import NormalDist

import mne
import numpy as np
from mne._fiff.pick import _picks_to_idx
from mne.utils import _validate_type

from .._files import staged
from ._evidence import Evidence
from ._report_text import format_json, format_report
from ._tally import Tally

_EXPERTS = ("spatial", "gram", "spline")  # the same columns in every table


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
    output : "mean" | "sample"
        Whether the estimates are conditional means or draws, whose error is larger.
    evidence : Evidence | None
        What was measured on hidden clean patches, and the weights that follow from it.

    Attributes
    ----------
    method, output : str
        What was asked for.
    evidence : Evidence | None
        How the experts did on clean patches that were hidden for the purpose: ``scores`` (NMSE) and
        ``r`` by expert, ``weights`` by expert and band, ``seconds``, ``source``, ``coverage`` (the
        share within the 90 % interval) and ``rounds``. None if nothing was measured.
    summary : str
        One line.
    rank_before, rank_after : int | None
        Rank of the channels that are not bad all through, and of all channels after. Restored
        channels are band-wise combinations of the others: they can add to the rank, but nothing
        that was measured. None if there are too few samples to tell.
    found : BadsReport | None
        What :func:`mne_gram.find_bads` found, with ``mask="auto"``.
    """

    found = None

    def __init__(
        self,
        inst,
        picks,
        bad,
        segments,
        *,
        method,
        data=None,
        units=None,
        output="mean",
        evidence=None,
    ):
        tally = Tally(inst, picks, units=units, output=output)
        tally.add(data, bad, segments)
        self._take(tally, method, evidence)

    @classmethod
    def from_tally(cls, tally, *, method, evidence=None):
        """Make a report of what was gathered block by block.

        Parameters
        ----------
        tally : Tally
            What was gathered.
        method : str
            The method asked for.
        evidence : Evidence | None
            What was measured on hidden clean patches.

        Returns
        -------
        report : RestorationReport
            The report.
        """
        report = cls.__new__(cls)
        report._take(tally, method, evidence)
        return report

    def _take(self, tally, method, evidence):
        """Keep what tells of the restoration, and nothing of the data but excerpts."""
        _validate_type(evidence, (Evidence, None), "evidence")
        info = tally.inst.info
        self.method, self.output, self.evidence = method, tally.output, evidence
        self.rank_before, self.rank_after = tally.find_ranks()
        self._ch_names, self._sfreq = list(info["ch_names"]), info["sfreq"]
        self._shape = tally.n_epochs, tally.n_times
        self._is_epochs = isinstance(tally.inst, mne.BaseEpochs)
        self._picks, self._stretches = tally.picks, tally.stretches
        self._info = mne.pick_info(info, tally.picks)
        self._info["bads"] = []
        self._left = tally.n_left / self._sfreq
        names = self._info["ch_names"]
        self._excerpts = {names[k]: excerpt for k, excerpt in tally.excerpts.items()}
        weights = {f"weight_{expert}": w for expert, w in self._find_weights().items()}
        self._rows = [
            {**row, "channel": names[row["channel"]], **weights} for row in tally.describe()
        ]

    def _find_weights(self):
        """Return the weight of each expert."""
        weights = dict.fromkeys(_EXPERTS, 0.0)
        if self.evidence is not None and self.evidence.weights:
            return weights | self.evidence.mean_weights
        return weights | {"spatial" if self.method == "auto" else self.method: 1.0}

    def _read_std(self, rows):
        """Return the standard deviation of some channels, with the shape of data."""
        std = np.zeros((len(rows), self._shape[0] * self._shape[1]))
        wanted = {row: k for k, row in enumerate(rows)}
        for stretch in self._stretches:
            k = wanted.get(int(self._picks[stretch.channel]))
            if k is not None:
                std[k, stretch.start : stretch.stop] = stretch.std
        if self._is_epochs:
            return std.reshape(len(rows), *self._shape).transpose(1, 0, 2)
        return std

    @property
    def std(self):
        """Standard deviation of the error of each sample in volts, 0 where nothing was done.

        It has the shape of the data, and is made when it is asked for. NaN where the method does
        not tell.
        """
        return self._read_std(range(len(self._ch_names)))

    def interval(self, inst, *, level=0.9, picks=None):
        """Compute the interval that holds the truth of each sample at a level.

        Parameters
        ----------
        inst : mne.io.Raw | mne.Epochs | mne.Evoked
            The restored data, of the length that they had. Channels go by name.
        level : float
            The probability that the interval is to hold the truth, between 0 and 1.
        picks : str | array-like | slice | None
            The channels; None takes all. Choose some where the data are long.

        Returns
        -------
        lower, upper : array, shape (n_picks, n_times) or (n_epochs, n_picks, n_times)
            Its ends in volts; both are the sample itself where nothing was restored, and NaN where
            the method does not tell.

        Raises
        ------
        ValueError
            If the data are not those of the report.

        Notes
        -----
        The error is taken to be Gaussian.
        """
        if not 0 < level < 1:
            raise ValueError(f"Expected level to be between 0 and 1, got {level}.")
        shape = len(inst) if self._is_epochs else 1, len(inst.times)
        if isinstance(inst, mne.BaseEpochs) != self._is_epochs or shape != self._shape:
            raise ValueError(
                f"Found data of {shape[0]} x {shape[1]} samples, expected the restored data, of "
                f"{self._shape[0]} x {self._shape[1]}: compute the interval before you crop, "
                "resample or drop epochs."
            )
        picks = _picks_to_idx(inst.info, picks, "all", exclude=())
        names = [inst.ch_names[k] for k in picks]
        unknown = [name for name in names if name not in self._ch_names]
        if unknown:
            raise ValueError(f"The report knows no channel {', '.join(unknown)}.")
        half = NormalDist().inv_cdf((1 + level) / 2)
        half = half * self._read_std([self._ch_names.index(name) for name in names])
        data = inst.get_data(picks=picks)
        return data - half, data + half

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
                f" {self._left:.1f} channel-seconds were left as they were: too few "
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
        return format_report(self)

    @property
    def notes(self):
        """What to know before going on, a sentence or two each."""
        if not self._rows:
            return []
        notes = []
        if self.rank_before is not None:
            notes.append(
                f"Rank: {self.rank_before} of the channels that are good at some time, "
                f"{self.rank_after} of all after. Restored channels are combinations of the "
                "others, band by band, and add nothing that was measured: give an ICA "
                f"n_components={self.rank_before} or fewer, and a whitener "
                f"rank=dict(eeg={self.rank_before}); one less each if you reference to the average "
                "after this."
            )
        if self.output == "sample":
            notes.append(
                "The estimates are draws: they have the power of the signal, and a larger error "
                "than conditional means have."
            )
        notes += [
            "Restored channels stand in the reference of the data. If that is an average which "
            "held a bad channel, reference again: inst.set_eeg_reference('average').",
            "To keep every bit in a file write fif with fmt='double'; BrainVision keeps single "
            "precision, EDF 16 bits.",
        ]
        return notes

    def save(self, fname, *, overwrite=False):
        """Write the report.

        Parameters
        ----------
        fname : path-like
            A name that ends in ``.txt``, ``.json`` or ``.csv``, or in ``.html`` for a page with
            figures that needs no other file.
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
        writers = {
            ".txt": lambda: f"{self}\n",
            ".json": lambda: format_json(self),
            ".csv": lambda: self.to_data_frame().to_csv(index=False),
            ".html": lambda: None,
        }
        if fname.suffix not in writers:
            raise ValueError(
                f"Expected a name in .txt, .json or .csv, or in .html, got {fname.name!r}."
            )
        text = writers[fname.suffix]()
        with staged(fname, overwrite) as file:
            if text is None:
                from ..report import write_page

                write_page(self, file)
            else:
                file.write_text(text, encoding="utf-8")

    def plot(self, *, picks=None, truth=None, n_channels=6, scores=True, axes=None, show=True):
        """Plot restored channels before and after, with the 90 % interval.

        Parameters
        ----------
        picks : list of str | None
            Names of restored channels; None takes those with the most restored time first.
        truth : mne.io.Raw | mne.Epochs | mne.Evoked | None
            The recording without its garbage, where it is known.
        n_channels : int
            At most this many channels.
        scores : bool
            Whether to show, below the channels, how the experts did on hidden clean samples.
        axes : array of matplotlib.axes.Axes | None
            An axis a channel; None makes a figure, with the scores below the channels if there is
            evidence.
        show : bool
            Whether to show the figure.

        Returns
        -------
        fig : matplotlib.figure.Figure
            The figure.
        """
        from ..viz import plot_restoration

        options = dict(picks=picks, n_channels=n_channels, scores=scores, axes=axes, show=show)
        return plot_restoration(self, truth=truth, **options)
