"""The place of a drill: its stack, and which of its parts are real."""

import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from payment_dr.operations.deployed import Deployed
from payment_dr.operations.drill.client_dns import ClientDns
from payment_dr.operations.drill.journal import Journal, LoadRecord, TerraformRecord
from payment_dr.operations.drill.modelled_dns import ModelledDns
from payment_dr.operations.drill.outages import LIMIT_SECONDS, OutageMaker
from payment_dr.operations.drill.replication_pause import ReplicationPause
from payment_dr.operations.drill.tls_client import TlsClient
from payment_dr.operations.route53.zone import Zone
from payment_dr.side import Side

Dns = Callable[[Deployed, Zone, Journal, random.Random, ThreadPoolExecutor], ClientDns]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a drill happens.

    Attributes:
        name: For the journal.
        stack: The deployed stack.
        maker: Makes regions fail.
        buckets: The bucket of each side.
        replication_lag: Its median and spread in seconds, where they are known.
        is_replicating: Whether writes are on their way to the other region, and not held back by an outage. None where
            that cannot be asked.
        made_of: What is real, emulated and simulated there, in sentences.
        versions: Versions of what matters, by name.
        check: Raises an `OperationError` if the place itself is gone: a drill cannot distinguish that from an outage.
        dns: What clients ask there, and what Route 53 makes of its regions.
        time: What a second of the drill is, "real" or "virtual".
        run_schedules: Runs every deployed schedule once, where they would not run by themselves in drill time.
        shares_its_table: Whether others use the table: then only the drill's own items are looked at, by their keys,
            and deleted in the end, no parameter is rotated, and nothing is made to fail before the outage.
        alarms_fire: Whether alarms have states there that are worth a look.
        evaluates_alarms: Whether something evaluates the alarms on health checks, so that they must fire.
        as_time_passes: Does what AWS does by itself in drill time, given that time and the status of each health check
            by its id, where time is virtual.
        endpoint: Takes the payments in the place of the table, if given.
        tls: A client of the name, if it is served over TLS; each payment calls its region by it first.
        service: Whether payments go through the service behind the name.
        terraform: What is known of the state of the stack.
        confirms: Whether that service, or the endpoint, acknowledges only what both regions have.
        limit_seconds: Real seconds after which a switch that the drill sets ends by itself.
        pause: Pauses replication of the table for the length of the outage. None: it goes on as the outage lets it.
    """

    name: str
    stack: Deployed
    maker: OutageMaker
    buckets: Mapping[Side, str]
    replication_lag: Mapping[str, float]
    made_of: Mapping[str, Sequence[str]]
    versions: Mapping[str, str]
    check: Callable[[], None]
    is_replicating: Callable[[], bool] | None = None
    dns: Dns = ModelledDns
    time: Literal["real", "virtual"] = "virtual"
    run_schedules: Callable[[], object] | None = None
    shares_its_table: bool = False
    alarms_fire: bool = False
    evaluates_alarms: bool = False
    as_time_passes: Callable[[float, Mapping[str, bool]], None] | None = None
    endpoint: str | None = None
    tls: TlsClient | None = None
    service: bool = False
    terraform: TerraformRecord | None = None
    confirms: bool = False
    limit_seconds: float = LIMIT_SECONDS
    pause: ReplicationPause | None = None

    @property
    def load(self) -> LoadRecord:
        """Which way payments go."""
        if self.service:
            way, to = "service", str(self.stack.outputs["application_fqdn"])
        elif self.endpoint:
            way, to = "endpoint", self.endpoint
        else:
            way, to = "table", str(self.stack.outputs["dynamodb_table_name"])
        return {"way": way, "to": to, "confirms": self.confirms}
