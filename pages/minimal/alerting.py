from payment_dr import Alerting, App, AwsProvider, EncryptionKey, Region, TerraformStack

app = App()
stack = TerraformStack(app, "example")
AwsProvider(stack, "aws", region="eu-west-1")
ireland = Region(name="eu-west-1")
key = EncryptionKey(stack, "key", region=ireland, environment="prod")

Alerting(stack, "alerting", region=ireland, environment="prod", key_arn=key.key_arn, email="oncall@acme.io")
app.synth()
