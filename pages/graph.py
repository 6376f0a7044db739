"""The graph of a synthesized stack, and its drawing as Mermaid, which GitHub shows as a picture."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

# Drawn as an arrow between the resources that they join. The arguments name both ends.
JOINTS: Final = {
    "aws_apigatewayv2_api_mapping": ("domain_name", "api_id"),
    "aws_apigatewayv2_integration": ("api_id", "integration_uri"),
    "aws_cloudwatch_event_target": ("rule", "arn"),
    "aws_iam_role_policy_attachment": ("role", "policy_arn"),
    "aws_lambda_function_event_invoke_config": ("function_name", "destination_config"),
    "aws_route_table_association": ("subnet_id", "route_table_id"),
    "aws_s3_bucket_replication_configuration": ("bucket", "rule"),
}
# Settings of drawn resources, and rights, which would hide the shape. Arrows lead through them to what they reference.
LEFT_OUT: Final = {
    "aws_acm_certificate_validation",
    "aws_apigatewayv2_route",
    "aws_cloudwatch_dashboard",
    "aws_cloudwatch_log_group",
    "aws_iam_policy",
    "aws_kms_alias",
    "aws_lambda_permission",
    "aws_s3_bucket_policy",
    "aws_s3_bucket_public_access_block",
    "aws_s3_bucket_server_side_encryption_configuration",
    "aws_s3_bucket_versioning",
    "aws_sns_topic_policy",
}
# Drawn as a box.
DRAWN: Final = {
    "aws_acm_certificate",
    "aws_apigatewayv2_api",
    "aws_apigatewayv2_domain_name",
    "aws_apigatewayv2_stage",
    "aws_cloudwatch_event_rule",
    "aws_cloudwatch_metric_alarm",
    "aws_default_security_group",
    "aws_dynamodb_table",
    "aws_iam_role",
    "aws_kms_key",
    "aws_lambda_function",
    "aws_route53_health_check",
    "aws_route53_record",
    "aws_route53_zone",
    "aws_route_table",
    "aws_s3_bucket",
    "aws_security_group",
    "aws_sns_topic",
    "aws_sns_topic_subscription",
    "aws_ssm_parameter",
    "aws_subnet",
    "aws_vpc",
    "aws_vpc_endpoint",
    "random_password",
    "terraform_data",
}
NOT_NAMED: Final = {"depends_on", "provider", "//"}  # arguments about the order and the place
DOCUMENT: Final = "data.aws_iam_policy_document."

GLOBAL: Final = "global"


@dataclass(frozen=True)
class Element:
    """A resource.

    Attributes:
        address: Terraform's address.
        path: Its place in the construct tree, below the stack.
        region: The region of its provider, or `GLOBAL`.
    """

    address: str
    path: tuple[str, ...]
    region: str

    @property
    def kind(self) -> str:
        """Its type."""
        return self.address.partition(".")[0]


def elements(template: Mapping[str, Any]) -> dict[str, Element]:
    """All resources by address."""
    of_provider = regions_of_providers(template)
    return {
        f"{kind}.{name}": Element(
            f"{kind}.{name}",
            tuple(resource["//"]["metadata"]["path"].split("/")[1:]),
            of_provider[resource.get("provider")] if _is_regional(kind) else GLOBAL,
        )
        for kind, found in template["resource"].items()
        for name, resource in found.items()
    }


def _is_regional(kind: str) -> bool:
    return kind.startswith("aws_") and not kind.startswith(("aws_iam_", "aws_route53_"))


def references(template: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Which drawn resource references which, by address, also through resources that are left out, such as policies."""
    known = elements(template)
    named: dict[str, list[str]] = {}
    for address in known:
        kind, _, name = address.partition(".")
        said = template["resource"][kind][name]
        if kind in JOINTS:
            one, other = ([*_named(said.get(argument), known)] for argument in JOINTS[kind])
            for each in one:
                named.setdefault(each, []).extend(other)
        else:
            named.setdefault(address, []).extend(_named({k: v for k, v in said.items() if k not in NOT_NAMED}, known))
    arns = _arns(template)
    for name, document in template.get("data", {}).get("aws_iam_policy_document", {}).items():
        on = [_resolved(arn, template) for each in document["statement"] for arn in each.get("resources", ())]
        named[DOCUMENT + name] = [*_named(on, known), *(arns[arn] for arn in on if arn in arns)]

    def beyond(address: str, seen: set[str]) -> Iterator[str]:
        for other in named.get(address, ()):
            if other in known and known[other].kind in DRAWN:
                yield other
            elif other not in seen:
                yield from beyond(other, seen | {other})

    for address, element in known.items():
        if element.kind in DRAWN:
            yield from ((address, other) for other in dict.fromkeys(beyond(address, set())) if other != address)


