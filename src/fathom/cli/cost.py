"""`fathom cost`: what networks cost, of the zoo, of a run, or of anybody's own."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from fathom.errors import UserError, require

if TYPE_CHECKING:
    from torch import nn

    from fathom.costs import Cost
    from fathom.costs.designs import Design

_FLAG = Parameter(negative="", show_default=False)
Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]

app = App(
    name="cost",
    help="Count what networks cost: parameters, MACs, FLOPs, memory, receptive field.",
    help_format="plaintext",
    sort_key=4,
)


@dataclass(frozen=True)
class Target:
    """A model to count, and the images it is meant for."""

    name: str
    model: nn.Module
    image_size: int
    in_channels: int | None


@app.default
def cost(
    *targets: str,
    image_size: int | None = None,
    batch_size: int = 1,
    layers: Annotated[bool, _FLAG] = False,
    measure: Annotated[bool, _FLAG] = False,
    effective: Path | None = None,
    device: str | None = None,
    json: Json = False,
) -> None:
    """Count what networks cost; several are compared side by side.

    Parameters
    ----------
    targets
        Names of the zoo, run folders, or module.py:callable that gives a PyTorch module.
    image_size
        Side of the images in pixels; by default the network's own, 224 where it says nothing.
    batch_size
        Images of the batch that MACs and memory are counted for.
    layers
        Print every layer, not only the parts.
    measure
        Also measure on this machine: latency, throughput, peak memory of a training step.
    effective
        Draw the effective receptive field of one network into this HTML file.
    device
        Where to measure: auto (the default), cpu, cuda, cuda:1, mps.
    json
        Print one JSON object: params, macs, flops, weight_bytes, layers and more.
    """
    require(bool(targets), "cost of what? Name a network (`fathom models`), a run or file.py:name")
    _refuse_without_effect(targets, layers=layers, measure=measure, device=device, json=json)
    if effective is not None:
        require(len(targets) == 1, "--effective draws one network; name just one")
        folder = effective.parent
        require(folder.is_dir(), f"there is no folder {folder} to write {effective.name} into")
    from fathom.cli.costs import show_comparison, show_cost, show_measured

    found = [
        _count(text, image_size, batch_size, (device or "auto") if measure else None)
        for text in targets
    ]
    drawn = _draw(found[0][0], targets[0], effective) if effective is not None else {}
    if json:
        rows = [{"name": t.name, **c.to_dict(), **m, **drawn} for t, c, m in found]
        value = rows[0] if len(rows) == 1 else {"models": rows}
        json_module.dump(value, sys.stdout, ensure_ascii=False)
        sys.stdout.write("\n")
        return
    if len(found) > 1:
        show_comparison([(t.name, c, m) for t, c, m in found])
        return
    target, counted, measured = found[0]
    show_cost(target.name, counted, every_layer=layers)
    if measured:
        show_measured(measured)
    if drawn:
        print(f"effective receptive field: {drawn['effective_field']['text']}; see {effective}")


@app.command(name="conv")
def conv(
    *,
    in_channels: Annotated[int, Parameter(name="--in")],
    out_channels: Annotated[int, Parameter(name="--out")],
    kernel: int = 3,
    size: int = 28,
    reduce: int | None = None,
    groups: int | None = None,
    separable: Annotated[bool, _FLAG] = False,
    json: Json = False,
) -> None:
    """What one convolution costs in other designs, and the ratio between them.

    Parameters
    ----------
    in_channels
        Channels of the map it reads.
    out_channels
        Channels of the map it gives.
    kernel
        Side of the kernel.
    size
        Side of the map in pixels; it keeps its size.
    reduce
        Also with a 1x1 convolution to so many channels before it.
    groups
        Also split into so many groups.
    separable
        Also as one filter a channel and a 1x1 convolution.
    json
        Print one JSON object with a list of designs.
    """
    from fathom.cli.costs import show_designs
    from fathom.costs.designs import conv_designs

    designs = conv_designs(
        in_channels,
        out_channels,
        kernel=kernel,
        size=size,
        reduce=reduce,
        groups=groups,
        separable=separable,
    )
    if json:
        json_module.dump({"designs": _rows(designs)}, sys.stdout, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        show_designs(designs)


def _refuse_without_effect(
    targets: Sequence[str], *, layers: bool, measure: bool, device: str | None, json: bool
) -> None:
    """Raise UserError for options that would change nothing."""
    require(measure or device is None, "--device says where to measure; give --measure with it")
    require(
        not (layers and (json or len(targets) > 1)),
        "--layers prints the layers of one network; --json has them anyway, and a comparison has "
        "no room for them",
    )


def _count(
    text: str, image_size: int | None, batch_size: int, device: str | None
) -> tuple[Target, Cost, dict[str, Any]]:
    """A target, what it costs, and what was measured of it on a device, if one is named."""
    from fathom.costs import cost as count

    target = resolve(text, image_size)
    counted = count(
        target.model,
        image_size=target.image_size,
        batch_size=batch_size,
        in_channels=target.in_channels,
    )
    return target, counted, {} if device is None else _measure(text, counted, device)


def _rows(designs: Sequence[Design]) -> list[dict[str, Any]]:
    """Designs as JSON, with their ratio to the plain one."""
    return [
        {
            "name": d.name,
            "params": d.params,
            "macs": d.macs,
            "flops": d.flops,
            "ratio": designs[0].macs / d.macs,
            "steps": [{"text": s.text, "params": s.params, "macs": s.macs} for s in d.steps],
        }
        for d in designs
    ]


def resolve(text: str, image_size: int | None, *, real: bool = False) -> Target:
    """A target by its text, without memory for its weights unless real ones are asked for.

    image_size is a side in pixels, None for the target's own.

    Raises UserError for a name, folder, file or callable that does not exist.
    """
    if ".py:" in text:
        return Target(text, _own_model(text), 224 if image_size is None else image_size, None)
    if Path(text).is_dir():
        return _of_run(Path(text), image_size, real)
    import torch

    from fathom.models.registry import build_model, model_card

    card = model_card(text)
    with torch.device("cpu" if real else "meta"):
        model = build_model(text)
    size = card.image_size if image_size is None else image_size
    return Target(text, model, size, card.in_channels)


def _of_run(folder: Path, image_size: int | None, real: bool) -> Target:
    """A run's network: with its trained weights if real ones are asked for."""
    import torch

    from fathom.models.registry import build_model
    from fathom.training.run import Run

    run = Run.open(folder)
    recipe, data = run.recipe(), run.read("data")
    size = recipe.image_size if image_size is None else image_size
    if real:
        from fathom.classifier import load

        return Target(str(folder), load(folder, device="cpu").model, size, None)
    with torch.device("meta"):
        model = build_model(
            recipe.model.name,
            num_classes=len(data["class_names"]),
            in_channels=data["preprocess"]["channels"],
            **recipe.model.spec,
        )
    return Target(str(folder), model, size, None)


