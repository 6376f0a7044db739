"""Failover for an existing API: monitors check its table in both regions, and its name follows their health."""

from payment_dr import (
    Alerting,
    App,
    ArchiveProvider,
    AwsProvider,
    DnsFailover,
    EncryptionKey,
    Endpoint,
    HealthMonitor,
    Region,
    TerraformStack,
    require_versions,
)

# What exists: a global table, and in each region a host that serves the API under the name below.
ACCOUNT = "123456789012"
TABLE = "orders"
DOMAIN = "orders.acme.io"
HOSTS = {"eu-west-1": "ireland.acme.io", "eu-central-1": "frankfurt.acme.io"}

ENVIRONMENT = "prod"
EMAIL = "oncall@acme.io"

app = App()
stack = TerraformStack(app, "existing-api")
require_versions(stack, "aws", "archive")
AwsProvider(stack, "aws", region="eu-west-1")
second = AwsProvider(stack, "second", alias="second", region="eu-central-1")
ArchiveProvider(stack, "archive")


def watched(region: Region) -> Endpoint:
    """Return the existing host of a region, with a monitor of its table."""
    key = EncryptionKey(stack, f"key_{region.label}", region=region, environment=ENVIRONMENT)
    alerting = Alerting(
        stack,
        f"alerting_{region.label}",
        region=region,
        environment=ENVIRONMENT,
        key_arn=key.key_arn,
        email=EMAIL,
    )
    health = HealthMonitor(
        stack,
        f"health_{region.label}",
        region=region,
        environment=ENVIRONMENT,
        table_name=TABLE,
        table_arn=f"arn:aws:dynamodb:{region.name}:{ACCOUNT}:table/{TABLE}",
        topic_arn=alerting.topic_arn,
        topic_key_arn=key.key_arn,
        alarms=alerting.target,
    )
    return Endpoint(region=region, host=HOSTS[region.name], health_host=health.host)


DnsFailover(
    stack,
    "dns",
    primary=watched(Region(name="eu-west-1")),
    secondary=watched(Region(name="eu-central-1", provider=second)),
    environment=ENVIRONMENT,
    domain_name=DOMAIN,
    record_name="api",
)
app.synth()
