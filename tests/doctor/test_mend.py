"""Remedies become recipes, or say what to do by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fathom.doctor.mend import copied, mended, options
from fathom.doctor.nouns import Remedy
from fathom.errors import UserError
from fathom.training.recipe import Recipe
from fathom.training.settings import to_dict
from tests.doctor.making import FINDING
from tests.training.test_trainer import tiny


def with_changes(**changes: str) -> Any:
    paths = {path.replace("__", "."): text for path, text in changes.items()}
    return replace(FINDING, remedy=replace(FINDING.remedy, changes=paths))


def differing(old: Recipe, new: Recipe) -> dict[str, Any]:
    before, after = to_dict(old), to_dict(new)
    return {key: after[key] for key in after if after[key] != before[key]}


def test_only_the_remedy_is_changed() -> None:
    old = tiny()
    new = mended(old, FINDING)
    assert set(differing(old, new)) == {"optimizer"}
    assert differing(old, new)["optimizer"] == {**to_dict(old.optimizer), "lr": 0.0625}


def test_a_choice_comes_before_its_settings() -> None:
    new = mended(tiny(), with_changes(optimizer__lr="0.25", optimizer="adamw"))
    assert (new.optimizer.name, new.optimizer.lr) == ("adamw", 0.25)


def test_another_length_replaces_the_one_there_is() -> None:
    new = mended(tiny(), with_changes(epochs="7"))
    assert (new.epochs, new.steps, new.minutes) == (7, None, None)


def test_another_network_comes_with_its_own_shape() -> None:
    new = mended(tiny(), with_changes(model__name="cifar_resnet20"))
    assert (new.model.name, new.model.spec) == ("cifar_resnet20", {})


def test_what_no_recipe_expresses_is_said_in_words() -> None:
    with pytest.raises(UserError, match=r"Do it by hand: Use a lower rate\. As in: optimizer = "):
        mended(tiny(), with_changes())


def test_what_the_run_had_already_is_refused() -> None:
    once = mended(tiny(), FINDING)
    with pytest.raises(UserError, match=r"had these settings already: optimizer\.lr=0\.0625"):
        mended(once, FINDING)


def test_options_are_quoted_and_what_is_copied_is_the_nearest_to_doing() -> None:
    remedy = Remedy("words", {"ema": "none", "model.spec.widths": "[1, 2]"}, "code")
    assert options(remedy) == "--set ema=none --set 'model.spec.widths=[1, 2]'"
    assert copied(remedy) == options(remedy)
    assert copied(Remedy("words", code="code")) == "code"
    assert copied(Remedy("words")) == "words"
