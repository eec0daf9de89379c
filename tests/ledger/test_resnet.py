"""ResNet's rows: the algebra on real tensors, and counts written out."""

import pytest
import torch

from fathom.ledger import Row, claims, resnet
from fathom.models.registry import build_model


def row(name: str) -> Row:
    return claims(name)[0]


def basic_by_hand(depths: tuple[int, ...]) -> int:
    """Weights, norms and classifier of a network of basic blocks, arXiv:1512.03385, Table 1."""
    total, channels = 49 * 3 * 64 + 2 * 64, 64
    for depth, width in zip(depths, (64, 128, 256, 512), strict=True):
        for _ in range(depth):
            total += 9 * channels * width + 9 * width * width + 4 * width
            if channels != width:
                total += channels * width + 2 * width
            channels = width
    return total + 512 * 1000 + 1000


def test_a_silent_block_is_the_identity_where_nothing_is_negative() -> None:
    found = row("resnet.residual")
    assert found.verdict == "demonstrated"
    assert found.computed["identity for x >= 0 where F = 0"] is True
    assert found.computed["identity for any x where F = 0"] is False


def test_the_gradient_of_plain_networks_depends_on_norm_and_weights() -> None:
    found = row("resnet.gradient_highway")
    assert found.verdict == "ambiguous"
    reach = found.computed["reaches the first map"]
    assert reach["plain, no norm, Glorot"]["56 layers"] < 1e-6
    assert reach["plain, no norm, Kaiming"]["56 layers"] < 0.1
    assert reach["plain, batch norm"]["56 layers"] > 100
    assert reach["residual, batch norm"]["56 layers"] < reach["plain, batch norm"]["20 layers"] * 2


def test_the_gradient_is_measured_right() -> None:
    """A network whose stages do nothing hands the whole gradient on."""
    model = build_model("cifar_resnet20").train()
    for stage in model.stages:
        for position in range(len(stage)):  # type: ignore[arg-type]
            stage[position] = torch.nn.Identity()  # type: ignore[operator]
    model.head = torch.nn.Sequential(
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(16, 10)
    )
    assert resnet._share(model) == pytest.approx(1)


def test_paths_double_with_every_block() -> None:
    found = row("resnet.paths")
    assert found.verdict == "exact"
    assert found.computed["paths"] == 2 ** found.computed["blocks"]
    assert found.computed["paths of shortcuts only"] == 1
    assert found.computed["difference from their sum, with ReLU"] > 1e-3


def test_terms_of_numbers_are_those_of_the_product() -> None:
    """Branches that multiply: (1 + a)(1 + b) x = x + a x + b x + a b x."""

    class Times(torch.nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor = factor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.factor * x

    x = torch.tensor([7.0])
    terms = resnet._terms([Times(2), Times(5)], x)
    assert [term.item() for term in terms] == [7, 14, 35, 70]
    assert sum(terms).item() == 3 * 6 * 7  # type: ignore[union-attr]


def test_stages_of_resnet34() -> None:
    found = row("resnet34.stages")
    assert found.verdict == "exact"
    assert found.computed["depths"] == [3, 4, 6, 3]
    assert found.computed["maps"][0] == "112x112x64"


def test_params_by_hand() -> None:
    table = row("resnet.table").computed
    assert table["resnet18"] == basic_by_hand((2, 2, 2, 2))
    assert table["resnet34"] == basic_by_hand((3, 4, 6, 3))
    assert row("resnet.table").verdict == "rounded"
    text = row("resnet34.params_text")
    assert text.verdict == "wrong"
    assert text.computed["without the classifier"] == basic_by_hand((3, 4, 6, 3)) - 513_000


def test_the_text_would_be_right_with_the_tables_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(resnet._RESNET34, "params", 21.8e6)
    assert row("resnet34.params_text").verdict == "rounded"


def test_errors_come_from_two_protocols() -> None:
    found = row("resnet.top5")
    assert found.verdict == "ambiguous"
    assert "centre crop" in next(iter(found.computed["resnet18"]))
    assert all("10-crop" in next(iter(found.computed[f"resnet{n}"])) for n in (50, 101, 152))


def test_an_error_that_nobody_published_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(resnet._TOP5, "resnet50", 6.2)
    assert row("resnet.top5").verdict == "wrong"
