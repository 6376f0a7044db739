"""Each example, copied elsewhere and run there: synthesized, applied, used, planned again and destroyed.

`examples/whole_stack` is deployed by `test_command_line.py`.
"""

import ast
import json
import shutil
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import payment_dr
from embedded_aws.checks import eventually
from embedded_aws.deployment import PROJECT, Deployment, synthesized
from embedded_aws.inventory import inventory
from embedded_aws.server import DEFAULT_ACCOUNT_ID

pytestmark = pytest.mark.xdist_group("examples")

EXAMPLES = sorted(path.parent for path in (PROJECT / "examples").glob("*/main.py"))
each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)


def copied(example: str, elsewhere: Path) -> Path:
    return shutil.copytree(PROJECT / "examples" / example, elsewhere / example)


@contextmanager
def on_the_embedded_aws(example: Path) -> Iterator[Deployment]:
    stack = example.name.replace("_", "-")
    with synthesized(example / "main.py") as folder, Deployment(stack_dir=folder / "stacks" / stack) as deployment:
        yield deployment


def assert_nothing_changes_and_nothing_is_left(deployment: Deployment, before: frozenset[str]) -> None:
    assert deployment.plan().actions == {}
    deployment.destroy()
    assert deployment.terraform.state_resources() == []
    assert inventory(deployment.aws, deployment.regions) - before == frozenset()


@each_example
def test_it_has_what_whoever_copies_it_needs(example: Path) -> None:
    assert {"main.py", "cdktf.json", "README.md"} <= {path.name for path in example.iterdir()}
    settings = json.loads((example / "cdktf.json").read_text(encoding="utf-8"))
    assert (settings["language"], settings["app"]) == ("python", "python main.py")
    assert settings["projectId"] == example.name.replace("_", "-")


@each_example
def test_it_uses_the_public_names_of_the_library_alone(example: Path) -> None:
    nodes = list(ast.walk(ast.parse((example / "main.py").read_text(encoding="utf-8"))))
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    assert [node.module for node in imports if node.module not in sys.stdlib_module_names] == ["payment_dr"]
    assert [node for node in nodes if isinstance(node, ast.Import)] == []
    asked = {alias.name for node in imports if node.module == "payment_dr" for alias in node.names}
    assert asked <= set(payment_dr.__all__)


@each_example
def test_its_readme_is_listed_and_shows_a_picture_and_its_command(example: Path) -> None:
    text = (example / "README.md").read_text(encoding="utf-8")
    assert f"cdktf.out/stacks/{example.name.replace('_', '-')}" in text
    assert "┌" in text
    assert f"({example.name})" in (example.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_existing_api_watches_the_table_and_leaves_table_and_hosts_alone(tmp_path: Path) -> None:
    example = copied("existing_api", tmp_path)
    main = example / "main.py"
    main.write_text(main.read_text(encoding="utf-8").replace("123456789012", DEFAULT_ACCOUNT_ID), encoding="utf-8")
    hosts = {"eu-west-1": "ireland.acme.io", "eu-central-1": "frankfurt.acme.io"}
    with on_the_embedded_aws(example) as deployment:
        table = {
            "KeySchema": [{"AttributeName": "order_id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "order_id", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
        }
        for region in hosts:
            deployment.aws.client("dynamodb", region).create_table(TableName="orders", **table)
        before = inventory(deployment.aws, deployment.regions)
        deployment.apply()

        route53 = deployment.aws.client("route53", "us-east-1")
        (zone,) = route53.list_hosted_zones()["HostedZones"]
        records: list[Any] = route53.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
        weighted = {record["SetIdentifier"]: record for record in records if "SetIdentifier" in record}
        for (region, host), side in zip(hosts.items(), ("primary", "secondary"), strict=True):
            record = weighted[side]
            assert record["Name"].rstrip(".") == "api.orders.acme.io"
            assert [value["Value"] for value in record["ResourceRecords"]] == [host]
            (api,) = deployment.aws.client("apigatewayv2", region).get_apis()["Items"]
            check = route53.get_health_check(HealthCheckId=record["HealthCheckId"])["HealthCheck"]["HealthCheckConfig"]
            assert check["FullyQualifiedDomainName"].startswith(f"{api['ApiId']}.")
            url = deployment.aws.execute_api_url(api["ApiId"], check["ResourcePath"])
            with urllib.request.urlopen(url, timeout=120) as answer:  # noqa: S310 - loopback
                verdict = json.load(answer)
            assert (verdict["status"], verdict["region"]) == ("healthy", region)
        assert_nothing_changes_and_nothing_is_left(deployment, before)
        for region in hosts:
            assert deployment.aws.client("dynamodb", region).list_tables()["TableNames"] == ["orders"]


@pytest.mark.slow
def test_config_sync_only_copies_both_ways(tmp_path: Path) -> None:
    with on_the_embedded_aws(copied("config_sync_only", tmp_path)) as deployment:
        before = inventory(deployment.aws, deployment.regions)
        deployment.apply()
        name = "/checkout/prod/stripe-key"
        there = {region: deployment.aws.client("ssm", region) for region in deployment.regions}
        for source, target in (("us-east-2", "us-west-2"), ("us-west-2", "us-east-2")):
            (described,) = there[source].describe_parameters(ParameterFilters=[{"Key": "Name", "Values": [name]}])[
                "Parameters"
            ]
            there[source].put_parameter(
                Name=name, Value=f"set in {source}", Type="SecureString", KeyId=described["KeyId"], Overwrite=True
            )

            def arrived(source: str = source, target: str = target) -> bool:
                read = there[target].get_parameter(Name=name, WithDecryption=True)["Parameter"]
                return bool(read["Value"] == f"set in {source}")

            eventually(arrived, f"{name}, changed in {source}, appears in {target}")
        assert_nothing_changes_and_nothing_is_left(deployment, before)
