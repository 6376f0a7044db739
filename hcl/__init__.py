"""The synthesized stack as HCL: ``lib/provider.tf``, ``lib/main.tf`` and the handlers beside them."""
