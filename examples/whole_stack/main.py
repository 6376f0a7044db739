"""Everything, in two regions of Europe."""

from payment_dr import App, DisasterRecoveryStack

app = App()
DisasterRecoveryStack(
    app,
    "whole-stack",
    primary_region="eu-central-1",
    secondary_region="eu-west-1",
    primary_cidr="10.20.0.0/16",
    primary_subnet_cidrs=("10.20.1.0/24", "10.20.2.0/24"),
    secondary_cidr="10.21.0.0/16",
    secondary_subnet_cidrs=("10.21.1.0/24", "10.21.2.0/24"),
    config_keys=("database-connection-string", "api-key", "fraud/threshold"),
)
app.synth()
