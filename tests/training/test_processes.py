# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Several processes train as one."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

import mne_gram
from mne_gram.training import _processes as processes
from mne_gram.training._logs import read_log

pytestmark = pytest.mark.usefixtures("no_figures")

# ---------------------------------------------------------------------------------------------
# Several processes


_TWO = """
import sys

sys.path.insert(0, {tests!r})
import conftest as t

t.loop._draw_curves = lambda folder: None
for stage in t.STAGES:
    t.run(stage, {corpus!r}, {out!r} + "/" + stage)
"""


@contextmanager
def one_thread():
    """Compute in one thread: some of the first weights are any of many that do the same."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch knows no processes here.")
@pytest.mark.slow
def test_two_processes_do_as_one(corpus, tmp_path, tiny):
    """Two gloo processes take the steps of one, the codebook's start and revival included."""
    script = tmp_path / "two.py"
    out = tmp_path / "two"
    tests = str(Path(__file__).parent)
    script.write_text(_TWO.format(tests=tests, corpus=str(corpus.folder), out=str(out)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(script)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
    ) as process:
        try:
            text, _ = process.communicate(timeout=240)
        except subprocess.TimeoutExpired:
            process.terminate()  # which ends both processes, where kill would not
            text, _ = process.communicate()
    assert process.returncode == 0, text
    for stage in tiny.STAGES:
        with one_thread():
            tiny.run(stage, corpus, tmp_path / "one" / stage)
        one, two = (read_log(folder / stage) for folder in (tmp_path / "one", out))
        columns = ["step", "split", "subject", "name"]
        assert one[columns].equals(two[columns])
        loss = (one["name"] != "gradient_norm") & (one["step"] <= 6)
        np.testing.assert_allclose(two["value"][loss], one["value"][loss], rtol=0, atol=1e-5)
        np.testing.assert_allclose(two["value"][~loss], one["value"][~loss], rtol=1e-2, atol=1e-5)
        facts, progress = tiny.read_progress(out / stage)
        assert facts == tiny.read_progress(tmp_path / "one" / stage)[0] and progress["step"] == 8
        mne_gram.load_model(out / stage / "model", verbose="error")
    assert tiny.get_values(out / "tokenizer", "revived").sum() > 0


def test_alone(tiny):
    """With one process nothing is exchanged."""
    x = torch.arange(3.0)
    assert processes.get_rank() == 0 and processes.get_n_processes() == 1
    assert processes.add_up(x) is x and processes.spread(x) is x
    assert processes.collect(x).tolist() == [[0, 1, 2]]
    processes.wait()
    with processes.process_group(tiny.CPU):
        assert not torch.distributed.is_initialized()
