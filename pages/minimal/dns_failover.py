from payment_dr import App, AwsProvider, DnsFailover, Endpoint, Region, TerraformStack

app = App()
stack = TerraformStack(app, "example")
AwsProvider(stack, "aws", region="us-east-1")
west = AwsProvider(stack, "west", alias="west", region="us-west-2")

DnsFailover(
    stack,
    "dns",
    primary=Endpoint(region=Region(name="us-east-1"), host="east.acme.io"),
    secondary=Endpoint(region=Region(name="us-west-2", provider=west), host="west.acme.io"),
    environment="prod",
    domain_name="pay.acme.io",
)
app.synth()
