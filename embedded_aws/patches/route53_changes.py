"""Terraform does not wait for DNS changes that take effect at once.

AWS: a change of a zone or a record is PENDING for up to a minute, and its reply carries ChangeInfo to ask about it
(https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetChange.html).

ministack 1.5.33: as AWS does, though its changes are in force at once.

Why it matters: Terraform's AWS provider sleeps 30 s before it asks, for each zone and record: an apply takes 64 s
instead of 15 s. It does not sleep if the reply has no ChangeInfo, so replies to that provider leave it out; other
clients get it.
"""

from contextvars import ContextVar
from typing import Any

from ministack.services import route53  # type: ignore[import-untyped]

_for_terraform: ContextVar[bool] = ContextVar("embedded_aws_for_terraform", default=False)


def apply() -> None:
    """Leave ChangeInfo out of answers to Terraform."""
    handle_request, build_change_info = route53.handle_request, route53._build_change_info_el

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query_params: Any) -> Any:
        _for_terraform.set("terraform-provider-aws" in headers.get("user-agent", ""))
        return await handle_request(method, path, headers, body, query_params)

    def build(parent: Any, change: dict[str, Any]) -> None:
        if not _for_terraform.get():
            build_change_info(parent, change)

    route53.handle_request = handle
    route53._build_change_info_el = build
