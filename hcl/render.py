"""Terraform's JSON syntax as its native syntax; the providers' schemas say what is a block and what an attribute.

The two syntaxes: https://developer.hashicorp.com/terraform/language/syntax/json. Layout is left to ``terraform fmt``.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_KEYWORDS = {"for", "if", "in", "null", "true", "false"}
_REFERENCES = {"depends_on", "ignore_changes", "replace_triggered_by", "provider", "from", "to", "iterator"}
_CONDITION: Json = {"attributes": {"condition": {}, "error_message": {}}}
_LIFECYCLE: Json = {
    "attributes": dict.fromkeys(("create_before_destroy", "prevent_destroy", "ignore_changes", "replace_triggered_by")),
    "block_types": {name: {"block": _CONDITION} for name in ("precondition", "postcondition")},
}
_META: Json = {
    "attributes": dict.fromkeys(("depends_on", "provider", "count", "for_each")),
    "block_types": {"lifecycle": {"block": _LIFECYCLE}},
}


class NotRenderable(ValueError):  # noqa: N818 - named after what it says of its argument
    """The configuration holds something that neither the schema nor Terraform's own language knows."""


def _end(text: str, start: int) -> int:
    """Return where the template sequence ends whose ``${`` or ``%{`` is at ``start``; strings in it may nest."""
    depth, index = 1, start + 2
    while index < len(text):
        if text[index] == '"':
            index += 1
            while index < len(text) and text[index] != '"':
                if text.startswith(("$${", "%%{"), index):
                    index += 3
                elif text.startswith(("${", "%{"), index):
                    index = _end(text, index)
                else:
                    index += 2 if text[index] == "\\" else 1
        elif text[index] == "{":
            depth += 1
        elif text[index] == "}":
            depth -= 1
            if not depth:
                return index + 1
        index += 1
    raise NotRenderable(f"a template is not closed: {text}")


def literal(text: str) -> str:
    """Quote text that is no template.

    Example:
        >>> literal("costs ${5}")
        '"costs $${5}"'
    """
    return _quoted(text).replace("${", "$${").replace("%{", "%%{")


def _quoted(text: str) -> str:
    written = json.dumps(text, ensure_ascii=False)  # HCL has no \\b and \\f
    return re.sub(r"\\(.)", lambda found: {"b": r"\u0008", "f": r"\u000c"}.get(found[1], found[0]), written)


def template(text: str) -> str:
    """Write a template, or the bare expression where the template is nothing but that.

    Example:
        >>> template("${aws_vpc.primary.id}"), template("vpc-${var.environment}")
        ('aws_vpc.primary.id', '"vpc-${var.environment}"')
    """
    if text.startswith("${") and not text.startswith("${~") and _end(text, 0) == len(text) and text[-2] != "~":
        inner = text[2:-1].strip()
        return f"({inner})" if "\n" in inner else inner
    parts, index, begun = [], 0, 0
    while index < len(text):
        if text.startswith(("$${", "%%{"), index):
            index += 3
        elif text.startswith(("${", "%{"), index):
            end = _end(text, index)
            parts += [_quoted(text[begun:index])[1:-1], text[index:end]]
            index = begun = end
        else:
            index += 1
    return '"' + "".join([*parts, _quoted(text[begun:])[1:-1]]) + '"'


def expression(value: Any, *, plain: bool = False) -> str:
    """Write a value; strings are templates unless ``plain``."""
    if isinstance(value, str):
        return literal(value) if plain else template(value)
    if isinstance(value, Mapping):
        lines = [f"{_key(key, plain)} = {expression(each, plain=plain)}\n" for key, each in value.items()]
        return "{\n" + "".join(lines) + "}" if lines else "{}"
    if isinstance(value, list):
        items = [expression(each, plain=plain) for each in value]
        short = f"[{', '.join(items)}]"
        return short if len(short) < 100 and "\n" not in short else "[\n" + "".join(f"{i},\n" for i in items) + "]"
    return json.dumps(value)


def _key(key: str, plain: bool) -> str:
    if _IDENTIFIER.fullmatch(key) and key not in _KEYWORDS:
        return key
    written = literal(key) if plain else template(key)
    return written if written.startswith('"') else f"({written})"


def _bare(value: Any) -> str:
    """Write references as JSON has them: as strings, with or without the template around them."""
    if isinstance(value, list):
        return "[\n" + "".join(f"{_bare(each)},\n" for each in value) + "]" if value else "[]"
    return template(value) if "${" in value else str(value)


