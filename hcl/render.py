"""Converts Terraform's JSON syntax to its native syntax. The providers' schemas tell blocks from attributes.

The two syntaxes: https://developer.hashicorp.com/terraform/language/syntax/json. ``terraform fmt`` does the layout.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_KEYWORDS = {"for", "if", "in", "null", "true", "false"}
_CONDITION: Json = {"attributes": {"condition": {}, "error_message": {}}}
_CONDITIONS: Json = {name: {"block": _CONDITION} for name in ("precondition", "postcondition")}
_LIFECYCLE: Json = {
    "attributes": dict.fromkeys(("create_before_destroy", "prevent_destroy", "ignore_changes", "replace_triggered_by")),
    "block_types": _CONDITIONS,
}
_META: Json = {
    "attributes": dict.fromkeys(("count", "for_each", "provider", "depends_on")),
    "block_types": {"lifecycle": {"block": _LIFECYCLE}},
}
_REFERENCES = {"depends_on", "ignore_changes", "replace_triggered_by", "provider", "iterator"}

# https://developer.hashicorp.com/terraform/language/style#resource-order
_BEFORE = ("count", "for_each", "provider")
_AFTER = ("lifecycle", "depends_on")
# Identifying arguments come first, the rest in the order of the configuration.
_LEADING = ("alias", "sid", "effect", "name", "type", "test", "variable")
_VARIABLE = ("type", "description", "default", "sensitive", "nullable", "ephemeral")
_OUTPUT = ("description", "value", "sensitive", "ephemeral", "depends_on")


class NotRenderable(ValueError):  # noqa: N818 - named after a property of its argument
    """The configuration has a part that neither the schema nor Terraform's language knows."""


def _end(text: str, start: int) -> int:
    """Return the end of the template sequence whose ``${`` or ``%{`` is at ``start``. Strings in it may nest."""
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
    """Quote text that is not a template.

    Example:
        >>> literal("costs ${5}")
        '"costs $${5}"'
    """
    return _quoted(text).replace("${", "$${").replace("%{", "%%{")


def _quoted(text: str) -> str:
    written = json.dumps(text, ensure_ascii=False)  # HCL has no \\b and \\f
    return re.sub(r"\\(.)", lambda found: {"b": r"\u0008", "f": r"\u000c"}.get(found[1], found[0]), written)


def template(text: str) -> str:
    """Write a template, or the bare expression if the template is nothing else.

    Example:
        >>> template("${aws_vpc.primary.id}"), template("vpc-${var.environment}")
        ('aws_vpc.primary.id', '"vpc-${var.environment}"')
    """
    if text.startswith("${") and not text.startswith("${~") and _end(text, 0) == len(text) and text[-2] != "~":
        inner = _indexed(text[2:-1].strip())
        return f"({inner})" if "\n" in inner else inner
    parts, begun = [], 0
    for start, end in _sequences(text):
        parts += [_quoted(text[begun:start])[1:-1], _indexed(text[start:end])]
        begun = end
    return '"' + "".join([*parts, _quoted(text[begun:])[1:-1]]) + '"'


def _indexed(sequence: str) -> str:
    """Write indices in brackets; the dot is legacy: https://developer.hashicorp.com/terraform/language/expressions/references."""
    return sequence if '"' in sequence else re.sub(r"(?<=[A-Za-z_)\]])\.(\d+)(?=[.)\]}]|$)", r"[\1]", sequence)


