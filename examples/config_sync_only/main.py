"""The same secrets in two regions: a change in either region is copied to the other."""

from payment_dr import (
    App,
    ArchiveProvider,
    AwsProvider,
    ConfigSync,
    EncryptionKey,
    Region,
    TerraformStack,
    require_versions,
)

ENVIRONMENT = "prod"

app = App()
stack = TerraformStack(app, "config-sync-only")
require_versions(stack, "aws", "archive")
AwsProvider(stack, "aws", region="us-east-2")
oregon_provider = AwsProvider(stack, "oregon", alias="oregon", region="us-west-2")
ArchiveProvider(stack, "archive")

ohio = Region(name="us-east-2", label="ohio")
oregon = Region(name="us-west-2", label="oregon", provider=oregon_provider)
ohio_key, oregon_key = (
    EncryptionKey(stack, f"key_{region.label}", region=region, environment=ENVIRONMENT) for region in (ohio, oregon)
)
ConfigSync(
    stack,
    "config",
    primary=ohio,
    secondary=oregon,
    environment=ENVIRONMENT,
    application="checkout",
    # First values, which Terraform's state contains: set the real ones in Parameter Store, in either region.
    parameters={"stripe-key": "set me", "feature/refunds": "off"},
    primary_key_arn=ohio_key.key_arn,
    secondary_key_arn=oregon_key.key_arn,
)
app.synth()
