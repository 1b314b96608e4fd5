# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Training on a GPU: no step waits for it, few products, half precision, batches by processes."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from mne_gram.models import (
    Gram,
    GramConfig,
    HalfCopy,
    Places,
    Tokenizer,
    TokenizerConfig,
    compile_network,
    find_places,
)
from mne_gram.models import _layers as layers
from mne_gram.models import _patches as patching
from mne_gram.training import _loop as loop
from mne_gram.training import _prefetch as prefetching
from mne_gram.training._batches import Batch
from mne_gram.training._stages import GramStage, TokenizerStage

pytestmark = pytest.mark.usefixtures("no_figures")
META = torch.device("meta")
GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="This machine has no CUDA device."),
]


def prefer_products(monkeypatch, products):
    """Decide between few large products and many small ones, whatever the device."""
    for module in (layers, patching):
        monkeypatch.setattr(module, "prefers_products", lambda x: products)


@pytest.fixture
def in_products(monkeypatch):
    """Compute on the CPU as on a GPU."""

    def attend(query, key, value, *, valid=None, rate=0.0, scale=None):
        assert valid is None, "batches of the training have no padding"
        return F.scaled_dot_product_attention(query, key, value, dropout_p=rate, scale=scale)

    prefer_products(monkeypatch, True)
    monkeypatch.setattr(layers, "dropout", F.dropout)
    monkeypatch.setattr(layers, "attend", attend)


@pytest.fixture
def batch():
    """Return a batch of three windows that hide a quarter of their patches."""
    x = torch.randn(3, 8, 4 * 200, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(3, 8, 4, dtype=torch.bool)
    for k in range(3):
        mask[k, k : k + 2] = True
    channels = torch.arange(8).expand(3, -1)
    return Batch(x, channels, mask, "channels", ("a", "b", "c"), find_places(mask.flatten(1)))


def make_stage(name, tiny, training, device):
    """Return a stage with its codebook started."""
    tokenizer = Tokenizer(tiny.TOKENIZER).to(device)
    if name == "gram":
        return GramStage(Gram(tiny.GRAM).to(device), tokenizer, training)
    stage = TokenizerStage(tokenizer, training)
    stage.codebook.started = True
    return stage


# ---------------------------------------------------------------------------------------------
# No waiting


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["tokenizer", "gram"])
def test_a_step_reads_no_value(name, precision, batch, tmp_path, tiny, monkeypatch):
    """A meta device has no values, so whatever would wait for one fails."""
    training = replace(tiny.SHORT, precision=precision, warm_start=False)
    run = loop._Run(make_stage(name, tiny, training, META), training, tmp_path, META, {})
    values = run.take_step(5, range(2), [batch, batch])
    assert values["loss"].is_meta and values["gradient_norm"].is_meta
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        loop.read_values(values)
    # The test notices what waits.
    wait = TokenizerStage.update if name == "tokenizer" else GramStage.update

    def update(self, *args):
        wait(self, *args)
        return {"waits": self.network.norm_of_all.item()}

    stage = type(run.stage)
    monkeypatch.setattr(stage, "norm_of_all", values["loss"], raising=False)
    monkeypatch.setattr(run.stage.network, "norm_of_all", values["loss"], raising=False)
    monkeypatch.setattr(stage, "update", update)
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        run.take_step(6, range(2), [batch, batch])


def test_errors_that_are_found_later(batch, corpus, tmp_path, tiny):
    """Where steps are not checked at once, the first bad one is named, with its recordings."""
    one, _, _ = tiny.make_run("gram", corpus, tmp_path, replace(tiny.SHORT, warm_start=False))
    one._checks_steps = False
    bad = replace(batch, x=torch.full_like(batch.x, torch.nan), sources=("x", "y", "z"))
    for step, second in enumerate([batch, bad, batch]):
        one.take_step(step, range(2), [batch, second])
    assert len(one._recent) == 3
    with pytest.raises(RuntimeError, match="Step 2 gave a loss of nan.*contains x; y; z. "):
        one.check_finite()
    assert not one._recent
    one.check_finite()


# ---------------------------------------------------------------------------------------------
# Few products


