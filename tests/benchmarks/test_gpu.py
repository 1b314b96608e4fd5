# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark of training on a GPU, as far as a CPU can run it."""

import importlib
import time
from types import SimpleNamespace

import pytest
import torch

from mne_gram.models import gram_nano

CPU = torch.device("cpu")
SIZES = dict(n_blocks=1, decoder_n_blocks=1, n_classes=64)


@pytest.fixture(scope="module")
def gpu(load_benchmark):
    """Return the script."""
    return load_benchmark("gpu")


@pytest.fixture(scope="module")
def speeds(parts):
    """Return what it measures speed with, which has to be imported by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(parts.FOLDER)
        yield importlib.import_module("_gpu_speed")


@pytest.mark.skipif(torch.cuda.is_available(), reason="This machine has a CUDA device.")
def test_without_a_gpu(gpu, speeds, capsys, monkeypatch):
    """It says so, and counts the operations of a step."""
    monkeypatch.setattr(speeds, "CASES", {"Nano, stage 1": (1, gram_nano())})
    networks = speeds.speed.make_networks(1, speeds.META, SIZES)
    monkeypatch.setattr(speeds.speed, "make_networks", lambda *args, **kwargs: networks)
    assert gpu.main([]) is None
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("Torch finds no CUDA device")
    assert second.startswith("Nano, stage 1") and " mm " in second


@pytest.mark.parametrize("stage", [1, 2])
def test_steps(speeds, stage, tmp_path, monkeypatch):
    """Both versions take steps, of which what is started is counted."""
    make = speeds.speed.make_networks
    monkeypatch.setattr(
        speeds.speed,
        "make_networks",
        lambda stage, device, *args, **kwargs: make(stage, device, SIZES),
    )
    monkeypatch.setattr(speeds, "CASES", {"Nano": (stage, gram_nano())})
    for version in ("plain", "ours"):
        take = speeds.make_step("Nano", version, 1, CPU, tmp_path)
        seconds, warm_up = speeds.measure(take, CPU, 1)
        assert 0 < seconds < 60 and warm_up > 0
    profile = speeds.profile_step(take, CPU)
    assert profile.launched > 0 and profile.counts["waits"] == 0
    assert profile.describe().endswith("0 kernels, 0 launches, 0 copies, 0 copies_to_host, 0 waits")


def test_failing_versions(gpu, speeds, capsys, monkeypatch, tmp_path):
    """They are reported, as are slow ones, and the others are measured."""

    def make_step(case, version, n_windows, device, folder):
        def take():
            if version == "blocks":
                raise RuntimeError("no compiler\nat all")
            if version == "graphs":
                time.sleep(5)

        return take

    monkeypatch.setattr(speeds, "make_step", make_step)
    monkeypatch.setattr(speeds, "CASES", {"A": (1, None), "B": (2, None)})
    args = gpu.parse_args(["--limit", "0.3", "--steps", "1"])
    found = speeds.report_speed(CPU, args, tmp_path)
    assert {key[1] for key in found} == {"plain", "ours", "whole"}
    assert {key[0] for key in found} == {"A", "B"}
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.endswith("failed, RuntimeError: no compiler") for line in lines) == 4
    assert sum(line.endswith("failed, TimeoutError: more than 0 s") for line in lines) == 2
    assert sum(line.startswith("A ") and "ours / plain: " in line for line in lines) == 1
    args = gpu.parse_args(["--minutes", "0"])
    assert not speeds.report_speed(CPU, args, tmp_path)
    assert capsys.readouterr().out.count("not measured, the time is over") == 14


def test_events(speeds):
    """Kernels, copies and waits are told apart."""
    from torch.autograd import DeviceType

    def event(name, device=DeviceType.CUDA, microseconds=5.0):
        span = SimpleNamespace(elapsed_us=lambda: microseconds)
        return SimpleNamespace(name=name, device_type=device, time_range=span)

    events = [
        event("gemm"),
        event("gemm", microseconds=7.0),
        event("Memcpy DtoH (Device -> Pinned)"),
        event("Memset (Device)"),
        event("cudaStreamSynchronize", DeviceType.CPU),
        event("cudaLaunchKernelExC", DeviceType.CPU),
        event("aten::mm", DeviceType.CPU),
    ]
    counts, times = speeds.count_events(events)
    assert counts == dict(kernels=2, launches=1, copies=2, copies_to_host=1, waits=1)
    assert times["gemm"] == 12.0 and sum(times.values()) == 22.0


def test_ratio(speeds, capsys):
    """Each version counts at its best number of windows."""
    found = {("a", "plain", 64): 3.0, ("a", "plain", 256): 4.0, ("a", "ours", 256): 6.0}
    found |= {("a", "blocks", 1024): 10.0, ("b", "ours", 256): 99.0}
    speeds.print_ratio(found, "a")
    assert capsys.readouterr().out.endswith("ours / plain: 2.50\n")
    speeds.print_ratio(found, "b")
    assert capsys.readouterr().out == ""


def count_operations(speeds, stage, n_blocks, folder):
    """Count the operations of a step of small networks."""
    networks = speeds.speed.make_networks(stage, speeds.META, SIZES | dict(n_blocks=n_blocks))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speeds.speed, "make_networks", lambda *args, **kwargs: networks)
        run, batch = speeds.make_run(stage, None, 1, speeds.META, compiled=False, folder=folder)
    return speeds.count_operations(run, batch)


@pytest.mark.parametrize("stage", [1, 2])
def test_operations_of_a_block(speeds, stage, tmp_path):
    """Attention is one operation, and blocks share what packs weights and draws their scales."""
    fewer, more = (count_operations(speeds, stage, n, tmp_path) for n in (2, 3))
    block = more - fewer
    # In stage 2 the frozen tokenizer has one block more, too.
    assert block["_scaled_dot_product_flash_attention"] == stage
    assert block["_scaled_dot_product_flash_attention_backward"] == 1
    assert block["addmm"] == 4 * stage and block["mm"] == 8
    # Two dropouts, two norms, two residual connections, and casts to and from half precision.
    assert block.total() == {1: 40, 2: 60}[stage]
    assert not {"cat", "constant_pad_nd", "rand", "_foreach_copy_"} & block.keys()
