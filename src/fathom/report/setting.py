"""The sections of the report that say what was trained, on what, where, and how to do it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fathom.errors import UserError
from fathom.models.cards import ModelCard
from fathom.models.registry import model_card
from fathom.report.markup import (
    Cell,
    Html,
    bullets,
    count_cell,
    counted,
    details,
    el,
    facts,
    join,
    percent,
    table,
)
from fathom.report.material import Material
from fathom.report.verdict import split_word
from fathom.training.settings import to_dict

_PROBED = "name", "model", "data", "image_size", "seed", "device"  # what a recipe says of a probe
_FEW = 5  # files left out up to which they are listed openly
_MANY = 20  # classes from which their counts are folded away


def data(run: Material) -> Html | None:
    """The images: how many, where from, how they become inputs, which were left out."""
    if not run.data:
        return None
    return el(
        "section",
        el("h2", "Data"),
        _splits(run.data),
        _class_counts(run.data),
        el("h3", "What the network sees"),
        el("p", _preprocessing(run.data["preprocess"], pretrained=bool(run.weights))),
        _left_out(run.data["bad_images"]),
        join([el("h3", "Notes"), bullets(run.data["notes"])]) if run.data["notes"] else None,
        el("p", "Fingerprint of the data: ", el("code", run.data["fingerprint"]), class_="quiet"),
        id="data",
    )


def _splits(data: Mapping[str, Any]) -> Html:
    rows = []
    for split, counts in data["counts"].items():
        use = " (judges)" if split == data["judge"] else ""
        rows.append(
            (
                split_word(split) + use,
                count_cell(sum(counts)),
                f"{min(counts):,} to {max(counts):,}",
                data["origins"].get(split, ""),
            )
        )
    heads = ("Split", "Images", "Images a class", "Where from")
    return table(heads, rows, label="Splits of the data")


def _class_counts(data: Mapping[str, Any]) -> Html:
    splits, names = list(data["counts"]), data["class_names"]
    columns = [data["counts"][split] for split in splits]
    rows = [
        (name, *(count_cell(n) for n in counts))
        for name, *counts in zip(names, *columns, strict=True)
    ]
    heads = ("Class", *(split_word(split).capitalize() for split in splits))
    label = f"Images of each of {counted(len(names), 'class')}"
    counts = table(heads, rows, label=label, sortable=True)
    return details(label, counts) if len(names) > _MANY else join([el("h3", label), counts])


def _preprocessing(view: Mapping[str, Any], *, pretrained: bool) -> str:
    size, resize, channels = view["image_size"], view["resize"], view["channels"]
    colour = "Gray" if channels == 1 else "RGB"
    mean, std = (", ".join(f"{value:.4f}" for value in view[key]) for key in ("mean", "std"))
    whose = "that of the pretrained weights" if pretrained else "over the training images"
    kind = view.get("interpolation", "bilinear")  # which runs of long ago do not say
    return (
        f"{colour} images of {size} × {size} pixels: the short side is resized to {resize} pixels "
        f"({kind}, antialiased), the centre is cropped, and each channel, as a fraction of full "
        f"brightness, less its mean, {whose} ({mean}), is divided by its standard deviation "
        f"({std})."
    )


def _left_out(bad: list[Mapping[str, str]]) -> Html | None:
    if not bad:
        return el("p", "No file was left out.", class_="quiet")
    rows = [(b["name"], split_word(b["split"]), b["reason"]) for b in bad]
    heading = f"{counted(len(bad), 'file')} left out"
    files = table(("File", "Split", "Reason"), rows, label=heading)
    return details(heading, files) if len(bad) > _FEW else join([el("h3", heading), files])


def model(run: Material) -> Html:
    """The network, what it costs, and what others measured with it."""
    settings = run.recipe.model
    try:
        card = model_card(settings.name)
    except UserError:  # a run of another version of Fathom
        card = None
    spec = ", ".join(f"{key} = {value}" for key, value in settings.spec.items())
    paper = None if card is None else f"{card.paper}, {card.year}, arXiv:{card.arxiv}"
    return el(
        "section",
        el("h2", "Model and cost"),
        facts(
            [
                ("Network", settings.name),
                ("Starts from", run.weights.get("name")),
                ("Of these weights", "; ".join(run.weights.get("notes", ())) or None),
                ("Changed from its paper", spec or None),
                ("Paper", paper),
                *_cost(run),
            ]
        ),
        _published(card) if card is not None and card.published else None,
        id="model",
    )


def _cost(run: Material) -> Iterator[tuple[str, object]]:
    if not run.cost:
        return
    params, macs, flops = (run.cost[key] for key in ("params", "macs", "flops"))
    view = run.data.get("preprocess", {})
    size = view.get("image_size", run.recipe.image_size)
    yield "Parameters", f"{params:,}"
    yield "MACs", f"{macs:,} multiply-adds for one image of {size} × {size}"
    yield "FLOPs", f"{flops:,} operations (2 × MACs)"


def _accuracy(value: float | None) -> Cell:
    return Cell("not given", 0.0) if value is None else Cell(percent(value, 2), value)


def published_table(card: ModelCard) -> Html:
    """Every figure of a card with its protocol."""
    rows = [
        (
            f.protocol,
            _accuracy(f.top1),
            _accuracy(f.top5),
            f.source,
        )
        for f in card.published
    ]
    heads = ("Protocol", "Top-1", "Top-5", "Source")
    return table(heads, rows, label="Published accuracies")


def _published(card: ModelCard) -> Html:
    return join(
        [
            el("h3", f"Published for {card.name}"),
            published_table(card),
            el(
                "p",
                "Measured by others under the protocol named; comparable with this run only on the "
                "same data and protocol.",
                class_="quiet",
            ),
        ]
    )


def probe(run: Material) -> Html | None:
    """How the head was fitted, where the run is a probe."""
    found = run.probe
    if not found:
        return None
    rows = [
        (
            f"{score['strength']:g}",
            _accuracy(score["top1"]),
            Cell(f"{score['loss']:.4f}", score["loss"]),
        )
        for score in found["scores"]
    ]
    text = (
        "The network is as it came; its classifier is a logistic regression on the features of "
        "the training images, fitted in one go. No step of training was taken."
    )
    return el(
        "section",
        el("h2", "Probe"),
        el("p", text),
        facts(_cross_validated(found)),
        table(("Strength", "Top-1", "Log loss"), rows, label="Strengths that were tried")
        if rows
        else None,
        id="probe",
    )


def _cross_validated(found: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "L2 penalty", f"strength {found['strength']:g}"
    if not found["folds"]:
        yield "Cross-validation", "none: no class has a second image to hold out"
        return
    yield "Cross-validation", f"{counted(found['folds'], 'fold')} of the training images"
    yield "Held-out top-1", percent(found["cv_top1"], 2)
    yield "Held-out log loss", f"{found['cv_loss']:.4f}"
    yield "Expected calibration error", percent(found["cv_ece"], 2)


def machine(run: Material) -> Html | None:
    """The machine and the versions."""
    env = run.environment
    if not env:
        return None
    packages = ", ".join(f"{name} {version}" for name, version in env["packages"].items())
    return el(
        "section",
        el("h2", "Machine"),
        facts(
            [
                ("Ran on", env["machine"]),
                ("Processor", f"{env['processor']}, {counted(env['cores'], 'core')}"),
                ("System", env["system"]),
                ("Started", env["started"].replace("T", " ")),
                ("Versions", f"Fathom {env['fathom']}, Python {env['python']}, {packages}"),
            ]
        ),
        id="machine",
    )


def recipe(run: Material) -> Html:
    """The complete recipe by path, and how to run it again."""
    settings = to_dict(run.recipe)
    if run.probe:  # nothing else of the recipe had an effect
        settings = {name: settings[name] for name in _PROBED}
    rows = [(path, _setting(value)) for path, value in _paths(settings)]
    if run.command:
        again: object = el("pre", el("code", run.command))
    elif run.probe:
        again = el("p", "The run was started from Python, by fathom.transfer.")
    else:
        again = join([el("p", "The run was started from Python. To start it again:"), _python(run)])
    weights = run.result.get("weights_sha256")
    return el(
        "section",
        el("h2", "Do it again"),
        again,
        None if not weights else el("p", "Weights, SHA-256: ", el("code", weights), class_="quiet"),
        details(
            "The complete recipe",
            table(("Setting", "Value"), rows, label="The complete recipe"),
        ),
        id="recipe",
    )


def _python(run: Material) -> Html:
    lines = (
        "from pathlib import Path",
        "",
        "import fathom",
        "from fathom.training.run import Run",
        "",
        f"recipe = Run.open(Path({str(run.folder)!r})).recipe()",
        "for report in fathom.train(recipe):",
        "    print(report)",
    )
    return el("pre", el("code", "\n".join(lines)))


def _paths(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of every setting, as `--set` takes them."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _paths(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value)
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None or value == {} else str(value)
