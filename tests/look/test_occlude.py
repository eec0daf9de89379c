"""A square hides a part of the view, and the network is asked again."""

from __future__ import annotations

import pytest
import torch

from fathom.errors import UserError
from fathom.look.occlude import occlude, positions_within
from tests.look.tiny import PREPROCESS, SIDE, classifier, untouched, view


def test_every_position_is_a_pass_with_the_square_there() -> None:
    network, picture = classifier(3), view(3)
    found = occlude(network, picture, target=2, positions=3, side=6)
    assert found.starts == (0, 5, 10)
    assert found.side == 6
    for row, top in enumerate(found.starts):
        for column, left in enumerate(found.starts):
            hidden = picture.clone()
            for channel, mean in enumerate(PREPROCESS.mean):
                hidden[channel, top : top + 6, left : left + 6] = round(255 * mean)
            chances = network.probabilities(hidden[None])[0]
            assert found.probabilities[row, column] == pytest.approx(float(chances[2]), rel=1e-5)
            assert int(found.tops[row, column]) == int(chances.argmax())
            assert torch.equal(found.covered(picture, (row, column)), hidden)
    whole = network.probabilities(picture[None])[0]
    assert found.whole == pytest.approx(float(whole[2]))
    assert found.top == int(whole.argmax())
    row, column = found.worst
    assert found.probabilities[row, column] == found.probabilities.min()
    assert found.changed == int((found.tops != int(whole.argmax())).sum())


def test_a_square_over_the_whole_view_leaves_nothing_of_it() -> None:
    network = classifier()
    found = [occlude(network, view(s), target=0, positions=5, side=SIDE) for s in (0, 1)]
    assert found[0].starts == (0,)
    assert torch.equal(found[0].probabilities, found[1].probabilities)


def test_a_quarter_and_the_usual_positions_unless_said() -> None:
    found = occlude(classifier(), view(), target=0)
    assert (found.side, len(found.starts)) == (SIDE // 4, 12)
    assert (found.starts[0], found.starts[-1]) == (0, SIDE - SIDE // 4)
    assert list(found.starts) == sorted(set(found.starts))


def test_the_network_is_left_alone() -> None:
    network = classifier()
    before = untouched(network.model)
    occlude(network, view(), target=0, positions=2)
    assert untouched(network.model) == before


@pytest.mark.parametrize(("passes", "side"), [(0, 5), (49, 7), (63, 7), (64, 8), (10**6, 20)])
def test_positions_follow_from_the_passes_there_are(passes: int, side: int) -> None:
    assert positions_within(passes) == side


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"side": 0}, "1 to 16"),
        ({"side": 17}, "1 to 16"),
        ({"positions": 0}, "use 1 or more"),
    ],
)
def test_squares_that_cannot_be_are_refused(options: dict[str, int], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        occlude(classifier(), view(), target=0, **options)
