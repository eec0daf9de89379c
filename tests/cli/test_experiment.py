"""`fathom experiment` as a user calls it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fathom.cli import main
from fathom.experiments import EXPERIMENTS, Plan, Stepping, about, run
from tests.experiments import small
from tests.images import write_tree

Call = Callable[..., tuple[int, str, str]]
UNTRAINED = next(name for name, known in EXPERIMENTS.items() if known.minutes is None)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Run `fathom experiment ARGUMENTS` -> exit code, standard output, standard error."""
    monkeypatch.setenv("COLUMNS", "300")
    small.install(monkeypatch)

    def run_command(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["experiment", *(str(a) for a in arguments)])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run_command


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of an experiment that has ended."""
    folder = tmp_path_factory.mktemp("cli") / "done"
    with pytest.MonkeyPatch.context() as patch:
        small.install(patch)
        list(run(small.plan(), folder))
        yield folder


def test_the_list_has_a_row_an_experiment(call: Call) -> None:
    code, out, err = call()
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split()[:3] == ["name", "minutes", "recorded"]
    for line, (name, known) in zip(lines[1:-1], EXPERIMENTS.items(), strict=True):
        assert line.split()[0] == name
        assert known.shows in line
        assert known.source in line
    assert lines[-1].startswith(f"{len(EXPERIMENTS)} experiments; ")


def test_the_list_says_which_have_a_recorded_run(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = {"degradation": {"setting": {"date": "2026-11-23"}}}
    monkeypatch.setattr("fathom.ledger.recorded.recorded", fake.get)
    rows = {row["name"]: row for row in json.loads(call("--json")[1])["experiments"]}
    assert list(rows) == list(EXPERIMENTS)
    assert rows["degradation"]["recorded"] == "2026-11-23"
    assert rows["identity"]["recorded"] is None
    assert rows["degradation"]["minutes"] == 15.0
    assert "2026-11-23" in call()[1].splitlines()[1]


def test_the_list_leaves_pytorch_alone() -> None:
    code = (
        "import sys\nfrom fathom.cli import main\n"
        "try: main(['experiment', '--json'])\nexcept SystemExit: pass\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_about_prints_the_docstring_and_runs_nothing(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("degradation", "--about") == (0, f"{about('degradation')}\n", "")
    found = json.loads(call("degradation", "--about", "--json")[1])
    assert found["about"] == about("degradation")
    assert not list(tmp_path.iterdir())


def test_a_run_says_what_came_of_it(call: Call, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, text, err = call(
        "degradation", "--steps", 2, "--seeds", 1, "--images", 40, "--device", "cpu", "--out", out
    )
    assert code == 0
    lines = text.splitlines()
    assert lines[0] == "Which learns faster?"
    assert lines[1].startswith("digits, 40 training images, 8 pixels, 2 steps of 16 images")
    assert lines[2] == "Expected: The fast one."
    assert lines[3].startswith("- slow: 0.")
    assert lines[4].startswith("- fast arm: 0.")
    assert lines[5] == "a.claim: not-reproduced"
    assert lines[6] == f"report: {out / 'report.html'}"
    assert (out / "report.html").is_file()
    assert "slow, seed 0: step 1 of 2, loss 2." in err
    assert err.splitlines()[-1] == "fast arm, seed 0: measured, 2 of 2"
    stored = Plan.read(out)
    assert (stored.steps, stored.seeds, stored.images) == (2, (0,), 40)
    assert stored.setting.device == "cpu"
    assert stored.command is not None


def test_data_options_reach_the_plan_and_json_is_one_object(call: Call, tmp_path: Path) -> None:
    data = write_tree(tmp_path / "data", {"a": 40, "b": 40})
    out = tmp_path / "out"
    code, text, err = call(
        *("degradation", "--data", data, "--val-fraction", 0.5, "--quick", "--out", out, "--json")
    )
    assert code == 0, err
    found = json.loads(text)
    assert found["report"] == str(out / "report.html")
    assert (found["setting"]["images"], found["setting"]["judging_images"]) == (40, 40)
    assert (found["setting"]["steps"], found["setting"]["seeds"]) == (4, [0, 1])
    assert list(found["cells"]) == ["slow", "fast arm"]
    assert found["verdicts"]["a.claim"]["verdict"] == "not-reproduced"
    assert len(found["sentences"]) == 2


def test_folders_are_named_after_experiment_and_data(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tree(tmp_path / "pictures", {"a": 12, "b": 12})
    options = ("--data", "pictures", "--steps", 1, "--seeds", 1, "--json")
    for folder in ("experiment-degradation-pictures", "experiment-degradation-pictures-2"):
        assert json.loads(call("degradation", *options)[1])["folder"] == f"runs/{folder}"


def test_resuming_a_finished_one_says_it_again(call: Call, done: Path) -> None:
    code, out, err = call("--resume", done)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"report: {done / 'report.html'}"


@pytest.fixture
def listening() -> Iterator[None]:
    """Ctrl-C arrives, also where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_says_how_to_go_on(
    number: int, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopping(plan: Plan, out: Path) -> Iterator[object]:
        for record in run(plan, out):
            if isinstance(record, Stepping) and record.step == 2:
                os.kill(os.getpid(), number)
            yield record

    monkeypatch.setattr("fathom.experiments.run", stopping)
    before = signal.getsignal(signal.SIGTERM)
    out = tmp_path / "out"
    code, text, err = call("degradation", "--steps", 3, "--images", 40, "--out", out)
    assert (code, text) == (130, "")
    again = f"go on with: fathom experiment --resume {out}"
    assert err.splitlines()[-1] == f"fathom: stopped; what is measured is kept; {again}"
    assert signal.getsignal(signal.SIGTERM) is before


MISTAKES: dict[str, tuple[tuple[object, ...], str]] = {
    "unknown name": (("degradatoin",), "did you mean 'degradation'?"),
    "unknown option": (("degradation", "--minuts", 3), "Did you mean --minutes?"),
    "list with data": (("--data", "digits"), "--data needs an experiment"),
    "list with more": (("--quick", "--out", "x"), "--quick, --out needs an experiment"),
    "about without name": (("--about",), "--about needs an experiment"),
    "about with more": (("degradation", "--about", "--steps", 2), "so --steps has no effect"),
    "resume nothing": (("--resume", "gone"), "gone is no experiment"),
    "resume with name": (("degradation", "--resume", "gone"), "so degradation cannot be given"),
    "resume with more": (
        ("--resume", "gone", "--data", "x", "--val-fraction", 0.5, "--seeds", 2, "--about"),
        "so --about, --data, --val-fraction, --seeds cannot be given with it",
    ),
    "two lengths": (("degradation", "--minutes", 1, "--steps", 2), "give one of them"),
    "quick and long": (("degradation", "--quick", "--minutes", 1), "leave out minutes and steps"),
    "zero minutes": (("degradation", "--minutes", 0), "it must be above 0"),
    "zero steps": (("degradation", "--steps", 0), "it must be above 0"),
    "no number": (("degradation", "--steps", "many"), 'unable to convert "many" into int'),
    "zero seeds": (("degradation", "--seeds", 0), "seeds is 0"),
    "few images": (("degradation", "--images", 3), "images is 3; use at least two of each"),
    "no training": ((UNTRAINED, "--minutes", 3), "says itself what it trains"),
    "no weights": (("degradation", "--weights", "lite0"), "weights have no effect on degradation"),
    "unknown data": (("degradation", "--data", "digitz"), "did you mean 'digits'"),
    "missing data": (("degradation", "--data", "nowhere/"), "no such file or folder: nowhere/"),
    "no effect: data dir": (("degradation", "--data-dir", "somewhere"), "has no effect"),
    "no such device": (("degradation", "--device", "cuda:77"), "not on this machine"),
    "unknown device": (("degradation", "--device", "gpu"), "none of auto, cpu"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_written(
    name: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments, message = MISTAKES[name]
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("fathom: ")
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_in_use_is_refused_at_once(call: Call, done: Path) -> None:
    code, _, err = call("degradation", "--steps", 2, "--out", done)
    assert code == 2
    assert "exists and is not empty" in err