def _named(value: Any, known: Mapping[str, Element]) -> list[str]:
    found = re.findall(rf"((?:{re.escape(DOCUMENT)}|\b\w+\.)\w+)\.", json.dumps(value))
    return [address for address in dict.fromkeys(found) if address in known or address.startswith(DOCUMENT)]


def _arns(template: Mapping[str, Any]) -> dict[str, str]:
    """Addresses of the resources that policies name by a literal ARN, in the form of `_resolved`."""
    where = elements(template)
    return {
        **{
            f"arn:aws:iam:::role/{each['name']}": f"aws_iam_role.{n}"
            for n, each in resources(template, "aws_iam_role").items()
        },
        **{
            f"arn:aws:ssm:{where[f'aws_ssm_parameter.{n}'].region}::parameter{each['name']}": f"aws_ssm_parameter.{n}"
            for n, each in resources(template, "aws_ssm_parameter").items()
        },
    }


def _resolved(text: str, template: Mapping[str, Any]) -> str:
    """Replace the expressions of regions with their names, and remove the account."""
    of_provider = regions_of_providers(template)
    for name, data in template.get("data", {}).get("aws_region", {}).items():
        text = text.replace(f"${{data.aws_region.{name}.name}}", of_provider[data.get("provider")])
    return re.sub(r"\$\{data\.aws_caller_identity\.\w+\.account_id\}", "", text)


def regions(template: Mapping[str, Any]) -> list[str]:
    """The regions of the stack, beginning with the primary."""
    return [provider["region"] for provider in template["provider"]["aws"]]


def resources(template: Mapping[str, Any], kind: str, region: str | None = None) -> dict[str, Any]:
    """The resources of a type by name, all or those of a region's provider."""
    of_provider = regions_of_providers(template)
    found = template["resource"].get(kind, {})
    return {name: each for name, each in found.items() if region in (None, of_provider[each.get("provider")])}


def regions_of_providers(template: Mapping[str, Any]) -> dict[str | None, str]:
    """The region of each provider, by the reference that resources use."""
    return {f"aws.{each['alias']}" if "alias" in each else None: each["region"] for each in template["provider"]["aws"]}


def resources_as_mermaid(template: Mapping[str, Any]) -> str:
    """Draw the resources of a small stack, by region."""
    drawn = {address: element for address, element in elements(template).items() if element.kind in DRAWN}
    boxes: dict[str, list[str]] = {}
    for element in drawn.values():
        label = f"{element.kind.removeprefix('aws_')}<br/>{'/'.join(element.path[1:])}"
        boxes.setdefault(element.region, []).append(f'{_id(element)}["{label}"]')
    arrows = [f"{_id(drawn[one])} --> {_id(drawn[other])}" for one, other in references(template)]
    for name, table in resources(template, "aws_dynamodb_table").items():  # one resource in several regions
        for replica in table.get("replica", ()):
            region = _resolved(replica["region_name"], template)
            one = _id(drawn[f"aws_dynamodb_table.{name}"])
            boxes.setdefault(region, []).append(f'{one}_{_word(region)}["its replica"]')
            arrows.append(f"{one} <--> {one}_{_word(region)}")
    return _flowchart(boxes, arrows)


def constructs_as_mermaid(template: Mapping[str, Any]) -> str:
    """Draw the constructs of a large stack, by region, and which uses which."""
    known = elements(template)
    places: dict[str, set[str]] = {}
    for element in known.values():
        places.setdefault(element.path[0], set())
        if not element.kind.startswith("aws_iam_"):  # a role is in the region of its user
            places[element.path[0]].add(element.region)
    boxes: dict[str, list[str]] = {}
    for name, where in sorted(places.items()):
        boxes.setdefault("both regions" if len(where) > 1 else next(iter(where)), []).append(name)
    arrows = ((known[one].path[0], known[other].path[0]) for one, other in references(template))
    return _flowchart(boxes, [f"{one} --> {other}" for one, other in dict.fromkeys(arrows) if one != other])


def _flowchart(boxes: Mapping[str, Iterable[str]], arrows: Iterable[str]) -> str:
    lines = ["flowchart LR"]
    for place, here in boxes.items():
        lines += [f'  subgraph {_word(place)}["{place}"]', *(f"    {box}" for box in here), "  end"]
    return "\n".join([*lines, *(f"  {arrow}" for arrow in arrows)])


def _word(text: str) -> str:
    return re.sub(r"\W", "_", text)


def _id(element: Element) -> str:
    return "_".join(element.path)