def block(head: str, content: Json, schema: Json, *, meta: Json | None = None, plain: bool = False) -> str:
    """Write one block: attributes first, then the blocks in it.

    Args:
        head: Type and labels, such as ``resource "aws_vpc" "primary"``.
        content: Its body in JSON.
        schema: The ``block`` of the provider's schema.
        meta: What Terraform itself allows in such a block beside that.
        plain: Whether strings are literal.

    Raises:
        NotRenderable: The schema does not know an argument.
    """
    meta = meta or {}
    attributes = {**schema.get("attributes", {}), **meta.get("attributes", {})}
    blocks = {**schema.get("block_types", {}), **meta.get("block_types", {})}
    excused = content.get("//", {}).get("excused", {}) if isinstance(content.get("//"), Mapping) else {}
    lines = [f"# checkov:skip={rule}:{_one_line(reason)}\n" for rule, reason in excused.items()]
    inner = []
    for name, value in content.items():
        if name == "//":
            continue
        if name in attributes:
            written = _bare(value) if name in _REFERENCES and (meta or schema is _LIFECYCLE) else None
            lines.append(f"{name} = {written or expression(value, plain=plain)}\n")
        elif name in blocks:
            labelled = blocks[name].get("nesting_mode") == "map"
            inner += [block(each, body, blocks[name]["block"]) for each, body in _bodies(name, value, labelled)]
        elif name == "dynamic":
            for part in _list(value):
                for label, bodies in part.items():
                    inner += [_dynamic(label, body, blocks) for body in _list(bodies)]
        else:
            raise NotRenderable(f"{head}: the schema knows no {name}")
    body = "".join([*lines, *(f"\n{each}" for each in inner)])
    return f"{head} {{\n{body}}}\n" if body else f"{head} {{}}\n"


def _dynamic(label: str, content: Json, blocks: Json) -> str:
    if label not in blocks:
        raise NotRenderable(f"the schema knows no block {label}")
    schema = {
        "attributes": dict.fromkeys(("for_each", "labels")),
        "block_types": {"content": {"block": blocks[label]["block"]}},
    }
    return block(f'dynamic "{label}"', content, schema, meta={"attributes": {"iterator": None}})


def _bodies(name: str, value: Any, labelled: bool) -> Iterator[tuple[str, Json]]:
    for each in _list(value):
        if labelled:
            for label, bodies in each.items():
                yield from ((f"{name} {literal(label)}", body) for body in _list(bodies))
        else:
            yield name, each


def _list(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _one_line(text: str) -> str:
    return " ".join(str(text).split())


def entity(kind: str, type_: str, name: str, content: Json, schema: Json) -> str:
    """Write a resource or a data source, under the path of its construct."""
    path = content.get("//", {}).get("metadata", {}).get("path", "")
    written = block(f'{kind} "{type_}" "{name}"', content, schema, meta=_META)
    return (f"# {path}\n" if path else "") + written


def provider(name: str, content: Json, schema: Json) -> str:
    """Write one configuration of a provider."""
    return block(f'provider "{name}"', content, schema, meta={"attributes": {"alias": None, "version": None}})


def variable(name: str, content: Json) -> str:
    """Write a variable; its type is bare, its default is no template, its conditions are expressions."""
    lines = [
        f"{key} = {value if key == 'type' else expression(value, plain=True)}\n"
        for key, value in content.items()
        if key not in ("//", "validation")
    ]
    checks = ["\n" + block("validation", each, _CONDITION) for each in _list(content.get("validation"))]
    return f'variable "{name}" {{\n' + "".join([*lines, *checks]) + "}\n"


def output(name: str, content: Json) -> str:
    """Write an output."""
    lines = []
    for key, value in content.items():
        if key != "//":
            written = _bare(value) if key == "depends_on" else expression(value, plain=key == "description")
            lines.append(f"{key} = {written}\n")
    return f'output "{name}" {{\n' + "".join(lines) + "}\n"


def terraform(content: Json) -> str:
    """Write the ``terraform`` block; everything in it is literal."""
    text = "".join(f"{k} = {literal(v)}\n" for k, v in content.items() if isinstance(v, str) and k != "//")
    if required := content.get("required_providers"):
        text += "\nrequired_providers {\n"
        text += "".join(f"{name} = {expression(each, plain=True)}\n" for name, each in required.items()) + "}\n"
    for name, backend in content.get("backend", {}).items():
        settings = "".join(f"{key} = {expression(value, plain=True)}\n" for key, value in backend.items())
        text += f'\nbackend "{name}" {{\n{settings}}}\n'
    return f"terraform {{\n{text}}}\n"
