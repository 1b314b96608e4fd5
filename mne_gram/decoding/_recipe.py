# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""How an encoder is fine-tuned: the published recipe, and that of low-rank adapters."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Recipe:
    """How a network is fine-tuned.

    Attributes
    ----------
    n_epochs, n_warmup : int
        Passes over the trials, and in how many of them the learning rate rises; it falls as a
        cosine then.
    patience : int
        Epochs without gain on the validation trials after which training stops.
    learning_rate : float
        The highest, of the last layers.
    layer_decay : float
        Factor of the learning rate from a layer to the one below.
    weight_decay : float
        Of matrices.
    smoothing : float
        Share of the target that is spread over all classes.
    average : float
        Decay of the running average of weights, which is what is used in the end.
    batch_size : int
        Most trials in a step.
    criterion : "kappa" | "loss"
        What the epoch is chosen by.
    """

    n_epochs: int = 50
    n_warmup: int = 5
    patience: int = 20
    learning_rate: float = 5e-4
    layer_decay: float = 0.65
    weight_decay: float = 0.05
    smoothing: float = 0.1
    average: float = 0.9999
    batch_size: int = 128
    criterion: str = "kappa"


RECIPES = {
    # As published (Li et al. 2025).
    "full": Recipe(),
    # The head starts as the linear model of the frozen network, so little is left to be learnt.
    "lora": Recipe(20, 2, 6, 1e-3, 1.0, 0.0, 0.0, 0.999, 32, "loss"),
}


def choose_recipe(kind, **changes):
    """Return the recipe of a kind, with what is not None put in its place.

    Parameters
    ----------
    kind : "lora" | "full"
        Which.
    **changes : dict
        Fields of `Recipe`; None leaves what the recipe says.

    Returns
    -------
    recipe : Recipe
        The recipe.
    """
    recipe = replace(
        RECIPES[kind], **{name: value for name, value in changes.items() if value is not None}
    )
    for name in ("n_epochs", "batch_size"):
        value = getattr(recipe, name)
        if isinstance(value, bool) or int(value) != value or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}.")
    if not 0 < recipe.learning_rate < 1:
        raise ValueError(f"learning_rate must be between 0 and 1, got {recipe.learning_rate!r}.")
    # As many of the epochs as in the recipe warm up.
    usual = RECIPES[kind]
    n_warmup = round(usual.n_warmup * recipe.n_epochs / usual.n_epochs)
    return replace(recipe, n_warmup=n_warmup)
