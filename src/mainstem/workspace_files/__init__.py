"""A workspace as a file: read through operations of the Public API, written as JSON or Terraform, and applied."""
