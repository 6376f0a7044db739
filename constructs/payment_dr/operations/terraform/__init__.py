"""Runs Terraform from a program, with the providers that it needs."""
