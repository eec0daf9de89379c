"""Views against accuracy: whose interval counts, and when the gain is as stated."""

from __future__ import annotations

import pytest

from fathom.experiments.nouns import Values
from fathom.experiments.tta_gain import gain_of, tta_gain
from tests.experiments.scaffold import results, setting


def values(*, pretrained: bool, gain: float, half: float = 0.005) -> Values:
    """Gains that rise with the views to the last one's."""

    def rows(count: int) -> Values:
        gains = [gain * number / (count - 1) for number in range(count)]
        return {
            "views": list(range(1, count + 1)),
            "top1": [0.8 + each for each in gains],
            "gain": gains,
            "gain_low": [each - half for each in gains],
            "gain_high": [each + half for each in gains],
            "flops": [2.0 * number for number in range(1, count + 1)],
        }

    return {
        "pretrained": pretrained,
        "pictures": 1000,
        "ten-multiscale": rows(50),
        "multiscale": rows(5),
    }


@pytest.mark.parametrize(
    ("gain", "half", "verdict", "says"),
    [
        (0.011, 0.004, "demonstrated", "About one point"),
        (0.011, 0.02, "not-reproduced", "do not tell"),
        (0.04, 0.004, "not-reproduced", "not about one point"),
        (-0.02, 0.004, "not-reproduced", "fewer right"),
    ],
)
def test_pretrained_weights_are_judged_by_the_interval_over_pictures(
    gain: float, half: float, verdict: str, says: str
) -> None:
    cells = {"net (lite)": [values(pretrained=True, gain=gain, half=half), {}, {}]}
    found = tta_gain(setting()).findings(results(cells))
    judged = found.verdicts["tta.gain"]
    assert judged.verdict == verdict
    assert says in judged.explanation
    assert "50 times the arithmetic" in judged.explanation
    assert judged.computed["net (lite), ten crops at five scales: gain (points)"] == round(
        100 * gain, 2
    )


def test_a_network_trained_here_is_judged_over_seeds_and_gives_no_verdict() -> None:
    runs = [values(pretrained=False, gain=gain) for gain in (0.009, 0.010, 0.011)]
    made = results({"a network trained here": runs})
    gain = gain_of(made, "a network trained here", "ten-multiscale", 50)
    assert (gain.count, round(gain.mean, 6)) == (3, 0.01)
    judged = tta_gain(setting()).findings(made).verdicts["tta.gain"]
    assert judged.verdict == "not-reproduced"
    assert "trained here, not published" in judged.explanation
