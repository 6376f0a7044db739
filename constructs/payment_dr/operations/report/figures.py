"""The figures of a drill's report."""

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Shape
from matplotlib.ticker import FuncFormatter, MultipleLocator

from payment_dr.operations.drill.journal import CONFIRMED, PHASES, REPORTED, WAYS, Phase, PhaseSeconds, ProbeEvent
from payment_dr.operations.report.content import Outcome, ReportContent, clock, number

# Light and dark. The light ones mark in the SVG what the page's style sheet may repaint, so no two are the same.
COLOURS: Final = {
    "ink": ("#18202b", "#e8edf3"),
    "muted": ("#56616f", "#a3afbd"),
    "rule": ("#d3d9e0", "#384350"),
    "paper": ("#ffffff", "#11161d"),
    "shade": ("#f1f3f6", "#1a212a"),
    "on": ("#fffffe", "#0d1117"),
    "primary": ("#1d5fa6", "#79b8ff"),
    "secondary": ("#a85400", "#ffb265"),
    "good": ("#18713b", "#62d08d"),
    "bad": ("#b01f2e", "#ff838d"),
    "doubt": ("#7a5c00", "#e8c547"),
    "detect": ("#5a3d9e", "#b9a3f5"),
    "switch": ("#a0407e", "#f29bd0"),
    "cache": ("#0c7377", "#5fd0d3"),
    "first_write": ("#6b6210", "#d6c95a"),
}
# To distinguish phases without colour, as the bands of the timeline are.
HATCHES: Final[dict[Phase, str]] = {"detect": "", "switch": "\\\\\\", "cache": "////", "first_write": "xxxx"}
INK, MUTED, RULE, PAPER, SHADE, ON, PRIMARY, SECONDARY, GOOD, BAD, DOUBT, *_ = (light for light, _ in COLOURS.values())
STYLE: Final = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.parse_math": False,  # a "$" in a journal is a "$"
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "hatch.linewidth": 0.6,
    "svg.fonttype": "none",  # text that can be read aloud, searched and copied
}


def line(text: object, length: int = 120) -> str:
    """Text of a journal as one line of a figure."""
    line = "".join(letter if letter.isprintable() else " " for letter in str(text))
    return line if len(line) <= length else f"{line[: length - 1]}…"


def draw_timeline(figure: FigureBase, drill: ReportContent) -> None:
    """Steps, probes and verdicts of both regions, the DNS answer, and how payments of each mode ended."""
    heights = [0.5, 1.5, 0.26, 1.5, 0.26, 0.3, 0.45, 0.45]
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights, left=0.155, right=0.985, top=0.94, bottom=0.07)
    axes = [figure.add_subplot(grid[row]) for row in range(len(heights))]
    for ax in axes:
        ax.set(xlim=(0, drill.end), yticks=[])
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(bottom=ax is axes[-1], labelbottom=ax is axes[-1])
        if outage := drill.outage():
            ax.axvspan(*outage, color=BAD, alpha=0.07, linewidth=0)
            for moment in outage:
                ax.axvline(moment, color=BAD, linewidth=0.8, linestyle=(0, (3, 2)), zorder=0.5)
    if outage:
        axes[0].text(
            sum(outage) / 2, 1.08, f"outage of {line(drill.journal['outage']['region'], 40)}", color=BAD,
            ha="center", va="bottom", weight="bold", transform=axes[0].get_xaxis_transform(),
        )  # fmt: skip
    colours = {drill.primary: PRIMARY, drill.secondary: SECONDARY}

    _label(axes[0], "steps of the drill")
    steps = [
        (start, end, str(place), f"{place} {line(name, 30)}")
        for place, (start, end, name) in enumerate(drill.spans((each["at"], each["name"]) for each in drill.steps), 1)
    ]
    _band(axes[0], [(start, end, (long, short), SHADE, INK, None) for start, end, short, long in steps])
    cut = [long for start, end, _, long in steps if _width(axes[0], long, 8) > end - start]
    figure.text(0.155, 0.012, "  ".join(cut), fontsize=8, color=INK)
    for side, region, raster, strip in (
        ("primary", drill.primary, axes[1], axes[2]),
        ("secondary", drill.secondary, axes[3], axes[4]),
    ):
        probes = [probe for probe in drill.probes if probe["region"] == region]
        checkers = sorted({str(probe["checker"]) for probe in probes})
        _label(raster, f"{line(region, 20)}\n({side})", colours[region], "bold", y=0.78)
        _label(raster, f"probes of {len(checkers)}\nhealth checkers:\n| passed, x failed", y=0.3)
        _raster(raster, probes, checkers, drill.end)
        verdicts = drill.spans(
            ((each["at"], each["healthy"]) for each in drill.verdicts if each["region"] == region), normal=True
        )
        _label(strip, "Route 53 (simulated)" if drill.is_virtual else "Route 53 finds it")
        _band(strip, [
            (start, end, ("✓ healthy" if healthy else "✗ unhealthy", "✓" if healthy else "✗"),
             GOOD if healthy else BAD, ON, None if healthy else "////")
            for start, end, healthy in verdicts
        ])  # fmt: skip
    _label(axes[5], "DNS (simulated)" if drill.is_virtual else "DNS answers with")
    answers = drill.spans(((each["at"], each["region"]) for each in drill.answers), normal=drill.primary)
    _band(axes[5], [
        (start, end, (line(region, 30), ""), colours.get(region, MUTED), ON,
         "\\\\\\\\" if region == drill.secondary else None)
        for start, end, region in answers
    ])  # fmt: skip
    for ax, (mode, rpo, lost) in zip(axes[6:], drill.modes(), strict=True):
        _label(ax, f"{mode} mode", weight="bold", y=0.76)
        _label(ax, f"missing: {lost}", BAD if mode == CONFIRMED and rpo.get("missing_at_switch") else INK, y=0.2)
        _band(ax, [(start, end, *_style(found, drill, colours)) for start, end, found in drill.outcomes(mode)])
    step = next(size for size in (10, 15, 30, 60, 120, 300, 900, 3600, 86400) if drill.end / size <= 16)
    axes[-1].xaxis.set_major_locator(MultipleLocator(step))
    axes[-1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: clock(value)))
    axes[-1].set_xlabel("time of the drill (min:s)", labelpad=2, loc="right")


