# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Count the operations that a step of the training starts on a GPU, without one.

Tensors on the meta device take the way of a GPU and compute nothing. Some operations start more
than one kernel, so the number is a lower limit of that of kernels. The optimizer is left out: on a
GPU it is fused.
"""

import contextlib
from collections import Counter
from unittest import mock

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

# What returns another view of a tensor or reserves memory.
_FREE = {
    *("_reshape_alias", "_unsafe_view", "alias", "as_strided", "detach", "lift_fresh"),
    *("_record_function_enter_new", "_record_function_exit"),
    *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"),
}


class CountOperations(TorchDispatchMode):
    """Count operations by name, except views."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Run an operation and count it."""
        name = function.overloadpacket.__name__
        if not function.is_view and name not in _FREE:
            self.counts[name] += 1
        return function(*args, **kwargs or {})


def _attend_in_one(query, key, value, attn_mask=None, dropout_p=0.0, scale=None):
    """Return attention by the operation of a GPU, which the meta device would take apart."""
    attend = torch.ops.aten._scaled_dot_product_flash_attention
    return attend(query, key, value, dropout_p, False, False, scale=scale)[0]


def _drop_in_one(x, rate, training=True):
    """Return dropout by the operation of a GPU."""
    return torch.native_dropout(x, rate, training)[0] if training and rate else x


def count_operations(run, batch):
    """Return the operations by name of a step of a training on the meta device."""
    counter = CountOperations()
    with contextlib.ExitStack() as stack:
        for name, function in (
            ("scaled_dot_product_attention", _attend_in_one),
            ("dropout", _drop_in_one),
        ):
            stack.enter_context(mock.patch.object(F, name, function))
        stack.enter_context(mock.patch.object(run.optimizer, "step", lambda: None))
        run.take_step(0, range(1), [batch])  # the first step makes what later ones use
        with counter:
            run.take_step(1, range(1), [batch])
    return counter.counts
