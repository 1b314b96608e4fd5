# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Training on a GPU: tests, the speed of both stages, the profile of a step, a short training.

Run ``python benchmarks/gpu.py`` on a machine with one CUDA device: less than five minutes. What is
not done by ``--minutes`` is left out. ``--corpus`` names a prepared corpus for the training at the
end, in place of a few simulated recordings.

"Ours" is the step of `mne_gram.pretrain`, from batches in pinned memory to averaged weights, with
and without compilation. "Plain" is a step with convolutions, separate products for query, key and
value, attention as ``softmax(q k^T / sqrt(d)) v``, a one-hot matrix for the codebook, automatic
mixed precision, AdamW over lists of tensors, and a loss that is read in each step. Windows have 16
channels and 16 s, 256 tokens, of which stage 2 hides half. Times are means over steps in a row. The
share of the peak counts the operations of the matrix products of the plain version.

Without a CUDA device it prints how many operations a step starts, by name.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import torch
import training_speed as speed
from _operations import count_operations

import mne_gram
from mne_gram.models import find_places, gram_base, gram_medium
from mne_gram.training import TrainingConfig, prepare_corpus, run_recipe
from mne_gram.training._batches import Batch
from mne_gram.training._loop import _Run
from mne_gram.training._stages import GramStage, TokenizerStage

META = torch.device("meta")
ROOT = Path(__file__).resolve().parents[1]
N_TOKENS = speed.N_CHANNELS * speed.N_PATCHES
# Operations per second of dense products in bfloat16, by part of the device's name.
PEAKS = {"A100": 312e12, "H100": 989e12, "H200": 989e12, "L4": 121e12}
CASES = {
    "Base, stage 1": (1, gram_base()),
    "Base, stage 2": (2, gram_base()),
    "Medium, stage 2": (2, gram_medium()),
}
VERSIONS = [
    ("plain", 64),
    ("plain", 256),
    ("ours", 256),
    ("ours, compiled", 256),
    ("ours, compiled", 1024),
]
WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")


# ---------------------------------------------------------------------------------------------
# Speed


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


def measure(take, device, n_steps):
    """Return the seconds of a step after some to warm up, and those of the first step."""
    start = time.perf_counter()
    take()
    wait(device)
    first = time.perf_counter() - start
    for _ in range(3):
        take()
    wait(device)
    start = time.perf_counter()
    for _ in range(n_steps):
        take()
    wait(device)
    return (time.perf_counter() - start) / n_steps, first


def wait(device):
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure_limits(device):
    """Return the operations per second of a large product and the bytes per second of a copy."""
    a, b = (torch.randn(8192, 8192, device=device, dtype=torch.bfloat16) for _ in range(2))
    source = torch.empty(2**29, device=device)
    target = torch.empty_like(source)
    product, _ = measure(lambda: a @ b, device, 10)
    copied, _ = measure(lambda: target.copy_(source), device, 10)
    return 2 * 8192**3 / product, 2 * 4 * 2**29 / copied


def report_speed(device, args, folder):
    """Print a table of speeds; return it as {(case, version, windows): tokens per second}."""
    peak = next((v for k, v in PEAKS.items() if k in torch.cuda.get_device_name(device)), None)
    print("case, version, windows: tokens/s, ms a step, share of peak, GB, first step", flush=True)
    speeds = {}
    for case, (stage, gram) in CASES.items():
        operations = speed.count_operations(stage, gram=gram)
        for version, n_windows in VERSIONS:
            if version not in args.versions:
                continue
            if args.is_over(0.62):
                return speeds
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            if version == "plain":
                take = make_plain_step(stage, gram, n_windows, device)
            else:
                options = dict(compiled=version != "ours", folder=folder)
                take = make_our_step(stage, gram, n_windows, device, **options)
            seconds, first = measure(take, device, args.steps)
            del take  # its memory is needed
            rate = n_windows * N_TOKENS / seconds
            speeds[case, version, n_windows] = rate
            share = f"{operations * n_windows / seconds / peak:6.1%}" if peak else "-"
            memory = torch.cuda.max_memory_allocated() / 1e9
            print(
                f"{case:16} {version:15} {n_windows:4}: {rate / 1e3:8.0f} k, "
                f"{1e3 * seconds:7.1f} ms, {share}, {memory:5.1f} GB, {first:5.1f} s",
                flush=True,
            )
        print_ratio(speeds, case)
    return speeds


def print_ratio(speeds, case):
    """Print how much faster the training is, each version at its best number of windows."""
    best = {}
    for (name, version, _), rate in speeds.items():
        if name == case:
            kind = "plain" if version == "plain" else "ours"
            best[kind] = max(rate, best.get(kind, 0.0))
    if len(best) == 2:
        print(f"{case:16} ours / plain: {best['ours'] / best['plain']:.2f}", flush=True)


# ---------------------------------------------------------------------------------------------
# Profile


