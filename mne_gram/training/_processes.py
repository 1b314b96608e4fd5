# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Processes that train together; with a single one all of this does nothing."""

import itertools
import os
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

_MEETINGS = itertools.count()  # counted alike in all processes


def get_rank():
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def get_n_processes():
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def add_up(tensor):
    """Replace a tensor by its sum over the processes, and return it."""
    if dist.is_initialized():
        dist.all_reduce(tensor)
    return tensor


def collect(tensor):
    """Return the tensors of all processes, stacked in the order of the processes."""
    if not dist.is_initialized():
        return tensor[None]
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.stack(parts)


def spread(tensor):
    """Replace a tensor by that of the first process, and return it."""
    if dist.is_initialized():
        dist.broadcast(tensor, 0)
    return tensor


def send(tensor, device):
    """Return a tensor of the CPU on a device, without waiting for earlier work of that device."""
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def wait():
    """Wait for all processes."""
    if dist.is_initialized():
        dist.barrier()


@contextmanager
def process_group(device):
    """Join the processes that ``torchrun`` started, by ``nccl`` on GPUs and ``gloo`` on CPUs."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or dist.is_initialized():
        yield
        return
    # The others wait while the first process validates.
    timeout = timedelta(hours=2)
    backend = "nccl" if device.type == "cuda" else "gloo"
    # The store still has the addresses of an earlier group, which must not be found.
    store, rank, n_processes = next(dist.rendezvous("env://", timeout=timeout))
    store = dist.PrefixStore(f"mne_gram-{next(_MEETINGS)}", store)
    dist.init_process_group(
        backend, store=store, rank=rank, world_size=n_processes, timeout=timeout
    )
    try:
        yield
    finally:
        dist.destroy_process_group()
