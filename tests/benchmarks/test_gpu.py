# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark of training on a GPU, as far as a CPU can run it."""

from types import SimpleNamespace

import pytest
import torch

from mne_gram.models import gram_nano

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def gpu(parts):
    """Return the script."""
    return parts.load_benchmark("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="This machine has a CUDA device.")
def test_without_a_gpu(gpu, capsys):
    """It says so, and measures nothing."""
    assert gpu.main([]) is None
    printed = capsys.readouterr().out
    assert printed.startswith("Skipped: this benchmark needs a CUDA device")
    assert len(printed.splitlines()) == 1


@pytest.mark.parametrize("stage", [1, 2])
def test_steps(gpu, stage, tmp_path, monkeypatch):
    """Both versions take steps, and only ours has the training's precision."""
    sizes = dict(n_blocks=1, decoder_n_blocks=1, n_classes=64)
    make = gpu.speed.make_networks
    monkeypatch.setattr(
        gpu.speed,
        "make_networks",
        lambda stage, device, sizes_=None, gram=None: make(stage, device, sizes),
    )
    plain = gpu.make_plain_step(stage, gram_nano(), 1, CPU)
    ours = gpu.make_our_step(stage, gram_nano(), 1, CPU, compiled=False, folder=tmp_path)
    for take in (plain, ours):
        seconds, first = gpu.measure(take, CPU, 1)
        assert 0 < seconds < 60 and first > 0


def test_events(gpu):
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
        event("aten::mm", DeviceType.CPU),
    ]
    counts, times = gpu.count_events(events)
    assert counts == dict(kernels=2, copies=2, copies_to_host=1, waits=1)
    assert times["gemm"] == 12.0 and sum(times.values()) == 22.0


def test_ratio(gpu, capsys):
    """Each version counts at its best number of windows."""
    speeds = {("a", "plain", 64): 3.0, ("a", "plain", 256): 4.0, ("a", "ours", 256): 6.0}
    speeds |= {("a", "ours, compiled", 1024): 10.0, ("b", "ours", 256): 99.0}
    gpu.print_ratio(speeds, "a")
    assert capsys.readouterr().out.endswith("ours / plain: 2.50\n")
    gpu.print_ratio(speeds, "b")
    assert capsys.readouterr().out == ""
