# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Random signals of the kinds found in EEG, for many windows at once."""

import math

import torch
from scipy.fft import next_fast_len

_LOWEST = 0.1  # Hz
_PACE = 0.7  # seconds between independent values of an envelope
_LONG = 2**18  # samples; longer signals are drawn one at a time to save memory


def uniform(shape, low, high, generator):
    """Draw from a uniform distribution."""
    noise = torch.rand(shape, generator=generator)
    return low + (high - low) * noise


def normal(shape, mean, std, generator):
    """Draw from a normal distribution."""
    return mean + std * torch.randn(shape, generator=generator)


def lognormal(shape, median, sigma, generator):
    """Draw from a lognormal distribution."""
    return torch.exp(normal(shape, math.log(median), sigma, generator))


def chance(shape, share, generator):
    """Draw 1 with the probability ``share``, otherwise 0."""
    noise = torch.rand(shape, generator=generator)
    return (noise < share).float()


class Grid:
    """The times and frequencies of a block, longer than what is kept, as shaped noise is periodic.

    ``generator`` draws what has a length, so that the rest does not depend on it; None draws both
    from the generator of each call.
    """

    def __init__(self, n_times, sfreq, generator=None):
        self.n_times, self.sfreq = n_times, sfreq
        self._generator = generator
        # Lengths in samples and seconds, frequencies, and the share of each bin that counts.
        self.n_block = 2 * next_fast_len(math.ceil((n_times + 1.5 * sfreq) / 2), real=True)
        step = sfreq / self.n_block
        self.n_seconds = int(self.n_block / sfreq)
        self.freqs = torch.fft.rfftfreq(self.n_block, 1 / sfreq)
        # The mean over the block stands for slower signals within the band.
        slow = max(0.0, 1 - 2 * _LOWEST / step)
        self.freqs[0] = max(_LOWEST, step / 4)
        self.share = (self.freqs >= _LOWEST).float()
        self.share[0] = slow / 2

    def choose(self, generator):
        """Return the generator for everything that has a length."""
        return generator if self._generator is None else self._generator

    def shape_noise(self, power, generator):
        """Draw noise (..., n_times) with a spectrum (..., n_freqs) that sums to its variance."""
        if self.n_block > _LONG and power.ndim > 1:
            rows = power.flatten(0, -2).unbind(0)
            noise = torch.stack([self.shape_noise(row, generator) for row in rows])
            return noise.unflatten(0, power.shape[:-1])
        shape, generator = (*power.shape, 2), self.choose(generator)
        white = torch.randn(shape, generator=generator)
        amplitude = (power * self.share).sqrt_() * (self.n_block / 2)
        amplitude[..., 0] *= 2  # the mean is real and has no negative frequency
        white *= amplitude[..., None]
        block = torch.fft.irfft(torch.view_as_complex(white), self.n_block)
        return block[..., : self.n_times]

    def scatter(self, amplitude, generator):
        """Place one impulse per second in its first 0.6 s; ``amplitude`` is (..., n_seconds).

        Returns impulses (..., n_block).
        """
        jitter = uniform(amplitude.shape, 0.0, 0.6, self.choose(generator))
        seconds = torch.arange(amplitude.shape[-1])
        when = ((seconds + jitter) * self.sfreq).long()
        impulses = torch.zeros((*amplitude.shape[:-1], self.n_block))
        return impulses.scatter_(-1, when, amplitude)

    def convolve(self, impulses, kernel, band=1.0):
        """Convolve impulses (..., n_block) with a kernel (..., n); return (..., n_times).

        ``band`` is the share of the power that passes, (..., n_freqs).
        """
        spectrum = torch.fft.rfft(impulses) * torch.fft.rfft(kernel, self.n_block)
        if isinstance(band, torch.Tensor):
            spectrum = spectrum * band.sqrt()
        return torch.fft.irfft(spectrum, self.n_block)[..., : self.n_times]

    def kernel_times(self, duration):
        """Return the times of a kernel with a duration in seconds."""
        return torch.arange(max(2, round(duration * self.sfreq))) / self.sfreq


def normalise(power, share):
    """Scale spectra (..., n_freqs) to a variance of 1."""
    return power / (power * share).sum(dim=-1, keepdim=True)


def power_law(grid, exponent, knee):
    """Return spectra of variance 1 that fall with a power of the frequency above a knee."""
    log_freqs = torch.log(grid.freqs**2 + knee[..., None] ** 2)
    return normalise(torch.exp(-0.5 * exponent[..., None] * log_freqs), grid.share)


def peaks(grid, centre, width, harmonic=None):
    """Return spectra (..., n_freqs) of variance 1 with a Gaussian peak; centre and width in Hz.

    ``harmonic`` is the power of a second peak at twice the frequency.
    """
    centre, width = centre[..., None], width[..., None]
    power = torch.exp(-0.5 * ((grid.freqs - centre) / width) ** 2)
    if harmonic is not None:
        second = torch.exp(-0.5 * ((grid.freqs - 2 * centre) / (2 * width)) ** 2)
        power = power + harmonic[..., None] / 2 * second
    return normalise(power, grid.share)


def wander(shape, grid, spread, generator):
    """Draw slowly changing positive factors (*shape, n_times) with a mean square of 1.

    ``spread`` is the standard deviation of the logarithm.
    """
    n_knots = math.ceil(grid.n_times / (_PACE * grid.sfreq)) + 2
    shape, generator = (*shape, n_knots), grid.choose(generator)
    knots = torch.randn(shape, generator=generator)
    knots = torch.exp(spread * knots - spread**2)
    size = round((n_knots - 1) * _PACE * grid.sfreq) + 1
    factor = torch.nn.functional.interpolate(knots, size, mode="linear", align_corners=True)
    return factor[..., : grid.n_times]
