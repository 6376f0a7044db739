from payment_dr import App, AwsProvider, Region, RegionalNetwork, TerraformStack

app = App()
stack = TerraformStack(app, "example")
AwsProvider(stack, "aws", region="eu-west-1")

RegionalNetwork(
    stack,
    "network",
    region=Region(name="eu-west-1"),
    environment="prod",
    cidr="10.2.0.0/16",
    subnet_cidrs=["10.2.1.0/24", "10.2.2.0/24"],
)
app.synth()
