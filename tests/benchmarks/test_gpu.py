# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark of training on a GPU, as far as a CPU can run it."""

from types import SimpleNamespace

import pytest
import torch

from mne_gram.models import gram_nano

CPU = torch.device("cpu")
SIZES = dict(n_blocks=1, decoder_n_blocks=1, n_classes=64)


@pytest.fixture(scope="module")
def gpu(parts):
    """Return the script."""
    return parts.load_benchmark("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="This machine has a CUDA device.")
def test_without_a_gpu(gpu, capsys, monkeypatch):
    """It says so, and counts the operations of a step."""
    monkeypatch.setattr(gpu, "CASES", {"Nano, stage 1": (1, gram_nano())})
    networks = gpu.speed.make_networks(1, gpu.META, SIZES)
    monkeypatch.setattr(gpu.speed, "make_networks", lambda *args, **kwargs: networks)
    assert gpu.main([]) is None
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("Torch finds no CUDA device")
    assert second.startswith("Nano, stage 1") and " mm " in second


@pytest.mark.parametrize("stage", [1, 2])
def test_steps(gpu, stage, tmp_path, monkeypatch):
    """Both versions take steps, and only ours has the training's precision."""
    make = gpu.speed.make_networks
    monkeypatch.setattr(
        gpu.speed,
        "make_networks",
        lambda stage, device, *args, **kwargs: make(stage, device, SIZES),
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


def count_operations(gpu, stage, n_blocks, folder):
    """Count the operations of a step of small networks."""
    networks = gpu.speed.make_networks(stage, gpu.META, SIZES | dict(n_blocks=n_blocks))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu.speed, "make_networks", lambda *args, **kwargs: networks)
        run, batch = gpu.make_run(stage, None, 1, gpu.META, compiled=False, folder=folder)
    return gpu.count_operations(run, batch)


@pytest.mark.parametrize("stage", [1, 2])
def test_operations_of_a_block(gpu, stage, tmp_path):
    """Attention is one operation, and blocks share what packs weights and draws their scales."""
    fewer, more = (count_operations(gpu, stage, n, tmp_path) for n in (2, 3))
    block = more - fewer
    # In stage 2 the frozen tokenizer has one block more, too.
    assert block["_scaled_dot_product_flash_attention"] == stage
    assert block["_scaled_dot_product_flash_attention_backward"] == 1
    assert block["addmm"] == 4 * stage and block["mm"] == 8
    # Two dropouts, two norms, two residual connections, and casts to and from half precision.
    assert block.total() == {1: 40, 2: 60}[stage]
    assert not {"cat", "constant_pad_nd", "rand", "_foreach_copy_"} & block.keys()
