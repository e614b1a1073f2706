"""containerd on an OCI runtime: `python3 -m conformance containerd --runtime PATH` (see README.md)."""
