"""RegionalNetwork: one region's isolated VPC with private subnets."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network
from typing import Any, Final

from .bindings import (
    Construct,
    DefaultSecurityGroup,
    Fn,
    RouteTable,
    RouteTableAssociation,
    SecurityGroup,
    SecurityGroupIngress,
    Subnet,
    Vpc,
    VpcEndpoint,
)
from .checks import mistakes_in_props
from .described import Described
from .errors import reject
from .naming import name
from .policies import Condition, Statement, policy_document
from .region import (
    PARTITION,
    Region,
    account_id,
    arn,
    availability_zones,
    mistakes_in_providers,
    region_name,
)
from .suppressions import suppress

MINIMUM_SUBNETS = 2
# What may pass an endpoint: actions of a payments application, on resources of this account and region.
ENDPOINT_POLICIES: Final[Mapping[str, tuple[Sequence[str], str]]] = {
    "dynamodb": (
        (
            *("BatchGetItem", "BatchWriteItem", "ConditionCheckItem", "DeleteItem", "DescribeTable", "GetItem"),
            *("PutItem", "Query", "Scan", "UpdateItem"),
        ),
        "table/*",
    ),
    "s3": (("DeleteObject", "GetObject", "GetObjectVersion", "ListBucket", "PutObject"), "*"),
    "ssm": (("GetParameter", "GetParameters", "GetParametersByPath"), "parameter/*"),
    "kms": (("Decrypt", "DescribeKey", "Encrypt", "GenerateDataKey"), "key/*"),
    "sns": (("Publish",), "*"),
    "logs": (("CreateLogStream", "PutLogEvents"), "log-group:*"),
}


def _network(prop: str, value: str, mistakes: list[str]) -> IPv4Network | None:
    try:
        network = IPv4Network(value)
    except ValueError as error:
        mistakes.append(f"{prop}={value!r} is not a network ({error}); write it as in '10.0.0.0/16'")
        return None
    # https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html
    if not 16 <= network.prefixlen <= 28:
        mistakes.append(f"{prop}={value!r} is not between /16 and /28, the sizes that a VPC can have; change its size")
        return None
    return network


def mistakes_in_network(cidr: str, subnet_cidrs: Sequence[str], prefix: str = "") -> list[str]:
    """Report mistakes in a VPC's address plan. `prefix` comes before the names of props ("primary_")."""
    mistakes: list[str] = []
    vpc = _network(f"{prefix}cidr", cidr, mistakes)
    prop = f"{prefix}subnet_cidrs"
    if len(subnet_cidrs) < MINIMUM_SUBNETS:
        mistakes.append(
            f"{prop}={list(subnet_cidrs)!r} has fewer than {MINIMUM_SUBNETS} subnets; "
            "give one for each of two availability zones"
        )
    subnets: list[IPv4Network] = []
    for value in subnet_cidrs:
        subnet = _network(prop, value, mistakes)
        if subnet is None:
            continue
        if vpc is not None and not subnet.subnet_of(vpc):
            mistakes.append(f"{prop}={value!r} is outside {prefix}cidr={cidr!r}; choose a range inside the VPC")
        mistakes += [
            f"{prop}={value!r} overlaps {str(other)!r}; choose ranges that do not share addresses"
            for other in subnets
            if subnet.overlaps(other)
        ]
        subnets.append(subnet)
    return mistakes


def mistakes_in_overlap(primary_cidr: str, secondary_cidr: str) -> list[str]:
    """Report two VPCs that share addresses, because they could never be connected."""
    ignored: list[str] = []
    first, second = _network("", primary_cidr, ignored), _network("", secondary_cidr, ignored)
    if first is None or second is None or not first.overlaps(second):
        return []
    return [f"secondary_cidr={secondary_cidr!r} overlaps primary_cidr={primary_cidr!r}; give each region its own range"]


def mistakes_in_endpoint_names(gateways: Sequence[str], interfaces: Sequence[str]) -> list[str]:
    """Report endpoints that are given twice."""
    return [
        f"{prop} names {service!r} twice; remove one"
        for prop, services in (("gateway_endpoints", gateways), ("interface_endpoints", interfaces))
        for service in sorted({each for each in services if list(services).count(each) > 1})
    ]


