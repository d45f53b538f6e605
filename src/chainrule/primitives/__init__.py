"""Every fact about every operation, one family a file."""
