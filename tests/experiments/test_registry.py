"""Every experiment of the list can be made, and says what it has to."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fathom.data.summary import Summary
from fathom.errors import UserError
from fathom.experiments import EXPERIMENTS, about, known_experiment
from fathom.experiments.registry import function_of
from fathom.ledger import all_claims
from tests.experiments.scaffold import CIFAR, DIGITS, setting

# The story's order.
STORY = [
    *("degradation", "identity", "gradient-flow", "landscape", "initialisation"),
    *("covariate-shift", "bn-placement", "norms", "bn-eval-bug", "relu-tanh", "aux-heads"),
    *("cardinality", "dense-reuse", "se-gates", "compound-scaling", "road", "methodology"),
    *("regularisers", "tta-gain"),
]


def test_the_list_follows_the_story() -> None:
    listed = [name for name in EXPERIMENTS if name in STORY]
    assert listed == [name for name in STORY if name in EXPERIMENTS]
    assert set(STORY) <= set(EXPERIMENTS)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_docstring_names_source_command_and_where_results_are(name: str) -> None:
    text = about(name)
    assert "Source:" in text
    assert f"fathom experiment {name}" in text
    assert "docs/results/experiments.md" in text


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("summary", [DIGITS, CIFAR], ids=["digits", "cifar"])
def test_arms_claims_and_minutes_agree(name: str, summary: Summary) -> None:
    known = known_experiment(name)
    made = function_of(name)(setting(summary))
    names = [arm.name for arm in made.arms]
    assert len(set(names)) == len(names) > 0
    assert (known.minutes is None) == all(arm.recipe is None for arm in made.arms)
    assert set(made.claims) <= set(all_claims())
    assert made.title.endswith("?")
    assert made.expected


def test_an_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(UserError, match=r"did you mean 'degradation'.*lists all"):
        known_experiment("degradations")


def test_the_list_leaves_pytorch_alone() -> None:
    code = "import sys, fathom.experiments.registry; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
