# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Runs that are killed at random times, resumed until they end, and compared with an unbroken one.

``python benchmarks/kills.py --what bids --runs 200`` restores a small simulated data set
in two passes, the first of which makes its prior (``--prior bundled``: in one), and
``--what training --runs 50`` trains a small tokenizer, or a stage 2. Each process is killed
(SIGKILL, which it cannot notice) after a random time, and the next one continues in its folder;
after a few kills it may end. Time spent waiting for a busy processor does not count. All files have
to be those of an unbroken run, bit for bit, and no temporary file or lock may remain. The exit
status is 1 if anything differs. Processes are forked when everything is imported, which takes
longer than the runs; this needs a POSIX system.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # sums then do not depend on it, and forking is safe

import matplotlib.pyplot  # noqa: E402, F401
import mne  # noqa: E402
import mne_bids  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from safetensors import safe_open  # noqa: E402

import mne_gram  # noqa: E402
from mne_gram.models import GramModel, Tokenizer, gram_nano, tokenizer_nano  # noqa: E402
from mne_gram.simulation import simulate_raw  # noqa: E402
from mne_gram.training import TrainingConfig, pretrain, pretrain_tokenizer  # noqa: E402
from mne_gram.training import prepare_corpus as prepare  # noqa: E402

MOST_KILLS = 6  # of one run, which may then end
LONGEST = 3600.0  # seconds of one process
NAMES = "Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2 F7 F8 T7 T8 P7 P8 Fz Cz Pz".split()
TOKENIZER = replace(tokenizer_nano(), n_filters=4, n_heads=5, decoder_n_heads=5, n_classes=32)
GRAM = replace(gram_nano(), decoder_n_heads=5, n_classes=32, predict_scale=True)
TRAINING = TrainingConfig(
    n_steps=12,
    n_parts=2,
    tokens_per_part=128,
    tokens_per_window=32,
    warm_start=True,
    codebook_decay=0.5,
    revive_below=0.5,
    free_steps=4,
    free_guide=True,
    start_tokens=200,
    hold_out_every=4,
    validate_every=6,
    checkpoint_every=2,
    log_every=1,
)


@dataclass
class Count:
    """What happened."""

    runs: int = 0
    kills: int = 0
    early: int = 0  # processes that ended before they were killed
    problems: list = field(default_factory=list)


def start(job, folder):
    """Run a job in a forked process; return its PID."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        with open(os.devnull, "w") as null:
            os.dup2(null.fileno(), 1)
        job(folder)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def read_waited(pid):
    """Return how many seconds a process has waited for a busy processor; 0 if it is unknown."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def wait(pid, seconds):
    """Wait for a process, which is killed after some seconds of its own time.

    This leaves out the time it waited for a busy processor. Returns its exit status, negative if
    it was killed, and its own time.
    """
    begun, own, waited = time.monotonic(), 0.0, 0.0
    while own < seconds:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), own
        time.sleep(max(0.0, min(0.005, seconds - own)))
        waited = max(waited, read_waited(pid))
        own = time.monotonic() - begun - waited
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), own


def measure(job, folder):
    """Return how many seconds of its own time an unbroken run of a job takes."""
    status, seconds = wait(start(job, folder), LONGEST)
    if status:
        raise RuntimeError("The run fails even if it is not killed.")
    return seconds


def kill_and_resume(job, compare, n_kills, seed, place):
    """Kill runs of a job at random times until there were enough kills; return the Count.

    ``compare(folder, unbroken)`` yields what differs.
    """
    unbroken, count, rng = place / "unbroken", Count(), np.random.default_rng(seed)
    seconds = measure(job, unbroken)
    while count.kills < n_kills and not count.problems:
        folder, kills = place / f"run{count.runs}", 0
        while True:
            # Mostly early, as less is left to do after each kill; sometimes beyond the end.
            last = kills == MOST_KILLS or count.kills == n_kills
            limit = LONGEST if last else 1.1 * seconds * rng.uniform() ** 2
            code, _ = wait(start(job, folder), limit)
            if code == -signal.SIGKILL and not last:
                kills, count.kills = kills + 1, count.kills + 1
                continue
            count.early += not last
            break
        count.runs += 1
        found = [f"a process ended with status {code}"] if code else []
        found += [] if code else compare(folder, unbroken)
        count.problems += [f"{folder.name} after {kills} kills: {text}" for text in found]
        if not found:
            shutil.rmtree(folder)
        text = f"{count.kills} kills in {count.runs} runs, {len(count.problems)} differences"
        print(text, file=sys.stderr, flush=True)
    return count


def compare_files(folder, unbroken, read):
    """Yield the names of files that are missing, unexpected or different as they are read."""
    names = [
        {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}
        for root in (folder, unbroken)
    ]
    wanted = [{name for name in own if read(name) is not None} for own in names]
    for name in sorted(wanted[0] ^ wanted[1]):
        yield f"{name} is {'unexpected' if name in wanted[0] else 'missing'}"
    for name in sorted(wanted[0] & wanted[1]):
        content = [read(name)(root / name) for root in (folder, unbroken)]
        if content[0] != content[1]:
            yield f"{name} differs"


# ---------------------------------------------------------------------------------------------
# A data set


