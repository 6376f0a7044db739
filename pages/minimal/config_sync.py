from payment_dr import App, ArchiveProvider, AwsProvider, ConfigSync, Region, TerraformStack

app = App()
stack = TerraformStack(app, "example")
AwsProvider(stack, "aws", region="us-east-1")
west = AwsProvider(stack, "west", alias="west", region="us-west-2")
ArchiveProvider(stack, "archive")

ConfigSync(
    stack,
    "config",
    primary=Region(name="us-east-1"),
    secondary=Region(name="us-west-2", provider=west),
    environment="prod",
    parameters={"api-key": "set the real one in Parameter Store"},
    primary_key_arn="arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012",
    secondary_key_arn="arn:aws:kms:us-west-2:123456789012:key/87654321-4321-4321-4321-210987654321",
)
app.synth()
