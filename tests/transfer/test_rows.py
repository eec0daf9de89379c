"""Rows and the images that they are views of."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.errors import UserError
from fathom.transfer.rows import Rows

deterministic = settings(deadline=None, derandomize=True, database=None, max_examples=40)


@deterministic
@given(labels=st.lists(st.integers(-5, 5), min_size=2, max_size=20))
def test_images_are_numbered_as_they_first_appear(labels: list[int]) -> None:
    targets = torch.tensor([label % 2 for label in labels])
    targets = torch.cat([targets, torch.tensor([0, 1])])
    groups = torch.tensor([*labels, 100, 101])
    rows = Rows.of(torch.zeros(len(groups), 3), targets, 2, groups)
    seen: dict[int, int] = {}
    for place, label in enumerate(groups.tolist()):
        seen.setdefault(label, len(seen))
        assert int(rows.groups[place]) == seen[label]
        assert int(rows.firsts[seen[label]]) == groups.tolist().index(label)
    assert len(rows.firsts) == len(seen)
    assert torch.equal(rows.classes, targets[rows.firsts])


def test_each_image_weighs_one_and_each_class_the_same_if_asked() -> None:
    targets = torch.tensor([0, 1, 0, 0, 0])
    groups = torch.tensor([7, 8, 7, 9, 10])  # three images of class 0, one of them twice
    rows = Rows.of(torch.zeros(5, 2), targets, 2, groups)
    assert rows.weights(False).tolist() == [0.5, 1, 0.5, 1, 1]
    balanced = rows.weights(True)
    assert balanced.sum().item() == pytest.approx(4)
    assert balanced[targets == 1].sum().item() == pytest.approx(2)


@pytest.mark.parametrize(
    ("values", "targets", "num_classes", "groups", "message"),
    [
        (torch.zeros(3, 2), [0, 1], 2, None, r"shape \(3, 2\) for 2 targets"),
        (torch.full((2, 2), torch.nan), [0, 1], 2, None, "not finite"),
        (torch.zeros(2, 2), [0, 0], 1, None, "2 classes or more"),
        (torch.zeros(2, 2), [0, 2], 3, None, "those of class 1 are missing"),
        (torch.zeros(2, 2), [0, 1], 3, None, "those of class 2 are missing"),
        (torch.zeros(3, 2), [0, 1, 2], 2, None, "class 2, and there are only 2"),
        (torch.zeros(2, 2), [0, 1], 2, [5, 5], "different targets"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(
    values: torch.Tensor,
    targets: list[int],
    num_classes: int,
    groups: list[int] | None,
    message: str,
) -> None:
    with pytest.raises(UserError, match=message):
        Rows.of(
            values,
            torch.tensor(targets),
            num_classes,
            None if groups is None else torch.tensor(groups),
        )
