"""Plans of stacks that are not ours, as small as a case needs."""

from typing import Any

from payment_dr.operations.gate.executed import Executed
from payment_dr.operations.gate.verdict import Judgement
from tests.operations.gate.plans import Document, judged

REGIONS = ("eu-west-1", "eu-north-1")
ZONE = {"zone_id": "Z1", "name": "app.acme.io"}


def resource(address: str, after: Document, unknown: Document | None = None) -> Document:
    return {
        "address": address,
        "type": address.rpartition(".")[0].rpartition(".")[2] if "module." in address else address.partition(".")[0],
        "change": {"actions": ["create"], "before": None, "after": after, "after_unknown": unknown or {}},
    }


def record(name: str, to: str, policy: Document, **more: Any) -> Document:
    after = {
        "zone_id": "Z1",
        "name": "app.acme.io",
        "type": "CNAME",
        "ttl": 30,
        "records": [to],
        "set_identifier": name,
    }
    return resource(f"aws_route53_record.{name}", {**after, **policy, **more})


def check(name: str, host: str, **more: Any) -> Document:
    after = {
        "id": f"check-{name}",
        "type": "HTTPS",
        "fqdn": host,
        "port": 443,
        "resource_path": "/",
        "enable_sni": True,
    }
    return resource(
        f"aws_route53_health_check.{name}", {"request_interval": 10, "failure_threshold": 3, **after, **more}
    )


def elb(region: str) -> str:
    return f"web-1.{region}.elb.amazonaws.com"


def plan(*resources: Document, **configuration: Any) -> Judgement:
    return judged({"format_version": "1.2", "resource_changes": list(resources), "configuration": configuration})


def only(found: Judgement) -> Executed:
    (name,) = found.names
    assert name.after
    return name.after


def pair(policies: tuple[Document, Document], **more: Any) -> list[Document]:
    return [
        each
        for name, region, policy in zip("ab", REGIONS, policies, strict=True)
        for each in (
            record(name, elb(region), policy, health_check_id=f"check-{name}", **more),
            check(name, elb(region)),
        )
    ]


LATENCY: tuple[Document, Document] = (
    {"latency_routing_policy": [{"region": REGIONS[0]}]},
    {"latency_routing_policy": [{"region": REGIONS[1]}]},
)
FAILOVER: tuple[Document, Document] = (
    {"failover_routing_policy": [{"type": "PRIMARY"}]},
    {"failover_routing_policy": [{"type": "SECONDARY"}]},
)


def standing(*resources: Document) -> list[Document]:
    """Resources that are there and that nothing changes."""
    return [edited(each, "no-op") for each in resources]


def edited(found: Document, action: str = "update", **after: Any) -> Document:
    """A resource that is there, with some of its attributes changed."""
    there = found["change"]["after"]
    change = {"actions": [action], "before": there, "after": {**there, **after}, "after_unknown": {}}
    return {**found, "change": change}


def gone(found: Document, action: str = "delete") -> Document:
    """A resource that the plan destroys, or forgets."""
    return {**found, "change": {"actions": [action], "before": found["change"]["after"], "after": None}}