@pytest.mark.parametrize("n_filters", [4, 8])
def test_convolutions_as_products(n_filters, monkeypatch):
    """Also with padding, and with the same gradients."""
    module = patching.PatchEmbedding(n_filters)
    layers.init_weights(module, layers.as_generator(1), torch_convolutions=True)
    patches = torch.randn(2, 7, 200, generator=torch.Generator().manual_seed(0))
    valid = torch.ones(2, 7, dtype=torch.bool)
    valid[1, 4:] = False
    for mask in (None, valid):
        results = []
        for products in (False, True):
            prefer_products(monkeypatch, products)
            module.zero_grad()
            out = module(patches, mask)
            out.square().mean().backward()
            kept = out if mask is None else out[mask]
            results.append([kept, *(p.grad for p in module.parameters())])
        for theirs, ours in zip(*results, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["tokenizer", "gram"])
def test_the_same_losses_and_gradients(name, batch, tiny, monkeypatch):
    """Heads are padded with zeros, which changes nothing."""
    config = replace(tiny.TOKENIZER if name == "tokenizer" else tiny.GRAM, dropout=0.0)
    config = replace(config, n_heads=10 if config.dim == 100 else 5)
    assert (config.dim // config.n_heads) % 8
    if name == "gram":
        config = replace(config, drop_path=0.0)
    network = (Tokenizer if name == "tokenizer" else Gram)(config)
    results = []
    for products in (False, True):
        prefer_products(monkeypatch, products)
        network.zero_grad()
        if name == "tokenizer":
            out = network(batch.x, batch.channels)
        else:
            targets = torch.arange(96).view(3, 8, 4) % 32
            places = batch.places if products else None
            out = network(batch.x, batch.channels, batch.mask, targets, places=places)
        out.loss.backward()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        results.append([out.loss, *gradients])
    assert len(results[0]) == len(results[1]) > 50
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_few_products(batch, tiny, monkeypatch):
    """Query, key and value are one product."""
    network = Gram(tiny.GRAM).eval()
    counts = []
    for products in (False, True):
        prefer_products(monkeypatch, products)
        with torch.profiler.profile() as profiler, torch.no_grad():
            network.encode(batch.x, batch.channels, batch.mask)
        names = [event.name for event in profiler.events()]
        counts.append((names.count("aten::addmm"), names.count("aten::convolution")))
    n_blocks = tiny.GRAM.n_blocks
    assert counts[0][0] - counts[1][0] == 2 * n_blocks
    assert counts[0][1] == 3 and counts[1][1] == 0


@pytest.mark.parametrize("name", ["tokenizer", "gram"])
def test_operations(name, tiny, monkeypatch):
    """Banded matrices and padded heads cost few additional operations at the published shape."""
    shape = {"tokenizer": (Tokenizer, TokenizerConfig()), "gram": (Gram, GramConfig())}[name]
    network = shape[0](shape[1], seed=None).to(META)
    x, mask = torch.zeros(2, 16, 3200, device=META), torch.zeros(2, 16, 16, dtype=torch.bool)
    mask[:, ::2] = True
    places = Places(*(p.to(META) for p in find_places(mask.flatten(1))))
    channels = torch.zeros(2, 16, dtype=torch.long, device=META)
    counts = []
    for products in (False, True):
        prefer_products(monkeypatch, products)
        with FlopCounterMode(display=False) as counter:
            if name == "tokenizer":
                out = network(x, channels)
            else:
                targets = torch.zeros(mask.shape, dtype=torch.long, device=META)
                out = network(x, channels, mask, targets, places=places)
            out.loss.backward()
        counts.append(counter.get_total_flops())
    assert 1e9 < counts[0] < counts[1] < 1.15 * counts[0]


def test_places(batch):
    places = find_places(batch.mask.flatten(1))
    for k in range(3):
        hidden = batch.mask[k].flatten().nonzero().flatten()
        assert places.hidden[k].equal(hidden)
        assert sorted(places.visible[k].tolist() + hidden.tolist()) == list(range(32))
        assert places.visible[k].diff().min() > 0
    uneven = batch.mask.clone()
    uneven[0, 7] = True
    for mask in (uneven, torch.zeros_like(uneven), torch.ones_like(uneven)):
        assert find_places(mask.flatten(1)) is None


# ---------------------------------------------------------------------------------------------
# Half precision


def test_half_copy(batch, tiny, in_products):
    """Matrices are casts of the original's, all else is shared, and gradients come back."""
    network = Tokenizer(tiny.TOKENIZER).eval()
    half = HalfCopy(network)
    pairs = list(zip(network.named_parameters(), half.network.parameters(), strict=True))
    with torch.no_grad():
        network.encoder.blocks[0].mlp.fc1.weight.add_(0.1)
        network.codebook.mul_(-1.0)
    half.refresh()
    assert half.network.codebook.data_ptr() == network.codebook.data_ptr()
    for (name, ours), theirs in pairs:
        if "norm" in name or "positions" in name:
            assert theirs is ours, name
        else:
            assert theirs.dtype == torch.bfloat16 and theirs.equal(ours.bfloat16()), name
    out = half.network(batch.x, batch.channels)
    out.loss.backward()
    half.return_gradients()
    found = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    network.zero_grad()
    wanted = network(batch.x, batch.channels)
    wanted.loss.backward()
    torch.testing.assert_close(out.loss, wanted.loss, rtol=2e-2, atol=0)
    assert found.keys() == {n for n, p in network.named_parameters() if p.grad is not None}
    for name in ("encoder.blocks.0.mlp.fc1.weight", "decoder.norm.weight"):
        ours, theirs = found[name], network.get_parameter(name).grad
        assert ours.dtype == torch.float32
        cosine = torch.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0)
        assert cosine > 0.9, name


