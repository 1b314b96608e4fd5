# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A network in half precision that follows another one in single precision, and its compilation."""

import copy
import warnings
from contextlib import nullcontext

import torch

from ._layers import Conv2d, Linear, TransformerBlock
from ._patches import PatchEmbedding


class HalfCopy:
    """A copy of a network whose linear layers and convolutions are in bfloat16.

    All other parameters and the buffers are those of the original. `refresh` copies the weights
    from the original, and `return_gradients` copies gradients to it.
    """

    def __init__(self, network):
        self.network = copy.deepcopy(network)
        self._masters, self._halves = [], []
        for ours, theirs in zip(network.modules(), self.network.modules(), strict=True):
            if isinstance(ours, Linear | Conv2d):
                theirs.to(torch.bfloat16)
                self._masters += ours.parameters()
                self._halves += theirs.parameters()
                continue
            for name, parameter in ours.named_parameters(recurse=False):
                setattr(theirs, name, parameter)
            for name, buffer in ours.named_buffers(recurse=False):
                setattr(theirs, name, buffer)
        self._gradients = None

    @torch.no_grad()
    def refresh(self):
        """Copy the weights of the original, in one cast, and forget the gradients."""
        torch._foreach_copy_(self._halves, self._masters)
        for parameter in self._halves:
            parameter.grad = None

    @torch.no_grad()
    def return_gradients(self):
        """Give the gradients to the original."""
        if self._gradients is None:
            self._gradients = [torch.zeros_like(parameter) for parameter in self._masters]
        trained = [k for k, half in enumerate(self._halves) if half.grad is not None]
        gradients = [self._gradients[k] for k in trained]
        torch._foreach_copy_(gradients, [self._halves[k].grad for k in trained])
        for k, gradient in zip(trained, gradients, strict=True):
            self._masters[k].grad = gradient


def compile_network(network, how, method="forward"):
    """Compile a method of a network, in place, once for windows of all shapes.

    ``how`` is True for the parts that repeat, ``"whole"`` for the method as one graph, and
    ``"graphs"`` for the same, started by CUDA graphs, of which torch records one for each shape.
    """
    if how is True:
        for module in network.modules():
            if isinstance(module, TransformerBlock | PatchEmbedding):
                module.compile(dynamic=True)
        return
    options = {"mode": "reduce-overhead"} if how == "graphs" else {}
    compiled = torch.compile(getattr(network, method), dynamic=True, fullgraph=True, **options)

    def run(*args, **kwargs):
        with _keep_lengths_apart(), warnings.catch_warnings():
            # Spectra are not compiled, which they need not be.
            warnings.filterwarnings("ignore", "Torchinductor does not support code .* complex")
            return compiled(*args, **kwargs)

    setattr(network, method, run)


def _keep_lengths_apart():
    """Return a context in which lengths that are equal in the first batch may differ later on."""
    try:
        from torch.fx.experimental import _config
    except ImportError:
        _config = None
    # The setting is private. Without it, networks are only compiled more often.
    known = hasattr(_config, "use_duck_shape")
    return _config.patch(use_duck_shape=False) if known else nullcontext()
