"""The report of a drill: one self-contained HTML file and a one-page PNG, both made from its journal alone."""

import hashlib
import io
import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import jinja2
import matplotlib.style
from markupsafe import Markup
from matplotlib.figure import Figure, FigureBase

from payment_dr.operations.drill.journal import WAYS
from payment_dr.operations.errors import OperationError
from payment_dr.operations.files import write_whole
from payment_dr.operations.printable import printable
from payment_dr.operations.report.content import ReportContent, clock, number, seconds, sentence
from payment_dr.operations.report.figures import (
    BAD,
    COLOURS,
    DOUBT,
    GOOD,
    MUTED,
    PAPER,
    STYLE,
    draw_bars,
    draw_distribution,
    draw_timeline,
    line,
)


def write_report(journal_path: Path) -> tuple[Path, Path]:
    """Write the report beside the journal, the same for the same journal.

    Args:
        journal_path: The journal; one of a killed drill will do.

    Returns:
        The HTML file and the PNG file.

    Raises:
        OperationError: The file cannot be read, or is no journal of this version.

    Example:
        >>> html, png = write_report(Path("drill-reports/2026-11-22T16-50-03Z-region.json"))  # doctest: +SKIP
    """
    try:
        content = journal_path.read_bytes()
    except OSError as error:
        raise OperationError(
            f"the journal {journal_path} cannot be read: {error.strerror}", hint="give the path that 'dr drill' printed"
        ) from error
    try:
        html, png = render(content, journal_path.name)
    # Whatever is wrong in a file that someone else has written ends here.
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, jinja2.TemplateError) as error:
        raise OperationError(
            f"{journal_path} is no journal of a drill: {type(error).__name__}: {error}",
            hint="give the JSON file that 'dr drill' wrote, unchanged",
        ) from error
    paths = journal_path.with_suffix(".html"), journal_path.with_suffix(".png")
    for path, data in zip(paths, (html, png), strict=True):
        try:
            write_whole(path, data)
        except OSError as error:
            raise OperationError(
                f"the report {path} cannot be written: {error.strerror}; the journal {journal_path} is whole",
                hint=f"make room, then run 'dr report {journal_path}', or copy the journal elsewhere before",
            ) from error
    return paths


def render(content: bytes, name: str) -> tuple[bytes, bytes]:
    """HTML and PNG of a journal's content; any error of the content is raised as Python meets it."""
    drill = ReportContent(json.loads(content, parse_constant=_reject), name, hashlib.sha256(content).hexdigest())
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"seconds": seconds, "clock": clock, "number": number, "sentence": sentence}
    with matplotlib.style.context(["default", STYLE], after_reset=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a letter that no installed font has is a box in the PNG
        figures = {
            "timeline": _svg(draw_timeline, drill, 6.0) if drill.events else None,
            "bars": _svg(draw_bars, drill, 2.8) if drill.measured or drill.simulated else None,
            "distribution": _svg(draw_distribution, drill, 4.6) if drill.simulated else None,
        }
        html = environment.get_template("report.html.j2").render(drill=drill, colours=COLOURS, **figures)
        png = _png(drill)
    html.encode()  # half of a pair of surrogates is no text
    return printable(html, lines=True).encode(), png


def _reject(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _svg(draw: Callable[[FigureBase, ReportContent], None], drill: ReportContent, height: float) -> Markup:
    """A figure as SVG in the page: its colours follow the page's, and nothing but the page is needed."""
    with matplotlib.rc_context({"svg.hashsalt": draw.__name__}):
        figure, file = Figure(figsize=(12, height)), io.StringIO()
        draw(figure, drill)
        none = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=none)
    root = ElementTree.fromstring(file.getvalue())  # noqa: S314 - matplotlib wrote it
    root.attrib = {"viewBox": root.attrib["viewBox"], "xmlns": "http://www.w3.org/2000/svg"}
    used = {id_ for each in root.iter() for value in each.attrib.values() for id_ in re.findall(r"#(\w+)", value)}
    repaint = {light: f"var(--{name})" for name, (light, _) in COLOURS.items()}
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for child in [*element.findall("{*}metadata"), *element.findall("{*}style")]:
            element.remove(child)
        if element.get("id") not in used:
            element.attrib.pop("id", None)
        if reference := element.attrib.pop("{http://www.w3.org/1999/xlink}href", None):
            element.set("href", reference)
        for name in {"style", "fill", "stroke"} & element.attrib.keys():
            value = re.sub(r"#[0-9a-f]{6}", lambda found: repaint.get(found[0], found[0]), element.attrib[name])
            element.set(name, re.sub(r"'DejaVu Sans'[^;]*", "var(--font)", value))
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704 - a serializer escapes


def _png(drill: ReportContent) -> bytes:
    """Verdict, timeline and bars on one page, 1,600 pixels wide."""
    journal = drill.journal
    heights = [1.6, 6.1 if drill.events else 0.1, 2.8 if drill.measured or drill.simulated else 0.1]
    figure = Figure(figsize=(12.8, sum(heights)), dpi=125, facecolor=PAPER)
    head, timeline, bars = figure.subfigures(3, 1, height_ratios=heights, squeeze=False)[:, 0]
    colour = {"passed": GOOD, "missed": BAD}.get(drill.verdict, DOUBT)
    *bounds, left_out = [*drill.bounds()] or [""]
    times = ", ".join(f"{name}: {drill.recovery(name)}" for name in WAYS)
    for y, text, style in (
        (0.86, drill.headline, {"fontsize": 18, "weight": "bold", "color": colour}),
        (0.63, f"{times}, target: {number(drill.target, 's')}. {drill.loss or ''}", {"fontsize": 11}),
        (0.48, f"{drill.run_made_of}{drill.system_in_short}", {"color": MUTED}),
        (0.35, ". ".join(bounds), {"color": MUTED}),
        (0.22, left_out, {"color": MUTED}),
        (0.07, "; ".join(journal.get("causes") or []), {"weight": "bold", "color": colour}),
    ):
        head.text(0.015, y, line(text, 190), va="center", **style)
    head.text(0.985, 0.9, line(journal["id"], 60), ha="right", va="center", color=MUTED)
    if drill.events:
        draw_timeline(timeline, drill)
    if drill.measured or drill.simulated:
        draw_bars(bars, drill)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()
