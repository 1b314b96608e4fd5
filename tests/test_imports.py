# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Every module imports only what its place in the package allows, and the package stays light."""

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import mne_gram

PACKAGE = Path(mne_gram.__file__).resolve().parent
HEAVY = ("torch", "sklearn", "matplotlib", "pandas")
OWN = "mne_gram"


@dataclass(frozen=True)
class Room:
    """What a module may import: at its top, also inside functions, and of the package itself."""

    top: str = ""
    nested: str = ""
    own: str = ""

    def allows(self, name, is_nested):
        """Whether an import is allowed."""
        package, _, module = name.partition(".")
        if package in sys.stdlib_module_names:
            return True
        if package == OWN:
            return module.split(".")[0] in self.own.split() or self.own == "*"
        allowed = self.top.split() + (self.nested.split() if is_nested else [])
        return package in allowed


MONTAGE = "montage _channel_names _head"
ROOMS = {
    "__init__": Room("lazy_loader", own="_version"),
    "__main__": Room(own="_cli"),
    "_version": Room(),
    "_sys_info": Room(own="_version"),
    "_channel_names": Room("mne numpy"),
    "_head": Room("mne numpy", own="_channel_names"),
    "montage": Room("mne numpy", "pandas matplotlib", own=MONTAGE),
    "preprocessing": Room("mne numpy", own=MONTAGE),
    "_patches": Room("numpy"),
    "models": Room("torch", own="models"),
    "_model_io": Room("mne", "torch safetensors pooch", own="models _version"),
    "weights": Room("mne", "torch pooch", own="models _model_io _inference _channel_names"),
    "_inference": Room("mne numpy", "torch", own="models"),
    "_encoding": Room("mne numpy", "torch", own="models _inference"),
    "_feature_files": Room("mne numpy", "pandas", own="_io"),
    "_feature_sets": Room("numpy", "pandas", own="_feature_files"),
    "_window_cuts": Room("mne numpy", own=f"{MONTAGE} _input _masks preprocessing"),
    "features": Room("mne numpy", own="_encoding _feature_sets _model_io _window_cuts weights"),
    "_signal_features": Room("numpy", "scipy"),
    "_trial_signals": Room("mne numpy", own="preprocessing"),
    "_epochs_input": Room(
        "mne numpy", "pandas", own=f"{MONTAGE} _trial_signals harmonization preprocessing"
    ),
    "_folds": Room("numpy", "sklearn"),
    "_linear_probe": Room("numpy", "sklearn"),
    "_backbone": Room("mne", own="_inference _model_io weights"),
    "_trial_features": Room("mne numpy", own="_backbone _encoding _epochs_input _signal_features"),
    "_lora": Room("torch", own="models"),
    "_adaptation": Room(
        "mne numpy torch",
        "sklearn",
        own="_encoding _lora _model_io _trial_features models training",
    ),
    "_learning": Room("numpy", own="_adaptation _backbone _folds _linear_probe _trial_features"),
    "decoding": Room(
        "mne numpy scipy sklearn",
        own="_adaptation _backbone _epochs_input _learning _trial_features",
    ),
    "_bands": Room("numpy scipy"),
    "_windows": Room("numpy scipy", own="_bands _masks spatial"),
    "spatial": Room("numpy scipy", own="_bands"),
    "prior": Room("numpy", own=f"{MONTAGE} _bands spatial"),
    "_forward": Room("mne numpy scipy", own=f"{MONTAGE} spatial"),
    "_seams": Room("numpy scipy"),
    "_baselines": Room("numpy"),
    "_samples": Room("numpy"),
    "_steps": Room("numpy"),
    "_noise": Room("numpy scipy", own="_bands"),
    "_spatial_fit": Room("numpy", own="_baselines _masks _noise _seams spatial"),
    "_repair": Room(
        "numpy", own="_bands _masks _noise _samples _seams _spatial_fit _steps spatial"
    ),
    "_masks": Room("mne numpy", own="spatial"),
    "_input": Room("mne numpy", own="preprocessing _samples _windows spatial"),
    "_experts": Room("mne numpy", own="preprocessing _patches _inference _repair"),
    "_evidence": Room("numpy"),
    "_tally": Room("mne numpy"),
    "_report_text": Room("numpy", own="_evidence _version"),
    "_restoration_report": Room(
        "mne numpy", "pandas", own="_evidence _io _report_text _tally report viz"
    ),
    "_estimation": Room(
        "mne numpy",
        own=f"{MONTAGE} preprocessing prior spatial weights _correction _evidence _experts _forward"
        " _model_io _repair _spatial_fit _stacking _steps _trials _windows",
    ),
    "_stacking": Room("numpy scipy", own="_bands _repair"),
    "_trials": Room("numpy", own="_bands _evidence _masks _stacking"),
    "_correction": Room("mne numpy", own="_experts _inference _patches _repair preprocessing"),
    "_blocks": Room("mne numpy", own="_bands _estimation _masks _repair _seams _steps"),
    "restoration": Room(
        "mne numpy",
        own="_blocks _estimation _input _masks _restoration_report _samples _tally detection",
    ),
    "_misfit": Room("numpy", own="spatial"),
    "_window_scores": Room("numpy", own="_misfit"),
    "_signal_checks": Room("numpy scipy"),
    "_signals": Room("mne numpy", own="_bands _masks _signal_checks _windows preprocessing"),
    "_bads_report": Room("mne numpy", "pandas", own="viz"),
    "_viz_bads": Room("numpy", "matplotlib mne"),
    "detection": Room(
        "mne numpy",
        own="_bads_report _input _misfit _signal_checks _signals _window_scores montage prior",
    ),
    "_wanted": Room("mne numpy", own=MONTAGE),
    "harmonization": Room("mne numpy", own="_restoration_report _wanted restoration spatial"),
    "training": Room(
        "mne numpy scipy torch safetensors joblib lazy_loader",
        "mne_bids matplotlib tensorboard pandas",
        own=f"{MONTAGE} _bands _bids_find _curves _estimation _forward _inference _io _masks"
        " _model_io _samples _stacking _trials _version _windows models preprocessing prior spatial"
        " training weights",
    ),
    "datasets": Room(
        "mne numpy lazy_loader",
        "mne_bids pandas scipy",
        own=f"{MONTAGE} _bids_find datasets preprocessing",
    ),
    "benchmarking": Room(
        "mne numpy scipy sklearn joblib",
        "matplotlib pandas pyriemann",
        own="_folds _io _linear_probe _trial_features _version benchmarking datasets decoding"
        " metrics preprocessing restoration weights",
    ),
    "metrics": Room("numpy", "scipy sklearn"),
    "_viz_classes": Room(
        "mne numpy", "matplotlib torch", own="_channel_names _feature_sets _model_io weights"
    ),
    "viz": Room("mne numpy", "matplotlib", own="_viz_bads _viz_classes"),
    "report": Room("mne numpy", "matplotlib", own="_report_text _version viz"),
    "_curves": Room("numpy", "matplotlib pandas", own="training"),
    "_brainvision": Room("mne numpy", own="_samples"),
    "_edf": Room("mne numpy", own="_samples"),
    "_io": Room("mne numpy", own="_brainvision _edf _samples"),
    "_bids_find": Room("", "mne_bids"),
    "_bids_lock": Room(),
    "_bids_state": Room(),
    "_bids_settings": Room(),
    "_bids_read": Room("mne numpy", "pandas", own="_io"),
    "_bids_write": Room("", own="_bids_lock _bids_state _version"),
    "_bids_sidecars": Room(
        "numpy", "pandas", own="_bids_lock _bids_read _bids_state _evidence _version"
    ),
    "_bids_figures": Room("numpy", "matplotlib", own="report"),
    "_bids_work": Room(
        "mne numpy",
        own="_bids_figures _bids_read _bids_sidecars _evidence _io _masks _version detection"
        " features restoration weights",
    ),
    "_bids_unit": Room("mne", own="_bids_lock _bids_read _bids_state _bids_work _version"),
    "_bids_plan": Room("mne", own="_bids_read _bids_state _bids_unit _bids_work"),
    "_bids_jobs": Room("mne", "joblib threadpoolctl torch tqdm", own="_bids_unit _bids_work"),
    "_bids_report": Room("", "pandas"),
    "_bids_pages": Room("mne numpy", own="_bids_lock _bids_state _version"),
    "bids": Room(
        "mne",
        own="_bids_find _bids_jobs _bids_pages _bids_plan _bids_report _bids_settings _bids_state"
        " _bids_write _encoding _model_io prior restoration weights",
    ),
    "_cli": Room("", "mne", own="*"),
    "_cli_bench": Room("", "mne", own="*"),
    "_cli_bids": Room("", "mne joblib distributed", own="*"),
    "_cli_embed": Room("", "mne", own="*"),
    "_cli_pretrain": Room("", "mne numpy torch", own="*"),
}


