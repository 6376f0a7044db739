"""The stack with its production preset, deployed by the real Terraform and AWS provider; its domain above all."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from urllib3.exceptions import SSLError

from embedded_aws import checks
from embedded_aws.checks import eventually
from embedded_aws.custom_domains import CustomDomains
from embedded_aws.deployment import PRODUCTION_SETTINGS, STACK, Deployment, synthesized
from embedded_aws.drill import TLS_IS_REAL, place_of, protect_replica
from embedded_aws.inventory import inventory
from main import DELETION_PROTECTION, FORCE_DESTROY, TWO_WAY_DOCUMENTS
from payment_dr.operations.adoption import ADOPTED, adopt
from payment_dr.operations.drill import clients
from payment_dr.operations.drill.run import Drill
from payment_dr.operations.records import change_at_once, planned_batch
from payment_dr.operations.terraform.runner import ResourceEvent, TerraformFailed
from payment_dr.side import OTHER, SIDES, Side
from tests.deploy.conftest import Deployed
from tests.embedded_aws.tenant import get

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("custom domain")]

REGIONS = {"primary": "us-east-1", "secondary": "us-west-2"}
HOST = "app.payment-app.test"
# Of API Gateway: https://docs.aws.amazon.com/general/latest/gr/apigateway.html
ZONES = {"us-east-1": "Z1UJRXOUMOOFQ8", "us-west-2": "Z2OJLYMUO9EFXC"}


@pytest.fixture(scope="module")
def deployed(with_options: Deployed) -> Deployed:
    """The stack with its custom domain and its private probe routes among others, applied; tests only look at it."""
    return with_options


@pytest.fixture
def branch(deployed: Deployed) -> Iterator[Deployment]:
    """A fresh copy of `deployed` that a test may change, break and destroy."""
    with deployed.branch() as branch:
        yield branch


def test_a_second_plan_is_empty(deployed: Deployed) -> None:
    plan = deployed.plan()
    assert (plan.actions, plan.changed) == ({}, False)


@pytest.mark.parametrize("side", REGIONS)
def test_both_regions_map_the_host_to_their_api_with_an_issued_certificate(deployed: Deployed, side: Side) -> None:
    region = REGIONS[side]
    gateway = deployed.aws.client("apigatewayv2", region)
    (configuration,) = gateway.get_domain_name(DomainName=HOST)["DomainNameConfigurations"]
    (mapping,) = gateway.get_api_mappings(DomainName=HOST)["Items"]
    certificate = deployed.aws.client("acm", region).describe_certificate(
        CertificateArn=configuration["CertificateArn"]
    )["Certificate"]

    assert (certificate["DomainName"], certificate["Status"]) == (HOST, "ISSUED")
    assert (configuration["EndpointType"], configuration["SecurityPolicy"]) == ("REGIONAL", "TLS_1_2")
    assert configuration["ApiGatewayDomainName"] == deployed.value(f"{side}_target_name")
    assert (mapping["ApiId"], mapping["Stage"]) == (deployed.value(f"{side}_api_id"), "$default")


@pytest.mark.parametrize(("side", "weight"), [("primary", 100), ("secondary", 0)])
def test_the_records_are_aliases_of_the_regions_domain_names(deployed: Deployed, side: Side, weight: int) -> None:
    records = deployed.aws.client("route53", "us-east-1").list_resource_record_sets(
        HostedZoneId=deployed.value("hosted_zone_id")
    )["ResourceRecordSets"]
    (record,) = [record for record in records if record.get("SetIdentifier") == side]

    alias: dict[str, Any] = record["AliasTarget"]
    assert (record["Name"], record["Type"], record["Weight"]) == (f"{HOST}.", "A", weight)
    assert record["HealthCheckId"] == deployed.value(f"{side}_health_check_id")
    assert alias["DNSName"].rstrip(".") == deployed.value(f"{side}_target_name")
    assert alias["EvaluateTargetHealth"] is True
    assert alias["HostedZoneId"] == ZONES[REGIONS[side]]


def probed_path(deployment: Deployment, side: Side) -> str:
    """The path that Route 53 probes."""
    return urlsplit(checks.Deployed(deployment).probed_url(side)).path


@pytest.mark.parametrize("side", REGIONS)
def test_route_53_probes_a_private_route_that_has_a_throttle_and_a_permission_of_its_own(
    branch: Deployment, side: Side
) -> None:
    path, api_id = probed_path(branch, side), branch.value(f"{side}_api_id")
    assert re.fullmatch(r"/health/[A-Za-z0-9]{32}", path)
    stage = branch.client("apigatewayv2", side).get_stage(ApiId=api_id, StageName="$default")
    switch = [f"GET {branch.value('switch_path')}"] if side == "secondary" else []
    assert stage["RouteSettings"] == {
        key: {"DetailedMetricsEnabled": False, "ThrottlingBurstLimit": 400, "ThrottlingRateLimit": 200.0}
        for key in ("GET /health", f"GET {path}", *switch)
    }

    def served(path: str) -> int:
        return get(branch.aws.execute_api_url(api_id, path)).status

    other = probed_path(branch, OTHER[side])
    assert [served(each) for each in (path, "/health", other, f"{path}x", "/health/x")] == [200, 200, 404, 404, 404]
    branch.client("lambda", side).remove_permission(
        FunctionName=branch.value(f"{side}_health_monitor_function_name"), StatementId="AllowPrivateHealthRoute"
    )
    assert [served(each) for each in (path, "/health")] == [500, 200]


def test_nothing_that_is_shown_or_logged_holds_a_private_path(deployed: Deployed) -> None:
    segments = [probed_path(deployed, side).rpartition("/")[2] for side in SIDES]
    for side, segment in zip(SIDES, segments, strict=True):
        api_id = deployed.value(f"{side}_api_id")
        assert get(deployed.aws.execute_api_url(api_id, f"/health/{segment}")).status == 200
        assert segment not in log_of_a_probe(deployed, side)
    shown = json.dumps({name: output.value for name, output in deployed.outputs.items()})
    assert [segment for segment in segments if segment in shown] == []


def log_of_a_probe(deployment: Deployment, side: Side) -> str:
    """What the health monitor has logged, once a probe is in it."""
    logs = deployment.client("logs", side)
    group = f"/aws/lambda/{deployment.value(f'{side}_health_monitor_function_name')}"

    def read() -> str:
        return "".join(event["message"] for event in logs.filter_log_events(logGroupName=group)["events"])

    eventually(lambda: '"probe"' in read(), "the probe is logged")
    return read()


def test_one_record_proves_the_name_for_both_certificates(deployed: Deployed) -> None:
    records = deployed.aws.client("route53", "us-east-1").list_resource_record_sets(
        HostedZoneId=deployed.value("hosted_zone_id")
    )["ResourceRecordSets"]
    assert [(record["Type"], HOST in record["Name"]) for record in records if record["Type"] == "CNAME"] == [
        ("CNAME", True)
    ]


def test_the_address_is_an_output(deployed: Deployed) -> None:
    assert deployed.value("application_url") == f"https://{HOST}"


@pytest.fixture(scope="module")
def https(deployed: Deployed) -> Iterator[CustomDomains]:
    with CustomDomains(deployed.aws, REGIONS.values()) as serving:
        yield serving


@pytest.mark.parametrize("region", REGIONS.values())
def test_a_client_that_verifies_the_certificate_is_served_by_each_region(https: CustomDomains, region: str) -> None:
    answer = https.get(region, HOST, "/health")
    assert (answer.status, answer.json()["region"]) == (200, region)


@pytest.mark.parametrize("region", REGIONS.values())
def test_another_name_is_turned_away_by_its_certificate(https: CustomDomains, region: str) -> None:
    with pytest.raises(SSLError, match=r"'other\.payment-app\.test' doesn't match '\*\.execute-api"):
        https.get(region, "other.payment-app.test", "/health")


def test_a_region_without_its_mapping_forbids_the_other_serves_and_an_apply_repairs_it(branch: Deployment) -> None:
    gateway = branch.aws.client("apigatewayv2", REGIONS["secondary"])
    (mapping,) = gateway.get_api_mappings(DomainName=HOST)["Items"]
    with CustomDomains(branch.aws, REGIONS.values()) as https:
        assert [https.get(region, HOST, "/health").status for region in REGIONS.values()] == [200, 200]
        gateway.delete_api_mapping(DomainName=HOST, ApiMappingId=mapping["ApiMappingId"])
        assert [https.get(region, HOST, "/health").status for region in REGIONS.values()] == [200, 403]
        branch.terraform.apply(targets=["aws_apigatewayv2_api_mapping.dns_secondary_domain_api_mapping"])
        assert [https.get(region, HOST, "/health").status for region in REGIONS.values()] == [200, 200]


@pytest.mark.parametrize("kind", ["hang", "api"])
def test_clients_that_verify_the_certificate_follow_the_failover_and_the_failback(
    kind: str, branch: Deployment, tmp_path: Path
) -> None:
    protect_replica(branch)
    with place_of(branch, 1) as place:
        assert place.tls
        journal = Drill(place, kind, seed=1, directory=tmp_path).run().content
    assert (journal["verdict"], journal["causes"]) == ("passed", [])
    answers = [event["region"] for event in journal["events"] if event["kind"] == "answer"]
    assert answers == ["us-east-1", "us-west-2", "us-east-1"]
    # the tables go on serving while only the API is away: these clients had no way to their region
    switched = next(event["at"] for event in journal["events"] if event["kind"] == "answer" and event["at"])
    paid = [event for event in journal["events"] if event["kind"] == "transactions"]
    while_down = [event for event in paid if switched - 60 < event["at"] < switched]
    assert {event["region"] for event in while_down} == {"us-east-1"}
    assert sum(event["acknowledged"] for event in while_down) == 0
    assert journal["settings"]["ttl_seconds"] == 60
    assert journal["rpo"]["confirmed"]["acknowledged"] >= clients.RUSH_ACKNOWLEDGED
    assert journal["rpo"]["confirmed"]["missing_at_switch"] == []
    assert TLS_IS_REAL in journal["made_of"]["real"]


def certificate_of_another_name(deployment: Deployment) -> str:
    """The ARN of an issued certificate of the secondary region."""
    acm, route53 = (deployment.aws.client(service, REGIONS["secondary"]) for service in ("acm", "route53"))
    arn: str = acm.request_certificate(DomainName="other.payment-app.test", ValidationMethod="DNS")["CertificateArn"]
    (option,) = acm.describe_certificate(CertificateArn=arn)["Certificate"]["DomainValidationOptions"]
    proof = option["ResourceRecord"]
    record = {"Name": proof["Name"], "Type": "CNAME", "TTL": 60, "ResourceRecords": [{"Value": proof["Value"]}]}
    batch = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": record}]}
    route53.change_resource_record_sets(HostedZoneId=deployment.value("hosted_zone_id"), ChangeBatch=batch)
    return arn


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("mapping", "HTTP status 403, as of a name without an API mapping"),
        ("certificate", "its certificate is rejected"),
    ],
)
def test_a_region_that_clients_would_turn_away_from_is_found_before_anything_is_broken(
    broken: str, why: str, branch: Deployment, tmp_path: Path
) -> None:
    gateway = branch.aws.client("apigatewayv2", REGIONS["secondary"])
    if broken == "mapping":
        (mapping,) = gateway.get_api_mappings(DomainName=HOST)["Items"]
        gateway.delete_api_mapping(DomainName=HOST, ApiMappingId=mapping["ApiMappingId"])
    else:
        (configuration,) = gateway.get_domain_name(DomainName=HOST)["DomainNameConfigurations"]
        other = {**configuration, "CertificateArn": certificate_of_another_name(branch)}
        gateway.update_domain_name(DomainName=HOST, DomainNameConfigurations=[other])
    with place_of(branch, 1) as place:
        journal = Drill(place, "region", seed=1, directory=tmp_path).run().content
    assert journal["verdict"] == "missed"
    assert journal["causes"][0].startswith(f"us-west-2 does not serve {HOST}: {why}")
    assert [event for event in journal["events"] if event["kind"] == "action"] == []


def test_all_outputs_say_what_is_deployed_and_both_regions_serve_the_name(deployed: Deployed) -> None:
    assert checks.deployed_values(deployed).keys() == deployed.outputs.keys()
    all_checks = checks.checks_of(deployed)
    found = {
        name: checks.run_check(name, check)
        for name, check in all_checks.items()
        if name.startswith(checks.OUTPUT) or name == "custom domain"
    }
    assert {"output application_url", "output secondary_target_name", "custom domain"} <= found.keys()
    assert [(name, check.found) for name, check in found.items() if not check.passed] == []


def test_what_a_killed_deployment_has_left_is_found_again(branch: Deployment) -> None:
    """All that the custom domain is made of is in AWS, and not in the state; so are the routes."""
    path = branch.terraform.directory / "terraform.tfstate"
    state = json.loads(path.read_text(encoding="utf-8"))
    kinds = {
        "aws_acm_certificate",
        "aws_acm_certificate_validation",
        "aws_apigatewayv2_api_mapping",
        "aws_apigatewayv2_domain_name",
        "aws_apigatewayv2_route",
        "aws_route53_record",
    }
    lost = {f"{each['type']}.{each['name']}" for each in state["resources"] if each["type"] in kinds}
    state["resources"] = [each for each in state["resources"] if each["type"] not in kinds]
    path.write_text(json.dumps({**state, "serial": state["serial"] + 1}), encoding="utf-8")

    findings = adopt(branch.terraform, clients=branch.aws.client)

    assert {finding.address for finding in findings if finding.outcome == ADOPTED} == {
        address for address in lost if not address.startswith("aws_acm_certificate_validation.")
    }
    branch.apply()
    assert not branch.plan().changed
    assert len(branch.aws.client("acm", REGIONS["primary"]).list_certificates()["CertificateSummaryList"]) == 1


def test_a_validation_record_that_is_there_already_is_taken_over(branch: Deployment) -> None:
    """That of a live application's certificate: ACM asks for the same record whenever an account asks for a name."""
    forget(branch, "aws_route53_record.dns_primary_domain_validation_record")
    branch.terraform.apply(targets=["aws_route53_record.dns_primary_domain_validation_record"], refresh=False)


