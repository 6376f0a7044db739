"""A plan or a state as `terraform show -json` writes it: the stack before the change and after it.

The file is not trusted: its size, its depth and every type are checked, and any fault ends in one line and a hint.
The format: https://developer.hashicorp.com/terraform/internals/json-format
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, NoReturn

from payment_dr.operations.errors import OperationError

MOST_BYTES: Final = 256 * 1024 * 1024
MOST_REFERENCES: Final = 10_000  # behind one attribute
MOST_DEPTH: Final = 100  # a plan's modules and blocks are a few levels deep each
HOW_TO_WRITE_ONE: Final = "write one: terraform plan -out=plan && terraform show -json plan > plan.json"

Path_ = tuple[str | int, ...]
Action = Literal["no-op", "create", "update", "delete", "replace", "read", "forget"]

# "aws_lb.web[0].dns_name", "data.aws_region.here.name": a resource, its instance, the rest.
_NAME = r"[A-Za-z_][\w-]*"
_REFERENCE = re.compile(rf"(?P<resource>(?:data\.)?{_NAME}\.{_NAME})(?P<index>\[[^\]]*\])?(?:[.\[].*)?$", re.DOTALL)
_INDEX = re.compile(r"\[[^\]]*\]")
_NO_RESOURCE = ("var", "local", "module", "each", "count", "path", "self", "terraform")


class Unknown:
    """A value that is known only after apply."""

    def __repr__(self) -> str:
        return "(known after apply)"


UNKNOWN: Final = Unknown()


@dataclass(frozen=True, eq=False)
class Resource:
    """A resource before or after the change.

    Attributes:
        address: Its address, with modules and instance.
        type: Such as ``aws_route53_record``.
        key: The key of its instance, as text; empty without `count` and `for_each`.
        action: What the plan does to it.
        values: Its attributes, as far as they are known.
        unknown: The same tree, with ``true`` where a value is known after apply.
    """

    address: str
    type: str
    key: str
    action: Action
    values: Mapping[str, Any]
    unknown: Any = field(default_factory=dict, repr=False)

    @cached_property
    def config_address(self) -> str:
        """The address of its configuration: without the keys of instances."""
        return _INDEX.sub("", self.address)

    def get(self, *path: str | int) -> Any:
        """The value of an attribute: `UNKNOWN` if that is known after apply, None if there is none."""
        value: Any = self.values
        unknown: Any = self.unknown
        for step in path:
            if unknown is True:
                return UNKNOWN
            unknown = _step(unknown, step)
            value = _step(value, step)
        return UNKNOWN if unknown is True else value

    def text(self, *path: str | int) -> str:
        """The text of an attribute, empty if it is none or not known."""
        value = self.get(*path)
        return value if isinstance(value, str) else ""

    def number(self, *path: str | int, default: float) -> float:
        """The number of an attribute, which a provider may write as text."""
        value = self.get(*path)
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            return default
        try:
            number = float(value)
        except OverflowError:
            return default
        return number if math.isfinite(number) else default

    def truth(self, *path: str | int, default: bool = False) -> bool:
        """Whether an attribute is true."""
        value = self.get(*path)
        return value if isinstance(value, bool) else default

    def items(self, *path: str | int) -> list[Any]:
        """The elements of a list or a set, none if it is none or not known."""
        value = self.get(*path)
        return value if isinstance(value, list) else []


def _step(value: Any, step: str | int) -> Any:
    if isinstance(step, int):
        return value[step] if isinstance(value, list) and 0 <= step < len(value) else None
    return value.get(step) if isinstance(value, dict) else None


class Configuration:
    """What refers to what, by the configuration inside of a plan; a state has none."""

    def __init__(self, document: Mapping[str, Any], variables: Mapping[str, Any]) -> None:
        self._root = _mapping(document.get("root_module"))
        self._providers = _mapping(document.get("provider_config"))
        self._variables = variables
        self._resources: dict[str, tuple[tuple[str, ...], Mapping[str, Any]]] = {}
        self._calls: dict[tuple[str, ...], Mapping[str, Any]] = {(): {"module": self._root}}
        self._index((), self._root)

    def _index(self, module: tuple[str, ...], found: Mapping[str, Any]) -> None:
        prefix = "".join(f"module.{name}." for name in module)
        for resource in _sequence(found.get("resources")):
            address = _mapping(resource).get("address")
            if isinstance(address, str):
                self._resources[prefix + address] = (module, resource)
        for name, call in _mapping(found.get("module_calls")).items():
            inner = (*module, name)
            self._calls[inner] = _mapping(call)
            self._index(inner, _mapping(_mapping(call).get("module")))

    def provider_of(self, resource: Resource) -> tuple[str, Any]:
        """The key of a resource's provider and its region: a text, `UNKNOWN`, or None where it is not set here."""
        _, config = self._resources.get(resource.config_address, ((), {}))
        key = config.get("provider_config_key")
        if not isinstance(key, str):
            return "", None
        while key not in self._providers and ":" in key:  # a module's own, which it may have from its caller
            caller, _, name = key.rpartition(":")
            outer = caller.rpartition(".module.")[0]
            key = f"{outer}:{name}" if outer else name
        provider = _mapping(self._providers.get(key))
        module = tuple(part for part in str(provider.get("module_address", "")).split(".") if part != "module" and part)
        return key, self._constant(module, _mapping(_mapping(provider.get("expressions")).get("region")))

    def _constant(self, module: tuple[str, ...], expression: Mapping[str, Any], depth: int = 0) -> Any:
        """The value of an expression that is a constant or a variable."""
        references = [each for each in _sequence(expression.get("references")) if isinstance(each, str)]
        if not references:
            return expression.get("constant_value")
        name = re.fullmatch(rf"var\.({_NAME})", references[0])
        if name is None or depth > MOST_DEPTH:
            return UNKNOWN
        if not module:
            return _mapping(self._variables.get(name[1])).get("value", UNKNOWN)
        given = _mapping(_mapping(self._calls.get(module, {}).get("expressions")).get(name[1]))
        if given:
            return self._constant(module[:-1], given, depth + 1)
        declared = _mapping(_mapping(_mapping(self._calls.get(module, {}).get("module")).get("variables")).get(name[1]))
        return declared.get("default", UNKNOWN)

    def references(self, resource: Resource, path: Path_) -> tuple[frozenset[tuple[str, str]], frozenset[str]]:
        """The resources that an attribute is made of, as (address, instance or ""), and what is hidden.

        A plan does not show the expressions of local values.
        """
        module, config = self._resources.get(resource.config_address, ((), {}))
        expression: Any = config.get("expressions")
        for step in path:
            if isinstance(expression, dict) and "references" in expression:
                break  # an attribute that is one expression, whatever is below it
            expression = _step(expression, step)
        each = config.get("for_each_expression") or config.get("count_expression")
        return self._followed(module, _references_in(expression), _references_in(each))

    def _followed(
        self, module: tuple[str, ...], references: Sequence[str], each: Sequence[str]
    ) -> tuple[frozenset[tuple[str, str]], frozenset[str]]:
        found: set[tuple[str, str]] = set()
        hidden: set[str] = set()
        seen: set[tuple[tuple[str, ...], str]] = set()
        work = [(module, reference, tuple(each)) for reference in references]
        while work and len(seen) < MOST_REFERENCES:
            module, reference, each = work.pop()
            if (module, reference) in seen:
                continue
            seen.add((module, reference))
            kind, _, rest = reference.partition(".")
            name = re.match(_NAME, rest)
            call = self._calls.get(module, {})
            if kind == "local":
                hidden.add(reference)
            elif kind == "each":  # of the resource itself, else of the call of its module
                outer = [] if each or not module else _references_in(call.get("for_each_expression"))
                work += [(module, above, ()) for above in each] + [(module[:-1], above, ()) for above in outer]
            elif kind == "var" and name and module:
                given = _references_in(_mapping(call.get("expressions")).get(name[0]))
                above = tuple(_references_in(call.get("for_each_expression")))
                work += [(module[:-1], reference, above) for reference in given]
            elif kind == "module" and name:
                inner = (*module, name[0])
                output = re.match(rf"(?:\[[^\]]*\])?\.({_NAME})", rest[name.end() :])
                outputs = _mapping(_mapping(self._calls.get(inner, {}).get("module")).get("outputs"))
                inside = _references_in(outputs.get(output[1])) if output else []
                work += [(inner, reference, ()) for reference in inside]
            elif kind.partition("[")[0] not in _NO_RESOURCE and (match := _REFERENCE.match(reference)):
                prefix = "".join(f"module.{part}." for part in module)
                found.add((prefix + match["resource"], match["index"] or ""))
        return frozenset(found), frozenset(hidden)


