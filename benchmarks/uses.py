# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Try everyday uses of the package with the packages that its users have.

Run ::

    python benchmarks/uses.py --csv uses.csv
    python benchmarks/uses.py --only scikit-learn braindecode
    python benchmarks/write_tables.py --uses uses.csv

It prints ``package | use | works | message``, where ``message`` in the third column means that the
use makes no sense and raises an error that names the cure. Uses of packages that are not installed
are left out by name. The uses themselves are in ``_uses_*.py``, registered by ``_uses.use``.
"""

import argparse
import csv
import importlib
from collections import Counter
from pathlib import Path

import mne
from _uses import USES, is_installed, try_use

HEADER = ("package", "use", "works", "message")


def main(argv=None):
    """Try all uses; return how many do not work."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", help="packages, such as scikit-learn")
    parser.add_argument("--csv", type=Path, help="where to write the table")
    args = parser.parse_args(argv)
    mne.set_log_level("error")
    for fname in sorted(Path(__file__).parent.glob("_uses_*.py")):
        importlib.import_module(fname.stem)
    rows, missing = [], Counter()
    for use in USES:
        if args.only and use.package not in args.only:
            continue
        if not is_installed(use.package):
            missing[use.package] += 1
            continue
        rows.append((use.package, use.name, *try_use(use)))
        print(" | ".join(rows[-1]), flush=True)
    for package, count in missing.items():
        print(f"{package} is not installed: {count} uses left out.")
    counts = Counter(row[2] for row in rows)
    print(
        f"{counts['yes']} of {len(rows)} uses work, {counts['message']} raise an error that names "
        f"the cure, {counts['no']} do not work."
    )
    if args.csv:
        with open(args.csv, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([HEADER, *rows])
    return counts["no"]


if __name__ == "__main__":
    raise SystemExit(main() > 0)
