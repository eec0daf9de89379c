"""Regularisers: one change an arm, and each conclusion both ways."""

import pytest

from fathom.data.settings import Mixup, PadCrop
from fathom.experiments import Findings
from fathom.experiments.regularisers import regularisers
from fathom.training.choices import SGD, CrossEntropy
from fathom.training.recipe import Recipe
from tests.experiments.scaffold import CIFAR, DIGITS, results, setting


def recipes(summary: object = CIFAR) -> dict[str, Recipe]:
    found = {}
    for arm in regularisers(setting(summary)).arms:  # type: ignore[arg-type]
        assert arm.recipe is not None
        found[arm.name] = arm.recipe
    return found


def differing(one: object, other: object, path: str = "") -> set[str]:
    """Paths of the fields in which two recipes differ."""
    found = set()
    for name, value in vars(one).items():
        mine = vars(other)[name]
        if value != mine:
            nested = name in ("augment", "optimizer", "model", "loss")
            found |= differing(value, mine, f"{name}.") if nested else {path + name}
    return found


def test_every_arm_changes_one_thing() -> None:
    arms = recipes()
    plain = arms.pop("none")
    assert isinstance(plain.optimizer, SGD)
    assert plain.optimizer.weight_decay == 0
    changed = {name: differing(plain, recipe) for name, recipe in arms.items()}
    assert changed == {
        "stochastic depth": {"model.spec"},
        "crops and mirrors": {"augment.crop", "augment.flip"},
        "dropout": {"model.spec"},
        "weight decay": {"optimizer.weight_decay"},
        "label smoothing": {"loss.label_smoothing"},
        "mixup": {"augment.mix"},
        "cutout": {"augment.cutout"},
    }
    assert arms["label smoothing"].loss == CrossEntropy(label_smoothing=0.1)
    assert arms["mixup"].augment.mix == Mixup(alpha=1.0)
    assert arms["crops and mirrors"].augment.crop == PadCrop(4)
    assert arms["cutout"].augment.cutout == 16


def test_digits_are_cropped_and_not_mirrored() -> None:
    arms = recipes(DIGITS)
    assert arms["crops"].augment.flip is False
    assert arms["crops"].augment.crop == PadCrop(1)
    assert arms["cutout"].augment.cutout == 4


def told(train: float, test: float, jitter: float = 0.001) -> Findings:
    """Findings where nothing gives 100 and 70 %, and mixup what is given."""
    cells = {
        name: [
            {
                "train_accuracy": one,
                "test_accuracy": other + wobble * seed,
                "gap": one - other - wobble * seed,
            }
            for seed in range(3)
        ]
        for name, one, other, wobble in (("none", 1.0, 0.7, 0.0), ("mixup", train, test, jitter))
    }
    return regularisers(setting()).findings(results(cells))


@pytest.mark.parametrize(
    ("train", "test", "jitter", "words"),
    [
        (0.95, 0.8, 0.001, "it helps"),
        (0.5, 0.45, 0.001, "because the network learns less"),
        (0.8, 0.7, 0.001, "no gain on new images is shown"),
        (1.0, 0.6, 0.001, "new images are named worse"),
        (1.0, 0.69, 0.02, "no effect on new images is shown"),
    ],
)
def test_each_conclusion(train: float, test: float, jitter: float, words: str) -> None:
    found = told(train, test, jitter)
    assert found.sentences[0].startswith("Without any technique 100.0 %")
    assert "a gap of +30.0 points" in found.sentences[0]
    assert words in found.sentences[1]


def test_the_highest_accuracy_is_named() -> None:
    assert told(0.95, 0.8).sentences[-1].endswith("is that with mixup.")
    assert told(0.95, 0.5).sentences[-1].endswith("is that with none.")
