from payment_dr import App, DisasterRecoveryStack

app = App()
DisasterRecoveryStack(app, "payment-dr")
app.synth()
