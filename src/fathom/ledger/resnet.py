"""ResNet: what a shortcut does to the signal and to the gradient, and what the networks cost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fathom.ledger.claim import Claim, Judgement, Verdict, agreement, worst
from fathom.ledger.evidence import (
    cited,
    meta_network,
    network_params,
    params,
    seeded,
    top5_errors,
)
from fathom.models import convnext
from fathom.models.base import ImageClassifier
from fathom.models.cards import TEN_CROP, errors
from fathom.models.registry import VARIANTS, build_model
from fathom.models.resnet import Block, Spec

_PATHS = {"base": 2}
_STAGES = {"depths": [3, 4, 6, 3]}
_RESNET34 = {"params": 21.3e6}
_PARAMS = {
    "resnet18": 11.7e6,
    "resnet34": 21.8e6,
    "resnet50": 25.6e6,
    "resnet101": 44.5e6,
    "resnet152": 60.2e6,
}
_TOP5 = {"resnet18": 10.9, "resnet34": 7.4, "resnet50": 6.7, "resnet101": 6.0, "resnet152": 5.7}
# Projections on every shortcut, which no network of the zoo has.
_OPTION_C = errors(24.19, 7.40, TEN_CROP, "arXiv:1512.03385, Table 3, ResNet-34 C")
_CHANNELS = 8


def _block(*, silent: bool) -> Block:
    """A basic block in evaluation, float64; silent where its branch gives zero."""
    with seeded():
        block = Block(
            Spec(**VARIANTS["cifar_resnet20"].spec), _CHANNELS, _CHANNELS, stride=1, drop=0
        )
    if silent:
        last = block.branch[-1]
        assert isinstance(last, nn.BatchNorm2d)
        nn.init.zeros_(last.weight)
    return block.double().eval()


def _maps() -> Tensor:
    """(2, C, 6, 6) standard normal values."""
    rng = torch.Generator().manual_seed(1)
    return torch.randn(2, _CHANNELS, 6, 6, generator=rng, dtype=torch.float64)


def _residual() -> Judgement:
    """A block against relu(F(x) + x); against x where F is zero; and ConvNeXt's, without ReLU."""
    x = _maps()
    block, silent = _block(silent=False), _block(silent=True)
    with seeded():
        later = convnext.Block(_CHANNELS, layer_scale=1e-6, drop=0.0).double().eval()
    scale = later.branch[-1]
    assert isinstance(scale, convnext.LayerScale)
    nn.init.zeros_(scale.scale)
    with torch.no_grad():
        shown = {
            "a block is relu(F(x) + x)": torch.equal(block(x), F.relu(block.branch(x) + x)),
            "identity for x >= 0 where F = 0": torch.equal(silent(x.relu()), x.relu()),
            "identity for any x where F = 0": torch.equal(silent(x), x),
            "the same in a ConvNeXt block": torch.equal(later(x), x),
        }
    expected = [True, True, False, True]
    return Judgement(
        "demonstrated" if list(shown.values()) == expected else "not-reproduced",
        shown,
        "With a silent branch a block hands its input on bit for bit. ResNet's block has a ReLU "
        "after the sum, so this holds for maps without negative values, which is what every block "
        "of it gets; later designs drop that ReLU and are the identity for any input.",
        "blocks of fathom.models.resnet and fathom.models.convnext",
    )


def _gradient_highway() -> Judgement:
    """dL/dx by autograd; then how much of the gradient of the last map reaches the first one.

    The ratio is of L2 norms, in the plain and residual networks for CIFAR of 20 and 56 layers with
    fresh weights, on random images. Without norms the weights are Glorot's or Kaiming's.
    """
    x, silent, block = _maps().abs().requires_grad_(), _block(silent=True), _block(silent=False)
    upstream = torch.randn(x.shape, generator=torch.Generator().manual_seed(2), dtype=x.dtype)
    (passed,) = torch.autograd.grad(silent(x), x, upstream)
    (whole,) = torch.autograd.grad(block.branch(x) + x, x, upstream)
    (through_branch,) = torch.autograd.grad(block.branch(x), x, upstream)
    ratios = {
        "plain, no norm, Glorot": _reach("cifar_plain", norm=False, glorot=True),
        "plain, no norm, Kaiming": _reach("cifar_plain", norm=False, glorot=False),
        "plain, batch norm": _reach("cifar_plain", norm=True, glorot=False),
        "residual, batch norm": _reach("cifar_resnet", norm=True, glorot=False),
    }
    equation = torch.equal(passed, upstream) and torch.allclose(whole, upstream + through_branch)
    vanishes = [later < first and later < 1 for first, later in map(_pair, ratios.values())]
    verdict: Verdict = "demonstrated" if all(vanishes[:3]) else "ambiguous"
    without, normed = ratios["plain, no norm, Glorot"], ratios["plain, batch norm"]
    return Judgement(
        verdict if equation and any(vanishes[:3]) else "not-reproduced",
        {"unchanged where F is constant": equation, "reaches the first map": ratios},
        "The equation holds exactly. That gradients of plain networks vanish depends on what the "
        f"source leaves out. Before training, {without['56 layers']:.0e} of it reaches the first "
        "of 56 layers without norms and with Glorot's weights, but with batch norm it arrives "
        f"{normed['56 layers']:,.0f} times as large: vanishing is not what stops plain networks.",
        "gradients of fathom.models.resnet; arXiv:1512.03385, Sections 3.1 and 4.1",
    )