def report_profile(case, device, folder, n_steps=3, n_rows=12):
    """Print what the device does in a compiled step."""
    stage, gram = CASES[case]
    take = make_our_step(stage, gram, 256, device, compiled=True, folder=folder)
    for _ in range(3):
        take()
    wait(device)
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profiler:
        start = time.perf_counter()
        for _ in range(n_steps):
            take()
        launched = time.perf_counter() - start
        wait(device)
        total = time.perf_counter() - start
    counts, times = count_events(profiler.events())
    busy = sum(times.values()) / 1e6
    numbers = {name: count / n_steps for name, count in counts.items()}
    print(f"\nProfile of {case}, compiled, 256 windows, per step:")
    print(
        f"{1e3 * total / n_steps:.1f} ms, of which the device works {1e3 * busy / n_steps:.1f} ms "
        f"and the host launches {1e3 * launched / n_steps:.1f} ms; "
        + ", ".join(f"{name} {number:g}" for name, number in numbers.items())
    )
    for name, microseconds in times.most_common(n_rows):
        print(f"  {microseconds / 1e3 / n_steps:7.2f} ms  {name[:110]}", flush=True)


def count_events(events):
    """Return the numbers of kernels, copies and waits, and the microseconds of each kernel."""
    counts, times = Counter(kernels=0, copies_to_host=0, copies=0, waits=0), Counter()
    for event in events:
        if event.device_type == torch.autograd.DeviceType.CUDA:
            if "Memcpy DtoH" in event.name:
                counts["copies_to_host"] += 1
            kind = "copies" if event.name.startswith(("Memcpy", "Memset")) else "kernels"
            counts[kind] += 1
            times[event.name] += event.time_range.elapsed_us()
        elif event.name in WAITS:
            counts["waits"] += 1
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
# Tests and training


def run_tests(timeout=70):
    """Run the tests marked "gpu"; print their summary."""
    folders = [str(ROOT / "tests" / name) for name in ("models", "training")]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider"]
    print("Tests marked gpu:", flush=True)
    try:
        subprocess.run([*command, *folders], cwd=ROOT, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        print(f"stopped after {timeout} s", flush=True)


def make_corpus(folder):
    """Prepare a corpus of simulated recordings."""
    files = []
    for k in range(8):
        raw, _ = mne_gram.simulation.simulate_raw(60.0, artefacts=(), seed=k, verbose="error")
        files.append(folder / "lab" / f"sub-{k}_raw.fif")
        files[-1].parent.mkdir(exist_ok=True)
        raw.save(files[-1], verbose="error")
    return prepare_corpus(folder / "corpus", files=files, verbose="error").folder


def report_training(corpus, minutes, folder):
    """Train the recipe gram-small for some minutes; print its speed and what it learned.

    It is not compiled, which takes as long as this training.
    """
    corpus = make_corpus(folder) if corpus is None else corpus
    model = run_recipe(
        "gram-small",
        folder / "models",
        bids_roots=[],
        corpus=corpus,
        minutes=minutes,
        device="cuda",
        changes={"compile": False},
        verbose="error",
    )
    print(f"\nRecipe gram-small, {minutes:g} minutes:")
    for name, card in model.card["stages"].items():
        training = card["training"]
        n_tokens = card["steps"] * training["n_parts"] * training["tokens_per_part"]
        seconds = 3600 * card["hours_of_training"] - card["seconds_of_setup"]
        values = ", ".join(f"{key} {value:.3g}" for key, value in card["watched"].items())
        print(
            f"{name}: {card['steps']} steps, {n_tokens / seconds / 1e3:.0f} k tokens/s after "
            f"{card['seconds_of_setup']:.0f} s of setup; held-out subjects: {values}",
            flush=True,
        )


def parse_args(argv):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--minutes", type=float, default=4.5, help="time for everything")
    add("--steps", type=int, default=10, help="steps over which speed is averaged")
    add("--train", type=float, default=0.6, metavar="M", help="minutes of the training")
    add("--corpus", type=Path, help="a prepared corpus to train on")
    names = list(dict.fromkeys(name for name, _ in VERSIONS))
    add("--versions", nargs="+", default=names, choices=names, help="of the speed (all)")
    add("--skip", nargs="+", default=[], choices=["tests", "speed", "profile", "training"])
    args = parser.parse_args(argv)
    begun = time.monotonic()
    args.is_over = lambda share=1.0: time.monotonic() - begun > 60 * share * args.minutes
    return args


def main(argv=None):
    """Run the benchmark; return the speeds, None without a GPU."""
    args = parse_args(argv)
    if not torch.cuda.is_available():
        print("Torch finds no CUDA device on this machine, so nothing but operations is counted.")
        with tempfile.TemporaryDirectory() as folder:
            report_operations(folder)
        return None
    device, speeds = torch.device("cuda", 0), {}
    name = torch.cuda.get_device_name(device)
    products, copies = measure_limits(device)
    print(
        f"{name}, torch {torch.__version__}: a large product in bfloat16 "
        f"{products / 1e12:.0f} TFLOP/s, a copy {copies / 1e12:.2f} TB/s",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if "tests" not in args.skip:
            run_tests()
        if "speed" not in args.skip:
            speeds = report_speed(device, args, folder)
        for case in ("Base, stage 1", "Base, stage 2"):
            if "profile" not in args.skip and not args.is_over(0.7):
                report_profile(case, device, folder)
        if "training" not in args.skip and not args.is_over(0.8):
            report_training(args.corpus, args.train, folder)
    return speeds


if __name__ == "__main__":
    main()
