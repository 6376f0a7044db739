"""After an interrupted deployment: import resources that exist in AWS and are missing in Terraform's state.

When Terraform is killed, a resource that it was creating can exist without being in the state. The next apply then
fails with "already exists" or, where AWS needs no unique name, silently creates a second VPC, key or API. This module
looks for the resources that the plan wants to create, by their planned name or tags, and imports them. Terraform itself
checks each of them: it must be able to read the resource, the tags must be this stack's, and it must not have to
replace the resource.

It uses only Terraform and AWS's public APIs, so it works on any account that the given Terraform and clients reach.

Example:
    >>> for finding in adopt(terraform, clients=aws.client, dry_run=True):  # doctest: +SKIP
    ...     print(finding.outcome, finding.address, *finding.ids)
    to adopt aws_vpc.network_east_vpc vpc-0a1b2c3d
"""

import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from payment_dr.operations.aws import listed
from payment_dr.operations.errors import OperationError
from payment_dr.operations.files import write_whole
from payment_dr.operations.terraform.runner import PlanResult, Terraform

ADOPTED, TO_ADOPT, NOT_ADOPTED = "adopted", "to adopt", "not adopted"

Clients = Callable[[str, str], Any]
"""Makes a boto3 client of a service in a region."""
Planned = Mapping[str, Any]
"""The attributes that a resource will have, as far as the plan knows them."""
Find = Callable[[Callable[[str], Any], Planned], Iterable[str]]
"""Given clients of the resource's region by service: the import ids of what may be the planned resource."""


@dataclass(frozen=True)
class Finding:
    """A resource that the plan wants to create and that exists, or may exist.

    Attributes:
        outcome: ``adopted``, ``to adopt`` (a dry run) or ``not adopted``.
        address: Its address in the configuration.
        ids: Its import ids. Several where more than one resource fits.
        reason: Why it is not adopted, and what to do.
    """

    outcome: str
    address: str
    ids: tuple[str, ...] = ()
    reason: str = ""


class NotKnownYet(Exception):  # noqa: N818
    """The plan does not know an attribute: the id of a resource that Terraform has yet to create."""


class _Attributes(dict[str, Any]):
    def __missing__(self, key: str) -> Any:
        raise NotKnownYet(key)


def _search(
    service: str,
    operation: str,
    items: str,
    is_it: Callable[[Any, Planned], bool],
    id_of: Callable[[Any, Planned], str],
    arguments: Callable[[Planned], dict[str, Any]] = lambda _: {},
) -> Find:
    """Look through the list that one call returns."""

    def find(client: Callable[[str], Any], new: Planned) -> list[str]:
        found = listed(client(service), operation, items, **arguments(new))
        return [id_of(item, new) for item in found if is_it(item, new)]

    return find


def _named(service: str, operation: str, items: str, key: str, attribute: str = "name", id_: str = "") -> Find:
    """Look for a unique name. `id_` is the key of the import id, if that is not the name."""
    return _search(
        service,
        operation,
        items,
        lambda item, new: item[key] == new[attribute],
        lambda item, _: item[id_ or key],
        lambda _: {"Scope": "Local"} if operation == "list_policies" else {},
    )


def _tagged(operation: str, items: str, id_: str, *, in_vpc: bool = True) -> Find:
    """Look for the Name tag of an EC2 resource."""

    def filters(new: Planned) -> dict[str, Any]:
        within = [{"Name": "vpc-id", "Values": [new["vpc_id"]]}] if in_vpc else []
        return {"Filters": [{"Name": "tag:Name", "Values": [new["tags_all"]["Name"]]}, *within]}

    return _search("ec2", operation, items, lambda *_: True, lambda item, _: item[id_], filters)


def _of_api(operation: str, key: str, attribute: str, id_: str) -> Find:
    """Look for a part of an HTTP API."""
    return _search(
        "apigatewayv2",
        operation,
        "Items",
        lambda part, new: part.get(key) == new[attribute],
        lambda part, new: f"{new['api_id']}/{part[id_]}",
        lambda new: {"ApiId": new["api_id"]},
    )