def _pair(ratios: dict[str, float]) -> tuple[float, float]:
    return ratios["20 layers"], ratios["56 layers"]


def _reach(family: str, *, norm: bool, glorot: bool) -> dict[str, float]:
    """The gradient's norm at the first map over that at the last, by depth."""
    found = {}
    for depth in (20, 56):
        with seeded():
            model = build_model(f"{family}{depth}").train()
            if not norm:
                _without_norms(model)
            if glorot:
                for module in model.modules():
                    if isinstance(module, nn.Conv2d):
                        nn.init.xavier_uniform_(module.weight)
        found[f"{depth} layers"] = _share(model)
    return found


def _without_norms(module: nn.Module) -> None:
    """Put the identity in the place of every batch norm."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.Identity())
        else:
            _without_norms(child)


def _share(model: ImageClassifier) -> float:
    rng = torch.Generator().manual_seed(3)
    images = torch.randn(4, 3, 16, 16, generator=rng)
    targets = torch.randint(model.num_classes, (len(images),), generator=rng)
    first = model.stem(images)
    last = first
    for stage in model.stages:
        last = stage(last)
    loss = F.cross_entropy(model.head(last), targets)
    early, late = torch.autograd.grad(loss, (first, last))
    return float(early.norm() / late.norm())


def _paths() -> Judgement:
    """The output of four blocks against the sum over all choices of branches, with linear F."""
    linear, curved = _branches(linear=True), _branches(linear=False)
    x = _maps()
    with torch.no_grad():
        terms = _terms(linear, x)
        error = (_run(linear, x) - sum(terms)).abs().max().item()
        error_curved = (_run(curved, x) - sum(_terms(curved, x))).abs().max().item()
    blocks = sum(isinstance(m, Block) for m in meta_network("resnet50").modules())
    only_shortcuts = sum(torch.equal(term, x) for term in terms)
    base = round(len(terms) ** (1 / len(linear)), 9)
    return Judgement(
        agreement(_PATHS["base"], base) if error < 1e-9 and only_shortcuts == 1 else "wrong",
        {
            "base": base,
            "blocks": len(linear),
            "paths": len(terms),
            "paths of shortcuts only": only_shortcuts,
            "difference from their sum, linear branches": error,
            "difference from their sum, with ReLU": error_curved,
            "resnet50": {"blocks": blocks, "paths": 2**blocks},
        },
        "Every block doubles the ways through the network, and one way uses shortcuts only. The "
        "output is the sum over the paths exactly where the branches are linear; with ReLU the "
        "count stays, but a branch then depends on all that comes in and the paths no longer add "
        "up.",
        "branches of fathom.models.resnet; Veit et al. 2016, arXiv:1605.06431, Section 3",
    )


def _branches(*, linear: bool) -> list[nn.Module]:
    """Four branches in evaluation; linear ones have lost their ReLU."""
    found: list[nn.Module] = []
    for seed in range(4):
        with seeded(seed):
            spec = Spec(**VARIANTS["cifar_resnet20"].spec)
            branch = Block(spec, _CHANNELS, _CHANNELS, stride=1, drop=0).branch
        layers = [m for m in branch if not (linear and isinstance(m, nn.ReLU))]
        found.append(nn.Sequential(*layers).double().eval())
    return found


def _run(branches: Sequence[nn.Module], x: Tensor) -> Tensor:
    for branch in branches:
        x = x + branch(x)
    return x


def _terms(branches: Sequence[nn.Module], x: Tensor) -> list[Tensor]:
    """x through every subset of the branches, one after the other."""
    terms = []
    for count in range(len(branches) + 1):
        for subset in combinations(branches, count):
            terms.append(x)
            for branch in subset:
                terms[-1] = branch(terms[-1])
    return terms


def _stages() -> Judgement:
    """Maps of ResNet-34 on the meta device, from the stem's convolution to the logits."""
    model = meta_network("resnet34")
    images = torch.empty(1, 3, 224, 224, device="meta")
    stem = model.stem
    assert isinstance(stem, nn.Sequential)
    maps = [stem[:3](images), stem(images), *model.features(images)]
    shapes = [f"{m.shape[2]}x{m.shape[3]}x{m.shape[1]}" for m in maps]
    depths = [sum(isinstance(m, Block) for m in stage.modules()) for stage in model.stages]
    expected = ["112x112x64", "56x56x64", "56x56x64", "28x28x128", "14x14x256", "7x7x512"]
    logits = model(images)
    right = depths == _STAGES["depths"] and shapes == expected and logits.shape[1] == 1000
    return Judgement(
        "exact" if right else "wrong",
        {"depths": depths, "maps": shapes, "logits": logits.shape[1]},
        "Each stage after the first halves the side and doubles the channels, so that every block "
        "costs about the same. 2 x (3 + 4 + 6 + 3) convolutions in the blocks, the first one and "
        "the classifier make 34 layers.",
        "fathom.models.resnet; arXiv:1512.03385, Table 1",
    )


