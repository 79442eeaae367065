"""Writes docs/performance.md and its plots from the comparison's raw results.

Usage: report.py RESULTS.json FOLDER
"""

import json
import sys
from pathlib import Path

import summary
from figure_text import Footnotes, cell, duration, number, table, times
from summary import BARE, MOST_TIMES_BARE, SLOTRING, TARGETS, Figure

COLUMNS = (
    "p50, 64 B, separate cores",
    "p50, 64 B, one core",
    "calls/s, 1 MiB, 2 clients, 2 workers",
    "CPU a call, 64 B, 2 clients, 2 workers",
)


# --- sections ----------------------------------------------------------------------------------


def targets(results, notes):
    head = ["Slotring against", *COLUMNS]
    rows = []
    met = missed = 0
    for peer in results.measured_peers("targets"):
        if peer in (SLOTRING, BARE):
            continue
        row = [f"{peer}"]
        for point, figure, wanted in TARGETS:
            found = results.times_better("targets", point, peer, figure)
            text = cell(found, times, notes, with_range=True)
            target = wanted.get(peer)
            if target is not None and isinstance(found, Figure):
                good = found.value >= target
                met, missed = met + good, missed + (not good)
                text = f"**{text}**<br>target {target:g}x: {'met' if good else 'missed'}"
            elif target is not None:
                text += f"<br>target {target:g}x"
            row.append(text)
        rows.append(row)
    lines = [
        "How many times better Slotring is: the median over pairs of turns, and the range. A call "
        "is an echo; a peer's servers are Python processes, if nothing else is said.",
        "",
        *table(head, rows),
    ]
    bare = results.ratio("targets", "hot", SLOTRING, BARE, "p50_ns")
    if isinstance(bare, Figure):
        good = bare.value <= MOST_TIMES_BARE
        lines += [
            "Against a C extension that spins on shared memory and calls the same Python function, "
            "without envelope, sessions, deadline and statistics (`bare`), Slotring's p50 at 64 B "
            f"is {cell(bare, times, notes, with_range=True)}: target at most {MOST_TIMES_BARE}x, "
            f"{'met' if good else 'missed'}.",
            "",
        ]
    else:
        lines += [f"Against `bare`: {notes.mark(bare.reason)}", ""]
    lines.append(f"Of the targets, {met} were met and {missed} missed.")
    return [*lines, "", *regimes(results, "targets")]


def regimes(results, section):
    """In which regime of the machine a section's figures were taken."""
    told = []
    for placement, words in (("free", "separate cores"), ("same", "one core")):
        regime = results.regime(section, placement)
        if regime is not None:
            told.append(f"{duration(regime)} on {words}")
    if not told:
        return []
    return [f"*The bare exchange around these turns took {' and '.join(told)}.*", ""]


FIGURES = (
    ("p50", "p50_ns", duration),
    ("p90", "p90_ns", duration),
    ("p99", "p99_ns", duration),
    ("p99.9", "p99_9_ns", duration),
    ("p99.99", "p99_99_ns", duration),
    ("calls/s", "calls_per_s", number),
    ("CPU a call", "cpu_us_per_call", lambda us: duration(us * 1e3)),
    ("wake-ups a call", "wake_ups_per_call", lambda value: f"{value:.2f}"),
    ("slowest / fastest client", "fairness", lambda value: f"{value:.2g}"),
)


def details(results, section, point, notes, without=()):
    """All figures of each peer at a point."""
    figures = [figure for figure in FIGURES if figure[1] not in without]
    rows = []
    for peer in results.measured_peers(section):
        if results.is_measured(section, point, peer):
            told = [(results.figure(section, point, peer, name), text) for _, name, text in figures]
            rows.append([peer, *(cell(figure, text, notes) for figure, text in told)])
    return table(["peer", *(name for name, _, _ in figures)], rows)


def by_point(results, section, name, text, notes):
    """One figure: a row a peer, a column a point."""
    points = results.points(section)
    rows = [
        [peer, *(cell(results.figure(section, p, peer, name), text, notes) for p in points)]
        for peer in results.measured_peers(section)
    ]
    return table(["peer", *points], rows)


def hot(results, notes):
    alone = ("fairness",)
    return [
        "### 64 bytes, 1 client, 1 worker, separate cores",
        "",
        *details(results, "targets", "hot", notes, without=alone),
        "### The same on one core",
        "",
        *details(results, "targets", "one core", notes, without=alone),
        "### 64 bytes, 2 clients, 2 workers",
        "",
        *details(results, "targets", "cpu", notes),
        "### 1 MiB, 2 clients, 2 workers",
        "",
        *details(results, "targets", "large", notes),
    ]


