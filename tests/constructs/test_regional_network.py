"""RegionalNetwork: isolated, private, and refusing an address plan that cannot work."""

import json
import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payment_dr import App, ConfigurationError, DisasterRecoveryStack, Region, RegionalNetwork, TerraformStack
from payment_dr.bindings import Subnet, Vpc
from payment_dr.bindings import Testing as CdktfTesting
from payment_dr.regional_network import mistakes_in_network, mistakes_in_overlap
from tests.constructs.documents import Json, resource, statements

Synthesize = Callable[[Callable[[TerraformStack], object]], Json]


@pytest.mark.parametrize(
    ("side", "cidr", "subnet_cidrs"),
    [
        ("east", "10.0.0.0/16", ["10.0.1.0/24", "10.0.2.0/24"]),
        ("west", "10.1.0.0/16", ["10.1.1.0/24", "10.1.2.0/24"]),
    ],
)
def test_each_region_has_its_vpc_with_two_private_subnets_in_two_zones(
    stack_text: str, stack_json: Json, side: str, cidr: str, subnet_cidrs: list[str]
) -> None:
    vpc = {"cidr_block": cidr, "enable_dns_hostnames": True, "enable_dns_support": True}
    assert CdktfTesting.to_have_resource_with_properties(stack_text, Vpc.TF_RESOURCE_TYPE, vpc)
    zones = "available" if side == "east" else "available_secondary"
    for index, subnet_cidr in enumerate(subnet_cidrs):
        subnet = {
            "cidr_block": subnet_cidr,
            "vpc_id": f"${{aws_vpc.network_{side}_vpc.id}}",
            "availability_zone": f"${{element(data.aws_availability_zones.{zones}.names, {index})}}",
            "map_public_ip_on_launch": False,
        }
        assert CdktfTesting.to_have_resource_with_properties(stack_text, Subnet.TF_RESOURCE_TYPE, subnet)
    data = stack_json["data"]["aws_availability_zones"][zones]
    assert data["state"] == "available"
    # no Local Zone, even when the account has opted into one
    assert data["filter"] == [{"name": "opt-in-status", "values": ["opt-in-not-required"]}]


def test_the_vpcs_hold_no_other_subnet_and_are_not_joined(stack_json: Json) -> None:
    ranges = {
        kind: {name: body["cidr_block"] for name, body in stack_json["resource"][kind].items()}
        for kind in ("aws_vpc", "aws_subnet")
    }
    assert ranges == {
        "aws_vpc": {"network_east_vpc": "10.0.0.0/16", "network_west_vpc": "10.1.0.0/16"},
        "aws_subnet": {
            "network_east_private_subnet_1": "10.0.1.0/24",
            "network_east_private_subnet_2": "10.0.2.0/24",
            "network_west_private_subnet_1": "10.1.1.0/24",
            "network_west_private_subnet_2": "10.1.2.0/24",
        },
    }
    joins = ("aws_vpc_peering_", "aws_ec2_transit_gateway", "aws_vpn_", "aws_dx_")
    assert [type_ for type_ in stack_json["resource"] if type_.startswith(joins)] == []


def test_nothing_leads_to_the_internet(stack_json: Json) -> None:
    forbidden = {"aws_internet_gateway", "aws_nat_gateway", "aws_egress_only_internet_gateway", "aws_eip", "aws_route"}
    assert forbidden.isdisjoint(stack_json["resource"])
    for side in ("east", "west"):
        assert "route" not in resource(stack_json, "aws_route_table", f"network_{side}_private_routes")
        # no rules given: Terraform strips the default group of those that AWS puts there
        closed = resource(stack_json, "aws_default_security_group", f"network_{side}_default_security_group")
        assert not {"ingress", "egress"} & set(closed)


def test_every_subnet_uses_the_private_routes(stack_json: Json) -> None:
    associations = stack_json["resource"]["aws_route_table_association"].values()
    assert {(a["subnet_id"], a["route_table_id"]) for a in associations} == {
        (
            f"${{aws_subnet.network_{side}_private_subnet_{number}.id}}",
            f"${{aws_route_table.network_{side}_private_routes.id}}",
        )
        for side in ("east", "west")
        for number in (1, 2)
    }


