"""An app of one network with every endpoint, deployed to record the rights that this needs."""

from payment_dr import App, AwsProvider, Region, RegionalNetwork, TerraformStack, require_versions

app = App()
stack = TerraformStack(app, "network")
require_versions(stack, "aws")
AwsProvider(stack, "aws", region="us-east-1", default_tags=[{"tags": {"Owner": "payments"}}])
RegionalNetwork(
    stack,
    "network",
    region=Region(name="us-east-1"),
    environment="dev",
    cidr="10.0.0.0/16",
    subnet_cidrs=["10.0.1.0/24", "10.0.2.0/24"],
    gateway_endpoints=["dynamodb", "s3"],
    interface_endpoints=["ssm", "kms", "sns", "logs"],
)
app.synth()
