# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Windows of simulated EEG."""

import torch

from ..preprocessing import SFREQ
from . import _artefacts as artefacts
from . import _sources as sources
from ._signals import Grid, lognormal

AMPLITUDE = (0.06, 0.75)  # of the background: median in 0.1 mV, spread over windows


class Simulator:
    """Draw windows of simulated EEG.

    Parameters
    ----------
    device : str | torch.device
        Where to draw.
    n_sources : int
        Number of active patches of cortex in a window, in addition to rhythms.
    seed : int
        Seed of :meth:`draw` without a generator.

    Attributes
    ----------
    device : torch.device
        Where windows are drawn.
    n_sources : int
        As given.

    Notes
    -----
    Each window is another subject with another amplifier: sources, spectra, noise and amplitude are
    drawn independently. :func:`simulate_raw` describes the components.
    """

    def __init__(self, *, device="cpu", n_sources=sources.N_SOURCES, seed=0):
        if n_sources < 1:
            raise ValueError(f"n_sources must be at least 1, got {n_sources}.")
        self.device = torch.device(device)
        self.n_sources = n_sources
        self._head = sources.Head(self.device)
        self._generator = torch.Generator(self.device).manual_seed(seed)

    def draw(self, channels, n_patches, generator=None):
        """Draw windows.

        Parameters
        ----------
        channels : torch.Tensor of int, shape (n_windows, n_channels)
            Montage indices, distinct in each window.
        n_patches : int
            Length in seconds.
        generator : torch.Generator | None
            Random generator; None means that of the simulator. A generator on another device
            seeds one on that of the simulator.

        Returns
        -------
        x : torch.Tensor, shape (n_windows, n_channels, n_patches * 200)
            In 0.1 mV at 200 Hz, from 0.1 to 75 Hz. Electrodes are in the average reference; a
            single one has that of the forward model.
        """
        generator = self._choose_generator(generator)
        channels = torch.as_tensor(channels, device=self.device)
        grid = Grid(n_patches * round(SFREQ), SFREQ, self.device)
        n, head = len(channels), self._head
        band = sources.draw_band(n, grid, generator)
        parts = list(sources.draw_brain(head, n, self.n_sources, grid, band, generator).values())
        parts.append(artefacts.draw_eyes(head, n, grid, band, generator))
        parts.append(artefacts.draw_muscles(head, n, grid, band, generator))
        maps = torch.cat([part.maps.expand(n, -1, -1) for part in parts], dim=-1)
        x = head.take(maps, channels) @ torch.cat([part.signals for part in parts], dim=1)
        x += artefacts.draw_noise(head, channels, grid, band, generator).signals
        x *= lognormal((n, 1, 1), *AMPLITUDE, generator)
        return sources.subtract_average(x, channels)

    def _choose_generator(self, generator):
        if generator is None:
            return self._generator
        if generator.device.type == self.device.type:
            return generator
        seed = torch.randint(2**62, (), generator=generator, device=generator.device)
        return torch.Generator(self.device).manual_seed(int(seed))
