# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Batches that are prepared while the device computes."""

import dataclasses
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

_AHEAD = 2  # steps that are drawn ahead in a thread
_MOST_WORKERS = 12


@contextmanager
def prefetch(sampler, start, stop, parts, device):
    """Yield an iterator of each step's batches, a list by part, from ``start`` to ``stop``.

    With a GPU several processes draw them, and they lie in pinned memory; otherwise a thread does.
    ``stop`` None means without end.
    """
    steps = itertools.count(start) if stop is None else range(start, stop)
    if device.type == "cuda":
        # They share the processors with the other processes of the training.
        n_here = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        n_workers = max(1, min((os.cpu_count() or 1) // n_here - 2, _MOST_WORKERS))
        with _draw_in_processes(sampler, steps, list(parts), n_workers, pin=True) as batches:
            yield batches
        return
    with ThreadPoolExecutor(1) as pool:
        try:
            yield _draw_in_thread(pool, sampler, iter(steps), parts)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _draw_in_thread(pool, sampler, steps, parts):
    """Yield the batches of each step; those of the next ones are being drawn."""

    def submit(step):
        return pool.submit(lambda: [sampler.draw(step, part) for part in parts])

    waiting = [submit(step) for step in itertools.islice(steps, _AHEAD)]
    while waiting:
        batches = waiting.pop(0).result()
        waiting += [submit(step) for step in itertools.islice(steps, 1)]
        yield batches


@contextmanager
def _draw_in_processes(sampler, steps, parts, n_workers, *, pin):
    """Yield an iterator as `_draw_in_thread`, by other processes, in pinned memory if ``pin``."""
    loader = torch.utils.data.DataLoader(
        _Draws(sampler),
        batch_size=None,
        sampler=((step, part) for step in steps for part in parts),
        num_workers=n_workers,
        pin_memory=pin,
        prefetch_factor=2,
        generator=torch.Generator(),  # otherwise it draws from the global one
    )
    draws = iter(loader)

    def iterate():
        """Yield the batches of a step together."""
        while group := list(itertools.islice(draws, len(parts))):
            yield group

    try:
        yield iterate()
    finally:
        draws._shutdown_workers()  # at once, not when they are collected as garbage


class _Draws:
    """The batches of a sampler by (step, part), as a data set of torch."""

    def __init__(self, sampler):
        self.sampler = sampler

    def __getitem__(self, place):
        """Return a batch."""
        return self.sampler.draw(*place)


def move(batch, device):
    """Return a batch on a device; from pinned memory, without waiting for the device."""

    def send(value):
        if isinstance(value, torch.Tensor):
            return value.to(device, non_blocking=True)
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*map(send, value))
        return value

    fields = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    return dataclasses.replace(batch, **{name: send(value) for name, value in fields.items()})