def _own_model(text: str) -> nn.Module:
    """The module that `file.py:name` gives: a function or class without arguments, or an object."""
    import runpy

    from torch import nn

    file, _, name = text.rpartition(":")
    require(Path(file).is_file(), f"no such file: {file}; give a Python file, a colon and a name")
    try:
        space = runpy.run_path(file)
        require(name in space, f"{file} defines no {name!r}")
        made = space[name] if isinstance(space[name], nn.Module) else space[name]()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{text} failed with {type(error).__name__}: {error}") from error
    require(
        isinstance(made, nn.Module),
        f"{text} gives {type(made).__name__}; give a torch.nn.Module, or a callable without "
        "arguments that returns one",
    )
    return made  # type: ignore[no-any-return]


def _measure(text: str, counted: Cost, device: str) -> dict[str, Any]:
    """Seconds, images a second and peak memory on this machine."""
    from dataclasses import asdict

    import torch

    from fathom.costs.measure import filling_batch, matmul_flops, speed, training_memory
    from fathom.runtime import choose_runtime, configured

    runtime = choose_runtime(device)
    with configured(runtime):
        model = resolve(text, None, real=True).model.to(runtime.device)
        model = model.to(memory_format=torch.channels_last)
        shape = (counted.batch_size, counted.in_channels, *counted.image_size)
        peak = training_memory(model, shape, runtime)
        rate = matmul_flops(runtime)
        each = counted.flops // counted.batch_size
        image_bytes = counted.inference_bytes // counted.batch_size
        full = filling_batch(model, shape, runtime, image_bytes=image_bytes)
        speeds = [
            speed(model, (size, *shape[1:]), runtime, flops=each, rate=rate)
            for size in sorted({1, full})
        ]
    rows = [{**asdict(s), "images_per_second": s.images_per_second} for s in speeds]
    return {
        "machine": runtime.describe(),
        "matmul_flops_per_second": rate,
        "speed": rows,
        "training_bytes_measured": peak,
    }


def _draw(target: Target, text: str, path: Path) -> dict[str, Any]:
    """Measure the effective field and write its picture."""
    from fathom.costs.effective import effective_field
    from fathom.figures import effective_receptive_field
    from fathom.models.base import ImageClassifier
    from fathom.report.figure_page import write_figure

    model = resolve(text, None, real=True).model
    if not isinstance(model, ImageClassifier):
        raise UserError(f"--effective needs stages to look at; {text} is no network of the zoo")
    found = effective_field(model, image_size=target.image_size)
    allowed = "" if found.theoretical is None else f" of {found.theoretical.size[0]} that it allows"
    words = f"{found.size:.0f} pixels{allowed}, image {target.image_size}"
    caption = (
        f"How much each pixel of the image moves the pixel in the middle of the last map: {words}. "
        "Dotted: a square of as many pixels as are above 4.55 % of the largest gradient; solid: "
        "what the network's graph allows, where it fits into the image."
    )
    title = f"Effective receptive field of {target.name}"
    write_figure(path, title, effective_receptive_field(found), caption=caption)
    return {"effective_field": {"size": found.size, "text": words, "file": str(path)}}
