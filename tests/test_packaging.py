# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What is around the code: the commands of the README, the version, the public names, the data."""

import ast
import importlib
import inspect
import re
import stat
import types
from importlib.metadata import version
from pathlib import Path

import pytest
from numpydoc.validate import validate

import mne_gram

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(mne_gram.__file__).resolve().parent  # in the checkout, or as installed


def _read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def _get_readme_commands():
    """Return the lines of the README that make an environment."""
    return re.findall(r"^    (python3 -m venv .*)$", _read("README.rst"), flags=re.MULTILINE)


def test_readme_commands():
    """One line runs the main job and one the tests; continuous integration runs the latter."""
    job, test = _get_readme_commands()
    assert "-c constraints.txt" in job and "mne_gram restore --sample" in job
    assert "-c constraints.txt" in test and test.endswith("-m pytest -n 2")
    assert test in _read(".ci/run").splitlines()
    assert "torch==" in _read("constraints.txt")


def test_ci_script():
    """The script runs from anywhere, and stops with the code of what failed."""
    path = ROOT / ".ci" / "run"
    assert path.stat().st_mode & stat.S_IXUSR
    lines = _read(".ci/run").splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert "set -euo pipefail" in lines
    assert 'cd "$(dirname "$0")/.."' in lines


def test_version():
    """One version, wherever it is stated."""
    assert version("mne-gram") == mne_gram.__version__
    assert f"\nversion: {mne_gram.__version__}\n" in _read("CITATION.cff")
    assert mne_gram.__version__.removesuffix(".dev0") in _read("doc/changelog.rst")


def test_lowest_versions():
    """The file of lowest versions holds just the lower bounds of the dependencies."""
    block = re.search(r"^dependencies = \[(.*?)^\]", _read("pyproject.toml"), re.M | re.S).group(1)
    bounds = dict(re.findall(r'"([\w-]+)>=([\d.]+)"', block))
    pins = dict(re.findall(r"^([\w-]+)==([\d.]+)$", _read("constraints-lowest.txt"), re.M))
    assert bounds.keys() == pins.keys()
    for name, bound in bounds.items():
        parts = bound.split(".")
        pin = pins[name].split(".")
        assert pin[: len(parts)] == parts and not any(map(int, pin[len(parts) :])), name


def _get_documented():
    """Yield the dotted names of public functions, classes and their public methods."""
    for name in mne_gram.__all__:
        value = getattr(mne_gram, name)
        if not isinstance(value, types.ModuleType):
            yield name
            members = vars(value).items() if inspect.isclass(value) else ()
            yield from (f"{name}.{m}" for m, f in members if m[0] != "_" and inspect.isfunction(f))


@pytest.mark.parametrize("name", list(_get_documented()))
def test_public_docstring(name):
    """What is public has a docstring that names all its parameters and what it returns."""
    # A dataclass documents its parameters as attributes, and a class returns nothing.
    is_class = inspect.isclass(getattr(mne_gram, name, None))
    checks = {"GL08", "SS01"} if is_class else {"GL08", "SS01", "PR01", "PR02", "PR04", "RT01"}
    errors = validate(f"mne_gram.{name}")["errors"]
    assert not [error for error in errors if error[0] in checks]


def test_data_name_their_sources():
    """Beside all data that were made by others lies a text that names authors and licence."""
    data = [p for p in PACKAGE.rglob("*") if p.suffix in (".npz", ".edf", ".safetensors")]
    assert {"prior.npz", "sample_eeg.edf"} <= {p.name for p in data}
    for path in data:
        text = path.with_name(f"{path.stem}_ATTRIBUTION.txt").read_text(encoding="utf-8")
        assert path.name in text and "Licence" in text and "doi:" in text


def test_stub_lists_public_names():
    """The stub's list of names is what its imports bring in."""
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    imported = [a.name for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names]
    (listed,) = [ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign)]
    assert sorted(imported) == sorted(listed) == sorted(mne_gram.__all__)
    with pytest.raises(AttributeError):
        mne_gram.no_such_name  # noqa: B018


def test_modules_in_submodules_resolve():
    """Every module of the package can be imported."""
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts[-1] not in ("__init__", "__main__"):
            assert importlib.import_module(".".join(parts)).__doc__


def _get_text_files():
    """Return the text files of the project."""
    names = ("mne_gram", "tests", "benchmarks", "doc", "tutorials", ".ci", ".github")
    ends = (".py", ".pyi", ".rst", ".txt", ".md", ".yml", ".json", ".toml", ".cfg", ".cff")
    files = [p for name in names for p in (ROOT / name).rglob("*") if p.is_file()]
    files += [p for p in ROOT.iterdir() if p.is_file()]
    built = {"_build", "generated", "auto_tutorials", "__pycache__"}
    others = [ROOT / name for name in ("Makefile", "LICENSE", ".gitignore", ".ci/run")]
    return others + [p for p in files if p.suffix in ends and not built & set(p.parts)]


def test_no_path_of_a_machine():
    """No file names a place on the machine on which it was written."""
    pattern = re.compile(r"""(?<![\w.~/:>-])/(?:home|Users|root|work|tmp|mnt|opt)/\w""")
    files = _get_text_files()
    assert len(files) > 20
    assert pattern.search("open('/ho" + "me/me/a.fif')")
    found = [p.name for p in files if pattern.search(p.read_text(encoding="utf-8"))]
    assert not found


def test_licence_headers():
    """Every Python file states the authors and the licence."""
    head = "# Authors: The mne_gram developers\n# SPDX-License-Identifier: BSD-3-Clause\n"
    files = [p for p in _get_text_files() if p.suffix in (".py", ".pyi")]
    assert not [p.name for p in files if not p.read_text(encoding="utf-8").startswith(head)]