def _get_modules():
    return sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def _get_imports(source, module):
    """Yield the dotted name of each import in a module, and whether it is inside a function."""
    parents = f"{OWN}/{module}".split("/")[:-1]

    def visit(node, is_nested):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, is_nested
        elif isinstance(node, ast.ImportFrom):
            base = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{base}.{alias.name}", is_nested
        for child in ast.iter_child_nodes(node):
            inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from visit(child, is_nested or inside)

    yield from visit(ast.parse(source), False)


def test_reading_of_imports():
    """Relative, nested and plain imports are told apart."""
    source = "import os\nfrom .. import viz\ndef f():\n from .loop import run\n import torch\n"
    assert list(_get_imports(source, "training/prior.py")) == [
        ("os", False),
        ("mne_gram.viz", False),
        ("mne_gram.training.loop.run", True),
        ("torch", True),
    ]
    assert not Room("numpy", "torch").allows("torch.nn", is_nested=False)
    assert Room("numpy", "torch").allows("torch.nn", is_nested=True)
    assert not Room(own="models").allows("mne_gram.viz", is_nested=True)


@pytest.mark.parametrize("module", _get_modules())
def test_room(module):
    """A module has a place in the table, and imports what is allowed there."""
    name = module.removesuffix(".py").split("/")[0]
    assert name in ROOMS, f"{module} has no entry in the table of what may be imported"
    source = (PACKAGE / module).read_text(encoding="utf-8")
    wrong = [
        f"{imported} ({'nested' if is_nested else 'top'})"
        for imported, is_nested in _get_imports(source, module)
        if not ROOMS[name].allows(imported, is_nested)
    ]
    assert not wrong, f"{module} imports {', '.join(wrong)}"


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
    light = [name for name in mne_gram.__all__ if name not in ("GramClassifier", "GramFeatures")]
    names = _get_heavy(f"import mne_gram\nfor n in {light}: getattr(mne_gram, n)")
    assert names <= brought_by_mne <= {"matplotlib"}
    # Estimators are made of scikit-learn, which brings pandas along; the network waits for a fit.
    brought_by_sklearn = _get_heavy("import sklearn.base")
    assert _get_heavy("from mne_gram import GramClassifier") <= brought_by_sklearn | brought_by_mne
