# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The speed of training steps on a GPU, each version guarded, and what a step makes of the GPU."""

import contextlib
import functools
import signal
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import torch
import training_speed as speed
from _operations import count_operations

from mne_gram.models import find_places, gram_base, gram_medium
from mne_gram.training import TrainingConfig
from mne_gram.training._batches import Batch
from mne_gram.training._loop import _Run
from mne_gram.training._stages import GramStage, TokenizerStage

META = torch.device("meta")
N_TOKENS = speed.N_CHANNELS * speed.N_PATCHES
# Operations per second of dense products in bfloat16, by part of the device's name.
PEAKS = {"A100": 312e12, "H100": 989e12, "H200": 989e12, "L4": 121e12}
CASES = {
    "Base, stage 2": (2, gram_base()),
    "Base, stage 1": (1, gram_base()),
    "Medium, stage 2": (2, gram_medium()),
}
# What is compiled of ours, see `TrainingConfig`.
COMPILED = {"ours": False, "graphs": "graphs", "blocks": True, "whole": "whole"}
# In the order of what they decide, as the time may not be enough for all.
VERSIONS = [
    ("plain", 256),
    ("ours", 256),
    ("blocks", 256),
    ("graphs", 256),
    ("whole", 256),
    ("plain", 64),
    ("blocks", 1024),
]
LAUNCHES = ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch")
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


# ---------------------------------------------------------------------------------------------
# Steps


def make_plain_step(stage, gram, n_windows, device):
    """Return a function that takes a plain step and reads its loss."""
    step = speed.make_step(stage, n_windows, device, gram=gram)

    def take():
        with speed.use_version("plain"):
            step().item()

    return take


def make_run(stage, gram, n_windows, device, *, compiled, folder):
    """Return the training of a stage, and a batch of it."""
    config = TrainingConfig(
        n_parts=1,
        tokens_per_part=n_windows * N_TOKENS,
        precision="bfloat16",
        compile=compiled,
    )
    network, tokenizer = speed.make_networks(stage, device, gram=gram)
    if stage == 1:
        one = TokenizerStage(network, config)
        one.codebook.started = True
    else:
        one = GramStage(network, tokenizer, config)
    x, channels, hidden = speed.draw_windows(n_windows, speed.CPU)
    batch = Batch(x, channels, hidden, "random", ("",) * n_windows, find_places(hidden.flatten(1)))
    return _Run(one, config, Path(folder), device, {}), batch


def make_our_step(stage, gram, n_windows, device, *, compiled, folder):
    """Return a function that takes a step of the training."""
    run, batch = make_run(stage, gram, n_windows, device, compiled=compiled, folder=folder)
    if device.type == "cuda":
        batch = batch.pin_memory()

    def take():
        run.take_step(0, range(1), [batch])
        if len(run._recent) >= run.config.log_every:
            run.check_finite()

    return take


def make_step(case, version, n_windows, device, folder):
    """Return a function that takes a step of a version."""
    stage, gram = CASES[case]
    if version == "plain":
        return make_plain_step(stage, gram, n_windows, device)
    options = dict(compiled=COMPILED[version], folder=folder)
    return make_our_step(stage, gram, n_windows, device, **options)


def measure(take, device, n_steps):
    """Return the seconds of a step, and those of the four steps before, which warm up."""
    start = time.perf_counter()
    for _ in range(4):
        take()
    wait(device)
    warm_up = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(n_steps):
        take()
    wait(device)
    return (time.perf_counter() - start) / n_steps, warm_up


def wait(device):
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


# ---------------------------------------------------------------------------------------------
# What a step makes of the device


class Profile(NamedTuple):
    """What is started in a step."""

    counts: Counter  #: kernels, launches, copies, copies to the host, waits
    times: Counter  #: microseconds of each kernel
    launched: float  #: seconds until the host has started everything

    def describe(self):
        """Return the counts and times in words."""
        busy = sum(self.times.values()) / 1e3
        numbers = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        return f"device busy {busy:.1f} ms, host {1e3 * self.launched:.1f} ms, {numbers}"


