"""Route 53 writes the booleans of a health check in lower case.

AWS: "true" and "false", as XML Schema has them
(https://docs.aws.amazon.com/Route53/latest/APIReference/API_HealthCheckConfig.html).

ministack 1.5.33: "True" and "False".

Why it matters: boto3 reads everything but "true" as false. So a health check seems to send no SNI, and an inverted or
disabled one seems to be neither.
"""

from typing import Any

from ministack.services import route53  # type: ignore[import-untyped]

_BOOLEANS = ("MeasureLatency", "EnableSNI", "Inverted", "Disabled")


def apply() -> None:
    """Write the booleans of health checks as AWS does."""
    build = route53._build_health_check_el

    def build_in_lower_case(parent: Any, described: dict[str, Any]) -> None:
        build(parent, described)
        for element in parent.iter():
            if element.tag.rpartition("}")[2] in _BOOLEANS:
                element.text = element.text.lower()

    route53._build_health_check_el = build_in_lower_case
