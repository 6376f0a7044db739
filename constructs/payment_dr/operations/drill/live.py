"""The drill's place on a stack that others use: nothing fails there but a fence, and time is real."""

import platform
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

from payment_dr.operations.deployed import Deployed
from payment_dr.operations.drill.journal import Journal
from payment_dr.operations.drill.live_dns import Clock, LiveDns, NameServers
from payment_dr.operations.drill.outages import LIVE_OUTAGE
from payment_dr.operations.drill.place import Dns, Place
from payment_dr.operations.drill.replication_pause import ReplicationPause
from payment_dr.operations.drill.run import Drill
from payment_dr.operations.drill.service_load import ROUTE, refuse_without_load, refuse_without_service
from payment_dr.operations.drill.system import state_of
from payment_dr.operations.drill.tls_client import tls_client_of
from payment_dr.operations.errors import OperationError
from payment_dr.operations.switch import NO_SWITCH, account_of

MADE_OF = {
    "real": [
        "the stack, and AWS as it is deployed to",
        "DNS: the zone's own name servers, asked once a second",
        "Route 53's verdict, as far as its answers show it: detection and switch are one phase here",
        "time, and every transaction",
        "the outage: clients are sent away from the primary region, as 'dr failover' does",
    ],
    "emulated": [],
    "simulated": [
        "one resolver and one client, which respect the TTL that the name servers give",
        "the distribution of recovery times, for comparison",
    ],
}

PAUSE_IS_REAL = "replication of the table: paused by AWS FIS from before the outage until its end"


class _NoMaker:
    """Makes no outage: others use the stack."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        raise OperationError(f"a live stack does not support {name}", hint="its only outage is the fence")


def announcement(
    stack: Deployed,
    *,
    endpoint: str | None,
    service: bool = False,
    limit_minutes: float,
    pause_seconds: float | None = None,
) -> str:
    """The effects of a drill on a stack, for the person who must agree."""
    first, second = stack.region("primary"), stack.region("secondary")
    where = f"written to the table {stack.outputs['dynamodb_table_name']}"
    if endpoint or service:
        where = f"sent to {endpoint or f'{ROUTE} of ' + str(stack.outputs['application_fqdn'])} or {where}"
    fqdn = stack.outputs["application_fqdn"]
    if stack.has_switch:
        how = (
            f"it sets the switch in {second}, which sends ALL clients of {fqdn} there, and releases it some minutes "
            f"later. The switch ends by itself after {limit_minutes:g} minutes, even if this computer is lost. "
            "Meanwhile"
        )
    else:
        how = (
            f"it fences {first}, which sends ALL clients of {fqdn} to {second}, and lifts the fence some minutes "
            "later. If this computer is lost before that, the fence stays: then run 'dr failback' on another one. "
            "Meanwhile"
        )
    paused = ""
    if pause_seconds is not None:
        paused = (
            f"It pauses replication of the table in both directions for up to {pause_seconds / 60:g} minutes, for ALL "
            "writers. AWS charges $0.10 a minute. "
        )
    return (
        f"This drills account {stack.account_id}: {how} payments whose transaction_id begins with dr-drill- are "
        f"{where}, and deleted afterwards in both regions. {paused}The drill begins to undo all of that after "
        f"{limit_minutes:g} minutes at the latest, or on Ctrl-C."
    )


def _refuse_without_end(stack: Deployed, *, no_end: bool) -> None:
    """Do not start a drill that a lost computer could leave set for ever, unless its operator accepts that."""
    if stack.has_switch and no_end:
        raise OperationError(
            "this stack has a switch, and --limit ends the switch of a drill", hint="leave out --no-end"
        )
    if not (stack.has_switch or no_end):
        raise OperationError(
            NO_SWITCH,
            hint="deploy the stack with switch=True (PAYMENT_DR_SWITCH=1), or add --no-end to drill with a fence",
        )


def drill(
    stack: Deployed,
    *,
    seed: int,
    directory: Path,
    tell: Callable[[str], None],
    confirm: Callable[[str, str], None],
    limit_minutes: float,
    no_end: bool = False,
    endpoint: str | None = None,
    service: bool = False,
    confirms: bool = False,
    pause_replication: str | None = None,
    name_servers: Sequence[str] = (),
    clock: Clock | None = None,
    dns: Dns | None = None,
) -> Journal:
    """Do one drill on a deployed stack.

    Args:
        stack: The stack.
        seed: Decides the pauses of the client.
        directory: Where the journal goes.
        tell: Takes the name of each step.
        confirm: Asked before anything is changed: what is done, and the word to type. It raises if it must not be.
        limit_minutes: Minutes of drill time after which all is undone, whatever it has come to.
        no_end: Set a fence on a stack without a switch, although it stays if this computer is lost.
        endpoint: Takes the payments, see `PaymentEndpoint`. Default: the table takes them.
        service: Send the payments through the service behind the name, see `ServiceClient`.
        confirms: The endpoint or the service acknowledges only what both regions have, and is judged by that.
        pause_replication: An experiment template of AWS FIS, see `ReplicationPause`. Default: replication goes on.
        name_servers: Asked in the place of the zone's own.
        clock: Drill time. Default: real time.
        dns: What clients ask. Default: the name servers.

    Raises:
        OperationError: The stack has no switch and `no_end` is not given, or it has one and it is. It was not
            confirmed, there is no service, or its result is inconclusive; what was done is undone.
    """
    _refuse_without_end(stack, no_end=no_end)
    tls = tls_client_of(stack)
    refuse_without_load(confirms=confirms, has_load=service or endpoint is not None)
    if service:
        if endpoint:
            raise OperationError("--service and --endpoint are both given", hint="give one of them")
        refuse_without_service(stack.service_routes, has_custom_domain=tls is not None)
    account_of(stack, "primary")
    pause = ReplicationPause(stack, pause_replication) if pause_replication else None
    pause_seconds = pause.seconds() if pause else None
    servers = NameServers(name_servers or stack.outputs["hosted_zone_name_servers"])
    confirm(
        announcement(
            stack, endpoint=endpoint, service=service, limit_minutes=limit_minutes, pause_seconds=pause_seconds
        ),
        f"{stack.account_id}/{stack.region('primary')}",
    )
    clock = clock or Clock()
    place = Place(
        name="live AWS" if stack.is_live else "embedded AWS, as if it were live",
        stack=stack,
        maker=_NoMaker(),
        buckets={},
        replication_lag={},
        made_of={**MADE_OF, "real": [*MADE_OF["real"], *([PAUSE_IS_REAL] if pause else [])]},
        versions={"python": platform.python_version(), "boto3": version("boto3")},
        check=lambda: None,
        dns=dns or partial(LiveDns, servers, clock, clock.now() + limit_minutes * 60),
        time="real",
        shares_its_table=True,
        alarms_fire=True,
        evaluates_alarms=stack.is_live,
        endpoint=endpoint,
        tls=tls,
        service=service,
        terraform=state_of(stack),
        confirms=confirms,
        limit_seconds=limit_minutes * 60,
        pause=pause,
    )
    return Drill(place, LIVE_OUTAGE, seed=seed, directory=directory, tell=tell).run()
