"""The report of a run: true to the run, safe whatever the data hold, complete in itself."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from plotly.offline import get_plotlyjs

from fathom.data.settings import AugmentSettings, DataSettings, NoCrop
from fathom.errors import UserError
from fathom.evaluate import Evaluation, measure
from fathom.report import write_report
from fathom.report.markup import Cell, Html, duration, el, percent, short_count, span, table
from fathom.training.choices import SGD, CrossEntropy
from fathom.training.recipe import ModelSettings, Recipe
from fathom.training.reports import EpochReport, StepReport, Warned
from fathom.training.run import Run

RECIPE = Recipe(
    name="default",
    model=ModelSettings("cifar_resnet20"),
    data=DataSettings(source="/pets"),
    image_size=8,
    augment=AugmentSettings(NoCrop(), flip=True),
    optimizer=SGD(),
    batch_size=16,
    epochs=4,
)
PETS = ("cat", "dog", "fox", "hen")
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "\"><img src=x onerror='alert(3)'>",
    "</title></style><!--",
    "]]> &lt;b&gt; &amp; %{x} $y$ `code`",
    "日本語 עברית \u202egnp.exe",
    "a\ud800lone surrogate",
)


def measured(
    names: tuple[str, ...], split: str, lift: float = 2.0, per_class: int = 6
) -> Evaluation:
    """A made-up evaluation whose first class is the most frequent."""
    targets = torch.tensor([i for i in range(len(names)) for _ in range(per_class)] + [0])
    rng = torch.Generator().manual_seed(3)
    logits = torch.randn(len(targets), len(names), generator=rng)
    logits[torch.arange(len(targets)), targets] += lift
    places = torch.arange(len(targets))
    return measure(logits, targets, places, split=split, class_names=names)


def log(run: Run, epochs: int) -> None:
    """metrics.jsonl of some epochs of ten steps each, the second of them not measured."""
    lines: list[dict[str, Any]] = []
    for number in range(epochs):
        step = 10 * number + 10
        lines.append(
            {"kind": "step", **asdict(StepReport(step, number, 1.5, 0.5, 0.1, 99.0, step, 9.0))}
        )
        looked = number != 1
        report = EpochReport(
            epoch=number,
            step=step,
            train_loss=1.25,
            train_top1=0.625,
            split="val" if looked else None,
            loss=1.125 if looked else None,
            top1=0.375 if looked else None,
            chosen=number == 0,
            lr=0.1,
            images_per_second=1234.0,
            seconds=step,
        )
        lines.append({"kind": "epoch", **asdict(report)})
    lines.append({"kind": "warning", **asdict(Warned(3, f"left out: {HOSTILE[2]}"))})
    run.metrics.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def describe(run: Run, names: tuple[str, ...], judge: str) -> None:
    """data.json, environment.json and cost.json."""
    splits = ["train", "val"] + ["test"] * (judge == "test")
    origins = {"train": "the rest", "val": "20% of every class, held out", "test": "as given"}
    left_out = [{"split": judge, "name": HOSTILE[0], "reason": f"broken {HOSTILE[1]}"}] * 7
    values: dict[str, Any] = {
        "name": "pets",
        "class_names": list(names),
        "counts": {split: [7] + [6] * (len(names) - 1) for split in splits},
        "origins": {split: origins[split] for split in splits},
        "judge": judge,
        "preprocess": {"image_size": 8, "resize": 9, "channels": 3, "mean": [0.5], "std": [0.25]},
        "bad_images": left_out,
        "notes": [HOSTILE[3]],
        "fingerprint": "f" * 64,
    }
    put(run, "data", values)
    packages = {"torch": "2.99"}
    machine = {"machine": "CPU, 2 threads", "processor": "Abacus", "system": "Linux", "cores": 2}
    versions = {"fathom": "9.9", "python": "3.99", "packages": packages, "started": "2026-01-02T03"}
    put(run, "environment", {**machine, **versions})
    put(run, "cost", {"params": 269434, "macs": 2516608, "flops": 5033216})


def put(run: Run, name: str, value: dict[str, Any]) -> None:
    """A JSON file of the run, in ASCII so that a lone surrogate can be written."""
    text = json.dumps({"format": 1, **value})
    (run.folder / f"{name}.json").write_text(text, encoding="utf-8")


def finish(run: Run, found: Evaluation, weights: str, early: bool) -> None:
    """evaluation.json, result.json and examples/."""
    run.examples.mkdir()
    examples = {}
    for confusion in found.confusions:
        for position, _ in confusion.examples:
            name = f"{found.split}-{position}.png"
            Image.new("RGB", (8, 8), (position % 256, 0, 0)).save(run.examples / name)
            examples[str(position)] = {"file": name, "path": f"{position}/{HOSTILE[1]}.png"}
    put(run, "evaluation", {"evaluation": found.to_dict(), "examples": examples})
    ending = {"status": "finished", "weights": weights, "split": found.split, "top1": found.top1}
    numbers = {"loss": found.loss, "epochs": 4.0, "steps": 40, "seconds": 61.0}
    put(run, "result", {**ending, **numbers, "weights_sha256": "a" * 64, "stopped_early": early})


def make(
    folder: Path,
    names: tuple[str, ...] = PETS,
    *,
    recipe: Recipe = RECIPE,
    judge: str = "val",
    lift: float = 2.0,
    early: bool = False,
    status: str = "finished",
) -> tuple[Path, Evaluation]:
    """A run folder as the trainer leaves it, and the evaluation in it."""
    run = Run.create(folder, recipe, "fathom train /pets")
    describe(run, names, judge)
    log(run, 4)
    found = measured(names, judge, lift)
    if status == "finished":
        finish(run, found, recipe.select, early)
    elif status == "diverged":
        reason = "the loss became nan at step 41; try --lr 0.01"
        put(run, "result", {"status": "diverged", "step": 41, "reason": reason})
    return folder, found


@dataclass
class Page(HTMLParser):
    """A parsed report: its elements, its texts, its inline data."""

    source: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    data: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self.inside = ""
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        kind = dict(attrs).get("type")
        self.inside = "data" if kind == "application/json" else tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "data":
            self.data.append(json.loads(data))
        elif self.inside not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        """What a reader sees, with plain spaces."""
        return "".join(self.texts).replace("\N{NO-BREAK SPACE}", " ")

    def count(self, name: str) -> int:
        """How many elements of this name there are."""
        return sum(tag == name for tag, _ in self.tags)


def read(folder: Path) -> Page:
    """Write the report and parse it."""
    return Page(write_report(folder).read_text(encoding="utf-8"))


@pytest.fixture(scope="module", autouse=True)
def short() -> Iterator[None]:
    """A word in the place of Plotly's five megabytes, wherever they are not the point."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fathom.report.page.get_plotlyjs", lambda: "plotly")
        yield


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, Evaluation]:
    folder, found = make(tmp_path_factory.mktemp("runs") / "pets-1")
    return read(folder), found