def _sequences(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each template sequence."""
    index = 0
    while index < len(text):
        if text.startswith(("$${", "%%{"), index):
            index += 3
        elif text.startswith(("${", "%{"), index):
            end = _end(text, index)
            yield index, end
            index = end
        else:
            index += 1


def _json_document(text: str) -> str | None:
    """Write a JSON document without the escapes of a quoted string. None if the text is no JSON document.

    Not with ``jsonencode``, which sorts keys and removes spaces: that would be another value.
    """
    if not re.fullmatch(r"\{[^\r\n]+\}|\[[^\r\n]+\]", text):
        return None
    try:
        filled = text
        for start, end in reversed([*_sequences(text)]):
            filled = f"{filled[:start]}0{filled[end:]}"  # as good as any value, in a string and outside
        json.loads(filled)
    except ValueError:
        return None
    return f"chomp(<<-JSON\n{text}\nJSON\n)"


def expression(value: Any, *, plain: bool = False) -> str:
    """Write a value; strings are templates unless ``plain``."""
    if isinstance(value, str):
        return literal(value) if plain else _json_document(value) or template(value)
    if isinstance(value, Mapping):
        lines = [f"{_key(key, plain)} = {expression(each, plain=plain)}\n" for key, each in value.items()]
        return "{\n" + "".join(lines) + "}" if lines else "{}"
    if isinstance(value, list):
        return _listed([expression(each, plain=plain) for each in value])
    return json.dumps(value)


def _listed(items: list[str]) -> str:
    short = f"[{', '.join(items)}]"
    return short if len(short) < 100 and "\n" not in short else "[\n" + "".join(f"{i},\n" for i in items) + "]"


def _key(key: str, plain: bool) -> str:
    if _IDENTIFIER.fullmatch(key) and key not in _KEYWORDS:
        return key
    written = literal(key) if plain else template(key)
    return written if written.startswith('"') else f"({written})"


def _bare(value: Any) -> str:
    """Write references, which JSON has as strings, with or without a template around them."""
    if isinstance(value, list):
        return _listed([_bare(each) for each in value])
    return template(value) if "${" in value else str(value)


def block(head: str, content: Json, schema: Json, *, meta: Json | None = None, plain: bool = False) -> str:
    """Write one block, with its parts in the order of HashiCorp's style guide and one empty line between them.

    Args:
        head: Type and labels, such as ``resource "aws_vpc" "primary"``.
        content: Its body in JSON.
        schema: The ``block`` of the provider's schema.
        meta: What Terraform itself also allows in such a block.
        plain: Whether strings are literal.

    Raises:
        NotRenderable: The schema does not know an argument.
    """
    own = _LIFECYCLE if schema is _LIFECYCLE else meta or {}
    own_attributes = own.get("attributes", {})
    attributes = {**schema.get("attributes", {}), **own_attributes}
    blocks = {**schema.get("block_types", {}), **own.get("block_types", {})}
    suppressed = content.get("//", {}).get("suppressed", {}) if isinstance(content.get("//"), Mapping) else {}
    arguments: list[str] = []
    inner: list[str] = []
    placed: dict[str, str] = {}
    for name, value in content.items():
        if name == "//":
            continue
        if name in attributes:
            bare = name in _REFERENCES and name in own_attributes
            arguments.append(f"{name} = {_bare(value) if bare else expression(value, plain=plain)}\n")
            if name in (*_BEFORE, *_AFTER) and name in own_attributes:
                placed[name] = arguments.pop()
        elif name in blocks:
            labelled = blocks[name].get("nesting_mode") == "map"
            before = len(inner)
            inner += [block(each, body, blocks[name]["block"]) for each, body in _bodies(name, value, labelled)]
            if name in _AFTER and name in own.get("block_types", {}):
                placed[name] = "\n".join(inner[before:])
                del inner[before:]
        elif name == "dynamic":
            for part in _list(value):
                for label, bodies in part.items():
                    inner += [_dynamic(label, body, blocks) for body in _list(bodies)]
        else:
            raise NotRenderable(f"{head}: the schema knows no {name}")
    return _body(
        head,
        "".join(f"# checkov:skip={rule}:{_one_line(reason)}\n" for rule, reason in suppressed.items()),
        "".join(placed[name] for name in _BEFORE if name in placed),
        "".join(sorted(arguments, key=_rank)),
        *inner,
        *(placed[name] for name in _AFTER if name in placed),
    )


def _rank(argument: str) -> tuple[bool, int]:
    """Put multi-line arguments after single lines, which ``terraform fmt`` can then align."""
    name = argument.split(" ", 1)[0]
    return argument.count("\n") > 1, _LEADING.index(name) if name in _LEADING else len(_LEADING)


def _body(head: str, *parts: str) -> str:
    body = "\n".join(part for part in parts if part)
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
    path = path_of(content)
    written = block(f'{kind} "{type_}" "{name}"', content, schema, meta=_META)
    return (f"# {path}\n" if path else "") + written


def path_of(content: Json) -> str:
    """Return the construct path of a resource or a data source, or an empty string."""
    return str(content.get("//", {}).get("metadata", {}).get("path", ""))


def provider(name: str, content: Json, schema: Json) -> str:
    """Write one configuration of a provider."""
    return block(f'provider "{name}"', content, schema, meta={"attributes": {"alias": None, "version": None}})


def variable(name: str, content: Json) -> str:
    """Write a variable: its type bare, its default literal, its conditions as expressions."""
    head = f'variable "{name}"'
    lines = _lines(head, content, _VARIABLE, "validation", lambda key, value: value if key == "type" else _plain(value))
    return _body(head, lines, *(block("validation", each, _CONDITION) for each in _list(content.get("validation"))))


def output(name: str, content: Json) -> str:
    """Write an output."""

    def written(key: str, value: Any) -> str:
        if key == "depends_on":
            return _bare(value)
        return _plain(value) if key == "description" else expression(value)

    head = f'output "{name}"'
    lines = _lines(head, content, _OUTPUT, "precondition", written)
    return _body(head, lines, *(block("precondition", each, _CONDITION) for each in _list(content.get("precondition"))))


def _lines(head: str, content: Json, order: Sequence[str], blocks: str, written: Callable[[str, Any], str]) -> str:
    if unknown := sorted(content.keys() - {*order, blocks, "//"}):
        raise NotRenderable(f"{head}: Terraform knows no {unknown[0]}")
    return "".join(f"{key} = {written(key, content[key])}\n" for key in order if key in content)


def _plain(value: Any) -> str:
    return expression(value, plain=True)


def terraform(content: Json) -> str:
    """Write the ``terraform`` block. Everything in it is literal."""
    if unknown := sorted(content.keys() - {"required_version", "required_providers", "backend", "//"}):
        raise NotRenderable(f"terraform: {unknown[0]} is not supported")
    version, required = content.get("required_version"), content.get("required_providers")
    return _body(
        "terraform",
        f"required_version = {_plain(version)}\n" if version else "",
        _body("required_providers", _settings(required)) if required else "",
        *(_body(f'backend "{name}"', _settings(backend)) for name, backend in content.get("backend", {}).items()),
    )


def _settings(content: Json) -> str:
    return "".join(f"{name} = {_plain(each)}\n" for name, each in content.items())


def indented(text: str) -> str:
    r"""Indent the documents that ``terraform fmt`` does not change.

    Example:
        >>> print(indented("  a = chomp(<<-JSON\n[1]\nJSON\n  )"))
          a = chomp(<<-JSON
            [1]
          JSON
          )
    """
    return re.sub(r"^( *)(.*<<-JSON\n)(.*\n)JSON$", r"\1\2\1  \3\1JSON", text, flags=re.MULTILINE)
