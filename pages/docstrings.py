"""What a construct's signature and docstring say about its props and attributes."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_SECTION = re.compile(r"^(Args|Attributes|Raises|Example):$", re.MULTILINE)
_ITEM = re.compile(r"^    (?P<names>[\w, *]+): (?P<text>.*(?:\n {5,}.*)*)", re.MULTILINE)


@dataclass(frozen=True)
class Prop:
    """One keyword of a constructor; `default` is None where it has to be given."""

    name: str
    type: str
    default: str | None
    description: str


@dataclass(frozen=True)
class Documented:
    """What is written about a construct.

    Attributes:
        summary: The first sentence.
        text: What follows it.
        props: Its keywords, in the order of the signature.
        attributes: Description by names: several names can share one.
        refusals: What its `ConfigurationError` says is wrong.
    """

    summary: str
    text: str
    props: tuple[Prop, ...]
    attributes: Mapping[str, str]
    refusals: str


def documented(construct: type) -> Documented:
    """Read what is written about a construct.

    Raises:
        ValueError: A keyword is not described.
    """
    body, *sections = _SECTION.split(inspect.getdoc(construct) or "")
    section = dict(zip(sections[::2], sections[1::2], strict=True))
    summary, _, text = body.strip().partition("\n\n")
    described = {name: told for names, told in _items(section.get("Args", "")) for name in re.split(r",\s*", names)}
    parameters = inspect.signature(vars(construct)["__init__"]).parameters.values()  # that of the class is jsii's
    keywords = [parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    if silent := [keyword.name for keyword in keywords if keyword.name not in described]:
        raise ValueError(f"{construct.__name__} does not describe {', '.join(silent)}: add that to its docstring")
    return Documented(
        summary=summary.replace("\n", " "),
        text=text.strip(),
        props=tuple(
            Prop(keyword.name, _type(keyword), _default(keyword), _without_default(described[keyword.name], keyword))
            for keyword in keywords
        ),
        attributes=dict(_items(section.get("Attributes", ""))),
        refusals=" ".join(told for _, told in _items(section.get("Raises", ""))),
    )


def _items(text: str) -> Iterator[tuple[str, str]]:
    for item in _ITEM.finditer(text):
        yield item["names"], re.sub(r"\s+", " ", item["text"])


def _type(parameter: inspect.Parameter) -> str:
    shown = inspect.formatannotation(parameter.annotation)
    return re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", shown)


def _default(parameter: inspect.Parameter) -> str | None:
    return None if parameter.default is parameter.empty else repr(parameter.default)


def _without_default(description: str, parameter: inspect.Parameter) -> str:
    """What the table says in a column of its own need not be said twice."""
    return re.sub(rf'\s*Default "?{re.escape(str(parameter.default))}"?(\.$|\. |(?=;))', " ", description).strip()
