"""Shows that `payment_dr.confirmed` loses no payment: the client runs in a simulated world, and a checker looks on."""
