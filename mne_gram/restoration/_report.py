# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The report of a restoration: what was done, and which error to expect."""

import json
from pathlib import Path
from statistics import NormalDist

import mne
import numpy as np
from mne._fiff.pick import _picks_to_idx
from mne.utils import _validate_type

from .. import __version__
from .._counts import count
from .._docs import fill_doc
from .._files import staged
from .._recording import merge_spans
from ._evidence import Evidence, to_number
from ._report_text import describe_extent, format_text, list_notes, summarize
from ._select import EXPERTS

_EXPERTS = ("spatial", *EXPERTS, "gram")  # the same columns in every table


class RestorationReport:
    """What was restored, and which error to expect.

    It is returned by :func:`mne_gram.restore` and :func:`mne_gram.harmonize` with
    ``return_report=True``.

    Attributes
    ----------
    method, output : str
        The arguments of the restoration.
    info : mne.Info
        The channels that were worked with.
    evidence : Evidence | None
        How well the experts restored clean samples that were hidden from them: ``scores`` (NMSE)
        and ``r`` by expert, ``weights`` by expert and band, ``seconds``, ``source`` and
        ``coverage`` (the share within the 90 % interval). None if nothing was hidden.
    excerpts : dict of str to Excerpt
        For each restored channel, a few seconds around its first restored segment.
    rank_before, rank_after : int | None
        Rank of the channels that are good at some time, and of all channels after restoration.
        Restored channels are combinations of the others in each frequency band: they can add to
        the rank, but no measured information. None if there are too few samples to determine it.
    rank : dict of str to int
        The rank of the restored data as ``{"eeg": 58}``, to be passed as ``rank`` to functions of
        MNE such as :func:`mne.compute_covariance` or :func:`mne.beamformer.make_lcmv`; its value is
        the largest ``n_components`` of an ICA. It is the rank of the EEG channels that are not in
        ``info["bads"]``, without those that were restored throughout; projectors that are not
        applied yet count as if they were. After harmonization, it is at most the rank of the
        channels that were recorded.
    found : BadsReport | None
        What :func:`mne_gram.find_bads` found, with ``mask="auto"``.
    prior : dict | None
        The prior that was used: its ``name`` (``"bundled"``, ``"fitted"``, ``"another"`` or that of
        a file), and what ``Prior.describe`` returns, such as ``n_recordings`` and ``n_cohort``; and
        ``cohort_weight``, the weight of the cohort in the mixture of recordings (0 to 1, None
        without a cohort). None if nothing was restored or the method has no prior.
    """

    def __init__(self, tally, *, method, evidence=None, found=None, prior=None, rank=None):
        _validate_type(evidence, (Evidence, None), "evidence")
        info = tally.inst.info
        self.method, self.output = method, tally.output
        self.evidence, self.found, self.prior = evidence, found, prior
        self.rank_before, self.rank_after = tally.find_ranks()
        if rank is None:
            rank = {} if self.rank_before is None else dict(eeg=self.rank_before)
        self.rank = rank
        self.info = mne.pick_info(info, tally.picks)
        self.info["bads"] = []
        names = self.info["ch_names"]
        self.excerpts = {names[k]: excerpt for k, excerpt in tally.excerpts.items()}
        self._ch_names, self._sfreq = list(info["ch_names"]), info["sfreq"]
        self._shape = tally.n_epochs, tally.n_times
        self._is_epochs = isinstance(tally.inst, mne.BaseEpochs)
        self._picks, self._spans = tally.picks, tally.spans
        self._seconds_left = tally.n_left / self._sfreq
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

    # -- The error of each sample ---------------------------------------------------------------

    @property
    def std(self):
        """Standard deviation of the error of each sample in volts, 0 where nothing was restored.

        It has the shape of the data, and is NaN where the method gives none.
        """
        return self._read_std(range(len(self._ch_names)))

    def get_std(self, picks):
        """Return the standard deviation of the error for some channels.

        Parameters
        ----------
        picks : list of str
            Names of channels.

        Returns
        -------
        std : array, shape (n_picks, n_times) or (n_epochs, n_picks, n_times)
            As the attribute ``std``, without the memory for all channels.
        """
        unknown = [name for name in picks if name not in self._ch_names]
        if unknown:
            raise ValueError(f"The report contains no channel {', '.join(unknown)}.")
        return self._read_std([self._ch_names.index(name) for name in picks])

    def _read_std(self, rows):
        """Return the standard deviation of channels of the data, by number."""
        std = np.zeros((len(rows), self._shape[0] * self._shape[1]))
        wanted = {row: k for k, row in enumerate(rows)}
        for span in self._spans:
            k = wanted.get(int(self._picks[span.channel]))
            if k is not None:
                std[k, span.start : span.stop] = span.std
        if self._is_epochs:
            return std.reshape(len(rows), *self._shape).transpose(1, 0, 2)
        return std

    def interval(self, inst, *, level=0.9, picks=None):
        """Compute the interval that contains the truth of each sample with a given probability.

        Parameters
        ----------
        inst : mne.io.Raw | mne.Epochs | mne.Evoked
            The restored data, at their full length. Channels are matched by name.
        level : float
            The probability that the interval contains the truth, between 0 and 1.
        picks : str | array-like | slice | None
            The channels; None takes all. Choose some if the data are long.

        Returns
        -------
        lower, upper : array, shape (n_picks, n_times) or (n_epochs, n_picks, n_times)
            Its limits in volts; both are the sample itself where nothing was restored, and NaN
            where the method gives no standard deviation.

        Raises
        ------
        ValueError
            If the data are not those of the report.

        Notes
        -----
        The error is assumed to be Gaussian.
        """
        if not 0 < level < 1:
            raise ValueError(f"Expected level to be between 0 and 1, got {level}.")
        shape = len(inst) if self._is_epochs else 1, len(inst.times)
        if isinstance(inst, mne.BaseEpochs) != self._is_epochs or shape != self._shape:
            raise ValueError(
                f"Found data of {shape[0]} x {shape[1]} samples (epochs x times), expected the "
                f"restored data of {self._shape[0]} x {self._shape[1]}: compute the interval "
                "before you crop, resample or drop epochs."
            )
        picks = _picks_to_idx(inst.info, picks, "all", exclude=())
        half = NormalDist().inv_cdf((1 + level) / 2)
        half = half * self.get_std([inst.ch_names[k] for k in picks])
        data = inst.get_data(picks=picks)
        return data - half, data + half

    # -- Tables ---------------------------------------------------------------------------------

    def to_data_frame(self):
        """Return the report as a table.

        Returns
        -------
        df : pandas.DataFrame
            One row per restored channel: ``channel``, ``whole`` (bad throughout the recording),
            ``n_segments``, ``seconds`` (restored), ``invented`` (seconds of them from past and
            future samples alone), ``expected_nmse``, ``expected_r``, and the weight of each expert.
        """
        import pandas as pd

        columns = None if self._rows else ["channel", "seconds", "expected_nmse", "expected_r"]
        return pd.DataFrame(self._rows, columns=columns)

    def to_dict(self):
        """Return the report as a dict that JSON can represent.

        Returns
        -------
        content : dict
            ``version``, ``method``, ``output``, ``summary``, ``rank``, ``rank_before``,
            ``rank_after``, ``seconds_left`` (channel-seconds of bad samples that were left
            unchanged),
            ``evidence`` and ``prior`` (a dict or None each), ``channels`` (a list of dict, the rows
            of the table, with ``extent`` in words), ``segments`` (a list of dict with ``channel``,
            ``onset`` and ``duration`` in seconds and, for Epochs, ``epoch``: the restored segments
            of channels that are not bad throughout) and ``notes``. Unknown numbers are None.
        """
        return dict(
            version=__version__,
            method=self.method,
            output=self.output,
            summary=self.summary,
            rank=self.rank,
            rank_before=self.rank_before,
            rank_after=self.rank_after,
            seconds_left=self._seconds_left,
            evidence=None if self.evidence is None else self.evidence.to_dict(),
            prior=self.prior,
            channels=[
                {key: to_number(value) for key, value in row.items()}
                | {"extent": describe_extent(row)}
                for row in self._rows
            ],
            segments=self._list_segments(),
            notes=self.notes,
        )

    def _list_segments(self):
        """List the restored segments of channels that are not bad throughout, in order of time."""
        whole = {row["channel"] for row in self._rows if row["whole"]}
        names, spans = self.info["ch_names"], {}
        for span in self._spans:
            if names[span.channel] not in whole:
                spans.setdefault(names[span.channel], []).append((span.start, span.stop))
        segments = []
        for channel, found in spans.items():
            for start, stop in merge_spans(found).tolist():
                segment = dict(channel=channel, duration=(stop - start) / self._sfreq)
                if self._is_epochs:
                    segment.update(epoch=start // self._shape[1])
                segments.append(dict(segment, onset=start / self._sfreq))
        return sorted(segments, key=lambda segment: (segment["onset"], segment["channel"]))

    # -- Text -----------------------------------------------------------------------------------

    def __repr__(self):
        """Return one line."""
        return f"<RestorationReport | {count(len(self._rows), 'channel')}, method {self.method!r}>"

    def __str__(self):
        """Return the report as text."""
        return format_text(self, self._rows)

    @property
    def summary(self):
        """What was done, in one line."""
        return summarize(self, self._rows, self._seconds_left)

    @property
    def notes(self):
        """What to consider in further processing, a list of str."""
        return list_notes(self) if self._rows else []

    # -- Files and figures ----------------------------------------------------------------------

    def save(self, fname, *, overwrite=False):
        """Write the report.

        Parameters
        ----------
        fname : path-like
            A name that ends in ``.txt``, ``.json`` or ``.csv``, or in ``.html`` for a page with
            figures that needs no other file.
        overwrite : bool
            Whether to replace an existing file.

        Raises
        ------
        FileExistsError
            If the file exists and ``overwrite`` is False.
        ValueError
            If the name has another extension.
        """
        fname = Path(fname)
        writers = {
            ".txt": lambda: f"{self}\n",
            ".json": lambda: json.dumps(self.to_dict(), indent=1) + "\n",
            ".csv": lambda: self.to_data_frame().to_csv(index=False),
            ".html": lambda: None,
        }
        if fname.suffix not in writers:
            raise ValueError(
                f"The file name must end in .txt, .json, .csv or .html, got {fname.name!r}."
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
            The recording without its artefacts, where it is known.
        n_channels : int
            At most this many channels.
        scores : bool
            Whether to show, below the channels, how well the experts restored hidden samples.
        axes : array of matplotlib.axes.Axes | None
            One axis per channel; None makes a figure, with the scores below the channels if there
            is evidence.
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

    @fill_doc
    def add_to(
        self,
        mne_report,
        *,
        title="Restoration",
        section=None,
        tags=("restoration",),
        replace=False,
        n_channels=6,
    ):
        """Add the results to a report of MNE.

        Parameters
        ----------
        %(mne_report)s
        n_channels : int
            The number of channels in the figure, those with the largest expected error first.

        Notes
        -----
        Four items are added, as by :func:`mne_gram.report.add_restoration`: a summary with the
        table of channels and notes on further processing, the channels before and after, the error
        of each expert on hidden clean samples, and a map of the restored channels.
        """
        from ..report import add_restoration

        options = dict(title=title, section=section, tags=tags, replace=replace)
        add_restoration(mne_report, self, n_channels=n_channels, **options)