def _references_in(expression: Any, depth: int = 0) -> list[str]:
    """All references anywhere in an expression, a block or a list of blocks."""
    if depth > MOST_DEPTH:
        return []
    if isinstance(expression, list):
        return [each for part in expression for each in _references_in(part, depth + 1)]
    if not isinstance(expression, dict):
        return []
    found = [each for each in _sequence(expression.get("references")) if isinstance(each, str)]
    for name, part in expression.items():
        if name not in ("references", "constant_value") and isinstance(part, dict | list):
            found += _references_in(part, depth + 1)
    return found


# Attributes by which another resource may name one.
_NAMED_BY: Final = (
    "id", "arn", "dns_name", "domain_name", "fqdn", "endpoint", "reader_endpoint", "public_ip", "ip_address", "bucket",
    "regional_domain_name", "cloudfront_domain_name", "bucket_regional_domain_name", "bucket_domain_name",
    "website_endpoint", "website_domain", "invoke_url", "api_endpoint", "alarm_name", "primary_endpoint_address",
    "configuration_endpoint_address", "zone_id", "cname", "public_dns", "address", "custom_domain_name",
    "global_cluster_identifier", "global_replication_group_id",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class View:
    """All that stands at one time.

    Attributes:
        resources: By address; what is only looked up (`data`) too.
        configuration: What refers to what. It is the one after the change.
    """

    resources: Mapping[str, Resource]
    configuration: Configuration

    def of_type(self, *types: str) -> list[Resource]:
        """The resources of these types, by address."""
        return [resource for kind in types for resource in self._by_type.get(kind, ())]

    @cached_property
    def _by_type(self) -> Mapping[str, list[Resource]]:
        found: dict[str, list[Resource]] = defaultdict(list)
        for address, resource in self.resources.items():
            found[f"data.{resource.type}" if _is_data(address) else resource.type].append(resource)
        return found

    @cached_property
    def _by_value(self) -> Mapping[str, list[Resource]]:
        found: dict[str, list[Resource]] = defaultdict(list)
        for resource in self.resources.values():
            values = {plain(text) for name in _NAMED_BY if isinstance(text := resource.values.get(name), str) and text}
            if resource.type == "aws_iam_role":  # other resources name it so, even before it has an id
                values.add(plain(resource.text("name")))
            if resource.type == "aws_apigatewayv2_domain_name":
                values.add(plain(resource.text("domain_name_configuration", 0, "target_domain_name")))
            for value in values - {""}:
                found[value].append(resource)
        return found

    @cached_property
    def _by_config(self) -> Mapping[str, list[Resource]]:
        found: dict[str, list[Resource]] = defaultdict(list)
        for resource in self.resources.values():
            found[resource.config_address].append(resource)
        return found

    def named(self, value: str) -> list[Resource]:
        """The resources that have this id, ARN, host or address."""
        return self._by_value.get(plain(value), [])

    def behind(self, resource: Resource, *path: str | int, types: Sequence[str] = ()) -> "Behind":
        """What an attribute names: its text where that is known, and the resources that it comes from.

        Args:
            resource: Of which it is an attribute.
            path: The attribute.
            types: The only types of resources that it may name, by prefix. Default: any.
        """
        value = resource.get(*path)
        texts = _texts(value)
        if texts:
            named = {each.address: each for text in texts for each in self.named(text) if _fits(each, types)}
            return Behind(tuple(texts), tuple(named.values()), ())
        if value is not UNKNOWN and not _has_unknown(resource, path):
            return Behind((), (), ())
        references, hidden = self.configuration.references(resource, path)
        found: dict[str, Resource] = {}
        for address, index in sorted(references):
            instances = [each for each in self._by_config.get(_INDEX.sub("", address), ()) if _fits(each, types)]
            exact = [each for each in instances if index and each.address.endswith(index)]
            same = [each for each in instances if each.key and each.key == resource.key]
            found |= {each.address: each for each in exact or same or instances}
        where = ".".join(str(step) for step in path if not isinstance(step, int))
        through = f", by {', '.join(sorted(hidden))}" if hidden else ""
        return Behind((), tuple(found.values()), (f"{where} of {resource.address}{through}",))


@dataclass(frozen=True)
class Behind:
    """What an attribute names.

    Attributes:
        texts: Its text, or those of its elements; none if they are known after apply.
        resources: The resources that it names, or is made of.
        unknown: What is known after apply.
    """

    texts: tuple[str, ...]
    resources: tuple[Resource, ...]
    unknown: tuple[str, ...]


def _fits(resource: Resource, types: Sequence[str]) -> bool:
    return not types or resource.type.startswith(tuple(types))


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str) and each]


