"""docker on an OCI runtime: `python3 -m conformance docker --runtime PATH` (see README.md)."""
