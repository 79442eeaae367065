"""What the comparison's raw results say, and what they do not: pure functions on parsed JSON.

A turn tells something when the machine was the same before and after it. Turns are compared when
the machine was the same for both: a virtual CPU has regimes in which the very same exchange takes
several times as long. So each section is summed up in one regime, that of most of its turns.
"""

from dataclasses import dataclass
from statistics import median

SLOTRING = "slotring"

# How many times better Slotring shall be: (point, figure, {peer: times}). For a figure of which
# more is better, the ratio is Slotring's to the peer's; else it is the peer's to Slotring's.
TARGETS = (
    (
        "hot",
        "p50_ns",
        {"socket": 60, "packet-json": 70, "zeromq": 100, "grpc-unary": 150, "boost-queue": 59},
    ),
    (
        "one core",
        "p50_ns",
        {"socket": 2, "packet-json": 2.4, "zeromq": 7, "grpc-unary": 18, "boost-queue": 1.4},
    ),
    (
        "large",
        "calls_per_s",
        {"socket": 3, "packet-json": 35, "zeromq": 17, "grpc-unary": 29, "boost-queue": 1.08},
    ),
    (
        "cpu",
        "cpu_us_per_call",
        {"socket": 2.4, "packet-json": 2.6, "zeromq": 8, "grpc-unary": 39, "boost-queue": 1.8},
    ),
)
BARE = "bare"
MOST_TIMES_BARE = 1.3  # Slotring's p50 at `hot`

# A percentile is told by turns in which at least one call was beyond it.
CALLS_FOR = {"p99_ns": 100, "p99_9_ns": 1000, "p99_99_ns": 10_000}


@dataclass(frozen=True)
class Figure:
    """A median, over turns or pairs of turns, and the range."""

    value: float
    lowest: float
    highest: float
    count: int


@dataclass(frozen=True)
class Refused:
    """Why there is no figure."""

    reason: str


@dataclass(frozen=True)
class Sample:
    """A turn that tells something: its figures, and the machine around it."""

    turn: dict
    exchange_ns: float
    work_ns: float


def figure_of(values):
    return Figure(median(values), min(values), max(values), len(values))


def apart(a, b):
    """How far apart two calibrations are, as a share of the smaller."""
    less, more = sorted((a, b))
    return more / less - 1 if less > 0 else float("inf")


def regime_of(samples, bound):
    """The calibration that most samples have around them, within `bound`; the faster of two."""
    best = []
    values = sorted(sample.exchange_ns for sample in samples)
    for first in values:
        near = [value for value in values if first <= value <= first * (1 + bound)]
        if len(near) > len(best):
            best = near
    return median(best) if best else None


class Results:
    def __init__(self, data):
        if data.get("format") != 1:
            raise ValueError(f"results of format {data.get('format')!r}; this reads format 1")
        self.data = data
        self.bound = data["calibration_bound"]
        self.peers = {peer["name"]: peer for peer in data["peers"]}
        self._points = {(p["section"], p["point"], p["peer"]): p for p in data["points"]}
        self._regimes = {}

    # --- what there is ---

    def sections(self):
        return list(dict.fromkeys(section for section, _, _ in self._points))

    def points(self, section):
        return list(dict.fromkeys(point for at, point, _ in self._points if at == section))

    def measured_peers(self, section):
        """In the order of the registry."""
        there = {peer for at, _, peer in self._points if at == section}
        return [peer for peer in self.peers if peer in there]

    def point(self, section, point):
        """The shape of a point, which is the same for every peer."""
        return next(p for (s, n, _), p in self._points.items() if (s, n) == (section, point))

    def is_measured(self, section, point, peer):
        return (section, point, peer) in self._points

    # --- what it says ---

    def regime(self, section, placement):
        """The p50 of the bare exchange to which this part's figures belong; None for none."""
        key = (section, placement == "same")
        if key not in self._regimes:
            samples = [
                sample
                for (at, _, _), point in self._points.items()
                if at == section and (point["placement"] == "same") == key[1]
                for sample in _valid(point)
            ]
            self._regimes[key] = regime_of(samples, self.bound)
        return self._regimes[key]

    def samples(self, section, point, peer):
        """Those turns that tell something and belong to the regime, or a Refused."""
        measured = self._points.get((section, point, peer))
        if measured is None:
            return Refused("not measured")
        if measured["failed"]:
            return Refused("failed: " + measured["failed"].splitlines()[0])
        valid = _valid(measured)
        if not valid:
            reasons = [sample["refused"] for sample in measured["samples"]]
            common = max(set(reasons), key=reasons.count) if reasons else "no turn"
            return Refused(f"{len(reasons)} of {len(reasons)} turns refused: {common}")
        regime = self.regime(section, measured["placement"])
        near = [s for s in valid if apart(s.exchange_ns, regime) <= self.bound]
        return near or Refused("no turn with the calibration of the others")

    def figure(self, section, point, peer, name):
        samples = self.samples(section, point, peer)
        if isinstance(samples, Refused):
            return samples
        told = [s.turn[name] for s in samples if s.turn["calls"] >= CALLS_FOR.get(name, 1)]
        return figure_of(told) if told else Refused("too few calls in a turn")

    def ratio(self, section, point, above, below, name):
        """Of one peer's figure to another's, over all pairs of turns that agree."""
        sides = [self.samples(section, point, peer) for peer in (above, below)]
        for side in sides:
            if isinstance(side, Refused):
                return side
        values = [
            a.turn[name] / b.turn[name]
            for a in sides[0]
            for b in sides[1]
            if b.turn[name] > 0 and self._agree(a, b)
        ]
        return figure_of(values) if values else Refused("the calibrations disagree")

    def times_better(self, section, point, peer, name):
        """How many times better Slotring is than a peer."""
        if name == "calls_per_s":
            return self.ratio(section, point, SLOTRING, peer, name)
        return self.ratio(section, point, peer, SLOTRING, name)

    def refused_turns(self):
        """How many turns there were, and how many of them were refused for each reason."""
        refused = {}
        samples = [s for point in self.data["points"] for s in point["samples"]]
        for sample in samples:
            if sample["refused"]:
                refused[sample["refused"]] = refused.get(sample["refused"], 0) + 1
        return len(samples), refused

    def _agree(self, a, b):
        return (
            apart(a.exchange_ns, b.exchange_ns) <= self.bound
            and apart(a.work_ns, b.work_ns) <= self.bound
        )


def _valid(point):
    return [
        Sample(
            sample["turn"],
            (sample["before"]["exchange_ns"] + sample["after"]["exchange_ns"]) / 2,
            (sample["before"]["work_ns"] + sample["after"]["work_ns"]) / 2,
        )
        for sample in point["samples"]
        if not sample["refused"]
    ]
