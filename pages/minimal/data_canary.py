from payment_dr import App, ArchiveProvider, AwsProvider, DataCanary, Region, TerraformStack

app = App()
stack = TerraformStack(app, "example")
AwsProvider(stack, "aws", region="us-east-1")
west = AwsProvider(stack, "west", alias="west", region="us-west-2")
ArchiveProvider(stack, "archive")

DataCanary(
    stack,
    "canary",
    primary=Region(name="us-east-1"),
    secondary=Region(name="us-west-2", provider=west),
    environment="prod",
    table_name="transactions",
)
app.synth()
