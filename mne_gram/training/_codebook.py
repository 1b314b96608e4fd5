# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The codebook of the tokenizer: its start, its moving average, and classes that died."""

import math

import torch
import torch.nn.functional as F

from ._processes import add_up, collect, spread

_N_CANDIDATES = 512  # code vectors kept of a batch, to revive classes from


@torch.no_grad()
def find_nearest(codes, codebook, chunk=4096):
    """Return the index of the unit vector that is nearest to each code vector.

    Parameters
    ----------
    codes : torch.Tensor, shape (N, code_dim)
        Vectors of any length.
    codebook : torch.Tensor, shape (K, code_dim)
        Unit vectors.
    chunk : int
        How many at a time, which bounds the memory.

    Returns
    -------
    indices : torch.Tensor of int64, shape (N,)
        The classes.
    """
    return torch.cat([(part @ codebook.T).argmax(-1) for part in codes.split(chunk)])


def sum_by_class(codes, indices, n_classes):
    """Return the sum of the code vectors of each class and their numbers.

    Parameters
    ----------
    codes : torch.Tensor, shape (N, code_dim)
        Unit vectors.
    indices : torch.Tensor of int64, shape (N,)
        Their classes.
    n_classes : int
        Number of classes, K.

    Returns
    -------
    sums : torch.Tensor, shape (K, code_dim)
        The sums.
    counts : torch.Tensor, shape (K,)
        How many went into each.
    """
    sums = codes.new_zeros(n_classes, codes.shape[1]).index_add_(0, indices, codes)
    counts = torch.bincount(indices, minlength=n_classes).to(codes.dtype)
    return sums, counts


@torch.no_grad()
def cluster(codes, n_classes, generator, n_iter=10):
    """Start a codebook by k-means under the cosine.

    Parameters
    ----------
    codes : torch.Tensor, shape (N, code_dim)
        Code vectors of the first batches.
    n_classes : int
        Number of classes, K.
    generator : torch.Generator
        Which code vectors are the first centres. On the CPU.
    n_iter : int
        Number of iterations; the published method takes 10.

    Returns
    -------
    codebook : torch.Tensor, shape (K, code_dim)
        Unit vectors.
    counts : torch.Tensor, shape (K,)
        Code vectors of each class in the last iteration.

    Raises
    ------
    ValueError
        If there are fewer code vectors than classes.
    """
    if len(codes) < n_classes:
        raise ValueError(
            f"A codebook of {n_classes} classes needs at least as many patches to start from, "
            f"got {len(codes)}. Take larger batches, more recordings or fewer classes."
        )
    codes = F.normalize(codes, dim=-1)
    order = torch.randperm(len(codes), generator=generator).to(codes.device)
    codebook = codes[order[:n_classes]].clone()
    for _ in range(n_iter):
        sums, counts = sum_by_class(codes, find_nearest(codes, codebook), n_classes)
        # A centre that nobody is near starts again at some code vector.
        lost = torch.nonzero(counts == 0).flatten()
        again = torch.randint(len(codes), (len(lost),), generator=generator).to(codes.device)
        sums[lost] = codes[again]
        codebook = F.normalize(sums, dim=-1)
    return codebook, counts


def get_perplexity(counts):
    """Return how many equally frequent classes would be as varied as these.

    Parameters
    ----------
    counts : torch.Tensor, shape (K,)
        How often each class occurs.

    Returns
    -------
    perplexity : float
        The exponential of the entropy, from 1 to K.
    """
    share = counts.double() / counts.sum()
    return math.exp(-torch.special.xlogy(share, share).sum().item())


class Codebook:
    """The codebook of a tokenizer while it is trained.

    Parameters
    ----------
    tokenizer : mne_gram.models.Tokenizer
        Its ``codebook`` is changed in place.
    decay : float
        What remains of a code vector in one step.
    revive_below : float
        A class that occurs less often than this share of ``1 / K`` has died and starts again
        at a code vector of the present batch.

    Notes
    -----
    Nothing is changed by looking: `add` is called in training only, and `update` once a step,
    in all processes alike.
    """

    def __init__(self, tokenizer, *, decay=0.99, revive_below=0.1):
        self.vectors = tokenizer.codebook
        self.decay, self.revive_below = decay, revive_below
        self.started = False
        # How often each class occurs, as a multiple of 1 / K.
        self.usage = torch.ones(len(self.vectors), device=self.vectors.device)
        self._forget()

    def _forget(self):
        self.sums = torch.zeros_like(self.vectors)
        self.counts = torch.zeros_like(self.usage)
        self.candidates = []

    @torch.no_grad()
    def start(self, codes, generator):
        """Fill the codebook from code vectors ``(N, code_dim)``, the same in all processes."""
        vectors, _ = cluster(codes, len(self.vectors), generator)
        # On GPUs sums depend on who comes first, so equal inputs alone would not do.
        self.vectors.copy_(spread(vectors))
        self.usage.fill_(1.0)
        self.started = True

    @torch.no_grad()
    def add(self, codes, indices):
        """Take note of code vectors ``(..., code_dim)`` and their classes ``(...)``."""
        codes, indices = codes.detach().flatten(0, -2).float(), indices.flatten()
        sums, counts = sum_by_class(codes, indices, len(self.vectors))
        self.sums += sums
        self.counts += counts
        # The same number from every batch, whatever its shape, so that processes can exchange.
        places = torch.linspace(0, len(codes) - 1, _N_CANDIDATES, device=codes.device)
        self.candidates.append(codes[places.long()])

    @torch.no_grad()
    def update(self, generator, *, revive=True):
        """Move the code vectors towards the means of what was added since the last call.

        Parameters
        ----------
        generator : torch.Generator
            Where revived classes start; in the same state in all processes. On the CPU.
        revive : bool
            Whether classes that died start again.

        Returns
        -------
        n_revived : int
            How many did.
        """
        sums, counts = add_up(self.sums), add_up(self.counts)
        used = counts > 0
        means = F.normalize(sums[used], dim=-1)
        moved = self.decay * self.vectors[used] + (1 - self.decay) * means
        self.vectors[used] = F.normalize(moved, dim=-1)
        share = counts / counts.sum() * len(counts)
        self.usage.mul_(self.decay).add_(share, alpha=1 - self.decay)
        dead = torch.nonzero(self.usage < self.revive_below).flatten() if revive else []
        if len(dead):
            # (processes, parts, ...) to the order of the parts, however they were shared out.
            codes = collect(torch.stack(self.candidates)).transpose(0, 1).flatten(0, 2)
            order = torch.randperm(len(codes), generator=generator)[: len(dead)].to(codes.device)
            dead = dead[: len(order)]
            self.vectors[dead] = codes[order]
            self.usage[dead] = 1.0  # its average starts again too
        self._forget()
        return len(dead)

    def get_state(self):
        """Return what a checkpoint has to hold beside the code vectors themselves."""
        return {"usage": self.usage, "started": torch.tensor(float(self.started))}

    def set_state(self, tensors):
        """Continue from what `get_state` returned."""
        self.usage.copy_(tensors["usage"])
        self.started = bool(tensors["started"])