def test_it_learns_in_half_precision(batch, corpus, tmp_path, tiny, in_products):
    training = replace(tiny.SHORT, precision="bfloat16", warm_start=False, n_steps=40)
    one, sampler, _ = tiny.make_run("tokenizer", corpus, tmp_path, replace(training, free_steps=0))
    one.stage.codebook.started = True
    losses = [float(one.take_step(k, range(1), [batch])["reconstruction"]) for k in range(25)]
    assert np.isfinite(losses).all() and losses[-1] < losses[0] - 0.05
    masters = one.stage.network.encoder.blocks[0].mlp.fc1.weight
    assert masters.dtype == torch.float32 and not masters.equal(masters.bfloat16().float())


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compiled_once(batch, tiny, in_products, monkeypatch):
    """Blocks with different rates of stochastic depth, and windows of other shapes, share code."""
    graphs = []

    def compile_for_test(graph, example):
        graphs.append(graph)
        return graph.forward

    plain = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module,
        "compile",
        lambda self, **options: plain(self, backend=compile_for_test, fullgraph=True, **options),
    )
    config = replace(tiny.GRAM, n_blocks=4, fused_blocks=(0, 3), drop_path=0.2, n_filters=8)
    network = Gram(replace(config, n_heads=5, decoder_n_heads=5, dropout=0.0)).train()
    compile_network(network, True)
    for rows, columns in ((3, 8), (2, 7), (3, 5)):
        x, mask = batch.x[:rows, :columns], batch.mask[:rows, :columns]
        targets = torch.zeros(mask.shape, dtype=torch.long)
        out = network(x, torch.arange(columns), mask, targets, places=find_places(mask.flatten(1)))
        out.loss.backward()
    # The patch embedding and the blocks.
    assert len(graphs) == 2


@pytest.fixture
def graphs(monkeypatch):
    """Compile to what runs the graphs as they are; return a list of these and their modes."""
    compiled, made = torch.compile, []

    def compile_(function, *, mode=None, **options):
        assert options == dict(dynamic=True, fullgraph=True)

        def compile_for_test(graph, example):
            made.append((graph, mode))
            return graph.forward

        return compiled(function, backend=compile_for_test, **options)

    monkeypatch.setattr(torch, "compile", compile_)
    torch._dynamo.reset()
    yield made
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")
@pytest.mark.parametrize(
    ("name", "how", "n_shapes"),
    [pytest.param("tokenizer", "whole", 2, marks=pytest.mark.slow), ("gram", "graphs", 4)],
)
def test_one_graph_for_all_shapes(name, how, n_shapes, graphs, corpus, tmp_path, tiny, in_products):
    """Nothing breaks the graph of a network, and no later batch compiles it again."""
    training = replace(tiny.SHORT, n_parts=1, warm_start=False, precision="bfloat16", compile=how)
    sizes = dict(n_blocks=1, decoder_n_blocks=1)
    config = replace(tiny.TOKENIZER, **sizes)
    if name == "gram":
        config = replace(tiny.GRAM, **sizes, fused_blocks=(0,))
    one, sampler, _ = tiny.make_run(name, corpus, tmp_path, training, config)
    shapes = set()

    def take(step):
        batch = sampler.draw(step)
        shapes.add((*batch.mask.shape, None if name != "gram" else batch.places.visible.shape[1]))
        assert np.isfinite(tiny.take_steps(one, sampler, [step])["loss"])

    for step in range(4):
        take(step)
    # The classifier and the network; or the tokenizer with and without its codebook.
    assert len(graphs) == 2
    with torch._dynamo.config.patch(error_on_recompile=True):
        for step in range(4, 8):
            take(step)
    assert len(graphs) == 2 and len(shapes) == n_shapes
    assert {mode for _, mode in graphs} == {"reduce-overhead" if how == "graphs" else None}