def test_nothing_is_asked_of_the_network(pets: tuple[Page, Evaluation]) -> None:
    page, _ = pets
    asking = ("src", "href", "srcset", "action", "data", "poster", "background", "xlink:href")
    targets = [a[k] or "" for _, a in page.tags for k in asking if k in a]
    assert targets
    assert all(t.startswith(("#", "data:image/png;base64,")) for t in targets)
    assert not {"link", "iframe", "object", "embed", "base", "form"} & {t for t, _ in page.tags}
    assert "url(" not in page.source
    assert "@import" not in page.source
    assert "showSendToCloud: false" in page.source


def test_plotly_comes_along_once_and_only_scripts_of_ours_may_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fathom.report.page.get_plotlyjs", get_plotlyjs)
    text = write_report(make(tmp_path / "run")[0]).read_text(encoding="utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    policies = [a for t, a in Page(text).tags if t == "meta" and a.get("http-equiv")]
    policy = policies[0]["content"] or ""
    assert "default-src 'none'" in policy
    assert re.findall(r"'sha256-(.*?)'", policy) == hashes
    assert len(hashes) == 2
    assert text.count(get_plotlyjs()) == 1


def test_numbers_are_those_of_the_evaluation(pets: tuple[Page, Evaluation]) -> None:
    page, found = pets
    text = page.text
    assert f"{100 * found.top1:.1f} % of 25 validation images" in text
    low, high = 100 * found.top1_low, 100 * found.top1_high
    assert f"95 % interval {low:.1f} to {high:.1f} %" in text
    assert "Always answering “cat”" in text
    assert "would be right for 28.0 %" in text  # 7 of 25
    assert f"ECE, {100 * found.ece:.1f} %" in text
    assert f"{found.loss:.3f}" in text
    for number in ("269,434", "2,516,608", "5,033,216", "1 min 1 s", "1,234", "62.5 %"):
        assert number in text
    assert "in training mode" in text
    assert "20% of every class, held out" in text


def test_every_class_has_its_row_worst_first(pets: tuple[Page, Evaluation]) -> None:
    page, found = pets
    worst = sorted(found.per_class, key=lambda s: (s.f1, s.recall))
    places = [
        page.text.index(f"{s.name}{percent_text(s.f1)}{percent_text(s.recall)}") for s in worst
    ]
    assert places == sorted(places)


def percent_text(share: float) -> str:
    return percent(share).replace("\N{NO-BREAK SPACE}", " ")


def test_confused_pairs_come_with_their_images(pets: tuple[Page, Evaluation]) -> None:
    page, found = pets
    images = [a for t, a in page.tags if t == "img"]
    assert len(images) == sum(len(c.examples) for c in found.confusions)
    assert all(a["alt"] and a["class"] == "pixels" for a in images)
    first = found.confusions[0]
    assert f"“{first.true}” taken for “{first.predicted}”" in page.text
    assert f"{percent_text(first.examples[0][1])} sure" in page.text


def test_sections_stand_in_order_and_are_linked(pets: tuple[Page, Evaluation]) -> None:
    page, _ = pets
    sections = [a.get("id") for t, a in page.tags if t == "section"]
    about = ["data", "model", "machine", "recipe"]
    assert sections == ["verdict", "training", "classes", "mistakes", "calibration", *about]
    links = [a["href"] for t, a in page.tags if t == "a"]
    assert links == [f"#{name}" for name in sections[1:]]


def test_every_figure_has_a_description(pets: tuple[Page, Evaluation]) -> None:
    page, _ = pets
    plots = [a for _, a in page.tags if (a.get("class") or "").startswith("plot")]
    assert len(plots) == len(page.data) == 7
    assert all(a["role"] == "img" and a["aria-label"] for a in plots)
    assert page.count("h1") == 1


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, Page]:
    """Reports of two runs that differ in nothing but the names of their classes."""
    folder = tmp_path_factory.mktemp("runs")
    recipe = replace(RECIPE, model=ModelSettings(f"net {HOSTILE[0]}", {"a": HOSTILE[2]}))
    plain = tuple("abcdefg")
    return (
        read(make(folder / "hostile", HOSTILE, recipe=recipe)[0]),
        read(make(folder / "plain", plain, recipe=recipe)[0]),
    )


