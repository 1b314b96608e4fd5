# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Restore bad channels while data arrive."""

import mne
import numpy as np
from mne.io.constants import FIFF
from mne.utils import _validate_type, logger

from .._checks import make_array_info
from .._counts import count
from ..covariance import MIN_GOOD
from ..detection import RunningCheck
from ._live_clock import Clock
from ._live_filter import MAX_DELAY, MIN_DELAY, DelayLine
from ._runs import find_runs
from ._wanted import find_present

_LARGEST = 1e3  # volts


class LiveRestorer:
    """Restore bad channels in data that arrive chunk by chunk.

    Parameters
    ----------
    restorer : Restorer
        A fitted :class:`mne_gram.Restorer`, which is not modified. The channels in its ``bads`` are
        always restored.
    ch_names : list of str | None
        The channels of the data, in their order. Those of the `restorer` may be missing, and others
        are returned unchanged. None takes those of the `restorer`, or of the LSL stream.
    sfreq : float | None
        The sampling rate in Hz. None takes that of the data passed to `fit`, or of the LSL stream.
    detect : bool
        Whether to find channels that go bad while data arrive, and to restore them from then on.
        Channels that were bad throughout the data passed to `fit` are then always restored, since
        it is unknown what is usual for them.
    delay : float
        The delay of all channels in seconds. 0 restores bad channels by weights that are the same
        at all frequencies. From 0.2 to 0.825, each frequency band has its own weights, as in
        :class:`mne_gram.Restorer`, with 0.825 by the same filters; the filters are shorter if the
        delay is.

    Attributes
    ----------
    ch_names : list of str
        The channels of the data.
    bads : list of str
        The channels that are bad at present, found or marked, and restored.
    annotations : mne.Annotations
        When which channel was found to be bad, in seconds since the first sample.
    delay : float
        The delay in seconds, a whole number of samples.

    See Also
    --------
    mne_gram.Restorer : What learns the covariance.
    mne_gram.find_bads : Find bad channels in a recording.

    Notes
    -----
    An instance is a callback of the package MNE-LSL: ``stream.add_callback(live)``. Names, sampling
    rate and units are read from the stream's info, and channels in ``stream.info["bads"]`` are
    restored too. With a delay, the timestamps are those of the delayed samples.

    Good samples are returned unchanged, bit for bit. The result does not depend on how the data are
    cut into chunks, except for rounding. Data should be filtered like those passed to `fit`, at
    least by a high-pass such as ``stream.filter(1.0, None)``: otherwise restored channels contain
    the offsets of other electrodes.

    Channels are judged by windows of 1 s, every 0.25 s. One that is flat, far too large or full of
    line noise is found in the first such window, usually within half a second, and one that does
    not fit the other channels in the third, usually after a second; from then on it is restored. It
    is good again after 2 s of good windows. If more than half of the channels are bad at once, the
    whole recording is disturbed, and the list of bad channels remains as it is. Changes are logged.

    NaN and infinite samples are restored one by one; a channel of which more than half a window is
    missing is bad. Where fewer than two channels are good (with splines, four), data are returned
    unchanged. After a jump of the timestamps by more than 0.1 s, judging starts again with an empty
    window. A delayed stream starts with copies of its first sample.

    Examples
    --------
    >>> import mne_gram
    >>> raw, truth = mne_gram.datasets.sample(return_truth=True, verbose="error")
    >>> restorer = mne_gram.Restorer().fit(truth)
    >>> live = mne_gram.LiveRestorer(restorer)
    >>> data = raw.get_data(restorer.ch_names_)
    >>> for start in range(0, raw.n_times, 16):  # chunks of 0.1 s
    ...     restored = live.process(data[:, start : start + 16])
    >>> "CP2" in live.bads
    True
    """

    def __init__(self, restorer, *, ch_names=None, sfreq=None, detect=True, delay=0.0):
        from sklearn.utils.validation import check_is_fitted  # here, because it takes time

        from ._restorer import Restorer

        _validate_type(restorer, Restorer, "restorer")
        check_is_fitted(restorer)
        restorer._check_bads(restorer.ch_names_)
        _validate_type(detect, bool, "detect")
        _validate_type(delay, "numeric", "delay")
        if delay != 0 and not MIN_DELAY <= delay <= MAX_DELAY:
            raise ValueError(
                f"delay must be 0 or from {MIN_DELAY} to {MAX_DELAY} seconds, got {delay}."
            )
        self._fit, bads = restorer._trial_fit, restorer.bads or ()
        self._given_bads = () if isinstance(bads, str) else tuple(bads)
        if delay and self._fit.head is not None:
            raise ValueError("Splines are the same in all frequency bands: use delay=0.")
        if detect and self._fit.check is None:
            raise ValueError(
                "Fewer than four channels were good in fit, which is too few to find bad channels: "
                "use detect=False."
            )
        self._detect, self._wanted_delay = detect, float(delay)
        fitted = self._fit.info
        unjudged = np.array(fitted["ch_names"])[self._fit.spatial.whole]
        if detect and len(unjudged):
            logger.info("Bad in fit, and therefore always restored: %s", ", ".join(unjudged))
        ch_names = fitted["ch_names"] if ch_names is None else ch_names
        self._start(make_array_info(None, ch_names, fitted["sfreq"] if sfreq is None else sfreq))

    def _start(self, info):
        """Start a stream of the channels of an info."""
        if not info["sfreq"] > 0:
            raise ValueError("The stream has no regular sampling rate.")
        self.ch_names, self._sfreq = list(info["ch_names"]), info["sfreq"]
        self._line_freq = info["line_freq"] or self._fit.info["line_freq"]
        names = self._fit.info["ch_names"]
        inst = mne.io.RawArray(np.zeros((len(self.ch_names), 1)), info, verbose="error")
        present = find_present(inst, self._fit.info)
        if len(present) < MIN_GOOD:
            raise ValueError(
                f"Found {count(len(present), 'channel')} of the restorer in the data, expected at "
                f"least {MIN_GOOD}. The data have {', '.join(self.ch_names)}; the restorer was "
                f"fitted to {', '.join(names)}."
            )
        # Of each channel that is present: its index in the fit, and its row in the data.
        self._index = np.array([k for k, name in enumerate(names) if name in present])
        self._rows = np.array([self.ch_names.index(present[names[k]]) for k in self._index])
        self._present = np.isin(names, list(present)) & self._fit.known
        self._always = np.isin(names, self._given_bads)
        if self._detect:  # what is usual for these is unknown
            self._always |= self._fit.spatial.whole
        self.reset()

    def reset(self):
        """Forget all data: which channels were bad, and what a delayed stream still contains."""
        self._check = self._line = None
        if self._detect:
            args = (self._present, self._sfreq, self._line_freq)
            self._check = RunningCheck(self._fit.check, *args)
        if self._wanted_delay:
            operators = self._fit.spatial.operators
            self._line = DelayLine(operators, self._wanted_delay, self._sfreq)
        self._clock = Clock(self._sfreq, 0 if self._line is None else self._line.n_delay)
        self._marked = self._always
        self._last = np.zeros(len(self._present))  # finite values, in volts
        self._n_times, self._spans, self._open = 0, [], {}
        self._stuck, self._disturbed, self._weights = False, False, None

    @property
    def delay(self):
        """The delay in seconds."""
        return self._clock.n_delay / self._sfreq

    @property
    def bads(self):
        """The channels that are bad at present."""
        return [self.ch_names[row] for row in sorted(self._rows[self._find_bad()[self._index]])]

    @property
    def annotations(self):
        """When which channel was found to be bad."""
        now = self._n_times / self._sfreq
        spans = [*self._spans, *((name, *span, now) for name, span in list(self._open.items()))]
        return mne.Annotations(
            [start for _, _, start, _ in spans],
            [stop - start for _, _, start, stop in spans],
            [f"BAD_gram_{why}" for _, why, _, _ in spans],
            ch_names=[[name] for name, *_ in spans],
        )

    def __call__(self, data, timestamps, info):
        """Restore a chunk of an LSL stream in place; a callback for MNE-LSL.

        Parameters
        ----------
        data : array, shape (n_times, n_channels)
            The chunk, in the units of the stream.
        timestamps : array, shape (n_times,)
            The times of the samples in seconds.
        info : mne.Info
            The info of the stream.

        Returns
        -------
        data : array, shape (n_times, n_channels)
            The same array, restored.
        timestamps : array, shape (n_times,)
            The times, earlier by `delay`.
        """
        if list(info["ch_names"]) != self.ch_names or info["sfreq"] != self._sfreq:
            if self._n_times:
                logger.info("The stream has other channels than before: restoration starts again.")
            self._start(info)
        if not len(data):
            return data, timestamps
        marks = np.isin(self.ch_names, info["bads"])
        scale = 10.0 ** np.array([[_find_exponent(channel)] for channel in info["chs"]])
        hidden = np.zeros(data.T.shape, bool)
        breaks = [0, *self._clock.find_jumps(timestamps), len(data)]
        restored = np.empty(data.T.shape)
        for number, (a, b) in enumerate(zip(breaks[:-1], breaks[1:], strict=True)):
            if number and self._check is not None:
                self._check.restart()
            restored[:, a:b] = self._process(data.T[:, a:b], scale, marks, hidden[:, a:b])
        data.T[...] = np.rint(restored) if data.dtype.kind in "iu" else restored
        return data, self._clock.delay(timestamps)

    def process(self, chunk, *, mask=None):
        """Restore a chunk.

        Parameters
        ----------
        chunk : array, shape (n_channels, n_times)
            The next samples, in volts. Not modified.
        mask : array of bool, shape (n_channels,) or (n_channels, n_times) | None
            Additional bad channels or samples, True where bad.

        Returns
        -------
        chunk : array, shape (n_channels, n_times)
            The restored samples, later by `delay`.

        Raises
        ------
        ValueError
            If the chunk or the mask does not fit the channels.
        """
        chunk = np.asarray(chunk)
        if chunk.dtype.kind not in "fiu":
            raise TypeError(f"The chunk must have real numbers, got {chunk.dtype}.")
        n_channels = len(self.ch_names)
        if chunk.ndim != 2 or len(chunk) != n_channels:
            raise ValueError(
                f"The chunk has shape {chunk.shape}, expected ({n_channels}, n_times): one row for "
                "each of ch_names."
            )
        mask = np.zeros(n_channels, bool) if mask is None else np.asarray(mask)
        if mask.dtype != bool or mask.shape not in (chunk.shape, (n_channels,)):
            raise ValueError(
                f"mask is of type {mask.dtype} and shape {mask.shape}, expected bool and "
                f"({n_channels},) or {chunk.shape}."
            )
        nothing = np.zeros(chunk.shape, bool)
        marks, hidden = (mask, nothing) if mask.ndim == 1 else (nothing.any(axis=1), mask)
        restored = self._process(chunk.astype(float), np.ones((n_channels, 1)), marks, hidden)
        return restored.astype(chunk.dtype) if chunk.dtype.kind == "f" else restored

    # ---------------------------------------------------------------------------------------------
    # Restoration

    def _process(self, raw, scale, marks, hidden):
        """Restore samples (n_channels, n_times), which are volts when multiplied by ``scale``.

        ``marks (n_channels,)`` are marked channels, ``hidden (n_channels, n_times)`` samples.
        """
        self._marked = self._always.copy()
        self._marked[self._index] |= marks[self._rows]
        restored, start = np.empty(raw.shape), 0
        while start < raw.shape[1]:
            stop = raw.shape[1]
            if self._check is not None:
                stop = min(stop, start + self._check.until_next)
            part = slice(start, stop)
            restored[:, part] = self._step(raw[:, part], scale, hidden[:, part])
            start = stop
        return restored

    def _step(self, raw, scale, hidden):
        """Restore samples during which the list of bad channels remains the same."""
        n_times, index, rows = raw.shape[1], self._index, self._rows
        x = np.zeros((len(self._present), n_times))
        x[index] = raw[rows] * scale[rows]
        missing = ~(np.abs(x) <= _LARGEST)
        marked = np.repeat(self._marked[:, None], n_times, axis=1)
        marked[index] |= hidden[rows]
        whole, filled = self._find_bad(), x.copy()
        written = self._fill(filled, missing, marked | whole[:, None])
        if self._check is not None:
            seen = np.where(missing | marked, filled, x)
            changes = self._check.add(seen, missing, marked)
        if self._line is not None:
            good = np.flatnonzero(self._present & ~whole)
            bad = np.flatnonzero(whole)
            raw, filled, written = self._line(raw, filled, written, good, bad)
        restored = raw.copy()
        restored[rows] = np.where(written[index], filled[index] / scale[rows], raw[rows])
        self._n_times += n_times
        if self._check is not None:
            self._report(changes)
        return restored

    def _find_bad(self):
        """Return which channels are bad at present, found or marked, (n_channels,)."""
        found = False if self._check is None else self._check.found
        return (self._marked | found) & self._present

    def _weigh(self, good, bad):
        """Return weights, which are mostly those of the chunk before."""
        key = good.tobytes(), bad.tobytes()
        if self._weights is None or self._weights[0] != key:
            self._weights = key, self._fit.weights(good, bad)
        return self._weights[1]

    def _fill(self, data, missing, marked):
        """Estimate bad samples in place, and return where this was possible, (n, n_times)."""
        bad, written = missing | marked, np.zeros(marked.shape, bool)
        stuck = False
        for start, stop, _ in find_runs(bad & self._present[:, None], [(0, bad.shape[1])]):
            good = np.flatnonzero(self._present & ~bad[:, start])
            wanted = np.flatnonzero(self._present & bad[:, start])
            stuck |= len(good) < self._fit.min_good
            if len(good) < self._fit.min_good or not len(wanted):
                continue
            data[wanted, start:stop] = self._weigh(good, wanted) @ data[good, start:stop]
            written[wanted, start:stop] = True
        if stuck and not self._stuck:
            logger.warning(
                "Fewer than %d channels are good: data are returned unchanged.", self._fit.min_good
            )
        self._stuck = stuck
        left = missing & ~written
        if left.any():  # filters and windows get the last value in place of NaN
            data[left] = _repeat_last(data, left, self._last)[left]
        self._last = data[:, -1].copy()
        return written

    def _report(self, changes):
        """Log which channels are bad or good from now on, and keep the spans."""
        now = self._n_times / self._sfreq
        for channel, why in changes:
            name = self.ch_names[self._rows[self._index == channel][0]]
            if why is not None:
                self._open[name] = (why, now)
                logger.info("%.2f s: %s is bad (%s) and is restored from here on.", now, name, why)
            else:
                self._spans.append((name, *self._open.pop(name), now))
                logger.info("%.2f s: %s is good again.", now, name)
        if self._check.disturbed and not self._disturbed:
            logger.warning(
                "%.2f s: most channels are bad at once, so none of them is marked. If this "
                "continues, are the data in volts, and filtered as those passed to fit?",
                now,
            )
        self._disturbed = self._check.disturbed


def _find_exponent(channel):
    """Return the power of ten of a channel's unit, 0 if it is not in volts."""
    return int(channel["unit_mul"]) if channel["unit"] == FIFF.FIFF_UNIT_V else 0


def _repeat_last(data, left, last):
    """Return data (n, n_times) in which samples ``left`` repeat what was before; first ``last``."""
    source = np.where(left, 0, np.arange(1, data.shape[1] + 1))
    source = np.maximum.accumulate(source, axis=1)
    return np.take_along_axis(np.column_stack([last, data]), source, axis=1)
