"""The Terraform providers of a run: where they come from, and stand-ins for two that may be out of reach."""