PAYLOADS = {
    "payload": "1 client, 1 worker, separate cores",
    "payload one core": "1 client, 1 worker, one core",
    "payload 2x2": "2 clients, 2 workers, placed freely",
}


def payloads(results, notes):
    lines = []
    for section, words in PAYLOADS.items():
        if section in results.sections():
            lines += [f"p50 of an echo, {words}:", ""]
            lines += by_point(results, section, "p50_ns", duration, notes)
            lines += regimes(results, section)
    return lines


def grid(results, notes):
    lines = ["Calls a second, 64 bytes, processes placed freely; workers x clients:", ""]
    sections = [section for section in results.sections() if section.startswith("grid ")]
    cells = [(section, point) for section in sections for point in results.points(section)]
    rows = [
        [peer, *(cell(results.figure(s, p, peer, "calls_per_s"), number, notes) for s, p in cells)]
        for peer in results.measured_peers(sections[-1])
    ]
    lines += table(["peer", *(point for _, point in cells)], rows)
    section, point = cells[-1]
    lines += [
        f"Calls of the slowest client, divided by those of the fastest, at {point}, and more:",
        "",
        *details(results, section, point, notes),
    ]
    return lines


def surroundings(results, notes):
    return [
        "### Placed freely",
        "",
        *details(results, "surroundings", "free", notes, without=("fairness",)),
        "### With a process on every CPU that computes all the while",
        "",
        *details(results, "surroundings", "busy", notes, without=("fairness",)),
        "A process that spins uses up its share of a CPU that others want, and then waits; one "
        "that sleeps is mostly let in at once when it is woken. Where all CPUs are taken, spinning "
        "gains little.",
        "",
        *regimes(results, "surroundings"),
    ]


def sparse(results, notes):
    return [
        "The client pauses between a reply and its next request, as long as a column says, and "
        "the worker sleeps meanwhile. p50 of a call:",
        "",
        *by_point(results, "sparse", "p50_ns", duration, notes),
        "CPU time of a call, all processes together:",
        "",
        *by_point(results, "sparse", "cpu_us_per_call", lambda us: duration(us * 1e3), notes),
        "**To wake a process that sleeps costs tens of microseconds here, after a long pause more, "
        "whatever carries the call.** Slotring's workers spin for a short while before they sleep, which makes dense "
        "traffic fast; where calls come seldom, that is of no use.",
        "",
        *regimes(results, "sparse"),
    ]


def digits(results, notes):
    lines = [
        "The workers classify images of handwritten digits by scikit-learn's logistic regression; "
        "a request is 64 float64, and each reply is checked. Most of the time is the model's own, "
        "which no transport makes shorter.",
        "",
    ]
    for point, words in (
        ("1x1", "1 client, 1 worker, separate cores"),
        ("2x4", "4 clients, 2 workers, placed freely"),
    ):
        lines += [f"### {words}", "", *details(results, "digits", point, notes)]
    return [*lines, *regimes(results, "digits")]


SECTIONS = (
    ("targets", "Targets", targets, None),
    ("targets", "64 bytes and 1 MiB", hot, ("percentiles", "cpu")),
    ("payload", "Payloads", payloads, ("payload",)),
    ("grid 1", "Workers and clients", grid, ("grid",)),
    ("surroundings", "Placed freely, and under load", surroundings, None),
    ("sparse", "Sparse traffic", sparse, ("sparse",)),
    ("digits", "A real job: digits", digits, None),
)

PLOTS = {
    "payload": "p50 of an echo by payload, one line a peer, both axes logarithmic",
    "grid": "Calls a second by workers and clients, one line a peer",
    "percentiles": "Duration of a call by percentile, one line a peer",
    "cpu": "CPU time of a call, one bar a peer",
    "sparse": "p50 of a call by the pause before it, one line a peer",
}


