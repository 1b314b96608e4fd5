# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A data set from end to end: run, skip, kill and resume, a broken file, workers, the validator.

Run ``OMP_NUM_THREADS=1 python benchmarks/bids.py --source ../shared/eeg/eegmmi --subjects 4`` with
the packages ``dask[distributed]`` and ``bids-validator-deno`` installed. It copies some subjects to
a temporary folder, marks channels and a segment as bad in half of the recordings, and prints what
``mne_gram bids`` does with them, in separate processes.
"""

import argparse
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pandas as pd

BADS = (5, 40)  # rows of channels.tsv that are marked
SPAN = dict(onset="10.0", duration="2.5", trial_type="BAD_muscle", value="n/a", sample="n/a")


def copy_subjects(source, root, n_subjects):
    """Copy the first subjects of a data set and mark channels as bad in every other recording."""
    chosen = sorted(path for path in source.glob("sub-*"))[:n_subjects]
    root.mkdir(parents=True)
    for path in source.iterdir():
        if path.is_file():
            shutil.copyfile(path, root / path.name)
    for path in (file for subject in chosen for file in subject.rglob("*") if file.is_file()):
        target = root / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)  # without the permissions, which may be to read only
    subjects = _read(root / "participants.tsv")
    kept = subjects["participant_id"].isin([subject.name for subject in chosen])
    _write(subjects[kept], root / "participants.tsv")
    tables = sorted(root.rglob("*_channels.tsv"))
    for table in tables[::2]:
        channels = _read(table)
        channels.loc[list(BADS), "status"] = "bad"
        _write(channels, table)
        events_path = Path(str(table).replace("_channels.tsv", "_events.tsv"))
        events = _read(events_path).assign(channel="n/a")
        span = dict(SPAN, channel=channels["name"][0])
        events = pd.concat([events, pd.DataFrame([span])]).reindex(columns=events.columns)
        _write(events, events_path)


def _read(path):
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)


def _write(table, path):
    table.to_csv(path, sep="\t", index=False)


def make_command(root, out, *options):
    """Return the command of ``mne_gram bids``, a list of str."""
    command = [sys.executable, "-m", "mne_gram", "bids", root, "--derivatives", out, *options]
    return [str(part) for part in command]


def run(root, out, *options):
    """Run ``mne_gram bids``; return its exit code, its table and the seconds it took."""
    start = time.perf_counter()
    command = make_command(root, out, "--json", *options)
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    if not done.stdout:
        raise SystemExit(f"mne_gram bids failed: {done.stderr[-2000:]}")
    return done.returncode, json.loads(done.stdout)["recordings"], seconds


def find_checksums(out):
    """Return the sha256 of the prior and of each result file, by name."""
    paths = list(out.glob("prior.npz"))
    paths += sorted(path for path in out.glob("sub-*/eeg/*") if path.is_file())
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


def kill_and_resume(root, out, job, n_done, options):
    """Kill a run when some records of a job are there; return their number and the next run."""
    command = make_command(root, out, *options)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    records = out / ".mne_gram" / "records"
    while len(list(records.glob(f"*.{job}.json"))) < n_done and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.5)  # into the work on the next one
    process.send_signal(signal.SIGKILL)
    process.wait()
    number = len(list(records.glob(f"*.{job}.json")))
    code, rows, _ = run(root, out, *options)
    return number, code, Counter(row["status"] for row in rows)


def run_on_dask(root, out, n_workers, options):
    """Run on a local dask cluster; return the seconds with and without its start."""
    from distributed import LocalCluster

    start = time.perf_counter()
    with LocalCluster(
        n_workers=n_workers, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        ready = time.perf_counter() - start
        code, _, seconds = run(root, out, "--dask", cluster.scheduler_address, *options)
    return code, ready, seconds


def validate(folder):
    """Return the number of issues of each kind that the official validator finds."""
    validator = shutil.which("bids-validator-deno")
    if validator is None:
        return None
    done = subprocess.run(
        [validator, str(folder), "--format", "json"], capture_output=True, text=True
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    return dict(Counter(f"{issue['severity']} {issue['code']}" for issue in issues))


def print_tree(folder):
    """Print the tree of the results of the first subject."""
    first = min(path.name for path in folder.glob("sub-*") if path.is_dir())
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and (not name.startswith("sub-") or name.startswith(first)):
            print(f"    {name}  ({path.stat().st_size} bytes)")


def show(source, n_subjects, folder, options):
    """Print all steps; ``options`` are those of all runs."""
    root = folder / "data"
    copy_subjects(source, root, n_subjects)
    default = root / "derivatives" / "mne-gram"
    code, rows, seconds = run(root, default, "--std", *options)
    counts = Counter(row["status"] for row in rows)
    print(f"First run: exit code {code}, {dict(counts)}, {seconds:.1f} s")
    print(pd.DataFrame(rows)[["recording", "n_bads", "n_restored", "expected_r", "seconds"]])
    print_tree(default)
    print(f"Validator, results: {validate(default)}")
    print(f"Validator, source and results: {_keep_errors(validate(root))}")
    code, rows, seconds = run(root, default, "--std", *options)
    counts = Counter(row["status"] for row in rows)
    print(f"Second run: exit code {code}, {dict(counts)}, {seconds:.1f} s")
    expected = _time_workers(root, folder, options)
    for job, n_done in (("prior", 5), ("restore", 2)):
        out = folder / f"killed-{job}"
        number, code, counts = kill_and_resume(root, out, job, n_done, options)
        same = find_checksums(out) == expected
        print(f"Killed with {number} records of {job}; then {dict(counts)}, exit code {code}, same "
              f"to the bit: {same}")  # fmt: skip
    code, _, seconds = run(root, folder / "bundled", "--prior", "bundled", *options)
    print(f"Without a prior of the data set: {seconds:.1f} s in 1 process")
    broken = sorted(root.glob("sub-*/eeg/*_eeg.edf"))[1]
    broken.write_bytes(broken.read_bytes()[:2000])
    code, rows, _ = run(root, folder / "broken", *options)
    (failed,) = [row for row in rows if row["status"] == "failed"]
    counts = Counter(row["status"] for row in rows)
    print(f"One broken file: exit code {code}, {dict(counts)}; {failed['why']}")


def _keep_errors(issues):
    return issues and {kind: number for kind, number in issues.items() if "error" in kind}


def _time_workers(root, folder, options):
    """Print wall times with one and two processes and on dask; return the checksums."""
    times = {}
    for number in (1, 2):
        code, _, times[number] = run(root, folder / f"jobs{number}", "--n-jobs", number, *options)
        assert code == 0
    code, ready, seconds = run_on_dask(root, folder / "dask", 2, options)
    assert code == 0
    expected = find_checksums(folder / "jobs1")
    same = [find_checksums(folder / name) == expected for name in ("jobs2", "dask")]
    print(f"1 process {times[1]:.1f} s, 2 processes {times[2]:.1f} s, dask with 2 processes "
          f"{seconds:.1f} s (and {ready:.1f} s to start it); same to the bit: {same}")  # fmt: skip
    return expected


def main():
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--source", type=Path, required=True, help="a BIDS data set in EDF")
    parser.add_argument("--subjects", type=int, default=4, help="how many of its subjects")
    parser.add_argument("--method", default="auto", help="of restore; spatial takes minutes")
    parser.add_argument("--keep", type=Path, help="keep everything in this new folder")
    args = parser.parse_args()
    options = ["--method", args.method]
    if args.keep:
        args.keep.mkdir(parents=True)
        show(args.source, args.subjects, args.keep, options)
    else:
        with tempfile.TemporaryDirectory() as folder:
            show(args.source, args.subjects, Path(folder), options)


if __name__ == "__main__":
    main()