# ---------------------------------------------------------------------------------------------
# Batches


@pytest.mark.parametrize("stop", [5, None])
def test_batches_of_processes(corpus, stop, tiny):
    """They are those of the thread, in the same order, and draw from no global state."""
    sampler = loop_sampler(corpus, tiny)
    parts, states = range(2), tiny.get_random_states()
    steps = itertools.count(3) if stop is None else range(3, stop)
    with prefetching._draw_in_processes(sampler, steps, list(parts), 2, pin=False) as batches:
        found = list(itertools.islice(batches, 2))
        assert stop is None or not list(batches)
    with prefetching.prefetch(sampler, 3, stop, parts, tiny.CPU) as batches:
        wanted = list(itertools.islice(batches, 2))
    assert tiny.get_random_states() == states
    for ours, theirs in zip(itertools.chain(*found), itertools.chain(*wanted), strict=True):
        assert ours.x.equal(theirs.x) and ours.mask.equal(theirs.mask)
        assert ours.sources == theirs.sources and ours.places.hidden.equal(theirs.places.hidden)


def loop_sampler(corpus, tiny):
    """Return the sampler of stage 2."""
    from mne_gram.training import _runs as runs

    return runs.make_sampler(corpus, tiny.SHORT, masked=True)


# ---------------------------------------------------------------------------------------------
# On a GPU


@pytest.fixture(params=["tokenizer", "gram"])
def name(request):
    """Return the name of a stage."""
    return request.param


class TestOnGPU:
    """What only a GPU shows."""

    pytestmark = GPU

    def test_parity(self, name, batch, tiny):
        """Losses and gradients in single precision are those of the CPU."""
        results = []
        for device in (tiny.CPU, torch.device("cuda:0")):
            training = replace(tiny.SHORT, warm_start=False)
            stage = make_stage(name, tiny, training, device)
            stage.network.eval()
            loss, _ = stage.get_loss(stage.network, prefetching.move(batch, device))
            loss.backward()
            gradients = [p.grad for p in stage.network.parameters() if p.grad is not None]
            results.append([loss, *gradients])
        for theirs, ours in zip(*results, strict=True):
            torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-3, atol=1e-4)

    @pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_a_step_does_not_wait(self, name, precision, batch, tmp_path, tiny):
        """The sync debug mode of CUDA raises where a step waits."""
        device = torch.device("cuda:0")
        training = replace(tiny.SHORT, precision=precision, warm_start=False)
        run = loop._Run(make_stage(name, tiny, training, device), training, tmp_path, device, {})
        pinned = batch.pin_memory()
        run.take_step(0, range(1), [pinned])
        torch.cuda.synchronize()
        try:
            torch.cuda.set_sync_debug_mode("error")
            values = run.take_step(1, range(1), [pinned])
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert np.isfinite(loop.read_values(values)["loss"])

    @pytest.mark.filterwarnings("default")  # the compiler of torch has warnings of its own
    def test_training(self, name, corpus, tmp_path, tiny):
        """A compiled run in half precision learns, and resumes after an interruption."""
        training = replace(tiny.SHORT, n_steps=30, precision="bfloat16", compile=True)
        tiny.run(name, corpus, tmp_path, training, device="cuda")
        losses = tiny.get_values(tmp_path, "loss")
        assert len(losses) == 30 and losses[-5:].mean() < losses[:5].mean()
        assert tiny.read_progress(tmp_path)[1]["done"]
        # The finished run is only read again.
        model = tiny.run(name, corpus, tmp_path, training, device="cuda")
        assert model.card["stages"][name]["steps"] == 30
