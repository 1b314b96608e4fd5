# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Settings of training, with the published ones as presets."""

import dataclasses
import math
from dataclasses import dataclass

from ._optimization import cosine_rate

_BATCH = 256  # windows to which the published learning rates refer


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training run.

    Attributes
    ----------
    n_steps : int
        Number of optimizer steps. With ``minutes``, only the ratio of ``free_steps`` to it counts.
    minutes : float | None
        Duration of the training, in place of a number of steps: learning rate, free steps,
        validations and checkpoints follow the clock, so a faster machine takes more steps.
    n_parts : int
        Parts of the batch of one step. Each part contains windows of one shape, and processes
        share the parts. Gradients are averaged over parts.
    tokens_per_part : int
        Tokens (patches of one channel) in a part.
    tokens_per_window : int
        Tokens in a window: channels x patches is at most this (but at least one patch per channel).
    learning_rate, final_learning_rate : float
        Highest and last learning rate of AdamW.
    warm_up : float
        Share of the steps in which the rate rises; then it falls as a cosine.
    weight_decay : float
        Decay of matrices. Vectors (biases, norms, layer scales) do not decay.
    betas : tuple of float
        Of AdamW.
    clip : float
        Largest norm of the gradient.
    average : float
        Decay of the averaged weights, which are validated and saved. 0 averages nothing.
    seed : int
        Seed of all random draws, including the initial weights.
    mask_kinds : dict | None
        Weight of each kind of mask in stage 2. None means equal weights.
    mask_share : dict | None
        Range of the share that each kind hides. None means the defaults of the kinds.
    augment, dropout_channels : bool
        Whether windows are varied mildly, and whether channels are dropped.
    centered : bool
        Whether stage 1 ignores the mean of each patch. Published: False.
    warm_start : bool
        Whether stage 2 starts as an interpolator: the encoder from the tokenizer's, the decoder
        copying the codes of visible neighbours. Published: from random weights.
    scale_weight : float
        Weight of the error of gain and offset in stage 2, where the network predicts them.
    code_gain : float
        Factor on the initial weights of the layer through which code vectors enter the decoder of
        stage 1. With 1, as published, codes are initially small compared with the position tables,
        and learning starts late.
    codebook_decay : float
        Decay of the code vectors' running averages.
    revive_below : float
        Classes used less often than this share of the mean start again at a current code vector.
    free_steps : int
        Steps of stage 1 without quantization, before the codebook is started. A codebook that
        starts from an untrained encoder (0, as published) encodes positions rather than signals
        for a long time.
    free_guide : bool
        Whether code vectors of these steps are trained towards the principal components of their
        patch, so that the nearest class is one of similar waveforms from the start.
    start_tokens : int
        Patches from which k-means starts the codebook; at least the number of classes.
    hold_out_every : int | None
        Every n-th subject of each data set is used for validation. None trains on all subjects.
    validate_every, checkpoint_every, log_every : int
        Steps between validations, checkpoints and entries of the log.
    precision : ``"float32"`` | ``"bfloat16"``
        Precision of matrix products. Half precision is for GPUs only.
    compile : bool | ``"whole"`` | ``"graphs"``
        Whether to compile, on GPUs only: the blocks of the network (True), the network as one
        graph (``"whole"``), or that with CUDA graphs, which need ``n_parts=1``. Windows of all
        shapes share their code.
    """

    n_steps: int = 1000
    n_parts: int = 2
    tokens_per_part: int = 4096
    tokens_per_window: int = 256
    learning_rate: float = 5e-4
    final_learning_rate: float = 1e-5
    warm_up: float = 0.1
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0
    average: float = 0.995
    seed: int = 0
    mask_kinds: dict | None = None
    mask_share: dict | None = None
    augment: bool = True
    dropout_channels: bool = True
    centered: bool = False
    warm_start: bool = False
    scale_weight: float = 0.25
    code_gain: float = 1.0
    codebook_decay: float = 0.99
    revive_below: float = 0.1
    free_steps: int = 0
    free_guide: bool = False
    start_tokens: int = 16384
    hold_out_every: int | None = 8
    validate_every: int = 250
    checkpoint_every: int = 100
    log_every: int = 10
    minutes: float | None = None
    precision: str = "float32"
    compile: bool | str = False

    def __post_init__(self):
        counts = ("n_steps", "n_parts", "tokens_per_part", "tokens_per_window", "start_tokens")
        for name in (*counts, "validate_every", "checkpoint_every", "log_every"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be an int of at least 1, got {value!r}.")
        for name in ("warm_up", "average", "codebook_decay", "revive_below"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {value!r}.")
        for name in ("learning_rate", "final_learning_rate", "clip", "code_gain"):
            value = getattr(self, name)
            if not (value > 0 and math.isfinite(value)):
                raise ValueError(f"{name} must be positive and finite, got {value!r}.")
        for name in ("weight_decay", "scale_weight"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"{name} must be 0 or more and finite, got {value!r}.")
        if not 0 <= self.free_steps < self.n_steps:
            raise ValueError(f"free_steps must be from 0 to n_steps - 1, got {self.free_steps!r}.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ValueError(f"seed must be an int of at least 0, got {self.seed!r}.")
        minutes = self.minutes
        if minutes is not None and not (minutes > 0 and math.isfinite(minutes)):
            raise ValueError(f"minutes must be None, or positive and finite, got {minutes!r}.")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be 'float32' or 'bfloat16', got {self.precision!r}.")
        if not isinstance(self.compile, bool) and self.compile not in ("whole", "graphs"):
            raise ValueError(
                f"compile must be True, False, 'whole' or 'graphs', got {self.compile!r}."
            )
        if self.compile == "graphs" and self.n_parts > 1:
            # Gradients of a part lie where the next one would be computed.
            raise ValueError(f"compile='graphs' needs n_parts=1, got {self.n_parts}.")
        every = self.hold_out_every
        if every is not None and (isinstance(every, bool) or every != int(every) or every < 2):
            raise ValueError(f"hold_out_every must be None or an int from 2, got {every!r}.")

    @property
    def free_share(self):
        """The share of stage 1 without quantization."""
        return self.free_steps / self.n_steps

    def get_rate_at(self, progress):
        """Return the learning rate at a share of the training, from 0 to 1."""
        if progress < self.warm_up:
            # At the very beginning it is not 0.
            return self.learning_rate * max(progress / self.warm_up, 0.01)
        fall = (progress - self.warm_up) / max(1 - self.warm_up, 1e-9)
        height = (1 + math.cos(math.pi * min(fall, 1.0))) / 2
        return self.final_learning_rate + (self.learning_rate - self.final_learning_rate) * height

    def get_learning_rate(self, step):
        """Return the learning rate of a step, counted from 0."""
        n_warm_up = round(self.warm_up * self.n_steps)
        n_decay = self.n_steps - 1 - n_warm_up
        return cosine_rate(step, n_warm_up, n_decay, self.learning_rate, self.final_learning_rate)

    def to_dict(self):
        """Return the fields as a dict for JSON."""
        fields = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}


def published_tokenizer(n_steps, n_parts=8, tokens_per_part=16384, **changes):
    """Return the published settings of stage 1.

    Parameters
    ----------
    n_steps : int
        Total steps, in place of the published 100 epochs.
    n_parts, tokens_per_part : int
        Size of the batch; a window counts as 256 tokens.
    **changes
        Fields that differ.

    Returns
    -------
    config : TrainingConfig
        The settings.

    Notes
    -----
    Li et al. (2025), doi:10.1109/TAFFC.2025.3638592: AdamW, 1e-5 x batch / 256 falling to 1e-6,
    a tenth of the epochs warm-up, weight decay 5e-4, gradients clipped at 1.
    """
    fields = dict(
        learning_rate=1e-5 * n_parts * tokens_per_part / 256 / _BATCH,
        final_learning_rate=1e-6,
        warm_up=0.1,
        weight_decay=5e-4,
        augment=False,
        dropout_channels=False,
    )
    return TrainingConfig(n_steps, n_parts, tokens_per_part, **{**fields, **changes})


def published_gram(n_steps, n_parts=8, tokens_per_part=16384, **changes):
    """Return the published settings of stage 2.

    Parameters
    ----------
    n_steps : int
        Total steps, in place of the published 50 epochs.
    n_parts, tokens_per_part : int
        Size of the batch; a window counts as 256 tokens.
    **changes
        Fields that differ.

    Returns
    -------
    config : TrainingConfig
        The settings.

    Notes
    -----
    Li et al. (2025), doi:10.1109/TAFFC.2025.3638592: half of all tokens are hidden at random;
    AdamW, 1e-4 x batch / 256 falling to 1e-5, a tenth of the epochs warm-up, weight decay 0.05,
    gradients clipped at 1.
    """
    fields = dict(
        learning_rate=1e-4 * n_parts * tokens_per_part / 256 / _BATCH,
        final_learning_rate=1e-5,
        warm_up=0.1,
        weight_decay=0.05,
        mask_kinds={"random": 1.0},
        mask_share={"random": [0.5, 0.5]},
        augment=False,
        dropout_channels=False,
    )
    return TrainingConfig(n_steps, n_parts, tokens_per_part, **{**fields, **changes})
