"""Plans that real Terraform wrote, and one-line changes of them, made in their JSON.

`make_plans.py` made the files in `plans`: of each stack its first plan, and the plan that has nothing to change once it
is deployed on the embedded AWS.
"""

import gzip
import io
import json
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

from payment_dr.operations.gate.plan import Plan, parse
from payment_dr.operations.gate.verdict import Judgement, judge_plan

PLANS = Path(__file__).parent / "plans"
TARGET_SECONDS = 180
OURS = ("default", "production", "payments_service", "existing_api")
THEIRS = ("alb_failover", "latency_cloudfront", "api_gateway_alias", "weighted_module", "aurora_global")

Document = dict[str, Any]
Step = Callable[[Document], None]


@cache
def _text(name: str) -> bytes:
    return gzip.decompress((PLANS / f"{name}.json.gz").read_bytes())


def document(name: str, kind: str = "deployed") -> Document:
    """A plan, as a copy that may be changed."""
    found: Document = json.loads(_text(f"{name}-{kind}"))
    return found


def read(found: Document) -> Plan:
    """The plan of a document."""
    return parse(io.BytesIO(json.dumps(found).encode()), "plan.json")


def judged(found: Document, target_seconds: float = TARGET_SECONDS) -> Judgement:
    """What the gate says of it."""
    return judge_plan(read(found), target_seconds)


def change_of(found: Document, address: str) -> Document:
    """The change of a resource."""
    (change,) = (each["change"] for each in found["resource_changes"] if each["address"] == address)
    found_change: Document = change
    return found_change


def value(found: Document, address: str, *path: str | int) -> Any:
    """A value as it is deployed."""
    here: Any = change_of(found, address)["before"]
    for step in path:
        here = here[step]
    return here


def put(address: str, path: str, new: Any) -> Step:
    """Set an attribute, such as "replica.0.region_name"; a function gets the document."""

    def step(found: Document) -> None:
        change = change_of(found, address)
        if change["after"] is change["before"] or change["actions"] == ["no-op"]:
            change["after"], change["actions"] = deepcopy(change["before"]), ["update"]
        *parents, last = (int(each) if each.isdigit() else each for each in path.split("."))
        here: Any = change["after"]
        for parent in parents:
            here = here[parent]
        here[last] = new(found) if callable(new) else new

    return step


def of(address: str, *path: str | int) -> Callable[[Document], Any]:
    """The value of another resource."""
    return lambda found: value(found, address, *path)


def destroy(*addresses: str) -> Step:
    """Destroy resources."""

    def step(found: Document) -> None:
        for address in addresses:
            change = change_of(found, address)
            change["after"], change["actions"] = None, ["delete"]
        root = found["configuration"]["root_module"]  # what is destroyed is in the source no more
        root["resources"] = [each for each in root["resources"] if each["address"] not in addresses]

    return step


def replace(address: str) -> Step:
    """Replace a resource."""

    def step(found: Document) -> None:
        change = change_of(found, address)
        change["actions"] = ["delete", "create"]
        change["after"] = {k: v for k, v in change["before"].items() if k not in ("id", "arn")}
        change["after_unknown"] = {"id": True, "arn": True}

    return step


def create(kind: str, name: str, after: Document, provider: str = "aws") -> Step:
    """Create a resource that is not there yet."""

    def step(found: Document) -> None:
        address = f"{kind}.{name}"
        found["resource_changes"].append(
            {
                "address": address,
                "mode": "managed",
                "type": kind,
                "name": name,
                "change": {
                    "actions": ["create"],
                    "before": None,
                    "after": after,
                    "after_unknown": {"id": True, "arn": True},
                },
            }
        )
        found["configuration"]["root_module"].setdefault("resources", []).append(
            {"address": address, "mode": "managed", "type": kind, "name": name, "provider_config_key": provider}
        )

    return step


def moved(address: str, provider: str, **unknown: bool) -> Step:
    """Make a resource in another region: its provider is another one."""

    def step(found: Document) -> None:
        replace(address)(found)
        change = change_of(found, address)
        for each in ("id", "arn", *unknown):
            change["after"].pop(each, None)
        change["after_unknown"] = {"id": True, "arn": True, **unknown}
        for resource in found["configuration"]["root_module"]["resources"]:
            if resource["address"] == address:
                resource["provider_config_key"] = provider

    return step
