# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Every module imports only what its place in the package allows, and the package stays light."""

import ast
import subprocess
import sys
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
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

    def allows(self, name, is_nested, package_of_own=""):
        """Whether an import is allowed; ``.name`` is a module of the same folder."""
        package, _, module = name.partition(".")
        if package in sys.stdlib_module_names:
            return True
        if package == OWN:
            own = [f"{package_of_own}{n}" if n[0] == "." else n for n in self.own.split()]
            return self.own == "*" or any(f"{module}.".startswith(f"{name}.") for name in own)
        allowed = self.top.split() + (self.nested.split() if is_nested else [])
        return package in allowed


MONTAGE = "montage _channels.channel_names _channels.head"
ROOMS = {
    "__init__": Room("lazy_loader", own="_version"),
    "__main__": Room(own="_commands.main"),
    "_version": Room(),
    "_sys_info": Room(own="_version"),
    "_channels.channel_names": Room("mne numpy"),
    "_channels.head": Room("mne numpy", own=".channel_names"),
    "montage": Room("mne numpy", "pandas matplotlib", own=f"{MONTAGE}"),
    "preprocessing": Room("mne numpy", own=f"{MONTAGE}"),
    "_patches": Room("numpy"),
    "models": Room("torch", own="models"),
    "_model_io": Room("mne", "torch safetensors pooch", own="_version models"),
    "weights": Room(
        "mne",
        "torch pooch",
        own="_channels.channel_names _inference _model_io models",
    ),
    "_inference": Room("mne numpy", "torch", own="models"),
    "_embedding.encoding": Room("mne numpy", "torch", own="_inference models"),
    "_embedding.joint": Room("numpy", own=".encoding"),
    "_embedding.feature_files": Room("mne numpy", "pandas", own="_files.io"),
    "_embedding.feature_sets": Room("numpy", "pandas", own=".feature_files"),
    "_embedding.window_cuts": Room(
        "mne numpy",
        own=f"{MONTAGE} _recording.input _recording.masks preprocessing",
    ),
    "features": Room(
        "mne numpy",
        own=(
            "_embedding.encoding _embedding.feature_sets _embedding.window_cuts _model_io weights"
        ),
    ),
    "_classifying.signal_features": Room("numpy", "scipy"),
    "_classifying.trial_signals": Room("mne numpy", own="preprocessing"),
    "_classifying.given": Room("mne numpy", "pandas", own="preprocessing"),
    "_classifying.trial_estimator": Room("numpy sklearn", own=".epochs_input .trial_features"),
    "_classifying.epochs_input": Room(
        "mne numpy",
        "pandas",
        own=f"{MONTAGE} .given .trial_signals harmonization preprocessing",
    ),
    "_classifying.folds": Room("numpy", "sklearn"),
    "_classifying.linear_probe": Room("numpy scipy", "sklearn"),
    "_classifying.layout": Room("numpy", own=".linear_probe .signal_features .trial_features"),
    "_classifying.backbone": Room("mne", own="_inference _model_io weights"),
    "_classifying.trial_features": Room(
        "mne numpy",
        own=".backbone .epochs_input .signal_features _embedding.encoding",
    ),
    "_classifying.lora": Room("torch", own="models"),
    "_classifying.recipe": Room(""),
    "_classifying.adaptation": Room(
        "numpy torch",
        own=".lora .trial_features _embedding.encoding _model_io models",
    ),
    "_classifying.adapting": Room(
        "mne numpy torch",
        "sklearn",
        own=".adaptation .lora .trial_features models training",
    ),
    "_classifying.learning": Room(
        "numpy",
        own=".adapting .backbone .folds .linear_probe .recipe .trial_features",
    ),
    "decoding": Room(
        "mne numpy scipy sklearn",
        own=(
            "_classifying.adaptation _classifying.backbone _classifying.trial_estimator "
            "_classifying.layout _classifying.learning _classifying.trial_features"
        ),
    ),
    "_bands": Room("numpy scipy"),
    "_recording.windows": Room("numpy scipy", own="_bands .masks spatial"),
    "spatial": Room("numpy scipy", own="_bands"),
    "prior": Room("numpy", own=f"{MONTAGE} _bands spatial"),
    "_restoring.forward": Room("mne numpy scipy", own=f"{MONTAGE} spatial"),
    "_restoring.seams": Room("numpy scipy"),
    "_restoring.baselines": Room("numpy"),
    "_recording.samples": Room("numpy"),
    "_restoring.steps": Room("numpy"),
    "_restoring.noise": Room("numpy scipy", own="_bands"),
    "_restoring.spatial_fit": Room(
        "numpy", own=".baselines _recording.masks .noise .seams spatial"
    ),
    "_restoring.repair": Room(
        "numpy",
        own=(
            ".noise .seams .spatial_fit .steps _bands _recording.masks _recording.samples spatial"
        ),
    ),
    "_recording.masks": Room("mne numpy", own="spatial"),
    "_recording.input": Room("mne numpy", own=".samples .windows preprocessing spatial"),
    "_restoring.experts": Room("mne numpy", own=".repair _inference _patches preprocessing"),
    "_restoring.evidence": Room("numpy"),
    "_restoring.tally": Room("mne numpy"),
    "_restoring.report_text": Room("numpy", own=".evidence _version"),
    "_restoring.restoration_report": Room(
        "mne numpy",
        "pandas",
        own=".evidence .report_text .tally _files.io report viz",
    ),
    "_restoring.estimation": Room(
        "mne numpy",
        own=(
            f"{MONTAGE} .correction .evidence .experts .forward .repair .spatial_fit .stacking "
            ".steps .trials _recording.windows _model_io preprocessing prior spatial weights"
        ),
    ),
    "_restoring.stacking": Room("numpy scipy", own="_bands .repair"),
    "_restoring.trials": Room("numpy", own="_bands .evidence _recording.masks .stacking"),
    "_restoring.correction": Room(
        "mne numpy",
        own=".experts .repair _inference _patches preprocessing",
    ),
    "_restoring.blocks": Room(
        "mne numpy", own="_bands .estimation _recording.masks .repair .seams .steps"
    ),
    "restoration": Room(
        "mne numpy",
        own=(
            "_restoring.blocks _restoring.estimation _recording.input _recording.masks "
            "_restoring.restoration_report _recording.samples _restoring.tally detection"
        ),
    ),
    "_detecting.misfit": Room("numpy", own="spatial"),
    "_detecting.window_scores": Room("numpy", own=".misfit"),
    "_detecting.signal_checks": Room("numpy scipy"),
    "_detecting.signals": Room(
        "mne numpy",
        own=".signal_checks _bands _recording.masks _recording.windows preprocessing",
    ),
    "_detecting.bads_report": Room("mne numpy", "pandas", own="viz"),
    "_drawing.style": Room("mne numpy", "matplotlib"),
    "_drawing.restored": Room("mne numpy", "matplotlib", own=".style"),
    "_drawing.channel_map": Room("mne numpy", "matplotlib", own=".style"),
    "_drawing.bads": Room("numpy", "matplotlib mne", own=".style"),
    "detection": Room(
        "mne numpy",
        own=(
            "_detecting.bads_report _detecting.misfit _detecting.signal_checks "
            "_detecting.signals _detecting.window_scores _recording.input montage prior"
        ),
    ),
    "_restoring.wanted": Room("mne numpy", own=f"{MONTAGE}"),
    "harmonization": Room(
        "mne numpy",
        own="_restoring.wanted _restoring.restoration_report restoration spatial",
    ),
    "training": Room(
        "mne numpy scipy torch safetensors joblib lazy_loader",
        "matplotlib tensorboard pandas",
        own=(
            f"{MONTAGE} _files.find _files.bids_recording _drawing.curves _files.io _inference "
            "_model_io _bands _restoring.estimation _restoring.forward _recording.masks "
            "_recording.samples _restoring.stacking _restoring.trials _recording.windows "
            "_version models preprocessing prior spatial training weights"
        ),
    ),
    "datasets": Room(
        "mne numpy lazy_loader",
        "pandas scipy",
        own=f"{MONTAGE} _files.find _files.bids_recording datasets preprocessing",
    ),
    "benchmarking": Room(
        "mne numpy scipy sklearn joblib",
        "matplotlib pandas pyriemann",
        own=(
            "_classifying.folds _classifying.linear_probe _classifying.trial_features _files.io "
            "_version benchmarking datasets decoding metrics preprocessing restoration weights"
        ),
    ),
    "metrics": Room("numpy", "scipy sklearn"),
    "_drawing.classes": Room(
        "mne numpy",
        "matplotlib torch",
        own="_channels.channel_names _embedding.feature_sets _model_io .style weights",
    ),
    "viz": Room(own="_drawing"),
    "report": Room("mne numpy", "matplotlib", own="_restoring.report_text _version viz"),
    "_drawing.curves": Room("mne", "matplotlib pandas", own=".style training"),
    "_files.brainvision": Room("mne numpy", own="_recording.samples"),
    "_files.edf": Room("mne numpy", own="_recording.samples"),
    "_files.io": Room("mne numpy", own=".brainvision .edf _recording.samples"),
    "_files.find": Room("", "mne_bids"),
    "_files.bids_recording": Room("mne numpy", "pandas", own=".find .io"),
    "_bids.lock": Room(),
    "_bids.state": Room(),
    "_bids.settings": Room(),
    "_bids.write": Room(own=".lock .state _version"),
    "_bids.sidecars": Room(
        "numpy",
        "pandas",
        own=".lock .state _files.bids_recording _restoring.evidence _version",
    ),
    "_bids.figures": Room("numpy", "matplotlib", own="report"),
    "_bids.work": Room(
        "mne numpy",
        own=(
            ".figures .sidecars _files.io _files.bids_recording _restoring.evidence "
            "_recording.masks _version restoration weights"
        ),
    ),
    "_bids.encode": Room(
        "numpy",
        own=(
            ".sidecars .work _embedding.encoding _embedding.window_cuts _files.io "
            "_files.bids_recording _model_io _version detection features weights"
        ),
    ),
    "_bids.unit": Room("mne", own=".encode .lock .state .work _files.bids_recording _version"),
    "_bids.plan": Room("mne", own=".state .unit .work _files.bids_recording"),
    "_bids.together": Room("", "joblib threadpoolctl", own=".encode .lock .unit _embedding.joint"),
    "_bids.jobs": Room("mne", "joblib threadpoolctl torch tqdm", own=".together .unit .work"),
    "_bids.report": Room("", "pandas"),
    "_bids.participants": Room("", "pandas", own=".lock .state _files.bids_recording"),
    "_bids.pages": Room("mne numpy", own=".lock .state _version"),
    "bids": Room(
        "mne",
        own=(
            "_files.find _bids.jobs _bids.pages _bids.participants _bids.plan _bids.report "
            "_bids.settings _bids.state _bids.write _embedding.encoding _model_io prior "
            "restoration weights"
        ),
    ),
    "_commands.main": Room("", "mne", own="*"),
    "_commands.bench": Room("", "mne", own="*"),
    "_commands.bids": Room("", "mne joblib distributed", own="*"),
    "_commands.embed": Room("", "mne", own="*"),
    "_commands.pretrain": Room("", "mne numpy torch", own="*"),
    "_commands.training_fields": Room(own="training"),
    "_bids": Room(),
    "_channels": Room(),
    "_classifying": Room(),
    "_commands": Room(),
    "_detecting": Room(),
    "_drawing": Room(),
    "_embedding": Room(),
    "_files": Room(),
    "_recording": Room(),
    "_restoring": Room(),
}


