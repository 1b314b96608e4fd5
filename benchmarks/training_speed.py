# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Training speed and memory of both stages, compared with a plain version in the same run.

The plain version computes attention as ``softmax(q k^T / sqrt(d)) v``, with torch's dropout on the
matrix of probabilities, and the update of the codebook as a product with a one-hot matrix.
Everything else is the same: networks, batch, the other dropouts, optimiser.

A step is forward, backward, clipping, AdamW and, in stage 1, the update of the codebook; in stage
2 the frozen tokenizer classifies the patches first. The networks are the published Base, windows
have 16 channels and 16 s, and stage 2 hides half of their patches. The versions alternate and the
fastest step of each counts, so that other load on the machine matters little. Memory is that of a
separate process on a CPU, and torch's own count on a GPU.

Run ``python benchmarks/training_speed.py``: two minutes on two cores.
"""

import argparse
import contextlib
import dataclasses
import multiprocessing
import platform
import resource
import sys
import time
from pathlib import Path
from unittest import mock

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from mne_gram.models import Gram, GramConfig, Tokenizer, TokenizerConfig
from mne_gram.models import _layers as layers
from mne_gram.training import _codebook as codebook

N_CHANNELS, N_PATCHES = 16, 16
NAMES = {1: "tokenizer", 2: "masked autoencoder"}
VERSIONS = ("plain", "ours")
# Operations per second of dense products in bfloat16, by part of the device's name.
PEAKS = {"A100": 312e12, "H100": 989e12, "H200": 989e12, "L4": 121e12}


def attend_plainly(query, key, value, *, valid=None, rate=0.0):
    """Return attention by the plain formula."""
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    if valid is not None:
        scores = scores.masked_fill(~valid[:, None, None, :], -torch.inf)
    return F.dropout(scores.softmax(-1), rate) @ value


def sum_by_class_plainly(codes, indices, n_classes):
    """Return the sum and the number of the codes of each class, using a one-hot matrix."""
    one_hot = F.one_hot(indices, n_classes).to(codes.dtype)
    return one_hot.T @ codes, one_hot.sum(0)


@contextlib.contextmanager
def use_version(version):
    """Use the plain parts within the context."""
    with contextlib.ExitStack() as stack:
        if version == "plain":
            stack.enter_context(mock.patch.object(layers, "attend", attend_plainly))
            stack.enter_context(mock.patch.object(codebook, "sum_by_class", sum_by_class_plainly))
        yield


def make_step(stage, n_windows, device, sizes=None):
    """Return a function that takes one step of training and returns the loss."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n_windows, N_CHANNELS, 200 * N_PATCHES, generator=generator).to(device)
    channels = torch.arange(N_CHANNELS).expand(n_windows, -1).to(device)
    order = torch.rand(n_windows, N_CHANNELS * N_PATCHES, generator=generator).argsort(1)
    hidden = (order % 2 == 0).view(n_windows, N_CHANNELS, N_PATCHES).to(device)
    sizes = sizes or {}
    network = tokenizer = Tokenizer(dataclasses.replace(TokenizerConfig(), **sizes)).to(device)
    book = codebook.Codebook(tokenizer)
    if stage == 2:
        tokenizer.eval().requires_grad_(False)
        fused = {"fused_blocks": (0,)} if sizes else {}
        network = Gram(dataclasses.replace(GramConfig(), **sizes, **fused)).to(device)
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, foreach=True)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            if stage == 1:
                out = network(x, channels)
                book.add(out.codes, out.indices)
            else:
                with torch.no_grad():
                    targets = tokenizer.encode(x, channels).indices
                out = network(x, channels, hidden, targets)
        out.loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0, foreach=True)
        optimizer.step()
        if stage == 1:
            book.update(generator, revive=False)
        return out.loss.item()  # waits for the GPU

    return step


