"""Deep networks built from shallow ones, and what is said of them."""

import pytest
import torch

from fathom.experiments.identity import _findings, built_from, identity, largest_difference
from fathom.experiments.nouns import Values
from fathom.models.registry import build_model

from .scaffold import results, setting


def test_the_built_network_is_deeper_and_gives_the_same_outputs() -> None:
    torch.manual_seed(0)
    spec = {"depths": [1, 1, 1], "residual": False}
    shallow = build_model("cifar_resnet20", num_classes=3, in_channels=1, **spec)
    images = torch.randn(4, 1, 8, 8)
    shallow.train()(images)
    before = {key: value.clone() for key, value in shallow.state_dict().items()}
    deep = built_from(shallow, 14)
    assert [len(list(stage.children())) for stage in deep.stages] == [2, 2, 2]
    with torch.no_grad():
        own = shallow.double().eval()(images.double())
        assert largest_difference(own, deep(images.double())) < 1e-12
    assert all(torch.equal(before[key].to(v), v) for key, v in shallow.state_dict().items())


def test_the_difference_is_a_share_of_the_largest_logit() -> None:
    assert largest_difference(torch.tensor([[4.0, -1.0]]), torch.tensor([[3.0, -1.0]])) == 0.25


def shallow(error: float, difference: float = 1e-15) -> Values:
    return {
        "depth": 20,
        "built": 56,
        "difference": difference,
        "train_error": error,
        "test_error": error,
        "built_train_error": error,
        "built_test_error": error,
    }


def deep(error: float) -> Values:
    return {"depth": 56, "train_error": error, "test_error": error}


@pytest.mark.parametrize(
    ("errors", "said"),
    [((0.3, 0.31, 0.32), "training missed them"), ((0.0, 0.0, 0.01), "unlike in the source")],
)
def test_findings_say_which_network_is_better(errors: tuple[float, ...], said: str) -> None:
    cells = {
        "plain 20": [shallow(error) for error in (0.10, 0.11, 0.12)],
        "plain 56": [deep(error) for error in errors],
    }
    found = _findings(results(cells))
    assert "56 layers built from the 20 trained ones give the same outputs" in found.sentences[0]
    assert said in found.sentences[1]


def test_findings_say_when_nothing_is_seen_and_when_the_construction_fails() -> None:
    cells = {
        "plain 20": [shallow(error, 0.1) for error in (0.1, 0.2, 0.3)],
        "plain 56": [deep(error) for error in (0.2, 0.3, 0.1)],
    }
    found = _findings(results(cells))
    assert "other outputs" in found.sentences[0]
    assert "contradicts the source" in found.sentences[0]
    assert "show no difference" in found.sentences[1]


def test_both_arms_are_trained_and_only_the_shallow_one_is_built_upon() -> None:
    arms = identity(setting()).arms
    assert [arm.settings["built"] for arm in arms] == [56, None]
    assert all(arm.recipe is not None and not arm.recipe.model.spec["residual"] for arm in arms)
