"""`fathom claims` as a user calls it."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fathom.cli import main

Call = Callable[..., tuple[int, str, str]]
FIELDS = {
    "id",
    "kind",
    "text",
    "stated",
    "computed",
    "verdict",
    "explanation",
    "source",
    "experiment",
}


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run `fathom claims ARGUMENTS` -> exit code, standard output, standard error."""
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["claims", *(str(a) for a in arguments)])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_people_get_verdicts_explanations_and_a_count(call: Call) -> None:
    code, out, err = call("vgg*")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    starts = {line.split()[0]: line.split()[1] for line in lines if re.match(r"vgg[\w.]+  ", line)}
    assert starts == {
        "vgg.receptive_field": "exact",
        "vgg.stack_params": "exact",
        "vgg16.params": "wrong",
        "vgg16.flops": "ambiguous",
    }
    assert any(line.startswith("    15.5 billion are multiply-adds") for line in lines)
    assert lines[-1] == "4 claims: 2 exact, 1 wrong, 1 ambiguous"
    assert "\x1b" not in out


def test_no_line_is_wider_than_the_terminal(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = call("vgg*")
    assert max(map(len, out.splitlines())) <= 80


def test_json_is_one_object(call: Call) -> None:
    code, out, err = call("vgg*", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [set(row) for row in found["claims"]] == [FIELDS] * 4
    assert found["verdicts"] == {"exact": 2, "wrong": 1, "ambiguous": 1}
    sizes = next(row for row in found["claims"] if row["id"] == "vgg16.flops")
    assert sizes["stated"] == {"flops": 15.5e9, "megabytes": 528}
    assert sizes["computed"]["flops"] == 2 * sizes["computed"]["macs"] == 30_940_528_640


def test_html_is_written_and_named(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "ledger.html"
    code, out, _ = call("vgg16.*", "--html", path)
    assert code == 0
    assert out.splitlines()[-1] == f"page: {path}"
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert text.count("<article") == 2
    assert json.loads(call("vgg16.*", "--json", "--html", path)[1])["html"] == str(path)


def test_an_unknown_pattern_names_the_nearest_id(call: Call) -> None:
    code, out, err = call("vgg16.flop")
    assert (code, out) == (2, "")
    assert "did you mean 'vgg16.flops'?" in err
    assert err.count("\n") == 1


def test_a_missing_folder_is_named_before_the_work(call: Call, tmp_path: Path) -> None:
    start = time.monotonic()
    code, _, err = call("--html", tmp_path / "missing" / "page.html")
    assert code == 2
    assert f"there is no folder {tmp_path / 'missing'}" in err
    assert time.monotonic() - start < 5
