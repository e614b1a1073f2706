"""podman on an OCI runtime: `python3 -m conformance podman --runtime PATH` (see README.md)."""
