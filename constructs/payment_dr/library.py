"""Every name that an app imports from `payment_dr`."""

from .alerting import AlarmTarget, Alerting, Metric, Subscription, metric_alarm
from .bindings import App, ArchiveProvider, AwsProvider, RandomProvider, TerraformStack
from .config_sync import ConfigSync
from .custom_domain import CustomDomain
from .data_canary import DataCanary
from .dns_failover import DnsFailover, Endpoint, HostedZone
from .encryption import EncryptionKey
from .errors import ConfigurationError
from .function_routes import FunctionRoutes
from .global_data import GlobalData
from .health_monitor import HealthMonitor
from .policies import Condition, Role, Statement
from .python_function import PythonFunction
from .region import Region
from .regional_network import RegionalNetwork
from .regional_parts import RegionalParts
from .service import Service
from .stack import DisasterRecoveryStack
from .standby_switch import StandbySwitch, Takeover
from .versions import require_versions

__all__ = [
    "AlarmTarget",
    "Alerting",
    "App",
    "ArchiveProvider",
    "AwsProvider",
    "Condition",
    "ConfigSync",
    "ConfigurationError",
    "CustomDomain",
    "DataCanary",
    "DisasterRecoveryStack",
    "DnsFailover",
    "EncryptionKey",
    "Endpoint",
    "FunctionRoutes",
    "GlobalData",
    "HealthMonitor",
    "HostedZone",
    "Metric",
    "PythonFunction",
    "RandomProvider",
    "Region",
    "RegionalNetwork",
    "RegionalParts",
    "Role",
    "Service",
    "StandbySwitch",
    "Statement",
    "Subscription",
    "Takeover",
    "TerraformStack",
    "metric_alarm",
    "require_versions",
]