def _style(
    found: Outcome, drill: ReportContent, colours: dict[str, str]
) -> tuple[tuple[str, ...], str, str, str | None]:
    """Labels, colours and hatch of a band that shows how payments ended."""
    region, done, failed = line(found.region, 30), number(found.acknowledged), number(found.failed)
    if not found.has_failed:
        hatch = "\\\\\\\\" if found.region == drill.secondary else None
        labels = (f"✓ {done} acknowledged by {region}", f"✓ {done} by {region}", f"✓ {region}", "✓")
        return labels, colours.get(found.region, MUTED), ON, hatch
    if not found.is_acknowledged:
        return (f"✗ {failed} failed in {region}", f"✗ {failed} failed", "✗ failed", "✗"), BAD, ON, "////"
    return (f"{done} acknowledged, {failed} failed in {region}", f"✓ {done}, ✗ {failed}", "✓✗"), DOUBT, ON, "xxxx"


def _label(ax: Axes, text: str, colour: str = INK, weight: str = "normal", y: float = 0.5) -> None:
    ax.text(-0.035, y, text, color=colour, weight=weight, ha="right", va="center", transform=ax.transAxes)


def _width(ax: Axes, text: str, size: float) -> float:
    """About how much of the x axis a text takes, in its unit; widths of letters differ from screen to screen."""
    inches = ax.get_position().width * ax.get_figure(root=True).get_size_inches()[0]  # type: ignore[union-attr]
    left, right = ax.get_xlim()
    return float(len(text) * size * 0.66 / 72 / inches * (right - left))


def _band(ax: Axes, spans: list[tuple[float, float, tuple[str, ...], str, str, str | None]]) -> None:
    """A row of rectangles (start, end, its labels from long to short, colour, colour of the label, hatch)."""
    ax.set_ylim(0, 1)
    ax.spines["bottom"].set_visible(False)
    for start, end, labels, colour, ink, hatch in spans:
        ax.add_patch(Rectangle((start, 0), end - start, 1, facecolor=colour, edgecolor=RULE, linewidth=0.6))
        if hatch:
            ax.add_patch(Rectangle((start, 0), end - start, 1, facecolor="none", edgecolor=ON, alpha=0.45, hatch=hatch))
        for label in labels:
            if label and _width(ax, label, 8) <= end - start:
                behind = {"facecolor": colour, "edgecolor": "none", "pad": 1} if hatch else None
                ax.text((start + end) / 2, 0.48, label, ha="center", va="center", color=ink, fontsize=8, bbox=behind)
                break
    if not spans:
        ax.text(0, 0.5, "nothing recorded", va="center", color=MUTED, fontsize=8)