# Results draw themselves when they are asked to, by functions of the rooms above them. Such an
# import stands inside a function.
DRAWN = {
    ("_restoring", "report"),
    ("_restoring", "viz"),
    ("training", "_drawing"),
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
    name = module.removesuffix(".py").replace("/", ".")
    if name not in ROOMS:
        name = name.split(".")[0]
    assert name in ROOMS, f"{module} has no entry in the table of what may be imported"
    source = (PACKAGE / module).read_text(encoding="utf-8")
    wrong = [
        f"{imported} ({'nested' if is_nested else 'top'})"
        for imported, is_nested in _get_imports(source, module)
        if not ROOMS[name].allows(imported, is_nested, name.split(".")[0])
    ]
    assert not wrong, f"{module} imports {', '.join(wrong)}"


def _find_rooms(sources):
    """Return which rooms import which, as ``{(room, other): whether only inside functions}``."""
    found = {}
    for module, source in sources.items():
        room = module.removesuffix(".py").split("/")[0]
        for imported, is_nested in _get_imports(source, module):
            package, _, name = imported.partition(".")
            other = name.split(".")[0]
            if package == OWN and other not in ("", room):
                found[room, other] = found.get((room, other), True) and is_nested
    return found


def _sort_rooms(pairs):
    """Return the rooms, each after those that it imports; raise CycleError where there is none."""
    graph = {}
    for room, other in pairs:
        graph.setdefault(room, set()).add(other)
    return list(TopologicalSorter(graph).static_order())


def test_rooms_import_one_way():
    """Folders and the modules beside them stand on each other without a circle."""
    sources = {name: (PACKAGE / name).read_text(encoding="utf-8") for name in _get_modules()}
    rooms = _find_rooms(sources)
    assert {pair for pair in DRAWN if rooms.get(pair)} == DRAWN, "DRAWN lists what is not there"
    order = _sort_rooms(rooms.keys() - DRAWN)
    assert order.index("_channels") < order.index("_restoring") < order.index("_commands")


def test_a_circle_of_rooms_is_found():
    sources = {
        "_low/a.py": "import mne_gram\nfrom . import b\nfrom ..middle import c",
        "middle.py": "def f():\n from mne_gram._high.d import e",
        "_high/d.py": "from .. import _low",
    }
    rooms = _find_rooms(sources)
    assert rooms["_low", "middle"] is False and rooms["middle", "_high"] is True
    with pytest.raises(CycleError, match="_low"):
        _sort_rooms(rooms)
    assert _sort_rooms(rooms.keys() - {("middle", "_high")})[-1] == "_high"


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