def measure_times(stage, n_windows, device, n_steps, sizes=None, clock=time.perf_counter):
    """Return the seconds of the fastest step of each version; they alternate."""
    step = make_step(stage, n_windows, device, sizes)
    fastest = dict.fromkeys(VERSIONS, float("inf"))
    for k in range(n_steps + 1):
        for version in VERSIONS:
            with use_version(version):
                start = clock()
                step()
                seconds = clock() - start
            if k:  # the first step fills caches
                fastest[version] = min(fastest[version], seconds)
    return fastest


def measure_memory(stage, n_windows, device, version, sizes=None, n_steps=2):
    """Return the bytes that training takes in addition to those in use before."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        before = get_peak_memory()
    with use_version(version):
        step = make_step(stage, n_windows, device, sizes)
        for _ in range(n_steps):
            step()
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else get_peak_memory()
    return peak - before


def get_peak_memory():
    """Return the peak memory of this process in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux, new processes inherit ru_maxrss of the parent
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def measure_memory_apart(*args):
    """Measure memory in a separate process, without an earlier peak."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure_memory, args)


def count_operations(stage, device, sizes=None):
    """Return the operations of the matrix products of a step for one window."""
    step = make_step(stage, 1, device, sizes)
    counter = FlopCounterMode(display=False)
    # Those of the plain version: recomputation to save memory does not count.
    with use_version("plain"), counter:
        step()
    return counter.get_total_flops()


def measure_peak(device, clock=time.perf_counter):
    """Return the operations per second of one large product."""
    n = 8192 if device.type == "cuda" else 2048
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    a, b = (torch.ones(n, n, device=device, dtype=dtype) for _ in range(2))
    fastest = float("inf")
    for _ in range(5):
        start = clock()
        (a @ b)[0, 0].item()
        fastest = min(fastest, clock() - start)
    return 2 * n**3 / fastest


def describe(device):
    """Return the name of the machine, and the published peak of the device if it is known."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        peak = next((peak for key, peak in PEAKS.items() if key in name), None)
        return f"{name}, bfloat16", peak
    threads = torch.get_num_threads()
    return f"{platform.machine()} CPU, {threads} threads, single precision", None


def report(stage, args, peak):
    """Measure and print one stage; return the ratio of the speeds."""
    clock = time.process_time if args.cpu_time else time.perf_counter
    fastest = measure_times(stage, args.windows, args.device, args.steps, args.sizes, clock)
    measure = measure_memory if args.device.type == "cuda" else measure_memory_apart
    n_tokens = args.windows * N_CHANNELS * N_PATCHES
    operations = count_operations(stage, args.device, args.sizes) * args.windows
    large = measure_peak(args.device, clock)
    for version in VERSIONS:
        seconds = fastest[version]
        memory = measure(stage, args.windows, args.device, version, args.sizes)
        shares = f"{operations / seconds / large:4.0%} of a large product"
        if peak:
            shares += f", {operations / seconds / peak:4.0%} of the published peak"
        print(
            f"stage {stage} ({NAMES[stage]}) {version:5} {n_tokens / seconds:9.0f} tokens/s "
            f"({1000 * seconds:.0f} ms a step), {memory / 1e9:5.2f} GB, "
            f"{operations / seconds / 1e9:.0f} GFLOP/s, {shares}",
            flush=True,
        )
    ratio = fastest["plain"] / fastest["ours"]
    print(f"stage {stage} ({NAMES[stage]}) ratio {ratio:.2f}", flush=True)
    return ratio


def main(argv=None, sizes=None):
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=16, help="windows of 256 tokens per step")
    parser.add_argument("--steps", type=int, default=3, help="steps of each version")
    parser.add_argument("--stages", type=int, nargs="+", default=[1, 2], choices=[1, 2])
    parser.add_argument("--threads", type=int, help="on a CPU; torch's own choice by default")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="count the time of the processor, with --threads 1 on a machine that is busy",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args(argv)
    args.device, args.sizes = torch.device(args.device), sizes
    if args.threads:
        torch.set_num_threads(args.threads)
    machine, peak = describe(args.device)
    print(f"{machine}; {args.windows} windows of {N_CHANNELS} channels x {N_PATCHES} s per step")
    return {stage: report(stage, args, peak) for stage in args.stages}


if __name__ == "__main__":
    main()
