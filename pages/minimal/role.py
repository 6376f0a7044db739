from payment_dr import App, AwsProvider, Role, Statement, TerraformStack

app = App()
stack = TerraformStack(app, "example")
AwsProvider(stack, "aws", region="eu-west-1")

Role(
    stack,
    "reader",
    name="iam-role-orders-reader-prod",
    policy_name="iam-policy-orders-reader-prod",
    description="Reads orders",
    trust=[
        Statement(sid="Lambda", actions=["sts:AssumeRole"], principals={"Service": ["lambda.amazonaws.com"]}),
    ],
    permissions=[
        Statement(
            sid="ReadOrders",
            actions=["dynamodb:GetItem"],
            resources=["arn:aws:dynamodb:eu-west-1:123456789012:table/orders"],
        )
    ],
)
app.synth()