METHOD = """\
* Every peer is written as its own documentation advises, and its servers run the same functions
  (`tools/peers/python/jobs.py`). Clients are C++ processes, but for those of `pipe` and `executor`,
  which are of Python's standard library; iceoryx is C++ at both ends.
* A client sends its next request when it has checked the reply to the one before. A turn is a
  fraction of a second of that, after a warm-up. In each round every peer has a turn at every point
  of a section, in an order that is shuffled anew.
* CPU a call is the user and system time of all clients and servers, divided by the calls. Wake-ups
  are their voluntary context switches. A percentile is told by turns in which a call was beyond it.
* Before and after each turn the machine itself is measured, for some 20 ms: a bare exchange of 64
  bytes between two C++ processes, placed as the turn, and a fixed piece of computing. **A turn
  counts only if both agree within {bound:.0%}** and other programs took less than {others:.0%} of
  the CPUs; others are repeated, and if that does not help there is a footnote and no figure.
* The CPUs of a virtual machine have regimes, in which the bare exchange takes several times as
  long. Each section is therefore summed up in the regime of most of its turns, and a ratio is
  formed only of turns whose calibrations agree within {bound:.0%}.
* Of {turns} turns, {refused} were refused{reasons}.
"""


def method(results):
    turns, refused = results.refused_turns()
    reasons = "; ".join(f"{count}: {reason}" for reason, count in sorted(refused.items()))
    text = METHOD.format(
        bound=results.bound,
        others=results.data["others_bound"],
        turns=turns,
        refused=sum(refused.values()),
        reasons=f" ({reasons})" if reasons else "",
    )
    return text.splitlines() + [""]


def machine(results):
    about = results.data["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    memory = int(about["memory"].split()[0]) / 2**20
    lines = [
        f"{about['cpu']}, {about['cpus']} CPUs, {memory:.0f} GiB of memory; {about['kernel']}. "
        f"Slotring {results.data['version']}, built by the preset `release`.",
        "",
        f"Debian packages: {packages}.",
        "",
    ]
    for peer in results.peers.values():
        if peer["missing"]:
            lines += [f"Left out: {peer['name']}, which {peer['missing']}.", ""]
    return lines


LIMITS = """\
* **Sparse traffic** to a sleeping worker costs the wake, whatever the transport: see above.
* **The longer a call works**, the less the transport matters: compare the digits with the echo.
* **Spinning takes CPU time** that something else could have had, though for a short while only. On
  separate cores both ends are awake, which is why calls are fast there; where all CPUs are taken
  by others, it gains little: see under load. Where more of its own processes want to run than
  there are CPUs, they take turns of some 100 us, which the 99.9th percentile shows.
* **One machine.** ZeroMQ, gRPC and NATS also go over a network. Slotring does not, and what they
  pay for that is part of these figures.
* Peers with a Python client (`pipe`, `executor`) pay for the client's Python too; that is what
  their users get.
* iceoryx is C++ at both ends: what shared memory costs there without Python, not a way to call it.
"""


def report(results, drawn):
    notes = Footnotes()
    command = " ".join(["tools/compare", *filter(None, [results.data["depth"]])])
    lines = [
        "# Performance",
        "",
        f"What a call costs over Slotring, and over what one would take instead. Written by "
        f"`{command} --install`, which repeats all of it on your machine. What a peer is: "
        "[the table below](#peers).",
        "",
    ]
    there = results.sections()
    for section, title, write, plots in SECTIONS:
        if section not in there:
            continue
        lines += [f"## {title}", ""]
        for plot in plots or ():
            if plot in drawn:
                lines += [f"![{PLOTS[plot]}](performance/{plot}.svg)", ""]
        lines += write(results, notes)
    lines += ["## Limits", "", *LIMITS.splitlines(), ""]
    lines += ["## How it was measured", "", *method(results)]
    lines += ["## Peers", ""]
    rows = [[p["name"], p["description"]] for p in results.peers.values() if not p["missing"]]
    lines += [*table(["peer", "what it is"], rows), "## Machine", "", *machine(results)]
    if notes.lines():
        lines += ["## Why there is no figure", "", *notes.lines(), ""]
    return "\n".join(lines).rstrip() + "\n"


def main():
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    results = summary.Results(json.loads(source.read_text()))
    import plots  # needs matplotlib, which the rest does not

    plots_folder = folder / "performance"
    plots_folder.mkdir(parents=True, exist_ok=True)
    for old in plots_folder.glob("*.svg"):
        old.unlink()
    drawn = plots.draw_all(results, plots_folder)
    (folder / "performance.md").write_text(report(results, drawn))
    print(f"{folder / 'performance.md'}, and {len(drawn)} plots beside it")


if __name__ == "__main__":
    main()
