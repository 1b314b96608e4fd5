# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What pre-training and fine-tuning share: learning rates, groups of parameters, averages."""

import math


def cosine_rate(step, n_warm_up, n_decay, highest=1.0, lowest=0.0):
    """Return the learning rate of a step, counted from 0: a linear rise, then half a cosine."""
    if step < n_warm_up:
        return highest * (step + 1) / n_warm_up
    progress = min(1.0, (step - n_warm_up) / max(n_decay, 1))
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * progress)) / 2


def group_parameters(named, weight_decay, get_share=lambda name: 1.0):
    """Return groups for AdamW from (name, parameter) pairs; only matrices have weight decay.

    ``get_share`` returns the factor of the learning rate by name, which a group has as ``share``.
    """
    groups = {}
    for name, parameter in named:
        key = get_share(name), weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault(key, []).append(parameter)
    return [
        dict(params=parameters, weight_decay=decay, share=share)
        for (share, decay), parameters in groups.items()
    ]


def clip_gradients(parameters, largest):
    """Scale all gradients down to a norm of at most ``largest``; return the norm before."""
    import torch

    with torch.no_grad():
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        torch._foreach_mul_(gradients, (largest / (norm + 1e-6)).clamp(max=1.0))
    return norm


def update_average(averages, values, decay, step):
    """Move running averages (a list of tensors) towards values, in place; steps count from 0."""
    import torch

    # The first averages are over few steps.
    decay = min(decay, (1 + step) / (10 + step))
    with torch.no_grad():
        torch._foreach_lerp_(list(averages), list(values), 1 - decay)
