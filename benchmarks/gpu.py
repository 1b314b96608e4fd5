# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Training on a GPU: tests, the speed of both stages, what a step starts, a short training.

Run ``python benchmarks/gpu.py`` on a machine with one CUDA device: less than five minutes. What is
not done by ``--minutes`` is left out. ``--corpus`` names a prepared corpus for the training at the
end, in place of a few simulated recordings.

The versions of "ours" are the step of `mne_gram.pretrain`, from batches in pinned memory to
averaged weights: not compiled, and with ``compile`` True ("blocks"), ``"whole"`` and ``"graphs"``.
"Plain" is a step with convolutions, separate products for query, key and value, attention as
``softmax(q k^T / sqrt(d)) v``, a one-hot matrix for the codebook, automatic mixed precision, AdamW
over lists of tensors, and a loss that is read in each step. Windows have 16 channels and 16 s, 256
tokens, of which stage 2 hides half. Times are means over steps in a row. The share of the peak
counts the operations of the matrix products of the plain version.

A line has the warm-up, which is the first four steps with compilation, and of one more step the
time that the device is busy, the time that the host needs, and the numbers of kernels, launches,
copies and waits. A version that fails is reported, and the others are measured.

Without a CUDA device it prints how many operations a step starts, by name.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from _gpu_speed import VERSIONS, measure, report_operations, report_speed

import mne_gram
from mne_gram.training import prepare_corpus, run_recipe

ROOT = Path(__file__).resolve().parents[1]


def measure_limits(device):
    """Return the operations per second of a large product and the bytes per second of a copy."""
    a, b = (torch.randn(8192, 8192, device=device, dtype=torch.bfloat16) for _ in range(2))
    source = torch.empty(2**29, device=device)
    target = torch.empty_like(source)
    product, _ = measure(lambda: a @ b, device, 10)
    copied, _ = measure(lambda: target.copy_(source), device, 10)
    return 2 * 8192**3 / product, 2 * 4 * 2**29 / copied


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
    add("--limit", type=float, default=75.0, help="seconds for each version, compilation included")
    add("--skip", nargs="+", default=[], choices=["tests", "speed", "training"])
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
        # What an earlier run compiled does not count.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "compiled")
        if "tests" not in args.skip:
            run_tests()
        if "speed" not in args.skip:
            speeds = report_speed(device, args, folder)
        if "training" not in args.skip and not args.is_over(0.85):
            try:
                report_training(args.corpus, args.train, folder)
            except Exception as exc:
                print(f"The training failed, {type(exc).__name__}: {exc}")
    return speeds


if __name__ == "__main__":
    main()
