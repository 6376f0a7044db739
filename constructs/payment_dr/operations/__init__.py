"""What operators run on a deployed stack: look at it, fail it over and back, drill it, adopt what Terraform lost."""
