"""The failover drill: fail over, fail back, and measure both, with nothing but Terraform outputs and AWS APIs."""
