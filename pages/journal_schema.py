"""The JSON Schema of a drill's journal, made from the dictionaries with typed keys that the drill fills."""

import json
import types
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

from pages.docstrings import described
from payment_dr.operations.drill.journal import SCHEMA, Content

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
SIMPLE: Final[dict[object, str]] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
}
CLASSES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list,),
    "object": (dict,),
}


def render() -> str:
    """The page: the schema as JSON."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def schema() -> dict[str, Any]:
    """The schema of a journal.

    A key that a dictionary may lack is not `required`, and none is allowed that it does not have.

    Example:
        >>> schema()["properties"]["schema"]
        {'const': 1}
    """
    definitions: dict[str, Any] = {}
    found = _of_dictionary(Content, definitions)
    found["properties"]["schema"] = {"const": SCHEMA}
    top = {"$schema": DIALECT, "title": "Journal of a failover drill", **found}
    return {**top, "required": ["schema"], "$defs": dict(sorted(definitions.items()))}


def _of_dictionary(dictionary: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    hints = get_type_hints(dictionary, include_extras=True)
    text, keys = described(dictionary)
    properties = {
        name: _of(hint, definitions) | ({"description": keys[name]} if name in keys else {})
        for name, hint in hints.items()
    }
    found: dict[str, Any] = {"description": text, "type": "object", "properties": properties}
    # The journal adds both to each event that the drill notes.
    noted = {"at", "real"} if {"kind", "real"} <= properties.keys() else set()
    if required := sorted(dictionary.__required_keys__ | noted):
        found["required"] = required
    return found | {"additionalProperties": False}


def _of(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a type.

    Raises:
        TypeError: It is of no kind that journals have.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return {}
    if hint in SIMPLE:
        return {"type": SIMPLE[hint]}
    if is_typeddict(hint):
        name = hint.__name__
        if name not in definitions:
            definitions[name] = {}  # it may name itself
            definitions[name] = _of_dictionary(hint, definitions)
        return {"$ref": f"#/$defs/{name}"}
    if origin in (NotRequired, Required):
        return _of(arguments[0], definitions)
    if origin is Literal:
        return {"enum": list(arguments)} if len(arguments) > 1 else {"const": arguments[0]}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_of(each, definitions) for each in arguments]}
    if origin in (list, Sequence):
        return {"type": "array", "items": _of(arguments[0], definitions)}
    if origin in (dict, Mapping):
        keys = _of(arguments[0], definitions)
        names = {} if keys == {"type": "string"} else {"propertyNames": keys}
        return {"type": "object", **names, "additionalProperties": _of(arguments[1], definitions)}
    raise TypeError(f"{hint} has no schema")


def violations(value: Any, by: Mapping[str, Any], root: Mapping[str, Any], path: str = "$") -> list[str]:
    """What of a value is not as a schema of `render` wants it, a line each.

    It knows the words of JSON Schema that `render` writes, and no others.

    Args:
        value: The value, as JSON has it.
        by: Its schema.
        root: The schema that has the definitions.
        path: Where the value is.

    Example:
        >>> violations({"schema": 2}, schema(), schema())
        ['$.schema: 2 is not 1']
    """
    if "$ref" in by:
        return violations(value, root["$defs"][by["$ref"].rpartition("/")[2]], root, path)
    if "anyOf" in by:
        tried = [violations(value, each, root, path) for each in by["anyOf"]]
        return [] if [] in tried else min(tried, key=len)
    if "const" in by:
        return [] if value == by["const"] else [f"{path}: {value!r} is not {by['const']!r}"]
    if "enum" in by:
        return [] if value in by["enum"] else [f"{path}: {value!r} is none of {by['enum']}"]
    kind = by.get("type")
    if kind is not None and not _is(value, kind):
        return [f"{path}: {value!r} is no {kind}"]
    found = []
    if kind == "array":
        for place, each in enumerate(value):
            found += violations(each, by["items"], root, f"{path}[{place}]")
    if kind == "object":
        found += [f"{path}: lacks {name}" for name in by.get("required", ()) if name not in value]
        for name, each in value.items():
            found += violations(name, by.get("propertyNames", {}), root, f"{path} (key)")
            further = by.get("properties", {}).get(name, by.get("additionalProperties", {}))
            if further is False:
                found.append(f"{path}: {name} is not known")
            else:
                found += violations(each, further, root, f"{path}.{name}")
    return found


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):  # which Python takes for a number
        return kind == "boolean"
    return isinstance(value, CLASSES[kind])
