"""Props and attributes of a construct, read from its signature and docstring."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_SECTION = re.compile(r"^(Args|Attributes|Raises|Example):$", re.MULTILINE)
_ITEM = re.compile(r"^    (?P<names>[\w, *]+): (?P<text>.*(?:\n {5,}.*)*)", re.MULTILINE)


@dataclass(frozen=True)
class Prop:
    """One keyword of a construct or a value. `default` is None if it is required."""

    name: str
    type: str
    default: str | None
    description: str


@dataclass(frozen=True)
class Documented:
    """The docstring of a construct, in parts.

    Attributes:
        summary: The first sentence.
        text: The text after it.
        props: Its keywords, in the order of the signature.
        attributes: Description by names. Several names can share one.
        refusals: The reasons for its `ConfigurationError`.
    """

    summary: str
    text: str
    props: tuple[Prop, ...]
    attributes: Mapping[str, str]
    refusals: str


def documented(construct: type) -> Documented:
    """Read the docstring of a construct.

    Raises:
        ValueError: A keyword is not described.
    """
    body, *sections = _SECTION.split(inspect.getdoc(construct) or "")
    section = dict(zip(sections[::2], sections[1::2], strict=True))
    summary, _, text = body.strip().partition("\n\n")
    described = dict(each for names, text in _items(section.get("Args", "")) for each in _each(names, text))
    parameters = inspect.signature(vars(construct)["__init__"]).parameters.values()  # that of the class is jsii's
    keywords = [parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
    if undescribed := [keyword.name for keyword in keywords if keyword.name not in described]:
        raise ValueError(f"{construct.__name__} does not describe {', '.join(undescribed)}: add that to its docstring")
    return Documented(
        summary=summary.replace("\n", " "),
        text=text.strip(),
        props=tuple(
            Prop(keyword.name, _type(keyword), _default(keyword), _without_default(described[keyword.name], keyword))
            for keyword in keywords
        ),
        attributes=dict(_items(section.get("Attributes", ""))),
        refusals=" ".join(text for _, text in _items(section.get("Raises", ""))),
    )


def described(dictionary: type) -> tuple[str, dict[str, str]]:
    """Read the docstring of a dictionary with typed keys: its text, and the description of each key."""
    body, *sections = _SECTION.split(inspect.getdoc(dictionary) or "")
    section = dict(zip(sections[::2], sections[1::2], strict=True))
    keys = ((name, text) for names, text in _items(section.get("Attributes", "")) for name in re.split(r",\s*", names))
    return re.sub(r"\s+", " ", body.strip()), dict(keys)


def _items(text: str) -> Iterator[tuple[str, str]]:
    for item in _ITEM.finditer(text):
        yield item["names"], re.sub(r"\s+", " ", item["text"])


def _each(names: str, text: str) -> Iterator[tuple[str, str]]:
    """Split a description of several names: "Default 30 and 3." is one default for each of two."""
    every = re.split(r",\s*", names)
    defaults = re.search(r"\bDefault ([^:].*)\.$", text)
    values = re.split(r", | and ", defaults[1]) if defaults else []
    for index, name in enumerate(every):
        fits = defaults is not None and len(every) == len(values) > 1
        yield name, re.sub(r"\bDefault .*", f"Default {values[index]}.", text) if fits else text


def _type(parameter: inspect.Parameter) -> str:
    shown = inspect.formatannotation(parameter.annotation)
    return re.sub(r"\b(?:[a-z_0-9]+\.)+(?=[A-Z])", "", shown)


def _default(parameter: inspect.Parameter) -> str | None:
    if parameter.default is parameter.empty:
        return None
    shown = repr(parameter.default).replace("'", '"')
    return "{}" if shown == "<factory>" else shown  # how dataclasses show a default factory


def _without_default(description: str, parameter: inspect.Parameter) -> str:
    """Remove the default, which the table has in its own column."""
    said = '"?' + ("(?:False|no)" if parameter.default is False else re.escape(str(parameter.default))) + '"?'
    description = re.sub(rf"\.\s+Default {said};", ";", description)
    return re.sub(rf"\s*\bDefault {said}\.(\s|$)", " ", description).strip()
