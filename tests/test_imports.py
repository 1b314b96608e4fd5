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


def _get_heavy(statement):
    """Return which heavy packages a new Python process holds after a statement."""
    code = f"import sys\n{statement}\nprint(*({set(HEAVY)} & sys.modules.keys()))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_import_is_light():
    """Neither the package nor any of its public names brings a heavy package along."""
    assert _get_heavy("import torch") == {"torch"}
    assert _get_heavy("import mne_gram") == set()
    # MNE's own classes bring matplotlib along in older versions.
    brought_by_mne = _get_heavy("from mne import BaseEpochs")
    estimators = ("GramClassifier", "GramFeatures", "Restorer")
    light = [name for name in mne_gram.__all__ if name not in estimators]
    names = _get_heavy(f"import mne_gram\nfor n in {light}: getattr(mne_gram, n)")
    assert names <= brought_by_mne <= {"matplotlib"}
    # Estimators are made of scikit-learn, which brings pandas along; the network waits for a fit.
    brought_by_sklearn = _get_heavy("import sklearn.base")
    assert _get_heavy("from mne_gram import GramClassifier") <= brought_by_sklearn | brought_by_mne
