"""Fathom trains deep convolutional networks on your images and shows you why they train.

    import fathom

    recipe = fathom.recipe("default", "digits", epochs=5)
    for report in fathom.train(recipe):
        print(report)

Importing this package imports nothing heavy: PyTorch comes with the first name that needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fathom.version import __version__

if TYPE_CHECKING:
    from fathom.classifier import Classifier, load
    from fathom.costs.count import cost
    from fathom.doctor.watch import watch
    from fathom.errors import UserError
    from fathom.ledger import claims
    from fathom.models.base import ImageClassifier
    from fathom.models.cards import ModelCard
    from fathom.models.registry import list_models, model_card
    from fathom.recipes.registry import recipe
    from fathom.report import write_report
    from fathom.training.recipe import Recipe
    from fathom.training.session import resume, train
    from fathom.weights.create import create_model
    from fathom.weights.load import load_weights, reference_state_dict

_HOMES = {
    "Classifier": "classifier",
    "ImageClassifier": "models.base",
    "ModelCard": "models.cards",
    "Recipe": "training.recipe",
    "UserError": "errors",
    "claims": "ledger",
    "cost": "costs.count",
    "create_model": "weights.create",
    "list_models": "models.registry",
    "load": "classifier",
    "load_weights": "weights.load",
    "model_card": "models.registry",
    "recipe": "recipes.registry",
    "reference_state_dict": "weights.load",
    "resume": "training.session",
    "train": "training.session",
    "watch": "doctor.watch",
    "write_report": "report",
}

__all__ = [
    "Classifier",
    "ImageClassifier",
    "ModelCard",
    "Recipe",
    "UserError",
    "__version__",
    "claims",
    "cost",
    "create_model",
    "list_models",
    "load",
    "load_weights",
    "model_card",
    "recipe",
    "reference_state_dict",
    "resume",
    "train",
    "watch",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fathom' has no attribute {name!r}")
    value = getattr(import_module(f"fathom.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
