"""A picture of the stack in both states, from the synthesized stack: docs/architecture.svg."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pages.graph import regions, resources
from pages.text import text_of
from payment_dr.side import SIDES, Side


@dataclass(frozen=True)
class Half:
    """The parts of the picture in one region.

    Attributes:
        region: Its name.
        side: The primary or the secondary.
        weight: Of its record.
        function, table, bucket: Names.
        parameters: The number of its parameters.
    """

    region: str
    side: Side
    weight: int
    function: str
    table: str
    bucket: str
    parameters: int


@dataclass(frozen=True)
class Architecture:
    """The contents of the picture.

    Attributes:
        halves: The primary, then the secondary.
        fqdn: The name that clients use.
        records: Type and TTL of its records.
        path, interval_seconds, threshold: Of the health checks.
        table_replicates: Whether the table has a replica in the other region.
        bucket_replicates_from, config_syncs_from: Regions whose documents or parameters replicate to the other one.
    """

    halves: tuple[Half, Half]
    fqdn: str
    records: str
    path: str
    interval_seconds: int
    threshold: int
    table_replicates: bool
    bucket_replicates_from: frozenset[str]
    config_syncs_from: frozenset[str]


def read(template: Mapping[str, Any]) -> Architecture:
    """Read the contents of the picture from a synthesized stack."""

    def shown(text: str) -> str:
        variables = template["variable"]
        text = re.sub(r"\$\{var\.(\w+)\}", lambda found: str(variables[found[1]].get("default", "…")), text)
        return re.sub(r"\$\{[^}]*\}", "…", text)

    def here(kind: str, region: str | None = None) -> list[Any]:
        return [*resources(template, kind, region).values()]

    (table,) = here("aws_dynamodb_table")
    records = {each["set_identifier"]: each for each in here("aws_route53_record") if "set_identifier" in each}
    check = here("aws_route53_health_check")[0]
    both = regions(template)

    def half(side: Side, region: str) -> Half:
        (function,) = [
            each for each in here("aws_lambda_function", region) if "health-monitor" in each["function_name"]
        ]
        return Half(
            region=region,
            side=side,
            weight=records[side]["weighted_routing_policy"]["weight"],
            function=shown(function["function_name"]),
            table=table["name"],
            bucket=shown(here("aws_s3_bucket", region)[0]["bucket"]),
            parameters=len(here("aws_ssm_parameter", region)),
        )

    primary, secondary = (half(side, region) for side, region in zip(SIDES, both, strict=True))
    syncing = {
        region
        for region in both
        for each in here("aws_lambda_function", region)
        if "CROSS_REGION_ROLE_ARN" in each["environment"]["variables"]
    }
    record = records["primary"]
    return Architecture(
        halves=(primary, secondary),
        fqdn=shown(record["name"]),
        records=f"{record['type']}, TTL {record['ttl']} s" if "ttl" in record else f"{record['type']}, alias",
        path=check["resource_path"],
        interval_seconds=check["request_interval"],
        threshold=check["failure_threshold"],
        table_replicates=bool(table.get("replica")),
        bucket_replicates_from=frozenset(r for r in both if here("aws_s3_bucket_replication_configuration", r)),
        config_syncs_from=frozenset(syncing),
    )


def render(template: Mapping[str, Any]) -> str:
    """Render docs/architecture.svg."""
    found = read(template)
    primary, secondary = found.halves

    def arrow(sources: frozenset[str]) -> str:
        """Return which ends of a line between the regions have arrow heads."""
        return ("start " if secondary.region in sources else "") + ("end" if primary.region in sources else "")

    both = frozenset({primary.region, secondary.region})
    rows = [
        ("GET /health", primary.function, secondary.function, "", ""),
        ("table", primary.table, secondary.table, "replication" if found.table_replicates else "", arrow(both)),
        ("documents", primary.bucket, secondary.bucket, "replication", arrow(found.bucket_replicates_from)),
        (
            "parameters",
            f"{primary.parameters} SecureString",
            f"{secondary.parameters} SecureString",
            "config sync",
            arrow(found.config_syncs_from),
        ),
    ]
    return text_of("architecture.svg.j2", a=found, primary=primary, secondary=secondary, rows=rows)