def _raster(ax: Axes, probes: list[ProbeEvent], checkers: list[str], end: float) -> None:
    """One row for each checker: a stroke for a probe that passed, a cross for one that failed."""
    ax.set_ylim(len(checkers) - 0.3, -0.7)
    row = {checker: place for place, checker in enumerate(checkers)}
    x, y = end / 420, 0.36
    for ok, strokes, colour, width in (
        (True, [(0, -y, 0, y)], GOOD, 0.9),
        (False, [(-x, -y, x, y), (-x, y, x, -y)], BAD, 1.1),
    ):
        points = [
            (probe["at"] + dx, row[str(probe["checker"])] + dy)
            for probe in probes if probe["ok"] is ok
            for stroke in strokes for dx, dy in (stroke[:2], stroke[2:])
        ]  # fmt: skip
        if points:
            codes = [Shape.MOVETO, Shape.LINETO] * (len(points) // 2)
            ax.add_patch(PathPatch(Shape(points, codes), facecolor="none", edgecolor=colour, linewidth=width))


def draw_bars(figure: FigureBase, drill: ReportContent) -> None:
    """The phases of failover and failback one after the other, measured and at most, against the target."""
    ax = figure.add_axes((0.185, 0.19, 0.8, 0.61))
    target = drill.known_target
    bars: list[tuple[str, PhaseSeconds]] = []
    for way in WAYS:
        if way in drill.measured:
            bars.append((f"{way}\n{drill.run_in_short}", drill.measured[way]))
        if way in drill.simulated:
            bars.append((f"{way}\nbound, computed", drill.bound(way)))
    ax.set_xlim(0, 1.2 * max([target, *(bar["total"] for _, bar in bars)]))
    for row, (_, bar) in enumerate(bars):
        left = 0.0
        for phase in PHASES:
            name, colour = phase.replace("_", " "), COLOURS[phase][0]
            left_out = "" if any(each[phase] for _, each in bars) else f" ({drill.phase(phase, 0)})"
            ax.barh(row, bar[phase], left=left, height=0.62, color=colour, edgecolor=PAPER, linewidth=0.8,
                    hatch=HATCHES[phase], label="" if row else name + left_out)  # fmt: skip
            for text in (f"{name} {bar[phase]:.1f} s", f"{bar[phase]:.1f}"):
                if _width(ax, text, 8) <= bar[phase]:
                    ax.text(left + bar[phase] / 2, row, text, ha="center", va="center", color=ON, fontsize=8,
                            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1})  # fmt: skip
                    break
            left += bar[phase]
        over = " ✗ over target" if bar["total"] > target else ""
        ax.text(left, row, f"  {bar['total']:.1f} s{over}", va="center", weight="bold", color=BAD if over else INK,
                bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.5, "alpha": 0.85})  # fmt: skip
    ax.axvline(target, color=INK, linewidth=1.4, linestyle=(0, (5, 3)))
    ax.text(target, 1.02, f"target {number(target)} s", ha="center", va="bottom", weight="bold",
            transform=ax.get_xaxis_transform())  # fmt: skip
    ax.set_yticks(range(len(bars)), [label for label, _ in bars], color=INK)
    ax.set_ylim(len(bars) - 0.5, -0.5)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(left=False)
    ax.set_xlabel("seconds from the outage (failover) or from recovery (failback) to the first transaction", labelpad=2)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.14), ncols=4, frameon=False, borderaxespad=0, handlelength=1.2)


def draw_distribution(figure: FigureBase, drill: ReportContent) -> None:
    """How often the model took how many seconds, with percentiles, bound and target."""
    found = drill.simulated
    right = 1.16 * max([drill.known_target, *(each["phases"]["total"]["bound"] for each in found.values())])
    grid = figure.add_gridspec(len(found), 1, left=0.155, right=0.985, top=0.97, bottom=0.11, hspace=0.22)
    for row, (name, summary) in enumerate(found.items()):
        ax = figure.add_subplot(grid[row])
        runs, total = np.array(summary["runs_by_second"]), summary["phases"]["total"]
        ax.stairs(100 * runs / runs.sum(), fill=True, color=PRIMARY, alpha=0.55, linewidth=0)
        top = 100 * runs.max() / runs.sum()
        marks = {key: total[key] for key in REPORTED} | {"target": drill.known_target}
        # From left to right each label one line lower, so that no line crosses a label.
        for line, (key, value) in enumerate(sorted(marks.items(), key=lambda mark: mark[1])):
            height = top * (2.05 - 0.19 * line)
            colour, weight = (BAD, "bold") if key == "target" else (INK, "normal")
            ax.vlines(value, 0, height, color=colour, linewidth=1.4 if key == "target" else 0.8,
                      linestyle=(0, (5, 3)) if key == "target" else "solid")  # fmt: skip
            ax.text(value + right * 0.004, height, f"{key} {number(value, 's')}", va="top", fontsize=8, color=colour,
                    weight=weight)  # fmt: skip
        ax.set(xlim=(0, right), ylim=(0, top * 2.12))
        ax.set_yticks([0, top], ["0", f"{top:.1f} %"])
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines["left"].set_bounds(0, top)
        ax.tick_params(labelbottom=row == len(found) - 1)
        _label(ax, name, weight="bold", y=0.9)
        _label(ax, f"share of {drill.runs:,}\nsimulated runs", y=0.72)
    ax.set_xlabel("recovery time in s (bars of 1 s)", labelpad=2)
