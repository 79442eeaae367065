"""The report's plots, as SVG, by matplotlib."""

import matplotlib

matplotlib.use("svg")
# The same results make the same bytes.
matplotlib.rcParams.update({"svg.hashsalt": "slotring", "font.size": 10})

from matplotlib import pyplot  # noqa: E402
from matplotlib.ticker import FuncFormatter, NullFormatter  # noqa: E402

from figure_text import duration  # noqa: E402
from summary import SLOTRING, Refused  # noqa: E402

COLORS = {
    "slotring": "#d62728",
    "bare": "#7f7f7f",
    "boost-queue": "#9467bd",
    "iceoryx": "#17becf",
    "socket": "#1f77b4",
    "packet-json": "#aec7e8",
    "pipe": "#2ca02c",
    "executor": "#98df8a",
    "zeromq": "#ff7f0e",
    "grpc-unary": "#8c564b",
    "grpc-stream": "#c49c94",
    "nats": "#bcbd22",
}
PERCENTILES = {
    "p50_ns": "p50",
    "p90_ns": "p90",
    "p99_ns": "p99",
    "p99_9_ns": "p99.9",
    "p99_99_ns": "p99.99",
}


def count(number):
    for unit, factor in (("M", 1e6), ("k", 1e3)):
        if number >= factor:
            return f"{number / factor:.3g}{unit}"
    return f"{number:.3g}"


def draw_all(results, folder):
    """Returns the names of the files that were written."""
    drawn = []
    for name, draw in (
        ("payload", draw_payload),
        ("grid", draw_grid),
        ("percentiles", draw_percentiles),
        ("cpu", draw_cpu),
        ("sparse", draw_sparse),
    ):
        figure = draw(results)
        if figure is None:
            continue
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
        pyplot.close(figure)
        drawn.append(name)
    return drawn


def draw_payload(results):
    section = "payload"
    points = results.points(section)
    sizes = [results.point(section, point)["payload_bytes"] for point in points]
    figure, axes = _axes("Echo, 1 client, 1 worker, separate cores", "payload", "p50 of a call")
    some = _draw_lines(axes, results, [(section, point) for point in points], sizes, "p50_ns")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, points)
    _log_durations(axes)
    return _with_legend(figure, axes) if some else None


def draw_grid(results):
    sections = [section for section in results.sections() if section.startswith("grid ")]
    cells = [(section, point) for section in sections for point in results.points(section)]
    figure, axes = _axes(
        "Echo of 64 bytes, processes placed freely", "workers x clients", "calls a second"
    )
    some = False
    for section in sections:
        places = [i for i, cell in enumerate(cells) if cell[0] == section]
        own = [cells[i] for i in places]
        some |= _draw_lines(axes, results, own, places, "calls_per_s", named=section == sections[0])
    axes.set_xticks(range(len(cells)), [point for _, point in cells])
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    return _with_legend(figure, axes) if some else None


def draw_percentiles(results):
    figure, axes = _axes(
        "Echo of 64 bytes, 1 client, 1 worker, separate cores", "percentile", "duration of a call"
    )
    some = False
    for peer in results.measured_peers("targets"):
        told = [results.figure("targets", "hot", peer, name) for name in PERCENTILES]
        values = [None if isinstance(f, Refused) else f.value for f in told]
        places = [i for i, value in enumerate(values) if value is not None]
        if places:
            some = True
            axes.plot(places, [values[i] for i in places], **_style(results, peer))
    axes.set_xticks(range(len(PERCENTILES)), PERCENTILES.values())
    _log_durations(axes)
    return _with_legend(figure, axes) if some else None


def draw_cpu(results):
    bars = []
    for peer in results.measured_peers("targets"):
        told = results.figure("targets", "cpu", peer, "cpu_us_per_call")
        if not isinstance(told, Refused):
            bars.append((told.value, peer))
    if not bars:
        return None
    bars.sort(reverse=True)
    figure, axes = _axes("Echo of 64 bytes, 2 clients, 2 workers", "CPU time of a call, µs", "")
    values = [value for value, _ in bars]
    names = [peer for _, peer in bars]
    drawn = axes.barh(names, values, color=[COLORS.get(peer, "#000000") for peer in names])
    axes.bar_label(drawn, [f" {value:.3g} µs" for value in values])
    axes.set_xlim(right=max(values) * 1.12)
    axes.grid(False, axis="y")
    figure.tight_layout()
    return figure


def draw_sparse(results):
    section = "sparse"
    points = results.points(section)
    gaps = [results.point(section, point)["gap_us"] for point in points]
    figure, axes = _axes(
        "Echo of 64 bytes, 1 client that pauses between calls, separate cores",
        "pause before a call",
        "p50 of a call",
    )
    some = _draw_lines(axes, results, [(section, point) for point in points], gaps, "p50_ns")
    axes.set_xscale("log")
    axes.set_xticks(gaps, [duration(gap * 1e3) for gap in gaps])
    axes.xaxis.set_minor_formatter(NullFormatter())
    _log_durations(axes)
    return _with_legend(figure, axes) if some else None


# --- parts of them -----------------------------------------------------------------------------


def _axes(title, x, y):
    figure, axes = pyplot.subplots(figsize=(8.6, 4.8))
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(True, which="major", color="#dddddd")
    axes.set_axisbelow(True)
    return figure, axes


def _style(results, peer):
    mine = peer == SLOTRING
    return {
        "color": COLORS.get(peer, "#000000"),
        "linewidth": 2.6 if mine else 1.4,
        "marker": "o" if mine else ".",
        "zorder": 3 if mine else 2,
        "label": peer,
    }


def _draw_lines(axes, results, cells, places, name, named=True):
    """A line a peer through `cells`, (section, point) each. Whether there was any."""
    some = False
    for peer in results.measured_peers(cells[0][0]) if cells else []:
        told = [results.figure(section, point, peer, name) for section, point in cells]
        drawn = [(x, f) for x, f in zip(places, told) if not isinstance(f, Refused)]
        if not drawn:
            continue
        some = True
        style = _style(results, peer)
        if not named:
            style["label"] = "_" + style["label"]
        xs = [x for x, _ in drawn]
        axes.plot(xs, [f.value for _, f in drawn], **style)
        axes.fill_between(
            xs,
            [f.lowest for _, f in drawn],
            [f.highest for _, f in drawn],
            color=style["color"],
            alpha=0.12,
            linewidth=0,
        )
    return some


def _log_durations(axes):
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: duration(value)))


def _with_legend(figure, axes):
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    figure.tight_layout()
    return figure
