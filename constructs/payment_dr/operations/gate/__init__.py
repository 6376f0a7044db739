"""A gate for any Terraform plan: would it still fail over? It reads one file, and asks neither AWS nor Terraform."""