def test_it_works_alone_in_another_region(synthesize: Synthesize) -> None:
    stack = synthesize(
        lambda scope: RegionalNetwork(
            scope,
            "network",
            region=Region(name="eu-central-1"),
            environment="prod",
            cidr="172.16.0.0/20",
            subnet_cidrs=["172.16.0.0/24", "172.16.1.0/24", "172.16.2.0/24"],
        )
    )
    (vpc,) = stack["resource"]["aws_vpc"].values()
    assert (vpc["cidr_block"], vpc["tags"]["Name"]) == ("172.16.0.0/20", "vpc-payment-app-central-prod")
    assert [s["cidr_block"] for s in stack["resource"]["aws_subnet"].values()] == [
        "172.16.0.0/24",
        "172.16.1.0/24",
        "172.16.2.0/24",
    ]


@pytest.mark.parametrize(
    ("cidr", "subnet_cidrs", "mistakes"),
    [
        ("10.0.0.0/16", ["10.0.1.0/24"], [r"subnet_cidrs=\['10.0.1.0/24'\] has fewer than 2 subnets"]),
        ("10.0.0.1/16", ["10.0.1.0/24", "10.0.2.0/24"], [r"cidr='10.0.0.1/16' is not a network \(.* host bits set\)"]),
        ("ten", ["10.0.1.0/24", "10.0.2.0/24"], [r"cidr='ten' is not a network"]),
        ("10.0.0.0/15", ["10.0.1.0/24", "10.0.2.0/24"], [r"cidr='10.0.0.0/15' is not between /16 and /28"]),
        ("10.0.0.0/16", ["10.0.1.0/29", "10.0.2.0/24"], [r"subnet_cidrs='10.0.1.0/29' is not between /16 and /28"]),
        (
            "10.0.0.0/16",
            ["10.0.1.0/24", "10.0.1.128/25"],
            [r"subnet_cidrs='10.0.1.128/25' overlaps '10.0.1.0/24'"],
        ),
        (
            "10.0.0.0/16",
            ["10.9.1.0/24"],
            [r"fewer than 2", r"subnet_cidrs='10.9.1.0/24' is outside cidr='10.0.0.0/16'"],
        ),
    ],
)
def test_an_address_plan_that_cannot_work_fails_at_synth(
    their_stack: TerraformStack, cidr: str, subnet_cidrs: list[str], mistakes: list[str]
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        RegionalNetwork(
            their_stack,
            "network",
            region=Region(name="us-east-1"),
            environment="dev",
            cidr=cidr,
            subnet_cidrs=subnet_cidrs,
        )
    assert len(raised.value.mistakes) == len(mistakes)
    for mistake, pattern in zip(raised.value.mistakes, mistakes, strict=True):
        assert re.search(pattern, mistake)
        assert ";" in mistake  # what to change


octet = st.integers(0, 255)


@given(octet, octet, st.integers(16, 28), octet, octet, st.integers(16, 28))
def test_a_pair_fails_if_and_only_if_it_shares_an_address(a: int, b: int, n: int, c: int, d: int, m: int) -> None:
    def network(second: int, third: int, prefix: int) -> tuple[int, int, str]:
        size = 2 ** (32 - prefix)
        first = ((10 << 24) | (second << 16) | (third << 8)) // size * size
        text = ".".join(str(first >> shift & 255) for shift in (24, 16, 8, 0))
        return first, first + size - 1, f"{text}/{prefix}"

    first_low, first_high, first = network(a, b, n)
    second_low, second_high, second = network(c, d, m)
    share = max(first_low, second_low) <= min(first_high, second_high)
    assert bool(mistakes_in_overlap(first, second)) == share


def test_the_briefs_own_plan_has_no_mistake() -> None:
    assert mistakes_in_network("10.0.0.0/16", ["10.0.1.0/24", "10.0.2.0/24"]) == []
    assert mistakes_in_network("10.1.0.0/16", ["10.1.1.0/24", "10.1.2.0/24"]) == []
    assert mistakes_in_overlap("10.0.0.0/16", "10.1.0.0/16") == []


@pytest.fixture(scope="module")
def network(new_app: Callable[[], App]) -> Json:
    stack = DisasterRecoveryStack(
        new_app(),
        "payment-dr",
        gateway_endpoints=["dynamodb", "s3"],
        interface_endpoints=["ssm", "kms", "sns", "logs"],
    )
    synthesized: Json = json.loads(CdktfTesting.synth(stack))
    of_the_east = {
        name: body
        for name, body in synthesized["resource"]["aws_vpc_endpoint"].items()
        if name.startswith("network_east_")
    }
    synthesized["resource"]["aws_vpc_endpoint"] = of_the_east
    return synthesized


class TestEndpoints:
    def test_gateways_are_in_the_route_table_and_interfaces_in_each_subnet(self, network: Json) -> None:
        endpoints = network["resource"]["aws_vpc_endpoint"]
        assert {name: body["service_name"].rpartition(".")[2] for name, body in endpoints.items()} == {
            f"network_east_{service}_endpoint": service for service in ("dynamodb", "s3", "ssm", "kms", "sns", "logs")
        }
        for name, body in endpoints.items():
            if name in ("network_east_dynamodb_endpoint", "network_east_s3_endpoint"):
                assert body["vpc_endpoint_type"] == "Gateway"
                assert body["route_table_ids"] == ["${aws_route_table.network_east_private_routes.id}"]
                continue
            assert (body["vpc_endpoint_type"], body["private_dns_enabled"]) == ("Interface", True)
            assert body["subnet_ids"] == [
                f"${{aws_subnet.network_east_private_subnet_{number}.id}}" for number in (1, 2)
            ]
            assert body["security_group_ids"] == ["${aws_security_group.network_east_endpoints_group.id}"]

    def test_interfaces_take_https_from_the_vpc_alone_and_nothing_leads_out(self, network: Json) -> None:
        group = resource(network, "aws_security_group", "network_east_endpoints_group")
        (rule,) = group["ingress"]
        assert (rule["protocol"], rule["from_port"], rule["to_port"]) == ("tcp", 443, 443)
        assert rule["cidr_blocks"] == ["${aws_vpc.network_east_vpc.cidr_block}"]
        assert group["name"] == "security-group-endpoints-east-${var.environment}"  # not "sg-", which EC2 refuses
        assert "egress" not in group  # Terraform removes the rule that AWS makes
        assert {"aws_internet_gateway", "aws_nat_gateway", "aws_eip", "aws_route"}.isdisjoint(network["resource"])

    def test_a_policy_lets_named_actions_of_this_account_through_on_its_own_resources(self, network: Json) -> None:
        for name, body in network["resource"]["aws_vpc_endpoint"].items():
            assert body["policy"] == f"${{data.aws_iam_policy_document.{name}_policy.json}}"
            (statement,) = statements(network, f"{name}_policy")
            assert statement["principals"] == {"AWS": ["*"]}  # of whom the condition leaves this account's
            account = ["${data.aws_caller_identity.current.account_id}"]
            assert statement["conditions"] == {
                "StringEquals aws:PrincipalAccount": account,
                "StringEquals aws:ResourceAccount": account,
            }
            assert [action for action in statement["actions"] if "*" in action] == []
            assert statement["resources"] != ["*"]

    def test_the_stack_gives_them_to_both_regions(self, new_app: Callable[[], App], stack_json: Json) -> None:
        stack = DisasterRecoveryStack(
            new_app(), "payment-dr", gateway_endpoints=["dynamodb"], interface_endpoints=["ssm"]
        )
        assert stack.primary.network.endpoint_ids.keys() == {"dynamodb", "ssm"}
        made = json.loads(CdktfTesting.synth(stack))["resource"]["aws_vpc_endpoint"]
        assert {name: body.get("provider") for name, body in made.items()} == {
            f"network_{label}_{service}_endpoint": provider
            for label, provider in (("east", None), ("west", "aws.secondary"))
            for service in ("dynamodb", "ssm")
        }
        assert {"aws_vpc_endpoint", "aws_security_group"}.isdisjoint(stack_json["resource"])

    @pytest.mark.parametrize(
        ("prop", "value", "sentence"),
        [
            ("gateway_endpoints", ["ssm"], r"gateway_endpoints=\['ssm'\] is not .*'dynamodb' or 's3'"),
            ("interface_endpoints", ["s3"], r"interface_endpoints=\['s3'\] is not .*'ssm', 'kms', 'sns' or 'logs'"),
            ("gateway_endpoints", ["s3", "s3"], r"gateway_endpoints names 's3' twice; remove one"),
        ],
    )
    def test_a_service_without_an_endpoint_fails_at_synth(
        self, new_app: Callable[[], App], prop: str, value: list[str], sentence: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=sentence):
            DisasterRecoveryStack(new_app(), "payment-dr", **{prop: value})  # type: ignore[arg-type]
