"""The operations, one concept a file."""