def test_names_from_the_data_add_no_element_and_no_attribute(hostile: tuple[Page, Page]) -> None:
    ugly, plain = hostile
    assert [t for t, _ in ugly.tags] == [t for t, _ in plain.tags]
    assert [set(a) for _, a in ugly.tags] == [set(a) for _, a in plain.tags]
    assert not any(key.startswith("on") for _, a in ugly.tags for key in a)


def test_names_from_the_data_are_shown_as_they_are(hostile: tuple[Page, Page]) -> None:
    ugly, _ = hostile
    for name in HOSTILE[:-1]:
        assert name in ugly.text
    assert "a?lone surrogate" in ugly.text


def test_names_inside_figures_are_escaped_for_plotly_too(hostile: tuple[Page, Page]) -> None:
    ugly, _ = hostile
    inline = re.findall(r'<script type="application/json">(.*?)</script>', ugly.source, re.DOTALL)
    assert len(inline) == len(ugly.data)
    assert not any(sign in text for text in inline for sign in "<>&")
    labels = json.dumps(ugly.data)
    assert "<script" not in labels
    assert "&lt;script&gt;" in labels


@pytest.mark.parametrize("count", [2, 10, 120])
def test_any_number_of_classes(tmp_path: Path, count: int) -> None:
    names = tuple(f"class {i}" for i in range(count))
    page = read(make(tmp_path / "run", names, judge="test")[0])
    matrices = [f for f in page.data if f["data"][0]["type"] == "heatmap"]
    assert len(matrices[0]["data"][0]["z"]) == (30 if count > 50 else count)
    assert ("Shown are the 30 of 120 classes" in page.text) == (count == 120)
    assert ("Top-5 accuracy" in page.text) == (count > 5)


