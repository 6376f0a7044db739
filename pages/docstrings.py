"""What a construct's signature and docstring say about its props and attributes."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_SECTION = re.compile(r"^(Args|Attributes|Raises|Example):$", re.MULTILINE)
_ITEM = re.compile(r"^    (?P<names>[\w, *]+): (?P<text>.*(?:\n {5,}.*)*)", re.MULTILINE)


@dataclass(frozen=True)
class Prop:
    """One keyword of a construct or a value; `default` is None where it has to be given."""

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
    described = dict(each for names, text in _items(section.get("Args", "")) for each in _each(names, text))
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
        refusals=" ".join(text for _, text in _items(section.get("Raises", ""))),
    )


def described(dictionary: type) -> tuple[str, dict[str, str]]:
    """What is written about a dictionary with typed keys: about all of it, and about its keys."""
    body, *sections = _SECTION.split(inspect.getdoc(dictionary) or "")
    section = dict(zip(sections[::2], sections[1::2], strict=True))
    keys = ((name, text) for names, text in _items(section.get("Attributes", "")) for name in re.split(r",\s*", names))
    return re.sub(r"\s+", " ", body.strip()), dict(keys)


def _items(text: str) -> Iterator[tuple[str, str]]:
    for item in _ITEM.finditer(text):
        yield item["names"], re.sub(r"\s+", " ", item["text"])


def _each(names: str, text: str) -> Iterator[tuple[str, str]]:
    """What a section says of several names, for each: "Default 30 and 3." is one default for each of two."""
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
    return "{}" if shown == "<factory>" else shown  # how dataclasses show that each value gets its own


def _without_default(description: str, parameter: inspect.Parameter) -> str:
    """What the table says in a column of its own need not be said twice."""
    said = '"?' + ("(?:False|no)" if parameter.default is False else re.escape(str(parameter.default))) + '"?'
    description = re.sub(rf"\.\s+Default {said};", ";", description)
    return re.sub(rf"\s*\bDefault {said}\.(\s|$)", " ", description).strip()
