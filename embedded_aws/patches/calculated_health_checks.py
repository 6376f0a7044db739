"""A calculated health check has its children.

AWS: ChildHealthChecks holds the ids of the health checks that decide
(https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html).

ministack 1.5.33: looks for the id inside of the element that is the id, so that every child is "".

Why it matters: each plan would change a calculated health check, and a drill would not know which checks decide.
"""

from typing import Any
from xml.etree.ElementTree import Element

from ministack.services import route53  # type: ignore[import-untyped]


def apply() -> None:
    """Read the ids of the children."""
    parse = route53._parse_health_check_config

    def parse_with_children(element: Element) -> dict[str, Any]:
        config: dict[str, Any] = parse(element)
        children = route53._find(element, "ChildHealthChecks")
        if children is not None:
            config["ChildHealthChecks"] = [child.text for child in route53._findall(children, "ChildHealthCheck")]
        return config

    route53._parse_health_check_config = parse_with_children