def _has_unknown(resource: Resource, path: Path_) -> bool:
    """Whether an attribute has an element that is known after apply."""
    unknown: Any = resource.unknown
    for step in path:
        unknown = _step(unknown, step)
    return isinstance(unknown, list) and any(each is True for each in unknown)


def plain(name: str) -> str:
    """A host in lower case, without the dot at its end and the prefix of a load balancer that has IPv6 too."""
    return name.rstrip(".").lower().removeprefix("dualstack.")


@dataclass(frozen=True, eq=False)
class Plan:
    """What a file says.

    Attributes:
        before: What stands before the change; None in a state, and in a plan that creates everything.
        after: What stands after it.
        is_state: Whether the file is a state, in which nothing changes.
    """

    before: View | None
    after: View
    is_state: bool

    @property
    def changed(self) -> int:
        """How many resources the plan changes."""
        untouched = ("no-op", "read", "forget")
        after = {address for address, each in self.after.resources.items() if each.action not in untouched}
        gone = set(self.before.resources) - set(self.after.resources) if self.before else set()
        return len(after | {address for address in gone if not _is_data(address)})


def read(file: Path) -> Plan:
    """Read a file.

    Raises:
        OperationError: It is not a plan or a state.
    """
    try:
        with file.open("rb") as stream:
            return parse(stream, str(file))
    except IsADirectoryError as error:
        raise OperationError(f"{file} is a folder", hint=HOW_TO_WRITE_ONE) from error
    except FileNotFoundError as error:
        raise OperationError(f"there is no file {file}", hint=HOW_TO_WRITE_ONE) from error