def test_a_class_that_was_never_predicted_says_so(tmp_path: Path) -> None:
    folder, found = make(tmp_path / "run")
    silent = replace(found.per_class[1], precision=None)
    found = replace(found, per_class=(found.per_class[0], silent, *found.per_class[2:]))
    put(Run(folder), "evaluation", {"evaluation": found.to_dict(), "examples": {}})
    page = read(folder)
    assert page.text.count("never predicted") == 1
    assert "no image" in page.text


def test_last_weights_on_validation_images_were_not_chosen_there(
    pets: tuple[Page, Evaluation],
) -> None:
    text = pets[0].text
    assert "after the last step" in text
    assert "chose nothing in this run" in text
    assert "this figure is optimistic" not in text


def test_best_weights_judged_where_they_were_chosen_are_called_optimistic(tmp_path: Path) -> None:
    recipe = replace(RECIPE, select="best", patience=3)
    text = read(make(tmp_path / "run", recipe=recipe, early=True)[0]).text
    assert "The same images chose the weights, so this figure is optimistic." in text
    assert "those of epoch 1, the best on the validation images" in text
    assert "stopped early, after 4 of 4 epochs: 3 epochs in a row" in text


def test_best_weights_judged_elsewhere_are_not(tmp_path: Path) -> None:
    recipe = replace(RECIPE, select="best")
    text = read(make(tmp_path / "run", recipe=recipe, judge="test")[0]).text
    assert "of 25 test images" in text
    assert "The test images had no part in that choice." in text
    assert "optimistic" not in text


@pytest.mark.parametrize(
    ("lift", "words"),
    [
        (6.0, "does clearly better"),
        (0.0, "cannot be told apart from that"),
        (-9.0, "does worse than that"),
    ],
)
def test_the_result_is_held_against_always_guessing_one_class(
    tmp_path: Path, lift: float, words: str
) -> None:
    assert words in read(make(tmp_path / "run", lift=lift)[0]).text


@pytest.mark.parametrize(
    ("lift", "words"),
    [(6.0, "nothing here points to overfitting"), (0.0, "points above the validation accuracy")],
)
def test_training_accuracy_is_compared_without_overclaiming(
    tmp_path: Path, lift: float, words: str
) -> None:
    assert words in read(make(tmp_path / "run", lift=lift)[0]).text


@pytest.mark.parametrize(("sharper", "word"), [(8.0, "overconfident"), (0.2, "underconfident")])
def test_calibration_is_read_for_the_newcomer(tmp_path: Path, sharper: float, word: str) -> None:
    recipe = replace(RECIPE, loss=CrossEntropy(0.1))
    folder, _ = make(tmp_path / "run", recipe=recipe)
    rng = torch.Generator().manual_seed(0)
    targets = torch.arange(80) % 4
    logits = torch.randn(80, 4, generator=rng)
    logits[torch.arange(80), targets] += 1
    found = measure(logits * sharper, targets, torch.arange(80), split="val", class_names=PETS)
    put(Run(folder), "evaluation", {"evaluation": found.to_dict(), "examples": {}})
    text = read(folder).text
    assert f"The network is {word}" in text
    assert ("label smoothing, as here, can do that" in text) == (word == "underconfident")


def test_a_diverged_run_gives_the_reason_and_shows_what_there_is(tmp_path: Path) -> None:
    page = read(make(tmp_path / "run", status="diverged")[0])
    assert "Training diverged and has no result: the loss became nan at step 41" in page.text
    assert "try --lr 0.01" in page.text
    assert "start a new one" in page.text
    assert "after epoch 4: top-1 accuracy 37.5 %" in page.text
    assert len(page.data) == 5


