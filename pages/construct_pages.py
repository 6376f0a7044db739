"""A page for each construct: example, props, attributes, resources, diagram."""

import inspect
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import payment_dr
from pages.docstrings import Documented, Prop, documented
from pages.graph import Element, constructs_as_mermaid, elements, resources_as_mermaid
from pages.synthesis import PROJECT, template_of
from pages.text import text_of
from payment_dr import ConfigurationError
from payment_dr.checks import NAMES, limit_of, props_of

MINIMAL: Final = Path(__file__).parent / "minimal"
CONSTRUCTS: Final = (
    payment_dr.DisasterRecoveryStack,
    payment_dr.RegionalNetwork,
    payment_dr.GlobalData,
    payment_dr.HealthMonitor,
    payment_dr.ConfigSync,
    payment_dr.DataCanary,
    payment_dr.StandbySwitch,
    payment_dr.DnsFailover,
    payment_dr.CustomDomain,
    payment_dr.EncryptionKey,
    payment_dr.Alerting,
    payment_dr.Role,
    payment_dr.PythonFunction,
    payment_dr.FunctionRoutes,
)
LARGE: Final = 60  # resources; a page with more lists only their types


def file_name(construct: type) -> str:
    """``global_data`` for GlobalData."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", construct.__name__).lower()


def render(construct: type, template: Mapping[str, Any]) -> str:
    """Render the page of one construct.

    Args:
        construct: Its class.
        template: The synthesized minimal example.

    Raises:
        ValueError: Its docstring does not describe a prop.
    """
    known = elements(template).values()
    is_large = len(known) > LARGE
    kinds: dict[str, list[str]] = {}
    for element in sorted(known, key=lambda each: each.address):
        kinds.setdefault(element.kind, []).append(_resource(element, template))
    return text_of(
        "construct.md.j2",
        name=construct.__name__,
        about=documented(construct),
        row=_row,
        example=(MINIMAL / f"{file_name(construct)}.py").read_text(encoding="utf-8"),
        source=Path(inspect.getfile(construct)).relative_to(PROJECT).as_posix(),
        kinds=kinds,
        is_large=is_large,
        diagram=(constructs_as_mermaid if is_large else resources_as_mermaid)(template),
    )


def _values(owners: Iterable[type]) -> dict[str, Documented]:
    """The documentation of the classes that props of these take, and of the classes that those take."""
    named = sorted({name for owner in owners for prop in documented(owner).props for name in _ours(prop)})
    found = {name: documented(getattr(payment_dr, name)) for name in named}
    return dict(sorted({**found, **(_values(getattr(payment_dr, name) for name in named) if named else {})}.items()))


def _ours(prop: Prop) -> list[str]:
    """Classes of this library in its type, without those of Terraform's provider."""
    known = (getattr(payment_dr, name, None) for name in re.findall(r"\w+", prop.type))
    return [each.__name__ for each in known if isinstance(each, type) and each.__module__.startswith("payment_dr.")]


def _row(prop: Prop) -> str:
    """Its line in a table, where the type links to its documentation."""
    kind = f"`{prop.type}`".replace("|", "\\|")
    for name in _ours(prop):
        kind = f"[{kind}](values.md#{name.lower()})"
    default = "required" if prop.default is None else f"`{prop.default}`"
    return f"| `{prop.name}` | {kind} | {default} | {prop.description} |"


def _resource(element: Element, template: Mapping[str, Any]) -> str:
    """The path and description of a resource. A policy's description would only repeat its owner."""
    resource = template["resource"][element.kind][element.address.partition(".")[2]]
    description = "" if element.kind == "aws_iam_policy" else resource.get("description", "")
    return f"`{'/'.join(element.path)}`" + (f": {description}" if description else "")


def _limits() -> list[dict[str, Any]]:
    """The limits of props, with one row for all props that share a limit."""
    public = (getattr(payment_dr, name) for name in payment_dr.__all__)
    owners = [each for each in public if each.__module__.startswith("payment_dr.") and each is not ConfigurationError]
    rows: dict[int, dict[str, Any]] = {}
    for owner in (*owners, payment_dr.PythonFunction.invoke_by_rule):
        for prop in props_of(owner):
            if limit := limit_of(owner.__name__, prop.name):
                row = rows.setdefault(id(limit), {"limit": limit, "props": {}, "owners": {}})
                row["props"][prop.name] = row["owners"][owner.__name__] = True
    return sorted(rows.values(), key=lambda row: sorted(row["props"]))


def pages() -> dict[str, str]:
    """All pages by their names below docs/constructs."""
    rendered = {
        f"{file_name(each)}.md": render(each, template_of(MINIMAL / f"{file_name(each)}.py")) for each in CONSTRUCTS
    }
    values = _values(CONSTRUCTS)
    index = [(each.__name__, f"{file_name(each)}.md", documented(each).summary) for each in CONSTRUCTS]
    return {
        "README.md": text_of("constructs.md.j2", constructs=index, values=values),
        "limits.md": text_of("limits.md.j2", rows=_limits(), names=NAMES),
        "values.md": text_of("values.md.j2", values=values, row=_row),
        **rendered,
    }
