# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The modules of the benchmarks, which are no package, and small recordings to run them on."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import mne
import numpy as np
import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def _load_benchmark(name):
    sys.path.insert(0, str(FOLDER))
    try:
        spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(FOLDER))
    return module


def make_raw(n_channels=19, seconds=20.0, sfreq=100.0, seed=0):
    """Return smooth noise at electrodes with positions."""
    montage = mne.channels.make_standard_montage("biosemi64" if n_channels > 32 else "biosemi32")
    info = mne.create_info(montage.ch_names[:n_channels], sfreq, "eeg")
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((n_channels, 6))
    data = 1e-5 * mixing @ rng.standard_normal((6, round(seconds * sfreq)))
    data += 1e-6 * rng.standard_normal(data.shape)
    return mne.io.RawArray(data, info, verbose="error").set_montage(montage)


def make_epochs():
    """Return epochs of one second."""
    return mne.make_fixed_length_epochs(make_raw(), 1.0, preload=True, verbose="error")


def rows_of(dataset, regime, method, errors, **kwargs):
    """Return rows of a table, two draws a recording."""
    row = dict(dataset=dataset, regime=regime, method=method, r=0.5, seconds_per_minute=1.0)
    return [
        {**row, "recording": f"r{k}", "draw": draw, "nmse": error * factor, **kwargs}
        for k, error in enumerate(errors)
        for draw, factor in enumerate((0.5, 1.5))
    ]


@pytest.fixture(scope="session")
def load_benchmark():
    """Return the function that imports a script of the benchmarks, which is no package."""
    if not FOLDER.is_dir():
        pytest.skip("The benchmarks are not beside the tests.")
    return _load_benchmark


@pytest.fixture(scope="session")
def parts(load_benchmark):
    """Return the modules of the benchmark of restoration, and functions that make its input."""
    bench = load_benchmark("restoration")
    # The modules that the command is made of, as it imported them.
    own = dict(truths="_truth", methods="_methods", cells="_cells", summary="_summary")
    own |= dict(tables="_tables", decoding="_decoding", garbage="_garbage", erp="_erp")
    own |= dict(figures="_figures")

    def draw(regime, inst, seed=0):
        """Draw a mask with a seed."""
        return bench.draw_mask(regime, inst, np.random.default_rng(seed))

    return SimpleNamespace(
        FOLDER=FOLDER,
        bench=bench,
        ridge=load_benchmark("ridge"),
        **{name: sys.modules[module] for name, module in own.items()},
        make_raw=make_raw,
        make_epochs=make_epochs,
        draw=draw,
        rows_of=rows_of,
    )


@pytest.fixture(scope="session")
def priors(parts):
    """Return the prior that methods are given."""
    return parts.methods.Priors(parts.methods.load_prior(None))
