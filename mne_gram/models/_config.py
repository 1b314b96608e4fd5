# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Shapes of the two networks, with a function for each named size."""

import dataclasses
import math
from dataclasses import dataclass

#: Samples in a patch: one second at 200 Hz.
PATCH_LENGTH = 200
#: Features per filter of the patch embedding (200 samples, stride 8).
FEATURES_PER_FILTER = 25
#: Width of both decoders; in the tokenizer the last features are the 200 samples of a patch.
DECODER_DIM = 200
#: Filters that turn the 200 features of the tokenizer's decoder into 200 samples.
DECODER_N_FILTERS = DECODER_DIM // FEATURES_PER_FILTER
#: Groups of the GroupNorm in the patch embedding.
N_GROUPS = 4


class _Config:
    """Checks and JSON conversion of both configurations."""

    def _check_counts(self, *names):
        for name in names:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be an int of at least 1, got {value!r}.")

    def _check_filters(self):
        if self.n_filters % N_GROUPS:
            raise ValueError(
                f"n_filters must be a multiple of {N_GROUPS} (the groups of the patch embedding's "
                f"GroupNorm), got {self.n_filters}."
            )

    def _check_heads(self, dim, name):
        n_heads = getattr(self, name)
        if dim % n_heads:
            raise ValueError(f"{name} must divide the width {dim}, got {n_heads}.")

    def _check_rate(self, name):
        value = getattr(self, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise ValueError(f"{name} must be a number from 0 to below 1, got {value!r}.")

    @property
    def dim(self):
        """Width of the encoder."""
        return FEATURES_PER_FILTER * self.n_filters

    def to_dict(self):
        """Return the fields as a dict for JSON."""
        fields = dataclasses.asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}

    @classmethod
    def from_dict(cls, fields):
        """Return the configuration with exactly these fields, from ``to_dict``."""
        if not isinstance(fields, dict):
            raise ValueError(f"{cls.__name__} needs a dict of its fields, got {type(fields)}.")
        names = {field.name for field in dataclasses.fields(cls)}
        missing, unknown = sorted(names - set(fields)), sorted(set(fields) - names)
        if missing or unknown:
            raise ValueError(
                f"{cls.__name__} has missing fields {missing} and unknown fields {unknown}; "
                f"expected exactly {sorted(names)}."
            )
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        return cls(**fields)


@dataclass(frozen=True)
class TokenizerConfig(_Config):
    """Shape of the tokenizer (stage 1).

    Attributes
    ----------
    n_filters : int
        Filters of the encoder's patch embedding; the encoder is ``25 * n_filters`` wide.
    n_blocks, n_heads : int
        Transformer blocks of the encoder and heads of each.
    decoder_n_blocks, decoder_n_heads : int
        The same for the decoder, with a width of 200.
    n_classes : int
        Number of base classes (entries of the codebook).
    code_dim : int
        Length of a code vector.
    n_channels : int
        Montage entries (rows of the channel table).
    max_patches : int
        Longest window in patches (rows of the time table).
    dropout : float
        Dropout rate in training.
    """

    n_filters: int = 8
    n_blocks: int = 12
    n_heads: int = 10
    decoder_n_blocks: int = 12
    decoder_n_heads: int = 10
    n_classes: int = 8196
    code_dim: int = 32
    n_channels: int = 130
    max_patches: int = 16
    dropout: float = 0.1

    def __post_init__(self):
        self._check_counts(
            *("n_filters", "n_blocks", "n_heads", "decoder_n_blocks", "decoder_n_heads"),
            *("n_classes", "code_dim", "n_channels", "max_patches"),
        )
        self._check_filters()
        self._check_heads(self.dim, "n_heads")
        self._check_heads(DECODER_DIM, "decoder_n_heads")
        self._check_rate("dropout")