def _keys(client: Callable[[str], Any], new: Planned) -> Iterator[str]:
    kms, name = client("kms"), {"TagKey": "Name", "TagValue": new["tags_all"]["Name"]}
    for key in listed(kms, "list_keys", "Keys"):
        metadata = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
        is_like_it = metadata["Description"] == new["description"] and metadata["KeyState"] != "PendingDeletion"
        if is_like_it and name in kms.list_resource_tags(KeyId=key["KeyId"])["Tags"]:
            yield key["KeyId"]


def _permissions(client: Callable[[str], Any], new: Planned) -> Iterator[str]:
    policy = json.loads(client("lambda").get_policy(FunctionName=new["function_name"])["Policy"])
    if new["statement_id"] in [statement["Sid"] for statement in policy["Statement"]]:
        yield f"{new['function_name']}/{new['statement_id']}"


def _is_like(check: Mapping[str, Any], new: Planned) -> bool:
    """Whether a health check has the same endpoint, alarm or children as a planned one."""
    alarm = check.get("AlarmIdentifier", {})
    there = (check["Type"], check.get("FullyQualifiedDomainName"), alarm.get("Name"), alarm.get("Region"))
    wanted = (new["type"], new.get("fqdn"), new.get("cloudwatch_alarm_name"), new.get("cloudwatch_alarm_region"))
    children = sorted(check.get("ChildHealthChecks", ())) == sorted(new.get("child_healthchecks") or ())
    return there == wanted and children


