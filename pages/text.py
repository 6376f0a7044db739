"""Renders pages from the templates beside this file."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701 - Markdown, of our own values
)


def text_of(template: str, **values: Any) -> str:
    """Fill a template.

    Args:
        template: Its file name.
        **values: The variables of the template.
    """
    return _TEMPLATES.get_template(template).render(**values)
