"""AlexNet and VGG, against counts written out by hand."""

from itertools import pairwise

import pytest

from fathom.ledger import Row, claims, classics


def row(name: str) -> Row:
    return claims(name)[0]


def alexnet_by_hand(groups: int) -> int:
    """Krizhevsky et al. 2012, Section 3.5, layer by layer: weights and biases."""
    convolutions = (
        (11 * 11 * 3 + 1) * 96
        + (5 * 5 * 96 // groups + 1) * 256
        + (3 * 3 * 256 + 1) * 384
        + (3 * 3 * 384 // groups + 1) * 384
        + (3 * 3 * 384 // groups + 1) * 256
    )
    return convolutions + (6 * 6 * 256 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000


def test_alexnet_by_hand() -> None:
    found = row("alexnet.shape")
    assert found.verdict == "ambiguous"
    assert found.computed["kernels"] == [11, 5, 3, 3, 3]
    counts = found.computed["params"]
    assert counts["in two towers, as in the paper"] == alexnet_by_hand(2)
    assert counts["as in the paper, not split"] == alexnet_by_hand(1)
    assert counts["as one tower of 2014"] == 61_100_840  # torchvision's


def test_receptive_field_by_hand() -> None:
    found = row("vgg.receptive_field")
    seen, sides = 1, {}
    for layers in range(1, 9):
        seen += 3 - 1
        sides[str(layers)] = seen
    assert found.computed["by number of layers"] == sides
    assert found.verdict == "exact"


def test_stacks_of_small_kernels() -> None:
    found = row("vgg.stack_params")
    assert (found.computed["stack"], found.computed["single"]) == (3 * 3 * 3, 7 * 7)
    assert found.verdict == "exact"


def test_vgg16_by_hand() -> None:
    widths = (3, *[64] * 2, *[128] * 2, *[256] * 3, *[512] * 6)
    pairs = list(pairwise(widths))
    sides = (*[224] * 2, *[112] * 2, *[56] * 3, *[28] * 3, *[14] * 3)
    weights = [9 * a * b for a, b in pairs]
    linear = (512 * 49 * 4096, 4096 * 4096, 4096 * 1000)
    found = row("vgg16.params").computed
    assert found["conv"] == len(pairs) == 13
    assert (found["first_conv"], found["last_conv"]) == (weights[0], weights[-1])
    assert found["first_fc"] == linear[0]
    assert found["fc"] == sum(linear) + 4096 + 4096 + 1000
    assert found["total"] == sum(weights) + sum(widths[1:]) + found["fc"]
    cost = row("vgg16.flops").computed
    macs = sum(w * s * s for w, s in zip(weights, sides, strict=True)) + sum(linear)
    assert cost["macs"] == macs
    assert cost["flops"] == 2 * macs
    assert cost["megabytes"] == 4 * found["total"] / 1000**2
    assert cost["mebibytes"] == 4 * found["total"] / 1024**2


def test_the_first_fully_connected_layer_is_the_only_mistake_of_its_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert row("vgg16.params").verdict == "wrong"
    monkeypatch.setitem(classics._VGG16, "first_fc", 103e6)
    assert row("vgg16.params").verdict == "rounded"


def test_macs_and_mebibytes_are_what_the_source_gives() -> None:
    found = row("vgg16.flops")
    assert found.verdict == "ambiguous"
    assert round(found.computed["macs"] / 1e9, 1) == 15.5
    assert round(found.computed["mebibytes"]) == 528