FIND: Mapping[str, Find] = {
    "aws_acm_certificate": _named(
        "acm", "list_certificates", "CertificateSummaryList", "DomainName", "domain_name", "CertificateArn"
    ),
    "aws_apigatewayv2_api": _named("apigatewayv2", "get_apis", "Items", "Name", id_="ApiId"),
    "aws_apigatewayv2_api_mapping": _search(
        "apigatewayv2",
        "get_api_mappings",
        "Items",
        lambda mapping, new: mapping["ApiId"] == new["api_id"],
        lambda mapping, new: f"{mapping['ApiMappingId']}/{new['domain_name']}",
        lambda new: {"DomainName": new["domain_name"]},
    ),
    "aws_apigatewayv2_domain_name": _named("apigatewayv2", "get_domain_names", "Items", "DomainName", "domain_name"),
    "aws_apigatewayv2_integration": _of_api("get_integrations", "IntegrationUri", "integration_uri", "IntegrationId"),
    "aws_apigatewayv2_route": _of_api("get_routes", "RouteKey", "route_key", "RouteId"),
    "aws_apigatewayv2_stage": _of_api("get_stages", "StageName", "name", "StageName"),
    "aws_cloudwatch_event_rule": _named("events", "list_rules", "Rules", "Name"),
    "aws_cloudwatch_event_target": _search(
        "events",
        "list_targets_by_rule",
        "Targets",
        lambda target, new: target["Arn"] == new["arn"],
        lambda target, new: f"{new['rule']}/{target['Id']}",
        lambda new: {"Rule": new["rule"]},
    ),
    "aws_cloudwatch_log_group": _named("logs", "describe_log_groups", "logGroups", "logGroupName"),
    "aws_cloudwatch_metric_alarm": _named("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName", "alarm_name"),
    "aws_dynamodb_table": _search(
        "dynamodb", "list_tables", "TableNames", lambda name, new: name == new["name"], lambda name, _: name
    ),
    "aws_iam_policy": _named("iam", "list_policies", "Policies", "PolicyName", id_="Arn"),
    "aws_iam_role": _named("iam", "list_roles", "Roles", "RoleName"),
    "aws_iam_role_policy_attachment": _search(
        "iam",
        "list_attached_role_policies",
        "AttachedPolicies",
        lambda policy, new: policy["PolicyArn"] == new["policy_arn"],
        lambda policy, new: f"{new['role']}/{policy['PolicyArn']}",
        lambda new: {"RoleName": new["role"]},
    ),
    "aws_kms_alias": _named("kms", "list_aliases", "Aliases", "AliasName"),
    "aws_kms_key": _keys,
    "aws_lambda_function": _named("lambda", "list_functions", "Functions", "FunctionName", "function_name"),
    "aws_lambda_permission": _permissions,
    "aws_route53_health_check": _search(
        "route53",
        "list_health_checks",
        "HealthChecks",
        lambda check, new: _is_like(check["HealthCheckConfig"], new),
        lambda check, _: check["Id"],
    ),
    "aws_route53_record": _search(
        "route53",
        "list_resource_record_sets",
        "ResourceRecordSets",
        lambda record, new: (
            (record["Name"], record["Type"], record.get("SetIdentifier"))
            == (f"{new['name']}.", new["type"], new["set_identifier"])
        ),
        lambda _, new: "_".join(filter(None, [new["zone_id"], new["name"], new["type"], new["set_identifier"]])),
        lambda new: {"HostedZoneId": new["zone_id"]},
    ),
    "aws_route53_zone": _search(
        "route53",
        "list_hosted_zones",
        "HostedZones",
        lambda zone, new: (zone["Name"], zone["Config"].get("Comment")) == (f"{new['name']}.", new["comment"]),
        lambda zone, _: zone["Id"].rsplit("/", 1)[1],
    ),
    "aws_route_table": _tagged("describe_route_tables", "RouteTables", "RouteTableId"),
    "aws_route_table_association": _search(
        "ec2",
        "describe_route_tables",
        "RouteTables",
        lambda table, new: new["subnet_id"] in [each.get("SubnetId") for each in table["Associations"]],
        lambda _, new: f"{new['subnet_id']}/{new['route_table_id']}",
        lambda new: {"RouteTableIds": [new["route_table_id"]]},
    ),
    "aws_s3_bucket": _named("s3", "list_buckets", "Buckets", "Name", "bucket"),
    "aws_security_group": _tagged("describe_security_groups", "SecurityGroups", "GroupId"),
    "aws_sns_topic": _search(
        "sns",
        "list_topics",
        "Topics",
        lambda topic, new: topic["TopicArn"].rsplit(":", 1)[1] == new["name"],
        lambda topic, _: topic["TopicArn"],
    ),
    "aws_ssm_parameter": _named("ssm", "describe_parameters", "Parameters", "Name"),
    "aws_subnet": _tagged("describe_subnets", "Subnets", "SubnetId"),
    "aws_vpc": _tagged("describe_vpcs", "Vpcs", "VpcId", in_vpc=False),
    "aws_vpc_endpoint": _search(
        "ec2",
        "describe_vpc_endpoints",
        "VpcEndpoints",
        lambda endpoint, new: (
            (endpoint["VpcId"], endpoint["ServiceName"]) == (new["vpc_id"], new["service_name"])
            and not endpoint["State"].lower().startswith("delet")
        ),
        lambda endpoint, _: endpoint["VpcEndpointId"],
    ),
}
# Creating these again overwrites the old ones, and they are deleted with their parent: they need no adoption.
REPEATABLE = frozenset(
    {
        "aws_acm_certificate_validation",  # waits, and makes nothing
        "aws_cloudwatch_dashboard",
        "aws_default_security_group",
        "aws_lambda_function_event_invoke_config",
        "aws_s3_bucket_policy",
        "aws_s3_bucket_public_access_block",
        "aws_s3_bucket_replication_configuration",
        "aws_s3_bucket_server_side_encryption_configuration",
        "aws_s3_bucket_versioning",
        "aws_sns_topic_policy",
        "aws_sns_topic_subscription",
        "random_password",  # exists in the state alone
        "terraform_data",
    }
)
# AWS tags these by a second call, before which Terraform may have been killed. Their other traits tell them apart.
TAGGED_LATER = frozenset({"aws_route53_health_check", "aws_route53_zone", "aws_s3_bucket"})


