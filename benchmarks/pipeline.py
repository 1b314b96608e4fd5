# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""MNE-BIDS-Pipeline run on restored recordings, and what its report shows of them.

Run ``OMP_NUM_THREADS=1 python benchmarks/pipeline.py --source ../shared/eeg/eegmmi`` with the
package ``mne-bids-pipeline`` installed. It writes the recordings of two subjects to a BIDS data set
with MNE-BIDS, each with two channels of noise that are marked as bad, restores them with the names
of the source, runs the pipeline up to evoked responses on the source and on the results, and prints
what is in the HTML reports (sections, figures, what they say of bad channels) and in the epochs.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from html import unescape
from pathlib import Path

import mne
import mne_bids
import numpy as np
from bids import run

from mne_gram.montage import set_montage

BADS = ["C3", "PO7"]

CONFIG = """\
bids_root = {root!r}
deriv_root = {out!r}
task = "imagery"
ch_types = ["eeg"]
interactive = False
eeg_reference = "average"
l_freq, h_freq = 1.0, 40.0
epochs_tmin, epochs_tmax, baseline = -0.5, 2.0, (None, 0)
conditions = ["T1", "T2"]
contrasts = [("T1", "T2")]
decode = False
run_source_estimation = False
"""
STEPS = "init,preprocessing,sensor/make_evoked,sensor/group_average"


def make_data(source, root, n_subjects):
    """Write the recordings of some subjects to a BIDS data set, with two bad channels."""
    rng = np.random.default_rng(0)
    subjects = sorted(mne_bids.get_entity_vals(source, "subject"))[:n_subjects]
    found = mne_bids.find_matching_paths(
        source, subjects=subjects, suffixes="eeg", extensions=".edf"
    )
    for path in found:
        raw = mne_bids.read_raw_bids(path, verbose="error").load_data(verbose="error")
        mne.datasets.eegbci.standardize(raw)
        set_montage(raw, "colin27_1005")
        raw.apply_function(lambda x: rng.normal(0, 2e-4, x.shape), picks=BADS)
        raw.info["bads"] = BADS
        path = path.copy().update(root=root, extension=".vhdr")
        mne_bids.write_raw_bids(
            raw, path, format="BrainVision", allow_preload=True, verbose="error"
        )


def run_pipeline(root, out):
    """Run the pipeline on a data set; return the seconds it took."""
    config = out.with_name(f"{out.name}_config.py")
    config.write_text(CONFIG.format(root=str(root), out=str(out)), encoding="utf-8")
    code = "from mne_bids_pipeline._main import main; main()"
    command = [sys.executable, "-c", code, f"--config={config}", f"--steps={STEPS}"]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"The pipeline failed: {done.stdout[-3000:]}\n{done.stderr[-2000:]}")
    return time.perf_counter() - start


def read_report(path):
    """Return the titles of the sections of a report, its number of figures, and its text."""
    html = path.read_text(encoding="utf-8")
    body = html[html.rfind("<body") :]  # scripts before it have the same word
    names = list(dict.fromkeys(re.findall(r'id="accordion-collapse-([^"]+)"', body)))
    parts = {name for name in names for other in names if name.startswith(f"{other}-")}
    titles = [re.sub("_+", " ", name).strip() for name in names if name not in parts]
    figures = body.count('src="data:image/')
    text = re.sub(r"<[^>]*>", " ", re.sub(r'src="data:[^"]*"', "", body))
    return titles, figures, " ".join(unescape(text).split())


def show(name, out):
    """Print what is in the reports of a run of the pipeline, and in its epochs."""
    for path in sorted(out.rglob("*_report.html")):
        titles, figures, text = read_report(path)
        print(f"{name}, {path.name}: {figures} figures, {path.stat().st_size / 1e6:.1f} MB")
        print(f"    sections: {', '.join(titles)}")
        bads = re.findall(r"marked in original data: (.*?) (?:Bad channels|Raw)", text)
        print(f"    bad channels of its recordings: {'; '.join(bads) or 'not mentioned'}")
    for path in sorted(out.rglob("*_proc-clean_epo.fif")):
        epochs = mne.read_epochs(path, preload=False, verbose="error")
        counts = ", ".join(f"{len(epochs[key])} of {key}" for key in epochs.event_id)
        print(f"    {path.name}: {counts}; bad channels {epochs.info['bads']}")


def main():
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--source", type=Path, required=True, help="a BIDS data set in EDF")
    parser.add_argument("--subjects", type=int, default=2, help="how many of its subjects")
    parser.add_argument("--keep", type=Path, help="keep everything in this new folder")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = args.keep or Path(folder)
        root, restored = folder / "data", folder / "restored"
        make_data(args.source, root, args.subjects)
        code, rows, seconds = run(root, restored, "--naming", "raw")
        kept = ("recording", "status", "n_restored", "expected_r")
        rows = [{key: row[key] for key in kept} for row in rows]
        print(f"mne_gram bids --naming raw: exit code {code}, {seconds:.0f} s, {json.dumps(rows)}")
        for name, data in (("source", root), ("restored", restored)):
            out = folder / f"pipeline_{name}"
            print(f"Pipeline on {name}: {run_pipeline(data, out):.0f} s")
            show(name, out)


if __name__ == "__main__":
    main()