def forget(deployment: Deployment, *addresses: str) -> None:
    """Take something out of Terraform's state, as `terraform state rm` does."""
    path = deployment.terraform.directory / "terraform.tfstate"
    state = json.loads(path.read_text(encoding="utf-8"))
    state["resources"] = [each for each in state["resources"] if f"{each['type']}.{each['name']}" not in addresses]
    path.write_text(json.dumps({**state, "serial": state["serial"] + 1}), encoding="utf-8")


def test_it_is_turned_off_and_the_name_is_answered_at_all_times(branch: Deployment) -> None:
    """As docs/upgrading.md says, which is the same for turning it on. The other options need nothing but an apply."""
    # Which stays: a bucket with two-way replication cannot be updated, see docs/deploy.md.
    with synthesized(settings={FORCE_DESTROY: "0"}) as out:
        shutil.copy(out / "stacks" / STACK / "cdk.tf.json", branch.terraform.directory)
    plan = branch.plan()
    said = branch.terraform.text_of(plan)
    assert "(sensitive value)" in said
    assert [side for side in SIDES if probed_path(branch, side).rpartition("/")[2] in said] == []
    switch = branch.value("switch_table_name")  # which goes, and is protected: docs/upgrading.md
    branch.client("dynamodb", "secondary").update_table(TableName=switch, DeletionProtectionEnabled=False)
    change_at_once(planned_batch(branch.terraform, branch.aws.client), branch.aws.client)
    forget(branch, "aws_route53_record.dns_primary_record", "aws_route53_record.dns_secondary_record")
    assert {finding.outcome for finding in adopt(branch.terraform, clients=branch.aws.client)} == {ADOPTED}
    branch.apply()
    assert not branch.plan().changed
    found = branch.aws.client("route53", REGIONS["primary"]).list_resource_record_sets(
        HostedZoneId=branch.value("hosted_zone_id")
    )["ResourceRecordSets"]
    assert {(record["Type"], record["SetIdentifier"]) for record in found if record["Name"] == f"{HOST}."} == {
        ("CNAME", "primary"),
        ("CNAME", "secondary"),
    }
    assert {probed_path(branch, side) for side in SIDES} == {"/health"}