@dataclass(frozen=True)
class GramConfig(_Config):
    """Shape of the masked autoencoder (stage 2).

    Attributes
    ----------
    n_filters : int
        Filters of the patch embedding; the encoder is ``25 * n_filters`` wide.
    n_blocks, n_heads : int
        Transformer blocks of the encoder and heads of each.
    fused_blocks : tuple of int
        Encoder blocks whose outputs are fused, ascending from 0 and ending with the last one.
    decoder_n_blocks, decoder_n_heads : int
        Blocks and heads of the decoder, with a width of 200.
    n_classes : int
        Number of base classes of the tokenizer.
    n_channels : int
        Montage entries (rows of the channel table).
    max_patches : int
        Longest window in patches (rows of the time table).
    layer_scale : float | None
        Initial value of the layer scale. None means no layer scale.
    drop_path : float
        Stochastic depth of the last block in training, rising linearly from 0.
    dropout : float
        Dropout rate in training.
    predict_scale : bool
        Whether an additional head predicts gain and offset of hidden patches, which the classes do
        not contain. The published network has none.
    """

    n_filters: int = 8
    n_blocks: int = 12
    n_heads: int = 10
    fused_blocks: tuple[int, ...] = (0, 2, 4, 6, 8, 11)
    decoder_n_blocks: int = 8
    decoder_n_heads: int = 10
    n_classes: int = 8196
    n_channels: int = 130
    max_patches: int = 16
    layer_scale: float | None = 0.1
    drop_path: float = 0.1
    dropout: float = 0.05
    predict_scale: bool = False

    def __post_init__(self):
        self._check_counts(
            *("n_filters", "n_blocks", "n_heads", "decoder_n_blocks", "decoder_n_heads"),
            *("n_classes", "n_channels", "max_patches"),
        )
        self._check_filters()
        self._check_heads(self.dim, "n_heads")
        self._check_heads(DECODER_DIM, "decoder_n_heads")
        self._check_fused()
        self._check_rate("drop_path")
        self._check_rate("dropout")
        if not isinstance(self.predict_scale, bool):
            raise ValueError(f"predict_scale must be a bool, got {self.predict_scale!r}.")
        scale = self.layer_scale
        if scale is not None and (
            isinstance(scale, bool)
            or not isinstance(scale, int | float)
            or not math.isfinite(scale)
        ):
            raise ValueError(f"layer_scale must be None or a finite number, got {scale!r}.")

    def _check_fused(self):
        fused = self.fused_blocks
        ok = (
            isinstance(fused, tuple)
            and len(fused) > 0
            and all(isinstance(i, int) and not isinstance(i, bool) for i in fused)
            and all(a < b for a, b in zip(fused, fused[1:], strict=False))
            and fused[0] >= 0
            and fused[-1] == self.n_blocks - 1
        )
        if not ok:
            raise ValueError(
                f"fused_blocks must be a tuple of ascending block numbers from 0, ending with the "
                f"last block ({self.n_blocks - 1}), got {fused!r}."
            )


def tokenizer_base():
    """Return the shape of the published tokenizer."""
    return TokenizerConfig()


def tokenizer_nano():
    """Return the shape of a tokenizer of 1 + 1 blocks and 64 classes, for tests."""
    return TokenizerConfig(n_blocks=1, decoder_n_blocks=1, n_classes=64)


def gram_base():
    """Return the shape of the published Gram-Base (6 M parameters in its encoder)."""
    return GramConfig()


def gram_medium():
    """Return the shape of Gram-Medium (47 M parameters in its encoder)."""
    return GramConfig(
        n_filters=16,
        n_blocks=24,
        n_heads=16,
        fused_blocks=(0, 4, 8, 12, 16, 20, 23),
        layer_scale=1e-5,
    )


def gram_large():
    """Return the shape of Gram-Large (251 M parameters in its encoder)."""
    return GramConfig(
        n_filters=32,
        n_blocks=32,
        n_heads=16,
        fused_blocks=(0, 4, 8, 12, 16, 20, 24, 28, 31),
        layer_scale=1e-5,
    )


def gram_nano():
    """Return the shape of a network of two narrow blocks and 64 classes, for tests."""
    return GramConfig(
        n_filters=4,
        n_blocks=2,
        n_heads=4,
        fused_blocks=(0, 1),
        decoder_n_blocks=2,
        n_classes=64,
    )


def tokenizer_tiny():
    """Return the shape of the tokenizer in the bundled model (2.0 M parameters)."""
    return TokenizerConfig(
        n_blocks=2,
        n_heads=5,
        decoder_n_blocks=2,
        decoder_n_heads=5,
        n_classes=2048,
        dropout=0.0,
    )


def gram_tiny():
    """Return the shape of the bundled stage 2 (3.5 M parameters)."""
    return GramConfig(
        n_blocks=4,
        n_heads=5,
        fused_blocks=(0, 1, 2, 3),
        decoder_n_blocks=2,
        decoder_n_heads=5,
        n_classes=2048,
        layer_scale=None,
        drop_path=0.0,
        dropout=0.0,
        predict_scale=True,
    )


def tokenizer_small():
    """Return the shape of a tokenizer between the bundled and the published one."""
    return TokenizerConfig(
        n_blocks=6,
        n_heads=5,
        decoder_n_blocks=4,
        decoder_n_heads=5,
        n_classes=4096,
        dropout=0.05,
    )


def gram_small():
    """Return the shape of a stage 2 between the bundled and the published one."""
    return GramConfig(
        n_blocks=8,
        n_heads=5,
        fused_blocks=(0, 2, 4, 7),
        decoder_n_blocks=4,
        decoder_n_heads=5,
        n_classes=4096,
        layer_scale=None,
        drop_path=0.0,
        predict_scale=True,
    )
