"""A payments service of one file behind the name, over TLS, in two regions."""

from pathlib import Path

from payment_dr import App, DisasterRecoveryStack, Service

app = App()
DisasterRecoveryStack(
    app,
    "payments-service",
    custom_domain=True,
    service=Service(
        source=Path(__file__).with_name("payments.py"),
        routes=["POST /payments", "GET /payments/{id}"],
        actions=["dynamodb:PutItem", "dynamodb:GetItem"],
    ),
)
app.synth()
