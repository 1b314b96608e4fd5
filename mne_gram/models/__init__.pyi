# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause

from ._config import (
    PATCH_LENGTH,
    GramConfig,
    TokenizerConfig,
    gram_base,
    gram_large,
    gram_medium,
    gram_nano,
    gram_small,
    gram_tiny,
    tokenizer_base,
    tokenizer_nano,
    tokenizer_small,
    tokenizer_tiny,
)
from ._encoding import (
    POOLS,
    choose_batch_size,
    decode_tokens,
    encode_tokens,
    encode_windows,
    split_patches,
)
from ._files import (
    CONFIG,
    GramModel,
    is_model,
    read_config,
    save_model,
)
from ._gram import (
    ClassificationNetwork,
    Encoding,
    Gram,
    GramLoss,
)
from ._half import (
    HalfCopy,
    compile_network,
)
from ._inference import (
    get_device,
    limit_threads,
    predict_windows,
)
from ._layers import (
    as_generator,
    draw_,
)
from ._registry import (
    ModelInfo,
    convert_checkpoint,
    fetch_model,
    get_models_dir,
    list_models,
    load_model,
    locate_model,
)
from ._tokenizer import (
    Tokenizer,
    TokenizerLoss,
    TokenizerOutput,
)
from ._visible import (
    Places,
    find_places,
)

__all__ = [
    "CONFIG",
    "ClassificationNetwork",
    "Encoding",
    "Gram",
    "GramConfig",
    "GramLoss",
    "GramModel",
    "HalfCopy",
    "ModelInfo",
    "PATCH_LENGTH",
    "POOLS",
    "Places",
    "Tokenizer",
    "TokenizerConfig",
    "TokenizerLoss",
    "TokenizerOutput",
    "as_generator",
    "choose_batch_size",
    "compile_network",
    "convert_checkpoint",
    "decode_tokens",
    "draw_",
    "encode_tokens",
    "encode_windows",
    "fetch_model",
    "find_places",
    "get_device",
    "get_models_dir",
    "gram_base",
    "gram_large",
    "gram_medium",
    "gram_nano",
    "gram_small",
    "gram_tiny",
    "is_model",
    "limit_threads",
    "list_models",
    "load_model",
    "locate_model",
    "predict_windows",
    "read_config",
    "save_model",
    "split_patches",
    "tokenizer_base",
    "tokenizer_nano",
    "tokenizer_small",
    "tokenizer_tiny",
]
