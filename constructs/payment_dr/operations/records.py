"""Changes the records of the application's name to those of Terraform's plan, in one batch.

Terraform changes its records one after the other. Route 53 rejects some changes that way: all weighted records of a
name must have the same TTL, none of them may be beside a simple record, and no record may be beside a CNAME. A batch
succeeds or fails as a whole, and Route 53 checks its changes in order: first the deletions of the present records of
the name, then the planned ones.
https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html

Terraform's state does not change: a refresh finds the other TTL, and `dr adopt` imports new records.

Example:
    >>> batch = planned_batch(terraform, aws.client)  # doctest: +SKIP
    >>> change_at_once(batch, aws.client)  # doctest: +SKIP
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from payment_dr.operations.adoption import Clients
from payment_dr.operations.aws import listed
from payment_dr.operations.errors import OperationError
from payment_dr.operations.terraform.runner import Terraform

KIND = "aws_route53_record"
REGION = "us-east-1"  # of Route 53, which is global
# What clients look for behind a name. Records of other types, such as TXT, belong to somebody else.
OF_ADDRESSES = frozenset({"A", "AAAA", "CNAME"})
_WAIT = {"Delay": 5, "MaxAttempts": 60}

Record = dict[str, Any]
"""A record set, as boto3 takes it."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The changes of one batch.

    Attributes:
        zone_id: The hosted zone.
        name: The name that clients use, without a dot at the end.
        deleted: The present records of the name.
        created: The planned records.
    """

    zone_id: str = ""
    name: str = ""
    deleted: Sequence[Record] = field(default_factory=list)
    created: Sequence[Record] = field(default_factory=list)

    @property
    def changes(self) -> list[dict[str, Any]]:
        """The changes, in the order that Route 53 accepts."""
        found = [("DELETE", record) for record in self.deleted] + [("CREATE", record) for record in self.created]
        return [{"Action": action, "ResourceRecordSet": record} for action, record in found]

    @property
    def lines(self) -> list[str]:
        """The changes, for people."""
        return [f"{each['Action'].lower()}: {_in_words(each['ResourceRecordSet'])}" for each in self.changes]

    def as_json(self) -> dict[str, Any]:
        """The same, as ``aws route53 change-resource-record-sets`` takes it."""
        return {"HostedZoneId": self.zone_id, "ChangeBatch": {"Changes": self.changes}}


def planned_batch(terraform: Terraform, clients: Clients) -> Batch:
    """Compare the planned weighted records with the records in the zone.

    Args:
        terraform: Terraform in an initialized working directory.
        clients: Makes a boto3 client of a service in a region.

    Returns:
        The batch. It is empty if the zone has these records.

    Raises:
        OperationError: A record depends on a resource that does not exist yet, or other records of the name conflict.
        ClientError: AWS rejects a call.
    """
    planned = [
        change["change"]
        for change in terraform.plan(refresh=False).json["resource_changes"]
        if change["type"] == KIND and (change["change"]["after"] or {}).get("weighted_routing_policy")
    ]
    for change in planned:
        _expect_known(change)
    wanted = [change["after"] for change in planned]
    places = {(each["zone_id"], each["name"]) for each in wanted}
    if len(places) != 1:
        raise OperationError(
            f"the plan has weighted records of {len(places)} names, but a batch can change only one",
            hint="run it in the folder of one synthesized stack, such as cdktf.out/stacks/payment-dr",
        )
    [(zone_id, name)] = places
    there = [
        record
        for record in listed(
            clients("route53", REGION), "list_resource_record_sets", "ResourceRecordSets", HostedZoneId=zone_id
        )
        if record["Name"] == f"{name}."
    ]
    deleted = [record for record in there if record["Type"] in OF_ADDRESSES]
    created = [_record(each) for each in wanted]
    others = sorted({record["Type"] for record in there} - OF_ADDRESSES)
    if others and "CNAME" in {record["Type"] for record in created}:
        raise OperationError(
            f"{name} has a record of type {', '.join(others)}, and Route 53 allows no CNAME beside it",
            hint="move it to another name, or deploy with the custom domain, whose records are of type A",
        )
    if _comparable(deleted) == _comparable(created):
        return Batch(zone_id=zone_id, name=name)
    return Batch(zone_id=zone_id, name=name, deleted=deleted, created=created)


def change_at_once(batch: Batch, clients: Clients) -> None:
    """Make the changes, all or none, and wait until every name server of Route 53 has them.

    Args:
        batch: The changes.
        clients: Makes a boto3 client of a service in a region.

    Raises:
        ClientError: Route 53 rejects the batch. Nothing was changed.
    """
    route53 = clients("route53", REGION)
    change = route53.change_resource_record_sets(**batch.as_json())["ChangeInfo"]
    route53.get_waiter("resource_record_sets_changed").wait(Id=change["Id"], WaiterConfig=_WAIT)


def _expect_known(change: Mapping[str, Any]) -> None:
    arguments = ("zone_id", "name", "type", "ttl", "records", "alias", "health_check_id")
    unknown = change.get("after_unknown") or {}
    if missing := [argument for argument in arguments if _holds_true(unknown.get(argument))]:
        raise OperationError(
            f"{' and '.join(missing)} of a record depends on a resource that is not applied yet",
            hint="apply the rest first; docs/upgrading.md and docs/from-one-region.md have the targets",
        )


def _holds_true(unknown: Any) -> bool:
    """Whether anything within is unknown: Terraform marks it by true, at any depth."""
    if isinstance(unknown, dict):
        return any(map(_holds_true, unknown.values()))
    return any(map(_holds_true, unknown)) if isinstance(unknown, list) else unknown is True


def _record(planned: Mapping[str, Any]) -> Record:
    """A planned resource as a record set for Route 53."""
    record: Record = {
        "Name": f"{planned['name']}.",
        "Type": planned["type"],
        "SetIdentifier": planned["set_identifier"],
        "Weight": planned["weighted_routing_policy"][0]["weight"],
    }
    if planned.get("health_check_id"):
        record["HealthCheckId"] = planned["health_check_id"]
    if planned.get("alias"):
        (alias,) = planned["alias"]
        target = {"HostedZoneId": alias["zone_id"], "DNSName": alias["name"]}
        return {**record, "AliasTarget": {**target, "EvaluateTargetHealth": alias["evaluate_target_health"]}}
    return {**record, "TTL": planned["ttl"], "ResourceRecords": [{"Value": value} for value in planned["records"]]}


def _comparable(records: Sequence[Record]) -> list[str]:
    """Records in a form to compare. Route 53 ends names with a dot."""
    return sorted(repr(sorted(_flat(record))) for record in records)


def _flat(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _flat(each, f"{place}/{key}")
    elif isinstance(value, list):
        for each in value:
            yield from _flat(each, place)
    else:
        yield place, str(value).rstrip(".")


def _in_words(record: Record) -> str:
    alias = record.get("AliasTarget")
    values = [f"alias of {alias['DNSName']}"] if alias else [each["Value"] for each in record["ResourceRecords"]]
    ttl = f"TTL {record['TTL']} s" if "TTL" in record else ""
    weight = f"{record['SetIdentifier']}, weight {record['Weight']}" if "Weight" in record else ""
    where = ", ".join(filter(None, [weight, ttl]))
    return f"{record['Name']} {record['Type']} {', '.join(values)} ({where})"
