# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Delay data that arrive in chunks, and estimate bad channels band by band."""

import numpy as np

from ..covariance import MIN_GOOD, lowpass_taps

MIN_DELAY, MAX_DELAY = 0.2, 0.825  # seconds; shorter filters do harm, MAX_DELAY are those offline


class DelayLine:
    """Returns the samples that were added ``n_delay`` samples ago, with bad channels estimated.

    A chunk consists of ``raw`` samples in any unit, of the channels of the covariance in volts,
    ``filled (n_channels, n_times)``, in which bad samples have been replaced, and of where they
    have been, ``written``.
    """

    def __init__(self, operators, delay, sfreq):
        self.n_delay = int(np.ceil(delay * sfreq - 1e-6))
        self._operators = operators
        self._taps = lowpass_taps(sfreq, n_taps=2 * self.n_delay + 1)
        self._kept = None

    def __call__(self, raw, filled, written, good, bad):
        """Add a chunk, and return the delayed one.

        Channels ``bad`` (indices) are estimated from those in ``good`` throughout.
        """
        if self._kept is None:  # before its start, the stream is taken to be constant
            first = [part[:, :1] for part in (raw, filled, written)]
            lengths = (self.n_delay, 2 * self.n_delay, self.n_delay)
            pairs = zip(first, lengths, strict=True)
            self._kept = [np.repeat(part, length, axis=1) for part, length in pairs]
        pairs = zip(self._kept, (raw, filled, written), strict=True)
        parts = [np.concatenate(pair, axis=1) for pair in pairs]
        pairs = zip(self._kept, parts, strict=True)
        self._kept = [part[:, part.shape[1] - kept.shape[1] :] for kept, part in pairs]
        n_times = raw.shape[1]
        raw, written = parts[0][:, :n_times], parts[2][:, :n_times]
        filled = parts[1][:, self.n_delay : self.n_delay + n_times].copy()
        if len(bad) and len(good) >= MIN_GOOD:
            filled[bad] = self._estimate(parts[1], good, bad)
            written[bad] = True
        return raw, filled, written

    def _estimate(self, filled, good, bad):
        """Estimate channels in the middle of samples, (n_bad, n_times - 2 * n_delay)."""
        parts = self._operators(good, bad)[0] @ filled[good]
        total = parts[-1, :, self.n_delay : parts.shape[2] - self.n_delay].copy()
        for taps, steps in zip(self._taps, parts[:-1] - parts[1:], strict=True):
            total += [np.convolve(step, taps, "valid") for step in steps]
        return total
