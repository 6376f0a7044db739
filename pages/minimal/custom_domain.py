from payment_dr import App, AwsProvider, CustomDomain, Region, TerraformStack

app = App()
stack = TerraformStack(app, "example")
AwsProvider(stack, "aws", region="eu-west-1")

CustomDomain(
    stack,
    "domain",
    region=Region(name="eu-west-1"),
    environment="prod",
    host="app.pay.acme.io",
    api_id="a1b2c3d4e5",
    stage="$default",
    zone_id="Z0123456789ABCDEFGHIJ",
)
app.synth()