def _params_text() -> Judgement:
    """All parameters of ResNet-34, and those before the classifier."""
    total = network_params("resnet34")
    head = params(meta_network("resnet34").head)
    return Judgement(
        agreement(_RESNET34["params"], total),
        {"params": total, "without the classifier": total - head},
        f"The total is {total / 1e6:.1f} million, as the source's own table says. 21.3 million is "
        f"what is left without the last layer, whose 512 x 1000 weights and 1000 biases are "
        f"{head / 1e6:.1f} million.",
        "fathom.models.resnet, parameters counted",
    )


def _table() -> Judgement:
    """Parameters of five networks, and how many convolutions their blocks have."""
    found = {name: network_params(name) for name in _PARAMS}
    kinds = {name: VARIANTS[name].spec["block"] for name in _PARAMS}
    verdicts = {name: agreement(_PARAMS[name], found[name], digits=3) for name in _PARAMS}
    basic = [name for name, kind in kinds.items() if kind == "basic"]
    grown = found["resnet50"] / found["resnet34"] - 1
    verdicts["blocks"] = "exact" if basic == ["resnet18", "resnet34"] else "wrong"
    return Judgement(
        worst(verdicts),
        {**found, "blocks": kinds},
        "All five agree, counted with the norms' scales and shifts and the classifier of 1,000 "
        f"classes. From 34 to 50 layers a network grows by {100 * grown:.0f} % only, because a "
        "bottleneck block of three convolutions has about as many weights as a basic one of two.",
        "fathom.models.resnet, parameters counted",
    )


def _top5() -> Judgement:
    """Each figure against those that were published for the network, of any protocol."""
    figures = {name: top5_errors(name) for name in _TOP5}
    figures["resnet34"].append((round(100 * (1 - (_OPTION_C.top5 or 0)), 4), _OPTION_C))
    verdicts, found = {}, {}
    for name, stated in _TOP5.items():
        verdicts[name], found[name] = cited(stated, figures[name], digits=2)
    mixed = worst(verdicts) != "wrong"
    usual = next(e for e, figure in figures["resnet34"] if figure.protocol == TEN_CROP)
    return Judgement(
        "ambiguous" if mixed else "wrong",
        found,
        "Each number is somebody's, but the column mixes protocols: the paper averages ten crops "
        "and gives no top-5 for 18 layers, so that 10.9 is the single crop of torchvision's "
        "weights. 7.4 is the 34-layer network with projections on all shortcuts (option C); the "
        f"usual one (B) has {usual:.2f}.",
        "arXiv:1512.03385, Table 3; torchvision's weights",
    )


CLAIMS = (
    Claim(
        "resnet.residual",
        "behaviour",
        "A block computes F(x) + x, and is the identity where F is zero",
        {},
        _residual,
    ),
    Claim(
        "resnet.gradient_highway",
        "behaviour",
        "dL/dx = dL/dH (dF/dx + 1), so the gradient passes a block unchanged where dF/dx is zero; "
        "in a plain network it vanishes with depth",
        {},
        _gradient_highway,
    ),
    Claim(
        "resnet.paths",
        "computed",
        "A row of L residual blocks is 2^L paths, one of them of shortcuts only",
        _PATHS,
        _paths,
    ),
    Claim(
        "resnet34.stages",
        "computed",
        "ResNet-34 takes 224x224x3 to 112x112x64 in its first convolution and 56x56x64 by pooling; "
        "3, 4, 6 and 3 blocks give 56x56x64, 28x28x128, 14x14x256 and 7x7x512, then 1,000 classes",
        _STAGES,
        _stages,
    ),
    Claim(
        "resnet34.params_text",
        "computed",
        "ResNet-34 has 21.3 million parameters in total, says the text beside a table with 21.8",
        _RESNET34,
        _params_text,
    ),
    Claim(
        "resnet.table",
        "computed",
        "Millions of parameters: ResNet-18 11.7, -34 21.8, -50 25.6, -101 44.5, -152 60.2; basic "
        "blocks in the first two, bottlenecks in the others",
        _PARAMS,
        _table,
    ),
    Claim(
        "resnet.top5",
        "published",
        "Top-5 errors in percent: ResNet-18 10.9, -34 7.4, -50 6.7, -101 6.0, -152 5.7",
        _TOP5,
        _top5,
    ),
)
