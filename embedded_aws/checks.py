"""The checks of `make deploy-local` on a deployed stack, through boto3 and HTTP only."""

import json
import re
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from embedded_aws.custom_domains import CustomDomains
from embedded_aws.deployment import Deployment
from payment_dr.failover_timing import ALIAS_TTL_SECONDS, budget_seconds
from payment_dr.operations.aws import listed
from payment_dr.operations.deployed import OF_A_TAKEOVER, OF_TWO_WAY_DOCUMENTS
from payment_dr.side import OTHER, SIDES, Side

OUTPUT = "output "  # what the names of the checks of outputs begin with
SWITCH_TABLE, SWITCH_PATH = "table-switch-", "/switch"  # how name and path of the switch begin
ARRIVAL_DEADLINE_SECONDS = 30.0


class CheckFailed(Exception):  # noqa: N818 - it is a finding, not a fault of the program
    """A check failed. The text describes the deployed value."""


@dataclass(frozen=True)
class Check:
    """One row of the report.

    Attributes:
        name: The check.
        passed: Whether it passed.
        found: The result, for a person.
        seconds: Its duration.
    """

    name: str
    passed: bool
    found: str
    seconds: float


def run_check(name: str, check: Callable[[], str]) -> Check:
    """Run one check and time it. A finding, or an error from AWS, becomes a failed row."""
    started = time.monotonic()
    try:
        found, passed = check(), True
    except (CheckFailed, BotoCoreError, ClientError) as failure:
        found, passed = str(failure), False
    return Check(name, passed, found, time.monotonic() - started)


def _one(items: Iterable[Any], what: str) -> Any:
    found = list(items)
    if len(found) != 1:
        raise CheckFailed(f"expected one {what}, found {found}")
    return found[0]


