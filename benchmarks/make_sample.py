# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Write the sample recording of the package from the shared recordings.

Usage: ``python benchmarks/make_sample.py [folder with the shared recordings]``. The default folder
is ``MNE_GRAM_SHARED``, or ``../shared`` if that is not set.
"""

import os
import re
import sys
from pathlib import Path

import mne
import numpy as np
from edfio import Edf, EdfAnnotation, EdfSignal

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "mne_gram" / "datasets" / "data" / "sample_eeg.edf"
SOURCE = "eeg/eegmmi/sub-004/eeg/sub-004_task-imagery_run-04_eeg.edf"
START, SECONDS = 16, 20


def clean_name(name):
    """Return the 10-05 name: ``Fc5.`` becomes ``FC5``, ``Fp1.`` stays ``Fp1``."""
    name = name.strip(".").upper().replace("FP", "Fp")
    return re.sub("Z$", "z", name)


def main(shared):
    """Cut the excerpt and write it as EDF+, in units of one microvolt as in the original."""
    raw = mne.io.read_raw_edf(Path(shared) / SOURCE, preload=True)
    sfreq = raw.info["sfreq"]
    first = int(START * sfreq)
    microvolts = raw.get_data()[:, first : first + int(SECONDS * sfreq)] * 1e6
    whole = np.round(microvolts)
    assert np.abs(microvolts - whole).max() < 1e-6, "the source has a finer unit than 1 uV"
    limits = (-32768, 32767)
    signals = [
        EdfSignal(
            row,
            sampling_frequency=sfreq,
            label=clean_name(name),
            physical_dimension="uV",
            physical_range=limits,
            digital_range=limits,
        )
        for name, row in zip(raw.ch_names, whole, strict=True)
    ]
    annotations = []
    for item in raw.annotations:
        onset = max(item["onset"] - START, 0.0)
        stop = min(item["onset"] + item["duration"] - START, SECONDS)
        if stop - onset > 0.5:  # the rest of an event that starts before the excerpt
            annotations.append(
                EdfAnnotation(round(onset, 4), round(stop - onset, 4), item["description"])
            )
    TARGET.parent.mkdir(exist_ok=True)
    Edf(signals, annotations=annotations).write(TARGET)
    print(f"Wrote {TARGET} ({TARGET.stat().st_size / 1e3:.0f} kB, {len(annotations)} annotations).")


if __name__ == "__main__":
    default = os.environ.get("MNE_GRAM_SHARED", ROOT.parent / "shared")
    main(sys.argv[1] if len(sys.argv) > 1 else default)