def profile_step(take, device):
    """Return the profile of a step."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profiler:
        start = time.perf_counter()
        take()
        launched = time.perf_counter() - start
        wait(device)
    return Profile(*count_events(profiler.events()), launched)


def count_events(events):
    """Return the numbers of kernels, launches, copies and waits, and microseconds by kernel."""
    counts = Counter(kernels=0, launches=0, copies=0, copies_to_host=0, waits=0)
    times = Counter()
    for event in events:
        if event.device_type == torch.autograd.DeviceType.CUDA:
            if "Memcpy DtoH" in event.name:
                counts["copies_to_host"] += 1
            kind = "copies" if event.name.startswith(("Memcpy", "Memset")) else "kernels"
            counts[kind] += 1
            times[event.name] += event.time_range.elapsed_us()
        elif event.name in WAITS:
            counts["waits"] += 1
        elif event.name.startswith(LAUNCHES):
            counts["launches"] += 1
    return counts, times


def report_operations(folder, n_names=12):
    """Print the operations that a step starts if nothing is compiled, counted without a GPU."""
    counts = {}
    for case, (stage, gram) in CASES.items():
        run, batch = make_run(stage, gram, 2, META, compiled=False, folder=folder)
        counts[case] = count_operations(run, batch)
        names = ", ".join(f"{name} {n}" for name, n in counts[case].most_common(n_names))
        print(f"{case:16} {counts[case].total():5} operations a step: {names}", flush=True)
    return counts


# ---------------------------------------------------------------------------------------------
# The table


@contextlib.contextmanager
def time_limit(seconds):
    """Raise TimeoutError inside a context that takes too long, where the system can."""

    def stop(*_):
        raise TimeoutError(f"more than {seconds:.0f} s")

    if not hasattr(signal, "setitimer"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def report_speed(device, args, folder):
    """Print speeds and profiles; return {(case, version, windows): tokens per second}.

    A version that fails or takes longer than ``args.limit`` seconds is reported, and the others
    are measured.
    """
    print("case, version, windows: tokens/s, ms a step, share of peak, GB, warm-up; a step")
    speeds, profiles = {}, {}
    for version, n_windows in VERSIONS:
        for case in CASES:
            if version not in args.versions:
                continue
            if args.is_over(0.8):
                print(f"{case:16} {version:7} {n_windows:4}: not measured, the time is over")
                continue
            try:
                with time_limit(args.limit):
                    found = _measure_version(case, version, n_windows, device, args, folder)
            except Exception as exc:
                text = str(exc).strip() or "no message"
                print(
                    f"{case:16} {version:7} {n_windows:4}: failed, {type(exc).__name__}: "
                    f"{text.splitlines()[0][:200]}",
                    flush=True,
                )
                continue
            speeds[case, version, n_windows], profiles[case, version, n_windows] = found
    for case in CASES:
        print_ratio(speeds, case)
        print_kernels(speeds, profiles, case)
    return speeds


def _measure_version(case, version, n_windows, device, args, folder):
    """Measure a version and print its line; return its tokens per second and a profile."""
    # Nothing compiled before makes the warm-up shorter.
    torch._dynamo.reset()
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    take = make_step(case, version, n_windows, device, folder)
    seconds, warm_up = measure(take, device, args.steps)
    memory = torch.cuda.max_memory_allocated() / 1e9 if on_gpu else float("nan")
    profile = profile_step(take, device)
    rate = n_windows * N_TOKENS / seconds
    print(
        f"{case:16} {version:7} {n_windows:4}: {rate / 1e3:6.0f} k, {1e3 * seconds:6.1f} ms, "
        f"{describe_share(case, rate, device)}, {memory:5.1f} GB, {warm_up:5.1f} s; "
        f"{profile.describe()}",
        flush=True,
    )
    return rate, profile


def describe_share(case, rate, device):
    """Return the share of the device's peak that so many tokens per second use."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    peak = next((value for key, value in PEAKS.items() if key in name), None)
    if peak is None:
        return "-"
    return f"{count_products(*CASES[case]) * rate / N_TOKENS / peak:5.1%}"


@functools.cache
def count_products(stage, gram):
    """Return the operations of the matrix products of a step for one window."""
    return speed.count_operations(stage, gram=gram)


def print_ratio(speeds, case):
    """Print how much faster the training is, each version at its best number of windows."""
    best = {}
    for (name, version, _), rate in speeds.items():
        if name == case:
            kind = "plain" if version == "plain" else "ours"
            best[kind] = max(rate, best.get(kind, 0.0))
    if len(best) == 2:
        print(f"{case:16} ours / plain: {best['ours'] / best['plain']:.2f}", flush=True)


def print_kernels(speeds, profiles, case, n_rows=12):
    """Print the kernels that take longest in the fastest version of ours."""
    ours = [key for key in speeds if key[0] == case and key[1] != "plain"]
    if ours:
        best = max(ours, key=speeds.get)
        print(f"Kernels of {best[0]}, {best[1]}, {best[2]} windows:")
        for name, microseconds in profiles[best].times.most_common(n_rows):
            print(f"  {microseconds / 1e3:7.2f} ms  {name[:110]}", flush=True)
