from payment_dr import App, AwsProvider, EncryptionKey, Region, TerraformStack

app = App()
stack = TerraformStack(app, "example")
AwsProvider(stack, "aws", region="eu-west-1")

EncryptionKey(stack, "key", region=Region(name="eu-west-1"), environment="prod")
app.synth()