def adopt(terraform: Terraform, *, clients: Clients, dry_run: bool = False) -> list[Finding]:
    """Import resources that the configuration wants to create and that already exist.

    Args:
        terraform: Terraform in an initialized working directory. Nobody else may apply there meanwhile.
        clients: Clients with the rights to list and describe.
        dry_run: Only report what it would do.

    Returns:
        The resources found, by address. Nothing else blocks the next apply.

    Raises:
        TerraformFailed: Terraform could not plan or import.
        ClientError: AWS rejects a call that lists resources.
    """
    clients = functools.cache(clients)  # to make one takes longer than most calls
    found: dict[str, str] = {}
    refused: dict[str, Finding] = {}
    plan, targets = _plan(terraform, found), False
    while not targets:
        more, unknown = _look(plan.json, clients, refused)
        if not more:
            break
        found |= more
        # What belongs to something that was found can be looked for in the next plan, which knows its id. If there is
        # nothing of that kind, the next plan is the one to apply.
        targets = not unknown
        plan = _plan(terraform, found, targets=targets)
        if misfits := {misfit.address: misfit for misfit in _misfits(plan.json, found)}:
            refused |= misfits
            found = {address: id_ for address, id_ in found.items() if address not in misfits}
            plan = _plan(terraform, found, targets=targets)
    if found and not dry_run:
        only = plan if targets else _plan(terraform, found, targets=True)
        beyond = [
            change["address"]
            for change in plan.json["resource_changes"]  # which holds all that the narrower plan would do
            if set(change["change"]["actions"]) & {"create", "delete"}
            and change["type"] not in REPEATABLE
            and change["address"] in only.actions
        ]
        if beyond:
            reason = f"it cannot be imported without changing {', '.join(sorted(beyond))}: fix those first"
            refused |= {address: Finding(NOT_ADOPTED, address, (id_,), reason) for address, id_ in found.items()}
            found = {}
        else:
            with _import_blocks(terraform, found):
                terraform.apply(only)
    outcome = TO_ADOPT if dry_run else ADOPTED
    findings = {address: Finding(outcome, address, (id_,)) for address, id_ in found.items()} | refused
    return [findings[address] for address in sorted(findings)]


def _look(plan: Mapping[str, Any], clients: Clients, refused: dict[str, Finding]) -> tuple[dict[str, str], set[str]]:
    """Find resources that the plan wants to create. Those that a person must decide go to `refused`.

    Returns:
        The id of each resource found, by address, and the addresses that this plan does not know enough about.
    """
    regions = _regions(plan)
    found: dict[str, str] = {}
    unknown: set[str] = set()
    for change in plan["resource_changes"]:
        address, kind = change["address"], change["type"]
        if change["change"]["actions"] != ["create"] or kind in REPEATABLE or address in refused:
            continue
        if kind not in FIND:
            reason = f"dr adopt cannot look for a {kind}: look for it yourself, and import it if it exists"
            refused[address] = Finding(NOT_ADOPTED, address, (), reason)
            continue
        try:
            ids = _ids(FIND[kind], _in_region(clients, regions[address]), change["change"]["after"])
        except NotKnownYet:
            unknown.add(address)
            continue
        if len(ids) == 1:
            found[address] = ids[0]
        elif ids:
            reason = f"{len(ids)} of that name exist: delete the unused ones, or import the one in use"
            refused[address] = Finding(NOT_ADOPTED, address, tuple(ids), reason)
    return found, unknown


def _in_region(clients: Clients, region: str) -> Callable[[str], Any]:
    return lambda service: clients(service, region)


def _ids(find: Find, client: Callable[[str], Any], planned: Planned) -> list[str]:
    try:
        return list(find(client, _Attributes(planned)))
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if "NotFound" in code or "NoSuch" in code or "NonExistent" in code:
            return []
        raise


def _regions(plan: Mapping[str, Any]) -> dict[str, str]:
    """The region of each resource, by address: its provider's."""
    configuration = plan["configuration"]
    region_of = {
        key: provider.get("expressions", {}).get("region", {}).get("constant_value", "")
        for key, provider in configuration["provider_config"].items()
    }
    resources = configuration["root_module"]["resources"]
    return {resource["address"]: region_of[resource["provider_config_key"]] for resource in resources}


