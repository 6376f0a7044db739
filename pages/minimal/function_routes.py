from pathlib import Path

from payment_dr import App, ArchiveProvider, AwsProvider, FunctionRoutes, PythonFunction, Region, TerraformStack

app = App()
stack = TerraformStack(app, "example")
AwsProvider(stack, "aws", region="us-east-1")
ArchiveProvider(stack, "archive")
east = Region(name="us-east-1")

function = PythonFunction(
    stack,
    "refunds",
    region=east,
    environment="dev",
    purpose="refunds",
    description="Answers the routes of refunds",
    source=Path("handlers/lambda_health_monitor.py"),
    variables={},
    permissions=[],
)
FunctionRoutes(
    stack,
    "routes",
    region=east,
    api_id="a1b2c3d4e5",
    stage="$default",
    routes=["POST /refunds", "GET /refunds/{id}"],
    function_arn=function.function_arn,
)
app.synth()
