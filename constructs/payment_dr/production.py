"""The preset for real payments: what `production` changes in the stack's arguments, and why.

Attributes:
    HTTPS_RUNBOOK: The form of the runbook's address that the preset requires.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from .alerting import DEFAULT_RUNBOOK
from .checks import is_token
from .encryption import MINIMUM_DELETION_WINDOW_DAYS
from .health_monitor import BURST, REQUESTS_PER_SECOND

# Each alarm adds the anchor of its section.
HTTPS_RUNBOOK: Final = r"https://[^\s#]+"


def _setting(
    default: Any, *, production: Any, why: str, priced: bool = False, needs: Mapping[str, Any] | None = None
) -> Any:
    return field(
        default=default, metadata={"production": production, "why": why, "priced": priced, "needs": needs or {}}
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The arguments of `DisasterRecoveryStack` that the preset can change: `Settings()` has the values of the brief.

    This is the only table of the preset: the stack, its tests and docs/production.md read it. Each field is an argument
    of the stack with the same name, `None` by default. A value that you give has precedence over the preset. `priced`
    means that it changes the stack's cost. `needs` lists the other arguments that it requires.
    """

    deletion_protection: bool = _setting(
        False, production=True, why="neither AWS nor Terraform deletes the table with the payments by mistake"
    )
    force_destroy: bool = _setting(
        True, production=False, why="Terraform does not delete a bucket that holds documents"
    )
    log_retention_days: int = _setting(
        1,
        production=365,
        why="teams examine an incident weeks later, and PCI DSS 10.5.1 requires twelve months of audit logs",
        priced=True,
    )
    key_deletion_window_days: int = _setting(
        MINIMUM_DELETION_WINDOW_DAYS,
        production=30,
        why="a key that is deleted by mistake can be restored for as long as AWS allows",
    )
    custom_domain: bool = _setting(
        False,
        production=True,
        why="clients reach the name over TLS with a certificate of its own; the variable `domain_name` has no default",
        priced=True,
    )
    alert_email_required: bool = _setting(
        False,
        production=True,
        why="alarms reach a person: the variable `alert_email` has no default, and a placeholder fails",
    )
    runbook: str = _setting(
        DEFAULT_RUNBOOK,
        production=None,
        why="required: an `https://` address that opens from an alarm's mail",
    )
    requests_per_second: float = _setting(
        REQUESTS_PER_SECOND,
        production=1000,
        why="the limit of each region's API leaves room for payments: a tenth of an account's quota of 10,000; "
        "health routes keep a limit of their own",
    )
    burst: int = _setting(BURST, production=2000, why="as above: 2,000 of an account's quota of 5,000 at once")
    two_way_documents: bool = _setting(
        False,
        production=True,
        why="documents written in the secondary region during a failover are copied back",
        priced=True,
    )
    private_probe_route: bool = _setting(
        False, production=True, why="a flood of the public `GET /health` causes no failover"
    )
    data_canary: bool = _setting(
        False,
        production=True,
        why="clients go to the other region when reads or writes fail although the table is `ACTIVE`",
        priced=True,
    )
    switch: bool = _setting(
        False,
        production=True,
        why="an operator sends clients to the secondary region without a call to the primary one",
        priced=True,
    )
    failback: str = _setting(
        "automatic",
        production="operator",
        why="after a failover clients return with `dr failback`, which checks the primary first, instead of as soon as "
        "the primary's probe passes; needs `switch`",
        priced=True,
        needs={"switch": True},
    )
    dashboards: bool = _setting(
        False,
        production=True,
        why="the person on call sees all metrics of the region at once, each with its section of the runbook",
        priced=True,
    )


def settings_of(given: Mapping[str, Any]) -> Settings:
    """The arguments of the stack, with the preset's value or the default for each one that the app does not give.

    Args:
        given: Arguments of the stack by name, `production` among them.

    Example:
        >>> settings_of({"production": True, "log_retention_days": 731}).log_retention_days
        731
    """
    preset = {each.name: each.metadata["production"] for each in fields(Settings)} if given.get("production") else {}
    chosen = {each.name: given.get(each.name) for each in fields(Settings)}
    values = {name: preset.get(name) if value is None else value for name, value in chosen.items()}
    return Settings(**{name: value for name, value in values.items() if value is not None})


def mistakes_in_failback(settings: Settings) -> list[str]:
    """Report `failback="operator"` without the switch that it needs.

    Example:
        >>> mistakes_in_failback(Settings(failback="operator"))
        ["failback='operator' needs the switch, which is off; give switch=True or failback='automatic'"]
    """
    if settings.failback != "operator" or settings.switch:
        return []
    return ["failback='operator' needs the switch, which is off; give switch=True or failback='automatic'"]


def mistakes_in_runbook(production: bool, runbook: str | None) -> list[str]:
    """Report a runbook that the preset requires and that is missing, or that cannot be opened from a mail.

    There is no default: the runbook of this project describes its stack, and a team publishes its own copy, whose
    address nobody else knows.

    Example:
        >>> mistakes_in_runbook(True, "https://wiki.acme.io/payments-dr"), mistakes_in_runbook(False, None)
        ([], [])
    """
    if not production or is_token(runbook) or re.fullmatch(HTTPS_RUNBOOK, runbook or ""):
        return []
    wrong = "is missing" if runbook is None else f"{runbook!r} is not an address that a mail can link to"
    return [
        f"runbook {wrong}, which production=True needs; use an https:// address without '#', such as "
        "'https://wiki.acme.io/payments-dr'"
    ]
