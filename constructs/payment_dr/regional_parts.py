"""The parts that `DisasterRecoveryStack` creates in each of its two regions."""

from dataclasses import dataclass

from .alerting import Alerting
from .encryption import EncryptionKey
from .health_monitor import HealthMonitor
from .python_function import PythonFunction
from .region import Region
from .regional_network import RegionalNetwork


@dataclass(frozen=True, kw_only=True)
class Foundation:
    """The parts of one region that parts of both regions need.

    Args:
        region: The region, with its label and provider.
        network: Its VPC and subnets.
        key: Its key for alerts and parameters.
        alerting: Its topic, to which its alarms publish.
    """

    region: Region
    network: RegionalNetwork
    key: EncryptionKey
    alerting: Alerting


@dataclass(frozen=True, kw_only=True)
class RegionalParts(Foundation):
    """The parts of `DisasterRecoveryStack` in one region: its attributes `primary` and `secondary`.

    Args:
        region: The region, with its label and provider.
        network: Its VPC and subnets.
        key: Its key for alerts and parameters.
        alerting: Its topic, to which its alarms publish.
        health: Its health monitor, with the HTTP API that serves `GET /health`.
        service: The function of `service`. None without one, or if the stack does not deploy it.

    Example:
        >>> stack = DisasterRecoveryStack(app, "payment-dr")
        >>> stack.primary.network.private_subnet_ids, stack.secondary.health.api_id
    """

    health: HealthMonitor
    service: PythonFunction | None
