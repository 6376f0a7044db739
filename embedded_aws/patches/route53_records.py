"""Route 53 rejects records that conflict with each other, and aliases of another region's zone.

AWS: no other record has the name of a CNAME
(https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/ResourceRecordTypes.html#CNAMEFormat). The weighted records
of one name and type all have the same TTL
(https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html), and none of them is beside a
simple record (https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-weighted.html). The changes of a
batch are judged one after the other (https://github.com/cookpad/roadworker/pull/89,
https://github.com/kubernetes-sigs/external-dns/issues/1411). An alias of API Gateway names the hosted zone of the
target's region (https://docs.aws.amazon.com/general/latest/gr/apigateway.html).

ministack 1.5.33: takes all of them.

Why it matters: turning the custom domain of a deployed stack on or off, another TTL, records beside those of a live
application, and an alias with the other region's zone, would work here and fail on AWS.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ministack.services import route53  # type: ignore[import-untyped]

from embedded_aws.patches.domain_names import ZONES

_API_GATEWAY = re.compile(r"\.execute-api\.([a-z0-9-]+)\.amazonaws\.com\.?$")


def apply() -> None:
    """Check each batch of changes before it is made."""
    change_records = route53._change_resource_record_sets

    def change_what_can_be(zone_id: str, body: bytes) -> Any:
        there = list(route53._records.get(zone_id, []))
        zone = route53._zones.get(zone_id, {}).get("name", "").rstrip(".")
        for action, record in _changes(body):
            there = [each for each in there if route53._rs_key(each) != route53._rs_key(record)]
            if action != "DELETE":
                if objection := _conflict(record, there, zone) or _misfit(record, there) or _strange_alias(record):
                    return route53._error_response("InvalidChangeBatch", f"[{objection}]")
                there.append(record)
        return change_records(zone_id, body)

    route53._change_resource_record_sets = change_what_can_be


def _changes(body: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    """The actions of a batch and their records. The next reader rejects a malformed batch."""
    elements = [route53._parse_body(body)]
    for tag in ("ChangeBatch", "Changes", "Change"):
        elements = [found for each in elements if each is not None for found in route53._findall(each, tag)]
    for change in elements:
        record = route53._find(change, "ResourceRecordSet")
        if record is not None:
            yield route53._text(change, "Action"), route53._parse_record_set(record)


def _conflict(record: dict[str, Any], there: Sequence[dict[str, Any]], zone: str) -> str | None:
    """Wording: https://github.com/hashicorp/terraform/issues/9732, ansible-collections/amazon.aws/issues/2694."""
    beside = {each["Type"] for each in there if each["Name"] == record["Name"]}
    what = f"RRSet of type {record['Type']} with DNS name {record['Name']} is not permitted"
    if record["Type"] == "CNAME" and beside - {"CNAME"}:
        return f"{what} as it conflicts with other records with the same DNS name in zone {zone}."
    if record["Type"] != "CNAME" and "CNAME" in beside:
        return f"{what} because a conflicting RRSet of type CNAME with the same DNS name already exists in zone {zone}."
    return None


def _misfit(record: dict[str, Any], there: Sequence[dict[str, Any]]) -> str | None:
    """Wording: chef-boneyard/route53/issues/100, external-dns/issues/1411, aws/aws-sdk-go-v2/issues/518."""
    others = [each for each in there if (each["Name"], each["Type"]) == (record["Name"], record["Type"])]
    what = f"RRSet with DNS name {record['Name']}, type {record['Type']}"
    if others and "SetIdentifier" not in record:
        return f"{what} cannot be created as other RRSets exist with the same name and type."
    if "Weight" not in record:
        return None
    what = f"{what}, SetIdentifier {record['SetIdentifier']} cannot be created as"
    if any("Weight" not in each for each in others):
        return f"{what} a non-weighted set exists with the same name and type."
    if any(each["TTL"] != record["TTL"] for each in others if "TTL" in each and "TTL" in record):  # aliases have none
        return f"{what} weighted sets must contain the same TTL."
    return None


def _strange_alias(record: dict[str, Any]) -> str | None:
    """Wording: https://github.com/aws/aws-cli/issues/4687."""
    alias = record.get("AliasTarget", {})
    found = _API_GATEWAY.search(alias.get("DNSName", ""))
    if found is None or ZONES.get(found[1], alias["HostedZoneId"]) == alias["HostedZoneId"]:
        return None
    return (
        f"Tried to create an alias that targets {alias['DNSName']}, type {record['Type']} in zone "
        f"{alias['HostedZoneId']}, but the alias target name does not lie within the target zone"
    )
