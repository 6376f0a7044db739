"""A page for each construct: example, props, attributes, what you get, diagram."""

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import payment_dr
from pages.docstrings import documented
from pages.graph import constructs_as_mermaid, elements, resources_as_mermaid
from pages.synthesis import PROJECT, template_of
from pages.text import text_of

MINIMAL: Final = Path(__file__).parent / "minimal"
CONSTRUCTS: Final = (
    payment_dr.DisasterRecoveryStack,
    payment_dr.RegionalNetwork,
    payment_dr.GlobalData,
    payment_dr.HealthMonitor,
    payment_dr.ConfigSync,
    payment_dr.DnsFailover,
    payment_dr.CustomDomain,
    payment_dr.EncryptionKey,
    payment_dr.Alerting,
    payment_dr.Role,
    payment_dr.PythonFunction,
)
LARGE: Final = 60  # resources, beyond which a page names types alone


def file_name(construct: type) -> str:
    """``global_data`` for GlobalData."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", construct.__name__).lower()


def render(construct: type, template: Mapping[str, Any]) -> str:
    """The page of one construct.

    Args:
        construct: Its class.
        template: What its minimal example synthesizes.

    Raises:
        ValueError: Its docstring does not describe a prop.
    """
    known = elements(template).values()
    is_large = len(known) > LARGE
    kinds: dict[str, list[str]] = {}
    for element in sorted(known, key=lambda each: each.address):
        kinds.setdefault(element.kind, []).append("/".join(element.path))
    return text_of(
        "construct.md.j2",
        name=construct.__name__,
        about=documented(construct),
        example=(MINIMAL / f"{file_name(construct)}.py").read_text(encoding="utf-8"),
        source=Path(inspect.getfile(construct)).relative_to(PROJECT).as_posix(),
        kinds=kinds,
        is_large=is_large,
        diagram=(constructs_as_mermaid if is_large else resources_as_mermaid)(template),
    )


def pages() -> dict[str, str]:
    """All pages by their names below docs/constructs."""
    rendered = {
        f"{file_name(each)}.md": render(each, template_of(MINIMAL / f"{file_name(each)}.py")) for each in CONSTRUCTS
    }
    index = [(each.__name__, f"{file_name(each)}.md", documented(each).summary) for each in CONSTRUCTS]
    return {"README.md": text_of("constructs.md.j2", constructs=index), **rendered}