@contextmanager
def noted_branch(deployed: Deployed, events: list[tuple[str, str]]) -> Iterator[Deployment]:
    """A branch that notes the phase of each deletion and its resource."""

    def note(event: ResourceEvent) -> None:
        if event.action == "delete":
            events.append((event.phase, event.address))

    with deployed.branch(on_event=note) as branch:
        yield branch


def test_production_is_destroyed_once_its_protection_is_removed_and_leaves_nothing(deployed: Deployed) -> None:
    events: list[tuple[str, str]] = []
    with noted_branch(deployed, events) as branch:
        destroy_unprotected(branch)
        assert branch.terraform.state_resources() == []
        assert inventory(branch.aws, REGIONS.values()) - deployed.before == frozenset()
    # A schedule that probes a region whose API is gone would set the switch in the middle of a destroy.
    of_the_routes = r"aws_(apigatewayv2_\w+|lambda_function|lambda_permission(?=.*_api_permission$))\.health_monitor_"
    probed = {address for _, address in events if re.match(of_the_routes, address)}
    assert len(probed) == 16
    ended = events.index(("complete", "aws_cloudwatch_event_target.switch_takeover_schedule_target"))
    assert {address for phase, address in events[:ended] if phase == "start"} & probed == set()


def destroy_unprotected(branch: Deployment) -> None:
    for side in SIDES:
        branch.client("s3", side).put_object(Bucket=branch.value(f"{side}_bucket_name"), Key="receipt", Body=b"1")
    with pytest.raises(TerraformFailed, match=r"lifecycle\.prevent_destroy"):
        branch.destroy()
    settings = {**PRODUCTION_SETTINGS, DELETION_PROTECTION: "0", TWO_WAY_DOCUMENTS: "0"}
    for more in ({}, {FORCE_DESTROY: "1"}):
        with synthesized(settings={**settings, **more}) as out:
            shutil.copy(out / "stacks" / STACK / "cdk.tf.json", branch.terraform.directory)
        branch.apply()
    branch.destroy()