class Deployed:
    """The deployed resources, from AWS's lists and not from the outputs that are compared with them."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment

    def _listed(self, service: str, side: Side, operation: str, items: str, **arguments: Any) -> list[Any]:
        return list(listed(self._deployment.client(service, side), operation, items, **arguments))

    def vpc(self, side: Side) -> Any:
        """The VPC that is tagged as the application's."""
        return _one(
            self._listed("ec2", side, "describe_vpcs", "Vpcs", Filters=[{"Name": "tag:Name", "Values": ["vpc-*"]}]),
            "VPC",
        )

    def subnet_ids(self, side: Side) -> list[str]:
        """The VPC's subnets."""
        within = [{"Name": "vpc-id", "Values": [self.vpc(side)["VpcId"]]}]
        return [s["SubnetId"] for s in self._listed("ec2", side, "describe_subnets", "Subnets", Filters=within)]

    def table(self, side: Side) -> Any:
        """The region's replica of the one global table."""
        names = self._listed("dynamodb", side, "list_tables", "TableNames")
        name = _one([each for each in names if not each.startswith(SWITCH_TABLE)], "table")
        return self._deployment.client("dynamodb", side).describe_table(TableName=name)["Table"]

    def bucket(self, side: Side) -> str:
        """The bucket whose location is the region."""
        client = self._deployment.client("s3", side)
        names = [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
        # us-east-1 has an empty location.
        location = {n: client.get_bucket_location(Bucket=n)["LocationConstraint"] or "us-east-1" for n in names}
        return str(_one([n for n in names if location[n] == self._deployment.region(side)], "bucket"))

    def replication_role(self, side: Side) -> str:
        """The role in the replication configuration of a side's bucket."""
        client = self._deployment.client("s3", side)
        replication = client.get_bucket_replication(Bucket=self.bucket(side))
        return str(replication["ReplicationConfiguration"]["Role"])

    def function(self, side: Side, purpose: str) -> Any:
        """The configuration of the region's function for this purpose."""
        functions = self._listed("lambda", side, "list_functions", "Functions")
        return _one([f for f in functions if f["FunctionName"].startswith(f"lambda-{purpose}-")], "function")

    def target_role(self, side: Side) -> str:
        """The role that the region's config sync assumes. It must exist."""
        arn = self.function(side, "config-sync")["Environment"]["Variables"]["CROSS_REGION_ROLE_ARN"]
        client = self._deployment.client("iam", side)
        return str(client.get_role(RoleName=arn.rsplit("/", 1)[1])["Role"]["Arn"])

    def api(self, side: Side) -> Any:
        """The region's HTTP API."""
        return _one(self._listed("apigatewayv2", side, "get_apis", "Items"), "API")

    def domain(self, side: Side) -> Any:
        """The region's custom domain name."""
        return _one(self._listed("apigatewayv2", side, "get_domain_names", "Items"), "domain name")

    def target(self, side: Side) -> str:
        """The target of the region's alias record."""
        return str(self.record(side)["AliasTarget"]["DNSName"]).rstrip(".")

    def zone(self) -> Any:
        """The hosted zone, with its name servers."""
        zone = _one(self._listed("route53", "primary", "list_hosted_zones", "HostedZones"), "hosted zone")
        return self._deployment.client("route53", "primary").get_hosted_zone(Id=zone["Id"])

    def record(self, side: Side) -> Any:
        """The weighted record of a region."""
        zone_id = self.zone()["HostedZone"]["Id"]
        records = self._listed(
            "route53", "primary", "list_resource_record_sets", "ResourceRecordSets", HostedZoneId=zone_id
        )
        return _one([record for record in records if record.get("SetIdentifier") == side], f"{side} record")

    def probed_url(self, side: Side) -> str:
        """The address that the region's health check probes."""
        config = self._probe(side)
        return f"{config['Type'].lower()}://{config['FullyQualifiedDomainName']}{config['ResourcePath']}"

    def budget_seconds(self, side: Side) -> int:
        """Seconds from an outage to the last cached answer, by the region's health check and the TTL of its record."""
        check, ttl_seconds = self._probe(side), self.record(side).get("TTL", ALIAS_TTL_SECONDS)
        return budget_seconds(check["RequestInterval"], check["FailureThreshold"], ttl_seconds)

    def _probe(self, side: Side) -> Any:
        """The settings of the health check that probes the region: the record's, or a child of that."""
        client = self._deployment.client("route53", "primary")

        def config(id_: str) -> Any:
            return client.get_health_check(HealthCheckId=id_)["HealthCheck"]["HealthCheckConfig"]

        decides = config(self.record(side)["HealthCheckId"])
        children = [config(id_) for id_ in decides.get("ChildHealthChecks", ())]
        probes = [each for each in (decides, *children) if "FullyQualifiedDomainName" in each]
        return _one([each for each in probes if not each.get("Inverted")], f"{side} probe")  # that is the switch's

    def switch_table(self) -> str:
        """The table of the switch, as its function knows it."""
        return str(self._of_switch("lambda_switch.handler")["Environment"]["Variables"]["SWITCH_TABLE_NAME"])

    def switch_takeover(self) -> str:
        """The function that sets the switch by itself."""
        return str(self._of_switch("lambda_standby_takeover.handler")["FunctionName"])

    def _of_switch(self, handler: str) -> Any:
        functions = self._listed("lambda", "secondary", "list_functions", "Functions")
        return _one([function for function in functions if function["Handler"] == handler], handler)

    def switch_path(self) -> str:
        """The path of the switch's route."""
        routes = self._listed("apigatewayv2", "secondary", "get_routes", "Items", ApiId=self.api("secondary")["ApiId"])
        paths = [route["RouteKey"].removeprefix("GET ") for route in routes]
        return str(_one([path for path in paths if path.startswith(SWITCH_PATH)], "route of the switch"))

    def alarms(self) -> list[str]:
        """Names of the alarms in both regions."""
        found = [self._listed("cloudwatch", side, "describe_alarms", "MetricAlarms") for side in SIDES]
        return [alarm["AlarmName"] for alarms in found for alarm in alarms]

    def topic_arn(self, side: Side) -> str:
        """The region's topic."""
        return str(_one(self._listed("sns", side, "list_topics", "Topics"), "topic")["TopicArn"])

    def key(self, side: Side) -> Any:
        """The key behind the region's alias."""
        aliases = self._listed("kms", side, "list_aliases", "Aliases")
        alias = _one([a for a in aliases if a["AliasName"].startswith("alias/dr-encryption-")], "alias")
        return self._deployment.client("kms", side).describe_key(KeyId=alias["AliasName"])["KeyMetadata"]

    def parameters(self) -> dict[str, str]:
        """First values of the parameters of the primary region, decrypted."""
        names = [p["Name"] for p in self._listed("ssm", "primary", "describe_parameters", "Parameters")]
        client = self._deployment.client("ssm", "primary")
        first = [f"{name}:1" for name in names]
        return {p["Name"]: p["Value"] for p in client.get_parameters(Names=first, WithDecryption=True)["Parameters"]}


def _tag(tags: list[Any], key: str) -> str:
    return str(_one([tag["Value"] for tag in tags if tag["Key"] == key], f"tag {key}"))


def _by_side(deployed: Callable[[Side], Any], output: str) -> dict[str, Callable[[], Any]]:
    def of(side: Side) -> Callable[[], Any]:
        return lambda: deployed(side)

    return {output.format(side): of(side) for side in SIDES}


def _kept(target_seconds: int, takes_seconds: int) -> int:
    """The target, if the deployed settings meet it. No AWS resource contains the target itself."""
    return max(target_seconds, takes_seconds)


def deployed_values(deployment: Deployment) -> Mapping[str, Callable[[], Any]]:
    """For every output, the function that gets its expected value from AWS."""
    aws = Deployed(deployment)
    health, sync = "health-monitor", "config-sync"
    return {
        "environment": lambda: _tag(aws.vpc("primary")["Tags"], "Environment"),
        "primary_region": lambda: aws.table("primary")["TableArn"].split(":")[3],
        "secondary_region": lambda: _one([r["RegionName"] for r in aws.table("primary")["Replicas"]], "replica"),
        "rto_target_seconds": lambda: _kept(
            deployment.value("rto_target_seconds"), max(aws.budget_seconds(side) for side in SIDES)
        ),
        **_by_side(lambda side: aws.vpc(side)["VpcId"], "{}_vpc_id"),
        **_by_side(lambda side: aws.vpc(side)["CidrBlock"], "{}_vpc_cidr"),
        **_by_side(aws.subnet_ids, "{}_private_subnet_ids"),
        "dynamodb_table_name": lambda: aws.table("primary")["TableName"],
        "dynamodb_table_arn": lambda: aws.table("primary")["TableArn"],
        "dynamodb_replica_arn": lambda: aws.table("secondary")["TableArn"],
        "dynamodb_stream_arn": lambda: aws.table("primary")["LatestStreamArn"],
        **_by_side(aws.bucket, "{}_bucket_name"),
        **_by_side(lambda side: f"arn:aws:s3:::{aws.bucket(side)}", "{}_bucket_arn"),
        "s3_replication_role_arn": lambda: aws.replication_role("primary"),
        **_by_side(lambda side: aws.function(side, health)["FunctionName"], "{}_health_monitor_function_name"),
        **_by_side(lambda side: aws.function(side, health)["FunctionArn"], "{}_health_monitor_function_arn"),
        **_by_side(lambda side: aws.function(side, sync)["FunctionName"], "{}_config_sync_function_name"),
        **_by_side(lambda side: aws.function(side, sync)["FunctionArn"], "{}_config_sync_function_arn"),
        "lambda_execution_role_arn": lambda: aws.function("primary", health)["Role"],
        "lambda_execution_role_arns": lambda: {
            f"{side}_{purpose.replace('-', '_')}": aws.function(side, purpose)["Role"]
            for side in SIDES
            for purpose in (health, sync)
        },
        "cross_region_role_arn": lambda: aws.target_role("primary"),
        "cross_region_role_arns": lambda: {
            "primary_to_secondary": aws.target_role("primary"),
            "secondary_to_primary": aws.target_role("secondary"),
        },
        **_by_side(lambda side: aws.api(side)["ApiEndpoint"], "{}_api_endpoint"),
        **_by_side(lambda side: aws.api(side)["ApiId"], "{}_api_id"),
        **_by_side(lambda side: public_url(aws.probed_url(side)), "{}_health_url"),
        "hosted_zone_id": lambda: aws.zone()["HostedZone"]["Id"].rsplit("/", 1)[1],
        "hosted_zone_name": lambda: aws.zone()["HostedZone"]["Name"].rstrip("."),
        "hosted_zone_name_servers": lambda: [s.rstrip(".") for s in aws.zone()["DelegationSet"]["NameServers"]],
        **_by_side(lambda side: aws.record(side)["HealthCheckId"], "{}_health_check_id"),
        "application_fqdn": lambda: aws.record("primary")["Name"].rstrip("."),
        "alarm_names": aws.alarms,
        **_by_side(aws.topic_arn, "{}_sns_topic_arn"),
        **_by_side(lambda side: aws.key(side)["KeyId"], "{}_kms_key_id"),
        **_by_side(lambda side: aws.key(side)["Arn"], "{}_kms_key_arn"),
        "ssm_parameter_names": lambda: list(aws.parameters()),
        "ssm_parameter_values": aws.parameters,
        **(_of_custom_domain(aws) if _has_custom_domain(deployment) else {}),
        **(_of_switch(aws) if "switch_table_name" in deployment.outputs else {}),
        **({OF_A_TAKEOVER: aws.switch_takeover} if OF_A_TAKEOVER in deployment.outputs else {}),
        **(
            {OF_TWO_WAY_DOCUMENTS: lambda: aws.replication_role("secondary")}
            if _has_two_way_documents(deployment)
            else {}
        ),
    }


def _of_switch(aws: Deployed) -> Mapping[str, Callable[[], Any]]:
    return {"switch_table_name": aws.switch_table, "switch_path": aws.switch_path}


def public_url(probed_url: str) -> str:
    """The public address for a probed one: the same, or, if that is private, its beginning."""
    return re.sub(r"(?<=/health)/\w+$", "", probed_url)


def _has_custom_domain(deployment: Deployment) -> bool:
    return "application_url" in deployment.outputs


def _has_two_way_documents(deployment: Deployment) -> bool:
    return OF_TWO_WAY_DOCUMENTS in deployment.outputs


def _of_custom_domain(aws: Deployed) -> dict[str, Callable[[], Any]]:
    return {
        "application_url": lambda: f"https://{aws.domain('primary')['DomainName']}",
        **_by_side(aws.target, "{}_target_name"),
    }


def _comparable(value: Any) -> Any:
    """Make lists comparable: AWS lists in any order, and name servers may end in a dot."""
    if isinstance(value, list):
        return sorted(str(item).rstrip(".") for item in value)
    return value


def check_output(deployment: Deployment, name: str) -> str:
    """Compare one output with the deployed resource."""
    said, is_there = deployment.value(name), deployed_values(deployment)[name]()
    if _comparable(said) != _comparable(is_there):
        if deployment.outputs[name].sensitive:
            raise CheckFailed("the output differs from what is deployed (sensitive, not shown)")
        raise CheckFailed(f"the output is {said!r}, but the deployed value is {is_there!r}")
    return "(sensitive)" if deployment.outputs[name].sensitive else _shortened(said)


def _shortened(value: Any) -> str:
    return f"{len(value)} names" if isinstance(value, list | dict) else str(value)


def check_health(deployment: Deployment, side: Side) -> str:
    """Call the health URL as Route 53 does. It must report its own region as healthy."""
    url = deployment.aws.execute_api_url(deployment.value(f"{side}_api_id"), "/health")
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - the embedded AWS, on loopback
            status, body = answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        raise CheckFailed(f"GET /health answers {error.code}: {error.read().decode(errors='replace')}") from error
    if (body["status"], body["region"]) != ("healthy", deployment.region(side)):
        raise CheckFailed(f"GET /health answers {status}: {body}")
    return f"GET /health answers {status}, status {body['status']}, table {body['table_status']}"


def check_custom_domain(deployment: Deployment) -> str:
    """Call both regions by the name that clients use, over TLS, as a client that verifies the certificate."""
    host = deployment.value("application_fqdn")
    regions = [deployment.region(side) for side in SIDES]
    with CustomDomains(deployment.aws, regions) as domains:
        for region in regions:
            try:
                answer = domains.get(region, host, "/health")
            except HTTPError as error:
                raise CheckFailed(f"{region} does not serve {host}: {error}") from error
            if answer.status != 200 or answer.json()["region"] != region:
                raise CheckFailed(
                    f"{region} answers {answer.status} for {host}: {answer.data.decode(errors='replace')}"
                )
    return f"https://{host} works in both regions, certificates verified"


def eventually(observe: Callable[[], bool], what: str, seconds: float = ARRIVAL_DEADLINE_SECONDS) -> None:
    """Wait until a condition is true, or fail with its description."""
    deadline = time.monotonic() + seconds
    while not observe():
        if time.monotonic() > deadline:
            raise CheckFailed(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.1)


def check_parameter_follows(
    deployment: Deployment, source: Side, target: Side, seconds: float = ARRIVAL_DEADLINE_SECONDS
) -> str:
    """Change each parameter in one region and find it in the other, encrypted with that region's key."""
    origin, copy = deployment.client("ssm", source), deployment.client("ssm", target)
    names: list[str] = deployment.value("ssm_parameter_names")
    started = time.monotonic()
    for name in names:
        rotated = f"rotated-{uuid.uuid4()}"
        origin.put_parameter(
            Name=name, Value=rotated, Type="SecureString", Overwrite=True, KeyId=_key(deployment, source)
        )

        def arrived(name: str = name, rotated: str = rotated) -> bool:
            return bool(copy.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"] == rotated)

        eventually(
            arrived, f"{name}, changed in {deployment.region(source)}, appears in {deployment.region(target)}", seconds
        )
        described = copy.describe_parameters(ParameterFilters=[{"Key": "Name", "Values": [name]}])["Parameters"]
        if _one(described, name)["KeyId"] != _key(deployment, target):
            raise CheckFailed(f"{name} in {deployment.region(target)} is not encrypted with that region's key")
    return f"{len(names)} parameters copied in {time.monotonic() - started:.1f} s"


def _key(deployment: Deployment, side: Side) -> str:
    return str(deployment.value(f"{side}_kms_key_arn"))


def check_transaction_replicates(deployment: Deployment) -> str:
    """Put a transaction in the primary region and read it in the secondary."""
    table = deployment.value("dynamodb_table_name")
    key = {"transaction_id": {"S": str(uuid.uuid4())}, "timestamp": {"N": str(time.time_ns())}}
    item = {**key, "amount": {"N": "1999"}, "currency": {"S": "EUR"}}
    deployment.client("dynamodb", "primary").put_item(TableName=table, Item=item)
    replica = deployment.client("dynamodb", "secondary")
    eventually(lambda: replica.get_item(TableName=table, Key=key).get("Item") == item, "the transaction is replicated")
    return f"read back in {deployment.region('secondary')} by key and content"


def check_object_replicates(deployment: Deployment) -> str:
    """Put a document into each bucket that replicates and read it, encrypted, from the other one."""
    sides: tuple[Side, ...] = SIDES if _has_two_way_documents(deployment) else ("primary",)
    return "; ".join(_object_replicates(deployment, side) for side in sides)


def _object_replicates(deployment: Deployment, side: Side) -> str:
    key, body = f"receipts/{uuid.uuid4()}.json", b'{"amount": 1999}'
    source, destination = deployment.client("s3", side), deployment.client("s3", OTHER[side])
    source.put_object(Bucket=deployment.value(f"{side}_bucket_name"), Key=key, Body=body)
    bucket = deployment.value(f"{OTHER[side]}_bucket_name")

    def arrived() -> bool:
        listed = destination.list_objects_v2(Bucket=bucket, Prefix=key).get("Contents", [])
        return [item["Key"] for item in listed] == [key]

    eventually(arrived, "the document is replicated")
    replica = destination.get_object(Bucket=bucket, Key=key)
    if replica["Body"].read() != body:
        raise CheckFailed("the replica has another content")
    return f"read back in {deployment.region(OTHER[side])}, encryption {replica.get('ServerSideEncryption')}"


def check_second_plan_is_empty(deployment: Deployment) -> str:
    """Plan again: the plan must be empty.

    Parameters that changed in Parameter Store stay as they are, and no output shows their values.
    """
    plan = deployment.plan()
    if plan.changed:
        raise CheckFailed(f"would change {plan.actions | plan.outputs}")
    return "no changes"


def checks_of(deployment: Deployment) -> dict[str, Callable[[], str]]:
    """All checks of a deployed stack, by name, in their order."""
    first, second = deployment.region("primary"), deployment.region("secondary")
    outputs = {f"{OUTPUT}{name}": _bound(check_output, deployment, name) for name in sorted(deployment.outputs)}
    domain = {"custom domain": lambda: check_custom_domain(deployment)} if _has_custom_domain(deployment) else {}
    return {
        **outputs,
        f"health of {first}": lambda: check_health(deployment, "primary"),
        f"health of {second}": lambda: check_health(deployment, "secondary"),
        f"config sync {first} to {second}": lambda: check_parameter_follows(deployment, "primary", "secondary"),
        f"config sync {second} to {first}": lambda: check_parameter_follows(deployment, "secondary", "primary"),
        **domain,
        "transaction replicates": lambda: check_transaction_replicates(deployment),
        "document replicates": lambda: check_object_replicates(deployment),
        "second plan is empty": lambda: check_second_plan_is_empty(deployment),  # after parameters were changed
    }


def _bound(check: Callable[[Deployment, str], str], deployment: Deployment, name: str) -> Callable[[], str]:
    return lambda: check(deployment, name)
