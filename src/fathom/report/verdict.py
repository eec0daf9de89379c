"""What a run's figures mean, in sentences that follow from rules and claim no more than that."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from fathom.evaluate import Evaluation
from fathom.report.markup import SPACE, Html, counted, el, join, named, percent, span
from fathom.report.material import SPLITS, Material

_WIDE = 0.1  # width of an interval from which a reader is told that it is wide


@dataclass(frozen=True)
class Verdict:
    """How a run ended ("finished", "diverged" or "unfinished"), in a word, a lead, and remarks with
    their subjects."""

    status: str
    word: str
    lead: Html
    remarks: tuple[tuple[str, str], ...]


def judge(run: Material) -> Verdict:
    """The verdict on a run, whatever its state."""
    status = run.result.get("status")
    if status is None:
        return Verdict("unfinished", "No result yet", _unfinished(run), tuple(_so_far(run)))
    if status != "finished":
        return Verdict("diverged", str(status).capitalize(), _ended(run), tuple(_so_far(run)))
    if run.evaluation is None:
        return Verdict("finished", "Finished", _unmeasured(run), ())
    return Verdict(
        "finished", "Finished", _finished(run, run.evaluation), tuple(_trust(run, run.evaluation))
    )


def split_word(split: str | None) -> str:
    """ "val" -> "validation", as a reader says it."""
    return SPLITS.get(split or "", split or "judging")


def most_frequent(found: Evaluation) -> tuple[str, float]:
    """The class with the most judging images, and the share of images that have it."""
    largest = max(found.per_class, key=lambda score: score.support)
    return largest.name, largest.support / found.num_images


def _optimistic(run: Material, split: str) -> bool:
    """Whether the weights were chosen on the images that judge them."""
    return run.recipe.select == "best" and split == "val"


def _finished(run: Material, found: Evaluation) -> Html:
    name, share = most_frequent(found)
    if found.top1_low > share:
        comparison = "; the network does clearly better."
    elif found.top1_high < share:
        comparison = "; the network does worse than that."
    else:
        comparison = "; on so many images the network cannot be told apart from that."
    optimistic = " The same images chose the weights, so this figure is optimistic."
    return join(
        [
            "The network names ",
            el("strong", percent(found.top1)),
            f" of {counted(found.num_images, f'{split_word(found.split)} image')} correctly "
            f"(95{SPACE}% interval {span(found.top1_low, found.top1_high)}). Always answering ",
            named(name),
            f", the most frequent class among them, would be right for {percent(share)}",
            comparison,
            optimistic if _optimistic(run, found.split) else None,
        ]
    )


def _trust(run: Material, found: Evaluation) -> Iterator[tuple[str, str]]:
    """How far the figure may be trusted, a remark at a time."""
    yield "Images", _origin(run, found)
    yield "Interval", _interval(found)
    yield "Weights", _weights(run, found)
    if run.kept_epoch is not None:
        yield "Training", _against_training(run, found, run.kept_epoch.train_top1)
    if run.result.get("stopped_early"):
        yield "Length", _stopped(run)


def _origin(run: Material, found: Evaluation) -> str:
    origin = run.data.get("origins", {}).get(found.split)
    left_out = sum(bad["split"] == found.split for bad in run.data.get("bad_images", []))
    word = split_word(found.split)
    text = f"The {word} split: {origin}." if origin else f"The {word} images judge."
    if left_out:
        text += f" Not counted: {counted(left_out, 'file')} of it that could not be used."
    return text


def _interval(found: Evaluation) -> str:
    text = (
        "The interval (Wilson) is for images drawn at random like these; it says nothing of other "
        "kinds of images, nor of training once more with another seed."
    )
    if found.top1_high - found.top1_low > _WIDE:
        text += f" It is wide because only {counted(found.num_images, 'image')} judge."
    return text


def _weights(run: Material, found: Evaluation) -> str:
    how = "schedule-free" if run.recipe.ema is None else f"EMA, decay {run.recipe.ema:g}"
    averaged = f", averaged over steps ({how})" if run.recipe.averaged else ""
    if run.probe:
        return "The network's weights are as they came; only its classifier was fitted."
    if run.result.get("weights", run.recipe.select) == "last":
        text = f"The weights are those after the last step{averaged}."
        if found.split == "val":
            text += (
                " The validation images chose nothing in this run; settings picked by this figure "
                "would make it optimistic."
            )
        return text
    epoch = "the best epoch" if run.best_epoch is None else f"epoch {run.best_epoch.epoch + 1}"
    text = f"The weights are those of {epoch}{averaged}, the best on the validation images."
    if found.split == "val":
        text += (
            " Choosing and judging on the same images flatters the result; separate test images "
            "would give a fair one."
        )
    else:
        text += f" The {split_word(found.split)} images had no part in that choice."
    return text


def _against_training(run: Material, found: Evaluation, train_top1: float) -> str:
    """Training accuracy beside the result, without claiming that they are measured alike."""
    word = split_word(found.split)
    how = "on augmented batches in training mode" + (
        ", before averaging" if run.recipe.averaged else ""
    )
    text = f"Training accuracy was {percent(train_top1)}, counted {how}. "
    if train_top1 > found.top1_high:
        points = f"{100 * (train_top1 - found.top1):.1f}"
        text += (
            f"That is {points} points above the {word} accuracy: the network does better on images "
            "it has trained on. More images or stronger augmentation may narrow the gap."
        )
    elif train_top1 < found.top1_low:
        text += (
            f"That is below the {word} accuracy, as is common where training images are made "
            "harder; nothing here points to overfitting."
        )
    else:
        text += (
            f"The {word} accuracy is about the same. The two are not measured alike, but nothing "
            "here points to overfitting."
        )
    return text


def _stopped(run: Material) -> str:
    epochs, patience = run.result.get("epochs"), run.recipe.patience
    text = "Training stopped early"
    if isinstance(epochs, int | float):
        text += f", after {epochs:.3g} of {planned(run)}"
    if patience is not None:
        text += f": {counted(patience, 'epoch')} in a row brought no better validation accuracy"
    return f"{text}."


def planned(run: Material) -> str:
    """The length that the recipe asks for."""
    recipe = run.recipe
    if recipe.minutes is not None:
        return f"{recipe.minutes:g} minutes"
    if recipe.steps is not None:
        return counted(recipe.steps, "step")
    return counted(recipe.epochs or 0, "epoch")


def _unmeasured(run: Material) -> Html:
    top1, split = run.result.get("top1"), split_word(run.result.get("split"))
    figure = f" with a top-1 accuracy of {percent(top1)} on its {split} images" if top1 else ""
    return el("span", f"The run finished{figure}, but evaluation.json is missing from its folder.")


def _ended(run: Material) -> Html:
    """A run that ended without a result: why, and what to do."""
    status = str(run.result.get("status"))
    reason = str(run.result.get("reason") or "no reason was written down").rstrip(".")
    return join(
        [
            f"Training {status} and has no result: ",
            el("bdi", reason),
            ". A run that has ended so is not resumed; start a new one with that change.",
        ]
    )


def _unfinished(run: Material) -> Html:
    where = "before its first step was logged"
    if run.last is not None:
        where = f"at step {run.last.step:,}, in epoch {run.last.epoch + 1}, of {planned(run)}"
    return join(
        [
            f"This run has no result yet: it is still going, or it was interrupted. Its log ends "
            f"{where}. If it was interrupted, go on with ",
            el("code", f"fathom train --resume {shlex.quote(str(run.folder))}"),
            ".",
        ]
    )


def _so_far(run: Material) -> Iterator[tuple[str, str]]:
    """What was measured before a run ended or its log did."""
    epoch = run.measured_epoch
    if epoch is None or epoch.top1 is None:
        yield "So far", "Nothing was measured yet."
        return
    yield (
        "So far",
        f"Last measured, after epoch {epoch.epoch + 1}: top-1 accuracy {percent(epoch.top1)} on "
        f"the {split_word(epoch.split)} images. Midway, that says little of the end.",
    )
