from pathlib import Path

from payment_dr import App, ArchiveProvider, AwsProvider, PythonFunction, Region, TerraformStack

app = App()
stack = TerraformStack(app, "example")
AwsProvider(stack, "aws", region="eu-west-1")
ArchiveProvider(stack, "archive")

PythonFunction(
    stack,
    "sweep",
    region=Region(name="eu-west-1"),
    environment="prod",
    purpose="sweep",
    description="Sweeps up what is left of payments",
    source=Path("handlers/lambda_health_monitor.py"),
    variables={},
    permissions=[],
)
app.synth()
