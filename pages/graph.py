"""The graph of a synthesized stack, and its drawing as Mermaid, which GitHub shows as a picture."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

# Drawn as an arrow between what they join, by the arguments that name both ends.
JOINTS: Final = {
    "aws_apigatewayv2_api_mapping": ("domain_name", "api_id"),
    "aws_apigatewayv2_integration": ("api_id", "integration_uri"),
    "aws_cloudwatch_event_target": ("rule", "arn"),
    "aws_s3_bucket_replication_configuration": ("bucket", "rule"),
}
# Settings of what is drawn, and ways of saying who may: they would hide the shape.
LEFT_OUT: Final = {
    "aws_acm_certificate_validation",
    "aws_apigatewayv2_route",
    "aws_cloudwatch_log_group",
    "aws_iam_policy",
    "aws_iam_role_policy_attachment",
    "aws_kms_alias",
    "aws_lambda_function_event_invoke_config",
    "aws_lambda_permission",
    "aws_route_table_association",
    "aws_s3_bucket_public_access_block",
    "aws_s3_bucket_server_side_encryption_configuration",
    "aws_s3_bucket_versioning",
    "aws_sns_topic_policy",
}


GLOBAL: Final = "global"


@dataclass(frozen=True)
class Element:
    """A resource.

    Attributes:
        address: Terraform's address.
        path: Where it stands in the construct tree, below the stack.
        region: Of its provider, or `GLOBAL`.
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
    regions = {
        f"aws.{each['alias']}" if "alias" in each else None: each["region"] for each in template["provider"]["aws"]
    }
    return {
        f"{kind}.{name}": Element(
            f"{kind}.{name}",
            tuple(resource["//"]["metadata"]["path"].split("/")[1:]),
            GLOBAL if kind.startswith(("aws_iam_", "aws_route53_")) else regions[resource.get("provider")],
        )
        for kind, resources in template["resource"].items()
        for name, resource in resources.items()
    }


def references(template: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Which resource names which, by address; of a joint, what it joins."""
    known = elements(template)
    for kind, resources in template["resource"].items():
        for name, resource in resources.items():
            said = {key: value for key, value in resource.items() if key not in ("depends_on", "//", "provider")}
            if kind in JOINTS:
                ends = [_named(said.get(argument), known) for argument in JOINTS[kind]]
                yield from ((one, other) for one in ends[0] for other in ends[1] if one != other)
            else:
                yield from ((f"{kind}.{name}", other) for other in _named(said, known))


def _named(value: Any, known: Mapping[str, Element]) -> list[str]:
    found = re.findall(r"\b(\w+\.\w+)\.", json.dumps(value))
    return [address for address in dict.fromkeys(found) if address in known]


def resources_as_mermaid(template: Mapping[str, Any]) -> str:
    """The resources of a small stack, by region."""
    drawn = {
        address: element
        for address, element in elements(template).items()
        if element.kind not in LEFT_OUT | JOINTS.keys()
    }
    arrows = dict.fromkeys((one, other) for one, other in references(template) if one in drawn and other in drawn)
    # alarms of one function say the same: one of them is drawn for all
    alarms = [address for address in drawn if drawn[address].kind == "aws_cloudwatch_metric_alarm"]
    regions = dict.fromkeys(element.region for element in drawn.values())
    lines = ["flowchart LR"]
    for region in regions:
        lines.append(f'  subgraph {region.replace("-", "_")}["{region}"]')
        lines += [
            f'    {_id(element)}["{element.kind.removeprefix("aws_")}<br/>{"/".join(element.path[1:])}"]'
            for address, element in drawn.items()
            if element.region == region and address not in alarms
        ]
        if here := [address for address in alarms if drawn[address].region == region]:
            lines.append(f'    alarms_{region.replace("-", "_")}["{len(here)} alarms"]')
        lines.append("  end")
    lines += [f"  {_id(drawn[one])} --> {_id(drawn[other])}" for one, other in arrows if one not in alarms]
    return "\n".join(lines)


def constructs_as_mermaid(template: Mapping[str, Any]) -> str:
    """The constructs of a large stack, and which uses which."""
    known = elements(template)
    top = {address: element.path[0] for address, element in known.items()}
    arrows = dict.fromkeys(
        (top[one], top[other]) for one, other in references(template) if one in top and top[one] != top[other]
    )
    drawn = dict.fromkeys(name for arrow in arrows for name in arrow)
    lines = ["flowchart LR", *(f"  {name}[{name}]" for name in drawn)]
    return "\n".join([*lines, *(f"  {one} --> {other}" for one, other in arrows)])


def _id(element: Element) -> str:
    return "_".join(element.path)