def _misfits(plan: Mapping[str, Any], found: Mapping[str, str]) -> Iterator[Finding]:
    """Resources that were found and turn out not to be the planned ones."""
    for change in plan["resource_changes"]:
        address, kind, before = change["address"], change["type"], change["change"]["before"] or {}
        if address not in found:
            continue
        wanted, tags = (change["change"]["after"] or {}).get("tags_all") or {}, before.get("tags_all") or {}
        ids = (found[address],)
        if not tags and kind in TAGGED_LATER:
            tags = wanted
        if not wanted.items() <= tags.items():
            reason = "its tags are not this stack's: correct its tags if it belongs to the stack, else rename one"
            yield Finding(NOT_ADOPTED, address, ids, reason)
        elif "delete" in change["change"]["actions"]:
            reason = "Terraform would replace it: delete it if it is not in use, or correct the configuration"
            yield Finding(NOT_ADOPTED, address, ids, reason)


def _plan(terraform: Terraform, found: Mapping[str, str], *, targets: bool = False) -> PlanResult:
    """Plan to import the resources found. With targets, only these and the resources that they depend on."""
    with _import_blocks(terraform, found):
        # The state is not compared with AWS: what is in it is not looked for, and what is imported is read anyway.
        return terraform.plan(targets=sorted(found) if targets else (), refresh=False)


@contextmanager
def _import_blocks(terraform: Terraform, found: Mapping[str, str]) -> Iterator[None]:
    """Add import blocks to the configuration (https://developer.hashicorp.com/terraform/language/import)."""
    path = terraform.directory / "adoption.tf"
    blocks = (f"import {{\n  to = {address}\n  id = {_quoted(id_)}\n}}\n" for address, id_ in found.items())
    write_whole(path, "".join(blocks).encode())  # half a file would break every command of the operator
    try:
        yield
    finally:
        path.unlink()


def _quoted(text: str) -> str:
    return json.dumps(text).replace("${", "$${").replace("%{", "%%{")


def adopt_here(directory: Path, *, dry_run: bool) -> list[Finding]:
    """Adopt in an operator's own working directory, with the operator's AWS settings, state and variables.

    Args:
        directory: An initialized working directory, such as cdktf.out/stacks/payment-dr.
        dry_run: Only report what it would do.

    Raises:
        OperationError: The directory is not initialized, or Terraform or AWS fails.
    """
    with terraform_here(directory) as (terraform, clients):
        return adopt(terraform, clients=clients, dry_run=dry_run)


@contextmanager
def terraform_here(directory: Path) -> Iterator[tuple[Terraform, Clients]]:
    """Use Terraform and AWS in an operator's own working directory, with the operator's settings and variables.

    Args:
        directory: An initialized working directory, such as cdktf.out/stacks/payment-dr.

    Yields:
        Terraform in it, and clients with the same credentials.

    Raises:
        OperationError: The directory is not initialized, or AWS rejects a call in the block.
    """
    if not (directory / os.environ.get("TF_DATA_DIR", ".terraform")).is_dir():
        raise OperationError(f"{directory} is not initialized", hint=f"run 'terraform -chdir={directory} init' first")
    home = Path.home() / ".aws"
    own = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "TF_"))}
    files = {"AWS_CONFIG_FILE": str(home / "config"), "AWS_SHARED_CREDENTIALS_FILE": str(home / "credentials")}
    session: Any = boto3.Session()
    try:
        with Terraform(directory, {"AWS_EC2_METADATA_DISABLED": "false", **files, **own}) as terraform:
            yield terraform, lambda service, region: session.client(service, region)
    except (BotoCoreError, ClientError) as error:
        hint = "check the AWS settings, and that they allow listing and describing the stack's resources"
        raise OperationError(f"AWS does not answer: {error}", hint=hint) from error
