"""What tools/compare's report makes of raw results, and what it refuses to."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools" / "peers" / "python"))

import report  # noqa: E402
from summary import Figure, Refused, Results, apart, regime_of  # noqa: E402

FAST, SLOW = 100, 630


def sample(p50=1000.0, exchange=FAST, after=None, work=30_000, refused="", calls=100_000, **turn):
    return {
        "before": {"exchange_ns": exchange, "work_ns": work},
        "after": {"exchange_ns": after or exchange, "work_ns": work},
        "refused": refused,
        "turn": {
            "p50_ns": p50,
            "p90_ns": p50,
            "p99_ns": p50,
            "p99_9_ns": p50,
            "p99_99_ns": p50,
            "calls": calls,
            "calls_per_s": 1e9 / p50,
            "cpu_us_per_call": p50 / 1000,
            "wake_ups_per_call": 0.0,
            "fairness": 1.0,
            **turn,
        },
    }


def point(peer, samples, section="targets", name="hot", placement="separate", failed=""):
    return {
        "section": section,
        "point": name,
        "peer": peer,
        "placement": placement,
        "payload_bytes": 64,
        "gap_us": 0,
        "failed": failed,
        "samples": samples,
    }


def results(*points):
    names = dict.fromkeys(p["peer"] for p in points)
    return Results(
        {
            "format": 1,
            "version": "1",
            "depth": "--quick",
            "calibration_bound": 0.15,
            "others_bound": 0.1,
            "machine": {
                "cpu": "a CPU",
                "cpus": 2,
                "memory": "1 kB",
                "kernel": "Linux",
                "packages": {"python3": "3"},
            },
            "peers": [{"name": n, "description": f"what {n} is", "missing": ""} for n in names],
            "points": list(points),
        }
    )


def test_a_figure_is_the_median_of_turns_with_its_range():
    told = results(point("socket", [sample(10), sample(30), sample(20)]))
    assert told.figure("targets", "hot", "socket", "p50_ns") == Figure(20, 10, 30, 3)


def test_refused_turns_do_not_count():
    told = results(point("socket", [sample(10), sample(99, refused="others")]))
    assert told.figure("targets", "hot", "socket", "p50_ns") == Figure(10, 10, 10, 1)


def test_a_point_all_of_whose_turns_were_refused_has_no_figure_but_a_reason():
    told = results(point("socket", [sample(refused="the machine changed")] * 2))
    assert told.figure("targets", "hot", "socket", "p50_ns") == Refused(
        "2 of 2 turns refused: the machine changed"
    )


def test_a_point_that_failed_says_so_in_one_line():
    told = results(point("socket", [sample()], failed="no server\nmore"))
    assert told.figure("targets", "hot", "socket", "p50_ns") == Refused("failed: no server")


def test_a_section_is_told_in_the_regime_of_most_of_its_turns():
    told = results(
        point("slotring", [sample(200, FAST), sample(210, FAST), sample(900, SLOW)]),
        point("socket", [sample(9000, FAST), sample(30_000, SLOW)]),
    )
    assert told.regime("targets", "separate") == pytest.approx(FAST)
    assert told.figure("targets", "hot", "slotring", "p50_ns") == Figure(205, 200, 210, 2)


def test_one_core_has_a_regime_of_its_own():
    told = results(
        point("slotring", [sample()] * 3),
        point("slotring", [sample(exchange=2000)], name="one core", placement="same"),
    )
    assert told.regime("targets", "separate") == pytest.approx(FAST)
    assert told.regime("targets", "same") == pytest.approx(2000)


def test_a_ratio_of_turns_whose_calibrations_disagree_is_refused():
    told = results(
        point("slotring", [sample(200, FAST)] * 2),
        point("socket", [sample(9000, SLOW)]),
    )
    assert told.times_better("targets", "hot", "socket", "p50_ns") == Refused(
        "no turn with the calibration of the others"
    )


def test_a_ratio_of_turns_between_which_computing_became_slower_is_refused():
    told = results(
        point("slotring", [sample(200)]),
        point("socket", [sample(9000, work=60_000)]),
    )
    assert told.times_better("targets", "hot", "socket", "p50_ns") == Refused(
        "the calibrations disagree"
    )


def test_slotring_is_better_when_it_takes_less_or_does_more():
    told = results(point("slotring", [sample(100)]), point("socket", [sample(400)]))
    for figure in ("p50_ns", "calls_per_s", "cpu_us_per_call"):
        assert told.times_better("targets", "hot", "socket", figure).value == pytest.approx(4)


def test_a_percentile_needs_a_call_beyond_it():
    told = results(point("socket", [sample(calls=5000)]))
    assert isinstance(told.figure("targets", "hot", "socket", "p99_9_ns"), Figure)
    assert told.figure("targets", "hot", "socket", "p99_99_ns") == Refused(
        "too few calls in a turn"
    )


def test_calibrations_are_apart_by_a_share_of_the_smaller():
    assert apart(100, 115) == apart(115, 100) == pytest.approx(0.15)
    assert apart(0, 1) == float("inf")


def test_nothing_has_no_regime():
    assert regime_of([], 0.15) is None


def test_results_of_another_format_are_refused():
    with pytest.raises(ValueError, match="format 2"):
        Results({"format": 2})


def test_the_report_says_which_targets_were_met_and_why_a_figure_is_not_there():
    text = report.report(
        results(
            point("slotring", [sample(100)]),
            point("bare", [sample(90)]),
            point("socket", [sample(9000)]),
            point("zeromq", [sample(refused="the machine changed meanwhile")]),
        ),
        [],
    )
    assert "90x (90x to 90x)**<br>target 60x: met" in text
    assert "1 of 1 turns refused: the machine changed meanwhile." in text
    assert "target at most 1.3x, met" in text
    assert "Of the targets, 1 were met and 0 missed." in text