def make_data_set(root, n_subjects=3):
    """Write short simulated recordings, each with a bad channel and a bad segment of a channel."""
    for k in range(n_subjects):
        raw, _ = simulate_raw(8.0, ch_names=NAMES, artefacts=(), seed=k, verbose="error")
        raw.info["bads"], raw.info["line_freq"] = [NAMES[3 + k]], 50.0
        raw.set_annotations(mne.Annotations(2.0, 1.5, "BAD_jump", ch_names=[[NAMES[9]]]))
        path = mne_bids.BIDSPath(root=root, subject=f"{k:02}", task="rest", datatype="eeg")
        mne_bids.write_raw_bids(
            raw, path, format="BrainVision", allow_preload=True, verbose="error"
        )


def restore_data_set(root, prior, pages):
    """Return the job of restoring a data set."""
    options = dict(method="spatial", prior=prior, report=pages, verbose="error")

    def job(folder):
        is_busy = True
        while is_busy:  # a lock is that of nobody for 10 s, if its owner died while writing it
            report = mne_gram.run_bids(root, derivatives=folder, **options)
            if report.failures:
                raise RuntimeError(f"{report}")
            is_busy = any(row["status"] == "busy" for row in report.rows)
            time.sleep(is_busy)

    return job


def read_result(name):
    """Return how to read a file of the results for comparison, None if it may differ."""
    if name.startswith("logs/") or name.endswith(".html"):
        return None
    if name.startswith(".mne_gram/records/"):
        return read_record
    return Path.read_bytes


def read_record(path):
    """Return a record without times."""
    entry = json.loads(path.read_text(encoding="utf-8"))
    entry.pop("time"), entry["row"].pop("compute_seconds")
    return entry


def compare_data_sets(folder, unbroken):
    """Yield what differs between two folders of results."""
    return compare_files(folder, unbroken, read_result)


# ---------------------------------------------------------------------------------------------
# Training


def make_corpus(place):
    """Prepare a corpus of four simulated subjects; return its folder."""
    files = []
    for k in range(4):
        raw, _ = simulate_raw(36.0, ch_names=NAMES[:8], artefacts=(), seed=k, verbose="error")
        files.append(place / "lab" / f"sub-{k}_raw.fif")
        files[-1].parent.mkdir(exist_ok=True)
        raw.save(files[-1], verbose="error")
    return prepare(place / "corpus", files=files, verbose="error").folder


def train_model(corpus, stage):
    """Return the job of training a stage."""
    options = dict(training=TRAINING, verbose="error")

    def job(folder):
        if stage == "tokenizer":
            pretrain_tokenizer(corpus, folder, config=TOKENIZER, **options)
        else:
            first = GramModel(tokenizer=Tokenizer(TOKENIZER, seed=7).eval())
            pretrain(corpus, first, folder, config=GRAM, **options)

    return job


def read_training(name):
    """Return how to read a file of a training for comparison, None if it may differ."""
    if name == "checkpoint.safetensors":
        return read_checkpoint
    if name.startswith("tensorboard/") or name in ("curves.png", "log.csv.old"):
        return None
    return read_config if name == "model/config.json" else Path.read_bytes


def read_checkpoint(path):
    """Return the tensors of a checkpoint as bytes, and the step."""
    with safe_open(path, framework="np") as file:
        content = {key: file.get_tensor(key).tobytes() for key in file.keys()}  # noqa: SIM118
        return content, json.loads(file.metadata()["mne_gram"])["progress"]["step"]


def read_config(path):
    """Return the configuration of a model without the card, which has times and folders."""
    return dict(json.loads(path.read_text(encoding="utf-8")), card=None)


def compare_trainings(folder, unbroken):
    """Yield what differs between two folders of training."""
    return compare_files(folder, unbroken, read_training)


# ---------------------------------------------------------------------------------------------


def run(what, n_kills, seed, *, prior="dataset", pages=False):
    """Kill runs of a kind, and return the Count by name."""
    torch.set_num_threads(1)
    counts = {}
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        if what == "bids":
            make_data_set(place / "data")
            job = restore_data_set(place / "data", prior, pages)
            job(place / "first")  # imports what is imported late
            counts["bids"] = kill_and_resume(job, compare_data_sets, n_kills, seed, place)
            return counts
        corpus = make_corpus(place)
        find_spec("tensorboard") and import_module("torch.utils.tensorboard")
        for k, stage in enumerate(("tokenizer", "gram")):
            (place / stage).mkdir()
            job, n = train_model(corpus, stage), (n_kills + 1 - k) // 2
            counts[stage] = kill_and_resume(job, compare_trainings, n, seed + k, place / stage)
    return counts


def main():
    """Run the program."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--what", choices=("bids", "training"), default="bids")
    parser.add_argument("--runs", type=int, default=200, help="the number of kills")
    parser.add_argument("--seed", type=int, default=0, help="of the times")
    parser.add_argument("--prior", choices=("dataset", "bundled"), default="dataset")
    parser.add_argument("--pages", action="store_true", help="make the HTML pages and figures")
    args = parser.parse_args()
    begun = time.monotonic()
    counts = run(args.what, args.runs, args.seed, prior=args.prior, pages=args.pages)
    for name, count in counts.items():
        print(
            f"{name}: {count.kills} kills in {count.runs} runs, {count.early} processes ended "
            f"before; {len(count.problems)} differences."
        )
        print("\n".join(count.problems))
    print(f"{time.monotonic() - begun:.0f} s")
    return int(any(count.problems for count in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