def test_an_unfinished_run_says_how_to_go_on(tmp_path: Path) -> None:
    folder, _ = make(tmp_path / "my run", status="unfinished")
    text = read(folder).text
    assert "This run has no result yet" in text
    assert f"fathom train --resume '{folder}'" in text
    assert "step 40, in epoch 4, of 4 epochs" in text


@pytest.mark.parametrize(
    "missing",
    ["data", "environment", "cost", "result", "evaluation", "metrics", "examples", "everything"],
)
def test_missing_parts_are_left_out(tmp_path: Path, missing: str) -> None:
    folder, _ = make(tmp_path / "run", recipe=replace(RECIPE, select="best"))
    for path in folder.iterdir():
        if path.stem == missing or (missing == "everything" and path.stem != "recipe"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = read(folder)
    assert page.count("h1") == 1
    assert "cifar_resnet20" in page.text
    assert "None" not in page.text


def test_the_run_is_reproduced_by_command_or_by_python(tmp_path: Path) -> None:
    folder, _ = make(tmp_path / "run")
    assert "fathom train /pets" in read(folder).text
    stored = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
    put(Run(folder), "recipe", {**stored, "command": None})
    text = read(folder).text
    code = text[text.index("from pathlib") : text.index("Weights, SHA-256")]
    compile(code, "report", "exec")
    assert f"Path({str(folder)!r})" in code
    assert "optimizer.weight_decay" in text


def test_only_images_of_the_run_are_shown(tmp_path: Path) -> None:
    folder, found = make(tmp_path / "run")
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    (folder / "examples" / "text.png").write_text("no image")
    files = ["../../secret.png", str(tmp_path / "secret.png"), "text.png", "", "\0"]
    places = [str(p) for c in found.confusions for p, _ in c.examples]
    examples = {p: {"file": files[i % 5], "path": "x"} for i, p in enumerate(places)}
    put(Run(folder), "evaluation", {"evaluation": found.to_dict(), "examples": examples})
    assert read(folder).count("img") == 0


def test_a_folder_that_is_no_run_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such run"):
        write_report(tmp_path / "nowhere")
    folder, _ = make(tmp_path / "run")
    (folder / "data.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"data\.json is damaged"):
        write_report(folder)


def test_the_report_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = make(tmp_path / "run")
    first = write_report(str(folder)).read_bytes()
    assert write_report(folder).read_bytes() == first

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_report(folder)
    assert (folder / "report.html").read_bytes() == first
    assert not list(folder.glob("*.partial"))


@given(st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs"])))
def test_text_stays_text(text: str) -> None:
    page = Page(el("p", text, title=text))
    assert page.tags == [("p", {"title": text})]
    assert "".join(page.texts) == text
    assert el("p", Html("<b></b>")) == "<p><b></b></p>"


@given(st.floats(1e-9, 1 - 1e-9))
def test_shares_short_of_all_or_nothing_never_read_so(share: float) -> None:
    assert 0 < float(percent(share).split()[0]) < 100


def test_numbers_read_as_people_write_them() -> None:
    plain = [
        percent(0.98765),
        percent(1.0),
        span(0.5, 1.0),
        short_count(2516608),
        short_count(269434),
        short_count(999),
        duration(6.73),
        duration(725),
        duration(3599.9),
        duration(6000),
    ]
    assert [text.replace("\N{NO-BREAK SPACE}", " ") for text in plain] == [
        "98.8 %",
        "100 %",
        "50.0 to 100 %",
        "2.52 M",
        "269 k",
        "999",
        "6.7 s",
        "12 min 5 s",
        "1 h 0 min",
        "1 h 40 min",
    ]


def test_a_missing_value_sorts_below_all_others_in_a_script() -> None:
    rows = [("a", Cell("1", 1.5)), ("b", Cell("none", -math.inf))]
    cells = [a for t, a in Page(table(("", "n"), rows, label="x")).tags if t == "td"]
    assert [cell["data-sort"] for cell in cells] == ["1.5", "-Infinity"]
