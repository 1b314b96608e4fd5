# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The codebook of the tokenizer in training: its start, its moving average, unused classes."""

import math

import torch
import torch.nn.functional as F

from ._processes import add_up, collect, send, spread

_N_CANDIDATES = 512  # code vectors per batch from which classes are revived


@torch.no_grad()
def find_nearest(codes, codebook, chunk=4096):
    """Return the classes (N,) of the unit vectors (K, code_dim) nearest to codes (N, code_dim)."""
    return torch.cat([(part @ codebook.T).argmax(-1) for part in codes.split(chunk)])


def sum_by_class(codes, indices, n_classes):
    """Return the sums (K, code_dim) of the code vectors of each class, and their counts (K,)."""
    sums = codes.new_zeros(n_classes, codes.shape[1]).index_add_(0, indices, codes)
    # Unlike bincount, this does not wait for the largest class.
    ones = codes.new_ones(1).expand(len(indices))
    return sums, codes.new_zeros(n_classes).index_add_(0, indices, ones)


@torch.no_grad()
def cluster(codes, n_classes, generator, n_iter=10):
    """Start a codebook by k-means under the cosine (10 iterations, as published).

    Returns unit vectors (K, code_dim) and the counts (K,) of the last iteration.
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
        # Centres without code vectors start again at a random one.
        lost = torch.nonzero(counts == 0).flatten()
        again = torch.randint(len(codes), (len(lost),), generator=generator).to(codes.device)
        sums[lost] = codes[again]
        codebook = F.normalize(sums, dim=-1)
    return codebook, counts


def get_perplexity(counts):
    """Return the number of equally frequent classes as diverse as these counts (K,)."""
    share = counts.double() / counts.sum()
    return math.exp(-torch.special.xlogy(share, share).sum().item())


class Codebook:
    """The codebook of a tokenizer in training; its ``codebook`` is changed in place.

    A class used less often than ``revive_below / K`` starts again at a current code vector. `add`
    is called in training only, and `update` once per step, in all processes alike.
    """

    def __init__(self, tokenizer, *, decay=0.99, revive_below=0.1):
        self.vectors = tokenizer.codebook
        self.decay, self.revive_below = decay, revive_below
        self.started = False
        # Frequency of each class, as a multiple of 1 / K.
        self.usage = torch.ones(len(self.vectors), device=self.vectors.device)
        # The share of classes that were used in the latest step, in all processes together.
        self.share_used = self.usage.new_zeros(())
        self._forget()

    def _forget(self):
        self.sums = torch.zeros_like(self.vectors)
        self.counts = torch.zeros_like(self.usage)
        self.candidates = []

    @torch.no_grad()
    def start(self, codes, generator):
        """Fill the codebook from code vectors (N, code_dim), the same in all processes."""
        vectors, _ = cluster(codes, len(self.vectors), generator)
        # On GPUs sums depend on the order, so equal inputs are not enough.
        self.vectors.copy_(spread(vectors))
        self.usage.fill_(1.0)
        self.started = True

    @torch.no_grad()
    def add(self, codes, indices):
        """Record code vectors (..., code_dim) and their classes (...)."""
        codes, indices = codes.detach().flatten(0, -2).float(), indices.flatten()
        sums, counts = sum_by_class(codes, indices, len(self.vectors))
        self.sums += sums
        self.counts += counts
        # The same number from every batch, so that processes can exchange them.
        places = torch.linspace(0, len(codes) - 1, _N_CANDIDATES, device=codes.device)
        self.candidates.append(codes[places.long()])

    @torch.no_grad()
    def update(self, generator, *, revive=True):
        """Move code vectors towards the means of those added.

        The generator is on the CPU, in the same state in all processes. Returns the number of
        revived classes, as a tensor: nothing here waits for the device.
        """
        sums, counts = add_up(self.sums), add_up(self.counts)
        used = counts > 0
        self.share_used = used.float().mean()
        means = F.normalize(sums, dim=-1)
        moved = F.normalize(self.decay * self.vectors + (1 - self.decay) * means, dim=-1)
        self.vectors.copy_(torch.where(used[:, None], moved, self.vectors))
        share = counts / counts.sum() * len(counts)
        self.usage.mul_(self.decay).add_(share, alpha=1 - self.decay)
        n_revived = counts.new_zeros(())
        if revive:
            n_revived = self._revive(generator)
        self._forget()
        return n_revived

    def _revive(self, generator):
        """Restart classes that are hardly used at random candidates; return their number."""
        # (processes, parts, ...) to the order of the parts, however they were distributed.
        codes = collect(torch.stack(self.candidates)).transpose(0, 1).flatten(0, 2)
        order = send(torch.randperm(len(codes), generator=generator), codes.device)
        dead = self.usage < self.revive_below
        # The k-th class to revive takes the k-th candidate, as long as there are any.
        place = dead.cumsum(0) - 1
        dead = dead & (place < len(codes))
        chosen = codes[order[place.clamp(0, len(codes) - 1)]]
        self.vectors.copy_(torch.where(dead[:, None], chosen, self.vectors))
        self.usage.copy_(torch.where(dead, 1.0, self.usage))  # its average restarts, too
        return dead.sum().to(self.usage.dtype)

    def get_state(self):
        """Return what a checkpoint contains in addition to the code vectors."""
        return {"usage": self.usage, "started": torch.tensor(float(self.started))}

    def set_state(self, tensors):
        """Restore the output of `get_state`."""
        self.usage.copy_(tensors["usage"])
        self.started = bool(tensors["started"])
