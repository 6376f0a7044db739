from payment_dr import App, ArchiveProvider, AwsProvider, HealthMonitor, Region, TerraformStack

app = App()
stack = TerraformStack(app, "example")
AwsProvider(stack, "aws", region="eu-west-1")
ArchiveProvider(stack, "archive")

HealthMonitor(
    stack,
    "health",
    region=Region(name="eu-west-1"),
    environment="prod",
    table_name="orders",
    table_arn="arn:aws:dynamodb:eu-west-1:123456789012:table/orders",
    topic_arn="arn:aws:sns:eu-west-1:123456789012:alerts",
    topic_key_arn="arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012",
)
app.synth()
