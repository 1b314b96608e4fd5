# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The contracts between folders hold, and the package stays light to import."""

import re
import subprocess
import sys
from pathlib import Path

import mne
import pytest

import mne_gram

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "sklearn", "matplotlib", "pandas")


def test_contracts_between_folders(monkeypatch):
    """The import contracts of pyproject.toml hold."""
    importlinter = pytest.importorskip("importlinter.cli")
    monkeypatch.chdir(ROOT)
    # It disables existing loggers, which other tests listen to; this restores that of MNE.
    monkeypatch.setattr(mne.utils.logger, "disabled", False)
    assert importlinter.lint_imports(no_cache=True) == importlinter.EXIT_STATUS_SUCCESS


def test_lazy_faces_have_their_own_names():
    """The stubs of lazy folders, which the contracts do not read, import private modules only."""
    stubs = list((ROOT / "mne_gram").glob("*/__init__.pyi"))
    assert stubs
    for stub in stubs:
        modules = re.findall(r"^from (\S+) import", stub.read_text(encoding="utf-8"), re.M)
        assert modules and all(module.startswith("._") for module in modules), stub


def _get_heavy(*statements):
    """Return which heavy packages a new Python process holds after each statement."""
    code = f"import sys\nlook = lambda: print(*({set(HEAVY)} & sys.modules.keys()))\n"
    code += "".join(f"{statement}\nlook()\n" for statement in statements)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [set(line.split()) for line in run.stdout.splitlines()]


def test_import_is_light():
    """Neither the package nor any of its public names brings a heavy package along."""
    estimators = ("GramClassifier", "GramFeatures", "Restorer")
    light = [name for name in mne_gram.__all__ if name not in estimators]
    alone, names, estimator = _get_heavy(
        "import mne_gram",
        f"for n in {light}: getattr(mne_gram, n)\n",
        "from mne_gram import GramClassifier",
    )
    # MNE's own classes bring matplotlib along in older versions. Estimators are made of
    # scikit-learn, which brings pandas along; the network waits for a fit.
    by_mne, by_sklearn = _get_heavy("from mne import BaseEpochs", "import sklearn.base")
    assert alone == set() and names <= by_mne <= {"matplotlib"}
    assert estimator <= by_sklearn and "sklearn" in estimator