def parse(stream: BinaryIO, name: str) -> Plan:
    """Read a plan or a state from a stream.

    Args:
        stream: The bytes.
        name: Its name in messages.

    Raises:
        OperationError: It is not a plan or a state.
    """
    content = stream.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        _reject(name, f"has more than {MOST_BYTES // 1024**2} MB", "gate a smaller plan, such as one stack")
    if content[:4] == b"PK\x03\x04":
        _reject(name, "is a plan file, not its JSON", f"terraform show -json {name} > plan.json")
    try:
        document = json.loads(content, parse_constant=_no_constant)
    except RecursionError:
        _reject(name, "is nested too deeply")
    except (ValueError, UnicodeError) as error:  # JSONDecodeError is a ValueError
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        _reject(name, f"is not JSON{where}" if content.strip() else "is empty", because=error)
    del content
    if _depth_exceeds(document, MOST_DEPTH):
        _reject(name, "is nested too deeply")
    return _plan(document, name)


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a JSON number")


def _reject(name: str, what: str, hint: str = HOW_TO_WRITE_ONE, because: BaseException | None = None) -> NoReturn:
    raise OperationError(f"{name} {what}", hint=hint) from because


def _depth_exceeds(document: Any, most: int) -> bool:
    level = [document]
    for _ in range(most):
        level = [
            each
            for value in level
            if isinstance(value, dict | list)
            for each in (value.values() if isinstance(value, dict) else value)
            if isinstance(each, dict | list)
        ]
        if not level:
            return False
    return True


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _sequence(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_data(address: str) -> bool:
    return address.startswith("data.") or ".data." in address


def _plan(document: Any, name: str) -> Plan:
    if not isinstance(document, dict) or "format_version" not in document:
        if isinstance(document, dict) and "serial" in document and "lineage" in document:
            _reject(name, "is a raw state file", f"terraform show -json {name} > state.json")
        _reject(name, "is JSON, but not a plan or a state")
    version = document["format_version"]
    if not isinstance(version, str) or version.partition(".")[0] not in ("0", "1"):
        _reject(name, f"has the format {str(version)[:20]!r}, and this gate supports 0 and 1", "upgrade payment-dr")
    if document.get("errored") is True:
        _reject(name, "is a failed plan, so parts of it are missing", "fix the error of terraform plan first")
    if "resource_changes" in document or "planned_values" in document:
        return _of_plan(document, name)
    if "values" in document:
        resources = {each.address: each for each in _in_module(_mapping(document["values"]).get("root_module"), name)}
        return Plan(None, View(resources, Configuration({}, {})), is_state=True)
    return _reject(name, "has neither changes nor values: it is the state of nothing")


def _of_plan(document: Mapping[str, Any], name: str) -> Plan:
    configuration = Configuration(_mapping(document.get("configuration")), _mapping(document.get("variables")))
    prior = _mapping(_mapping(document.get("prior_state")).get("values"))
    changes = document.get("resource_changes", [])
    if not isinstance(changes, list):
        _reject(name, "is not a plan: its resource_changes are not a list")
    # What is looked up, and what no change lists: with -target and -refresh-only those are in the prior state alone.
    former = {old for each in changes if isinstance(old := _mapping(each).get("previous_address"), str)}
    standing = {each.address: each for each in _in_module(prior.get("root_module"), name) if each.address not in former}
    before, after = dict(standing), dict(standing)
    for change in changes:
        old, new = _changed(change, name)
        if "deposed" in change:  # what a replacement left behind; the resource itself has a change of its own
            continue
        # What moves is at its new address on both sides, as everything that refers to it is.
        if old and not _is_data(old.address):
            before[old.address] = old
        if new:
            after[new.address] = new
        elif old and old.action == "forget":  # it serves on; Terraform alone no longer knows it
            after[old.address] = old
        elif old:
            after.pop(old.address, None)
    has_before = any(not _is_data(address) for address in before)
    return Plan(View(before, configuration) if has_before else None, View(after, configuration), is_state=False)


def _changed(change: Any, name: str) -> tuple[Resource | None, Resource | None]:
    found = _mapping(change)
    details = _mapping(found.get("change"))
    address, kind, actions = found.get("address"), found.get("type"), details.get("actions")
    if not isinstance(address, str) or not isinstance(kind, str) or not isinstance(actions, list) or not actions:
        _reject(name, "is not a plan: a change in it has no address, no type or no actions")
    if not isinstance(found.get("previous_address", ""), str):
        _reject(name, "is not a plan: a former address in it is not text")
    key = _key(found.get("index"))
    action: Action = "replace" if len(actions) > 1 else _ACTIONS.get(str(actions[0]), "update")
    values = [details.get("before"), details.get("after")]
    if not all(value is None or isinstance(value, dict) for value in values):
        _reject(name, f"is not a plan: {address[:200]} has values that are not an object")
    old, new = values
    unknown = details.get("after_unknown")
    return (
        None if old is None else Resource(address, kind, key, action, old),
        None if new is None else Resource(address, kind, key, action, new, unknown),
    )


_ACTIONS: Final[Mapping[str, Action]] = {
    "no-op": "no-op",
    "create": "create",
    "update": "update",
    "delete": "delete",
    "read": "read",
    "forget": "forget",
}


def _key(index: Any) -> str:
    return "" if index is None or isinstance(index, dict | list) else str(index)


def _in_module(module: Any, name: str) -> Iterator[Resource]:
    """The resources of a module of a state, and of those inside of it."""
    found = _mapping(module)
    for each in _sequence(found.get("resources")):
        resource = _mapping(each)
        if "deposed_key" in resource:  # what a replacement left behind, at the address of its successor
            continue
        address, kind, values = resource.get("address"), resource.get("type"), resource.get("values")
        if not isinstance(address, str) or not isinstance(kind, str):
            _reject(name, "is not a state: a resource in it has no address or no type")
        yield Resource(address, kind, _key(resource.get("index")), "no-op", _mapping(values))
    for child in _sequence(found.get("child_modules")):
        yield from _in_module(child, name)
