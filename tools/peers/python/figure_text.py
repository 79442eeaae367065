"""Figures as text, and tables of them, for the report."""

from summary import Refused

NOTHING = "-"


class Footnotes:
    """Reasons, each numbered once, in the order in which they were first needed."""

    def __init__(self):
        self._reasons = []

    def mark(self, reason):
        if reason not in self._reasons:
            self._reasons.append(reason)
        return f"{NOTHING} <sup>{self._reasons.index(reason) + 1}</sup>"

    def lines(self):
        return [f"<sup>{i}</sup> {reason}.  " for i, reason in enumerate(self._reasons, 1)]


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def duration(ns):
    for unit, factor in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= factor:
            return f"{number(ns / factor)} {unit}"
    return f"{number(ns)} ns"


def times(value):
    return f"{number(value)}x" if value >= 10 else f"{value:.2f}x"


def cell(figure, text, notes, with_range=False):
    if isinstance(figure, Refused):
        return notes.mark(figure.reason)
    if with_range:
        return f"{text(figure.value)} ({text(figure.lowest)} to {text(figure.highest)})"
    return text(figure.value)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows] + [""]
