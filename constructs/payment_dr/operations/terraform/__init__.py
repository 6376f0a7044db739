"""Terraform, run by a program, and the providers that it needs."""
