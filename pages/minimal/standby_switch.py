from payment_dr import App, ArchiveProvider, AwsProvider, Region, StandbySwitch, TerraformStack

app = App()
stack = TerraformStack(app, "example")
AwsProvider(stack, "aws", region="us-west-2")
ArchiveProvider(stack, "archive")

StandbySwitch(
    stack,
    "switch",
    region=Region(name="us-west-2"),
    primary_region="us-east-1",
    environment="prod",
    api_id="a1b2c3d4e5",
    stage="$default",
)
app.synth()
