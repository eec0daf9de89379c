"""The frame of the ledger: every row is there, judged, and shown."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.errors import UserError
from fathom.figures.charts import Axis, Point, PointChart, chart_to_dict
from fathom.ledger import Row, claims
from fathom.ledger.claim import (
    Judgement,
    Verdict,
    agreement,
    among,
    digits_of,
    in_words,
    worst,
)
from fathom.ledger.recorded import recorded
from fathom.report.claims_page import claims_sheet, write_claims
from fathom.report.page import document

# Every row of the ledger in its order; a dot stands for the kind "computed".
LEDGER = """
ilsvrc.layers .                 ilsvrc.top5 published
degradation.train_error experiment      degradation.residual_cures experiment
degradation.identity_construction behaviour
augment.flip behaviour          augment.scale_crop behaviour    augment.color_jitter behaviour
augment.cutout behaviour        augment.mixup behaviour         augment.cutmix behaviour
augment.train_random_test_fixed behaviour       augment.label_preserving experiment
tta.fifty_views behaviour       tta.gain experiment
dropout.masks .                 dropout.test_scale behaviour    label_smoothing.example .
stochastic_depth behaviour      regularisers.table behaviour
init.kaiming behaviour          bn.worked_example .             bn.identity behaviour
bn.running_stats behaviour      bn.eval_bug behaviour           bn.placement experiment
norm.table behaviour            bn.covariate_shift experiment
alexnet.shape .                 alexnet.relu_speed experiment   vgg.receptive_field .
vgg.stack_params .              vgg16.params .                  vgg16.flops .
inception.naive .               inception.one_by_one .          inception.reduce_64 .
inception.bottleneck_example .  googlenet.size .                googlenet.aux behaviour
googlenet.aux_effect experiment
resnet.residual behaviour       resnet.gradient_highway behaviour       resnet.paths .
resnet34.stages .               resnet34.params_text .          resnet.table .
resnet.top5 published
resnext.block .                 resnext.equivalence behaviour   densenet.connectivity behaviour
se.block .                      post_resnet.params .            post_resnet.top5 published
separable.formula .             separable.example .             mobilenetv2.inverted behaviour
efficientnet.compound .         efficientnet.accuracy published
convnext.steps published        convnext.ladder_builds .        convnext.size .
convnext.accuracy published     summary.params .                summary.top1 published
pareto .
transfer.probe experiment       transfer.different_domain experiment
transfer.finetune experiment    methodology experiment
"""
WORDS = LEDGER.split()
KINDS = {
    name: "computed" if kind == "." else kind
    for name, kind in zip(WORDS[::2], WORDS[1::2], strict=True)
}
NUMBERS = st.floats(1e-6, 1e12, allow_nan=False)


@pytest.fixture(scope="module")
def judged() -> tuple[list[Row], float]:
    """All rows, and the seconds that they took."""
    start = time.monotonic()
    rows = claims()
    return rows, time.monotonic() - start


@pytest.fixture(scope="module")
def rows(judged: tuple[list[Row], float]) -> list[Row]:
    return judged[0]


def test_all_seventy_rows_are_there_in_order_with_their_kinds(rows: list[Row]) -> None:
    assert len(KINDS) == 70
    assert [row.id for row in rows] == list(KINDS)
    assert {row.id: row.kind for row in rows} == KINDS


def test_the_ledger_is_judged_within_its_time(judged: tuple[list[Row], float]) -> None:
    assert judged[1] < 90


def test_every_row_has_a_verdict_a_value_and_reasons(rows: list[Row]) -> None:
    for row in rows:
        assert row.verdict in get_args(Verdict)
        assert row.computed or row.verdict == "not yet run", row.id
        assert 30 < len(row.explanation) < 700, row.id
        assert row.explanation.endswith((".", ".)")), row.id
        assert row.source, row.id
        assert row.text, row.id


def test_experiments_have_the_verdict_of_their_record_or_wait_for_one(rows: list[Row]) -> None:
    for row in rows:
        assert (row.experiment is not None) == (KINDS[row.id] == "experiment"), row.id
        if row.experiment is None:
            assert row.verdict != "not yet run", row.id
            continue
        found = recorded(row.experiment)
        if found is None:
            assert (row.verdict, row.computed) == ("not yet run", {})
            assert row.explanation.startswith("No run is recorded yet. "), row.id
            assert f"fathom experiment {row.experiment}" in row.explanation
        else:
            stored = found["findings"]["verdicts"][row.id]
            assert row.verdict == stored["verdict"]
            assert row.explanation == stored["explanation"]
            assert found["setting"]["date"] in row.source


def test_published_rows_name_a_paper(rows: list[Row]) -> None:
    for row in rows:
        if row.kind == "published":
            assert "arXiv" in row.source or "NeurIPS" in row.source or "Table" in row.source, row.id


def test_every_number_of_a_wrong_row_is_answered(rows: list[Row]) -> None:
    for row in rows:
        if row.verdict == "wrong":
            assert row.explanation.count(" ") > 10, row.id
            assert any(character.isdigit() for character in row.explanation), row.id


def test_rows_are_plain_json(rows: list[Row]) -> None:
    for row in rows:
        values = row.to_dict()
        assert list(values) == [
            *("id", "kind", "text", "stated"),
            *("computed", "verdict", "explanation", "source", "experiment"),
        ]
        assert json.loads(json.dumps(values, allow_nan=False)) == values, row.id


def test_the_same_rows_come_out_twice() -> None:
    assert claims("resnet.*") == claims("resnet.*")


def test_patterns_choose_rows_and_unknown_ones_name_the_nearest() -> None:
    assert [row.id for row in claims("vgg16.*")] == ["vgg16.params", "vgg16.flops"]
    assert [row.id for row in claims("pareto")] == ["pareto"]
    with pytest.raises(UserError, match=r"'resnet\.tabel'; did you mean 'resnet\.table'\?"):
        claims("resnet.tabel")


def test_a_judgement_needs_a_value_unless_it_waits() -> None:
    with pytest.raises(AssertionError):
        Judgement("exact", {}, "because", "somewhere")
    assert Judgement("not yet run", {}, "because", "somewhere").computed == {}


@pytest.mark.parametrize(
    ("value", "digits"),
    [(138e6, 3), (62e6, 2), (8.7, 2), (0.05, 1), (86.4e6, 3), (1728, 4), (5, 1), (0.1, 1)],
)
def test_digits_are_those_that_were_written(value: float, digits: int) -> None:
    assert digits_of(value) == digits


@given(st.integers(1, 999), st.integers(-3, 9))
def test_digits_do_not_depend_on_the_unit(mantissa: int, exponent: int) -> None:
    written = len(str(mantissa).rstrip("0"))
    assert digits_of(float(f"{mantissa}e{exponent}")) == written


@pytest.mark.parametrize(
    ("stated", "computed", "verdict"),
    [
        (138e6, 138_357_544, "rounded"),
        (102e6, 102_760_448, "wrong"),  # cut off, not rounded
        (1728, 1728, "exact"),
        (0.1, 0.06, "rounded"),  # at the place that was written
        (0.2, 0.15, "rounded"),  # halfway
        (0.2, 0.14, "wrong"),
        (8.7, 8.694, "rounded"),
        (5e6, 7e6, "wrong"),
        (0, 0.0, "exact"),
        (0, 1e-9, "wrong"),
        (-1.34, -1.3416, "rounded"),
    ],
)
def test_agreement(stated: float, computed: float, verdict: Verdict) -> None:
    assert agreement(stated, computed) == verdict


@given(NUMBERS, st.integers(1, 6))
def test_what_is_rounded_agrees_and_what_is_a_unit_away_does_not(value: float, digits: int) -> None:
    stated = float(f"{value:.{digits - 1}e}")
    unit = 10.0 ** (math.floor(math.log10(stated)) - digits + 1)
    assert agreement(stated, value, digits=digits) in ("exact", "rounded")
    assert agreement(stated, stated + 1.01 * unit, digits=digits) == "wrong"


def test_trailing_zeros_count_where_the_caller_says_so() -> None:
    assert agreement(25.0e6, 25_300_000) == "rounded"
    assert agreement(25.0e6, 25_300_000, digits=3) == "wrong"


def test_definitions_that_disagree_are_ambiguous() -> None:
    assert among(15.5e9, (15_470_264_320, 30_940_528_640)) == "ambiguous"
    assert among(5e6, (7e6, 6e6)) == "wrong"
    assert among(4, (4, 4.0)) == "exact"
    assert among(4, (4, 3.9)) == "rounded"


def test_the_worst_number_decides() -> None:
    order: list[Verdict] = ["exact", "rounded", "ambiguous", "wrong"]
    for place, verdict in enumerate(order):
        milder = order[: place + 1]
        assert worst({str(i): v for i, v in enumerate(milder)}) == verdict
        assert worst({str(i): v for i, v in enumerate(reversed(milder))}) == verdict


def test_values_in_words() -> None:
    values = {"flops": 15.5e9, "conv": 13, "kernels": [11, 5], "right": True, "by": {"a": 0.12345}}
    assert in_words(values) == (
        "flops: 15.5 G; conv: 13; kernels: [11, 5]; right: yes; by: (a: 0.1235)"
    )


class _Page(HTMLParser):
    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def _text(rows: list[Row]) -> str:
    return document(claims_sheet(rows))


def test_the_page_shows_every_row(rows: list[Row]) -> None:
    page = _Page(_text(rows))
    assert [article["id"] for article in page.all("article")] == list(KINDS)
    for row in rows:
        assert row.explanation in page.text
        assert row.text in page.text
        assert in_words(row.computed) in page.text


def test_the_page_asks_nothing_of_the_network(rows: list[Row]) -> None:
    source = _text(rows)
    page = _Page(source)
    assert not {"link", "iframe", "object", "embed", "base", "form", "img"} & {
        tag for tag, _ in page.tags
    }
    assert all((a["href"] or "").startswith("#") for a in page.all("a"))
    assert not any("src" in attributes for _, attributes in page.tags)
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv"))
    assert "default-src 'none'" in (policy or "")


def test_the_page_has_scripts_only_for_the_charts_of_recorded_experiments(
    rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    chart = PointChart("Errors", ["a"], Axis("Error (%)"), {"test": [Point(1.0)]}, "Three seeds.")
    results = {"findings": {"charts": [chart_to_dict(chart)]}}
    row = next(row for row in rows if row.kind == "experiment")
    other = next(row for row in rows if row.kind == "computed")
    known = {"degradation": results}
    monkeypatch.setattr("fathom.report.claims_page.recorded", known.get)
    shown = replace(row, experiment="degradation")

    drawn = _Page(_text([shown, other]))
    assert [figure for figure in drawn.all("script") if figure.get("type")] == [
        {"type": "application/json"}
    ]
    assert "Errors" in drawn.text
    assert "Three seeds." in drawn.text
    assert len(drawn.all("figure")) == 1

    assert not any("experiments/" in (a["href"] or "") for a in drawn.all("a"))
    linked = _Page(document(claims_sheet([shown, other], experiments="experiments")))
    targets = [a["href"] for a in linked.all("a")]
    assert targets.count("experiments/degradation.html") == 1

    known.clear()
    bare = _text([shown, other])
    assert not _Page(bare).all("script")
    assert "script-src &#x27;none&#x27;" in bare
    assert "url(" not in bare
    assert "@import" not in bare


def test_the_page_filters_by_verdict_with_links_alone(rows: list[Row]) -> None:
    source = _text(rows)
    page = _Page(source)
    anchors = {span["id"] for span in page.all("span") if "id" in span}
    counts = Counter(row.verdict for row in rows)
    for verdict, count in counts.items():
        slug = verdict.replace(" ", "-")
        assert slug in anchors
        assert f"#{slug}:target ~ .rows > :not(.{slug})" in source
        assert f"{verdict} {count}" in page.text
        shown = [a["id"] for a in page.all("article") if slug in (a["class"] or "").split()]
        assert shown == [row.id for row in rows if row.verdict == verdict]
    targets = {(a["href"] or "")[1:] for a in page.all("a")}
    assert targets <= anchors | set(KINDS)


def test_the_page_is_for_wide_and_narrow_screens(rows: list[Row]) -> None:
    source = _text(rows)
    assert "width=device-width" in source
    assert "@media (max-width: 720px) { .claim" in source


def test_text_of_a_row_stays_text(rows: list[Row], tmp_path: Path) -> None:
    row = Row(
        id="x.<b>",
        kind="computed",
        text="<script>alert(1)</script>",
        stated={"</style>": 1},
        computed={'"': "<img src=x>"},
        verdict="exact",
        explanation="</article>&",
        source="<!--",
    )
    path = write_claims([row], tmp_path / "page.html")
    page = _Page(path.read_text(encoding="utf-8"))
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in _Page(_text(rows)).tags}
    assert "<script>alert(1)</script>" in page.text
    assert "<img src=x>" in page.text


def test_a_page_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder"):
        write_claims([], tmp_path / "missing" / "page.html")
