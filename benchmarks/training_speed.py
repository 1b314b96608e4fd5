# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Training speed and memory of both stages, compared with a plain version in the same run.

The plain version computes attention as ``softmax(q k^T / sqrt(d)) v``, with torch's dropout on the
matrix of probabilities, and the update of the codebook as a product with a one-hot matrix. On a GPU
it also has convolutions, separate products for query, key and value, and automatic mixed precision.
Everything else is the same: networks, batch, the other dropouts, optimiser.

A step is forward, backward, clipping, AdamW and, in stage 1, the update of the codebook; in stage
2 the frozen tokenizer classifies the patches first. The networks are the published Base, windows
have 16 channels and 16 s, and stage 2 hides half of their patches. The versions alternate and the
fastest step of each counts, so that other load on the machine matters little. Memory is that of a
separate process.

Run ``python benchmarks/training_speed.py``: two minutes on two cores. The training on a GPU is
measured by ``benchmarks/gpu.py``.
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
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mne_gram.models import Gram, GramConfig, Tokenizer, TokenizerConfig
from mne_gram.models import _layers as layers
from mne_gram.training import _codebook as codebook

CPU = torch.device("cpu")
N_CHANNELS, N_PATCHES = 16, 16
NAMES = {1: "tokenizer", 2: "masked autoencoder"}
VERSIONS = ("plain", "ours")


def attend_plainly(query, key, value, *, valid=None, rate=0.0, scale=None):
    """Return attention by the plain formula."""
    assert scale is None, "only heads that are padded have their own scale"
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
            # These two differ on a GPU only.
            stack.enter_context(mock.patch.object(layers, "prefers_products", lambda x: False))
            stack.enter_context(mock.patch.object(layers.Linear, "forward", nn.Linear.forward))
        yield


def draw_windows(n_windows, device):
    """Return windows, their channels, and which half of their patches is hidden."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n_windows, N_CHANNELS, 200 * N_PATCHES, generator=generator).to(device)
    channels = torch.arange(N_CHANNELS).expand(n_windows, -1).to(device)
    order = torch.rand(n_windows, N_CHANNELS * N_PATCHES, generator=generator).argsort(1)
    hidden = (order % 2 == 0).view(n_windows, N_CHANNELS, N_PATCHES).to(device)
    return x, channels, hidden


def make_networks(stage, device, sizes=None, gram=None):
    """Return the network that is trained, and the tokenizer; ``gram`` is a shape of stage 2."""
    sizes = sizes or {}
    network = tokenizer = Tokenizer(dataclasses.replace(TokenizerConfig(), **sizes)).to(device)
    if stage == 2:
        tokenizer.eval().requires_grad_(False)
        fused = {"fused_blocks": (sizes["n_blocks"] - 1,)} if sizes else {}
        config = dataclasses.replace(gram or GramConfig(), **sizes, **fused)
        network = Gram(config).to(device)
    return network.train(), tokenizer


def make_step(stage, n_windows, device, sizes=None, gram=None):
    """Return a function that takes one step of training and returns the loss, a tensor."""
    x, channels, hidden = draw_windows(n_windows, device)
    network, tokenizer = make_networks(stage, device, sizes, gram)
    generator = torch.Generator().manual_seed(0)
    book = codebook.Codebook(tokenizer)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, foreach=True)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with mixed_precision(device):
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
        return out.loss.detach()

    return step


def mixed_precision(device):
    """Return a context in which a GPU multiplies in bfloat16."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def measure_times(stage, n_windows, n_steps, sizes=None, clock=time.perf_counter):
    """Return the seconds of the fastest step of each version; they alternate."""
    step = make_step(stage, n_windows, CPU, sizes)
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


def measure_memory(stage, n_windows, version, sizes=None, n_steps=2):
    """Return the bytes that training takes in addition to those in use before."""
    before = get_peak_memory()
    with use_version(version):
        step = make_step(stage, n_windows, CPU, sizes)
        for _ in range(n_steps):
            step()
    return get_peak_memory() - before


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


def count_operations(stage, sizes=None, gram=None):
    """Return the operations of the matrix products of a step for one window."""
    step = make_step(stage, 1, CPU, sizes, gram)
    counter = FlopCounterMode(display=False)
    # Those of the plain version: recomputation to save memory does not count.
    with use_version("plain"), counter:
        step()
    return counter.get_total_flops()


def measure_peak(clock=time.perf_counter):
    """Return the operations per second of one large product."""
    n = 2048
    a, b = (torch.ones(n, n) for _ in range(2))
    fastest = float("inf")
    for _ in range(5):
        start = clock()
        (a @ b)[0, 0].item()
        fastest = min(fastest, clock() - start)
    return 2 * n**3 / fastest


def report(stage, args):
    """Measure and print one stage; return the ratio of the speeds."""
    clock = time.process_time if args.cpu_time else time.perf_counter
    fastest = measure_times(stage, args.windows, args.steps, args.sizes, clock)
    n_tokens = args.windows * N_CHANNELS * N_PATCHES
    operations = count_operations(stage, args.sizes) * args.windows
    large = measure_peak(clock)
    for version in VERSIONS:
        seconds = fastest[version]
        memory = measure_memory_apart(stage, args.windows, version, args.sizes)
        share = operations / seconds / large
        print(
            f"stage {stage} ({NAMES[stage]}) {version:5} {n_tokens / seconds:9.0f} tokens/s "
            f"({1000 * seconds:.0f} ms a step), {memory / 1e9:5.2f} GB, "
            f"{operations / seconds / 1e9:.0f} GFLOP/s, {share:4.0%} of a large product",
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
    args = parser.parse_args(argv)
    args.sizes = sizes
    if args.threads:
        torch.set_num_threads(args.threads)
    print(
        f"{platform.machine()} CPU, {torch.get_num_threads()} threads, single precision; "
        f"{args.windows} windows of {N_CHANNELS} channels x {N_PATCHES} s per step"
    )
    return {stage: report(stage, args) for stage in args.stages}


if __name__ == "__main__":
    main()