class RegionalNetwork(Described):
    """A VPC with private subnets in different availability zones and no way to or from the internet.

    Endpoints let workloads in the subnets reach single AWS services of the region, in their own account. There is still
    no way to the internet.

    The VPC has no public subnet, internet gateway or NAT gateway. DNS support and host names are on, for private DNS.
    The default security group has no rules, so a resource without a security group of its own is not reachable.

    Args:
        region: Where it lives.
        environment: Environment name; may be a Terraform variable.
        cidr: Address range of the VPC, /16 to /28.
        subnet_cidrs: Ranges of the private subnets, at least two, spread over the availability zones in turn.
        gateway_endpoints: Services that the subnets reach through their route table, free of charge: "dynamodb", "s3".
            Default: none.
        interface_endpoints: Services that the subnets reach through a network interface in each subnet: "ssm", "kms",
            "sns", "logs". AWS charges each by the hour and subnet. Default: none.

    Attributes:
        vpc_id, vpc_cidr: The VPC.
        private_subnet_ids: Ids of the subnets, in the order of `subnet_cidrs`.
        route_table_id: Their route table, which has the local route, and those of gateway endpoints.
        endpoint_ids: Ids of the endpoints, by service.
        region: As given.

    Raises:
        ConfigurationError: A prop is outside its limit, the ranges do not fit, or the region's provider deploys to
            another region. The error lists all mistakes.

    Example:
        >>> RegionalNetwork(self, "network", region=Region(name="eu-west-1"), environment="dev",
        ...                 cidr="10.2.0.0/16", subnet_cidrs=["10.2.1.0/24", "10.2.2.0/24"])
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        region: Region,
        environment: str,
        cidr: str,
        subnet_cidrs: Sequence[str],
        gateway_endpoints: Sequence[str] = (),
        interface_endpoints: Sequence[str] = (),
    ) -> None:
        super().__init__(scope, id_)
        mistakes = mistakes_in_props(RegionalNetwork, locals())
        mistakes += mistakes_in_providers(self, region) + mistakes_in_network(cidr, subnet_cidrs)
        mistakes += mistakes_in_endpoint_names(gateway_endpoints, interface_endpoints)
        reject("RegionalNetwork", mistakes)
        vpc = Vpc(
            self,
            "vpc",
            cidr_block=cidr,
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags={"Name": name("vpc", "payment-app", region, environment)},
            provider=region.provider,
        )
        suppress(vpc, CKV2_AWS_11="nothing runs in this VPC yet; add flow logs with the first workload")
        zones = availability_zones(self, region)
        route_table = RouteTable(
            self,
            "private_routes",
            vpc_id=vpc.id,
            tags={"Name": name("rtb", "private", region, environment)},
            provider=region.provider,
        )
        subnets: list[Subnet] = []
        for index, subnet_cidr in enumerate(subnet_cidrs):
            subnet = Subnet(
                self,
                f"private_subnet_{index + 1}",
                vpc_id=vpc.id,
                cidr_block=subnet_cidr,
                availability_zone=Fn.element(zones.names, index),
                map_public_ip_on_launch=False,
                tags={"Name": name("subnet", f"private-{index + 1}", region, environment)},
                provider=region.provider,
            )
            RouteTableAssociation(
                self,
                f"private_subnet_{index + 1}_routes",
                subnet_id=subnet.id,
                route_table_id=route_table.id,
                provider=region.provider,
            )
            subnets.append(subnet)
        DefaultSecurityGroup(
            self,
            "default_security_group",
            vpc_id=vpc.id,
            tags={"Name": name("sg", "default-closed", region, environment)},
            provider=region.provider,
        )
        endpoints = [
            *(
                self._endpoint(service, vpc, region, environment, "Gateway", route_table_ids=[route_table.id])
                for service in gateway_endpoints
            ),
            *self._interface_endpoints(
                interface_endpoints, vpc, region, environment, [subnet.id for subnet in subnets]
            ),
        ]
        self.region: Final = region
        self.vpc_id: Final = vpc.id
        self.vpc_cidr: Final = vpc.cidr_block
        self.private_subnet_ids: Final = [subnet.id for subnet in subnets]
        self.route_table_id: Final = route_table.id
        services = [*gateway_endpoints, *interface_endpoints]
        self.endpoint_ids: Final = {name: each.id for name, each in zip(services, endpoints, strict=True)}

    def _interface_endpoints(
        self, services: Sequence[str], vpc: Vpc, region: Region, environment: str, subnet_ids: Sequence[str]
    ) -> list[VpcEndpoint]:
        if not services:
            return []
        # EC2 keeps names that begin with "sg-" for its own ids.
        # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html
        group_name = name("security-group", "endpoints", region, environment)
        group = SecurityGroup(
            self,
            "endpoints_group",
            name=group_name,
            description="HTTPS from the VPC to its endpoints",
            vpc_id=vpc.id,
            ingress=[
                SecurityGroupIngress(
                    description="HTTPS from the VPC",
                    protocol="tcp",
                    from_port=443,
                    to_port=443,
                    cidr_blocks=[vpc.cidr_block],
                )
            ],
            tags={"Name": group_name},
            provider=region.provider,
        )
        return [
            self._endpoint(
                service,
                vpc,
                region,
                environment,
                "Interface",
                subnet_ids=list(subnet_ids),
                security_group_ids=[group.id],
                private_dns_enabled=True,
            )
            for service in services
        ]

    def _endpoint(
        self, service: str, vpc: Vpc, region: Region, environment: str, kind: str, **where: Any
    ) -> VpcEndpoint:
        actions, resource = ENDPOINT_POLICIES[service]
        # A gateway endpoint takes an account for its root user alone, so the account stands in a condition.
        # https://docs.aws.amazon.com/vpc/latest/privatelink/vpc-endpoints-access.html
        of_the_account = Condition("StringEquals", "aws:PrincipalAccount", [account_id(self)])
        statement = Statement(
            sid="OfThisAccount",
            actions=[f"{service}:{action}" for action in actions],
            resources=[f"arn:{PARTITION}:s3:::*" if service == "s3" else arn(self, service, region, resource)],
            principals={"AWS": ["*"]},
            conditions=[of_the_account, Condition("StringEquals", "aws:ResourceAccount", [account_id(self)])],
        )
        return VpcEndpoint(
            self,
            f"{service}_endpoint",
            vpc_id=vpc.id,
            service_name=f"com.amazonaws.{region_name(self, region)}.{service}",
            vpc_endpoint_type=kind,
            policy=policy_document(self, f"{service}_endpoint_policy", [statement]),
            tags={"Name": name("vpce", service, region, environment)},
            provider=region.provider,
            **where,
        )
