"""pyrunc: an OCI low-level container runtime for Linux."""

__version__ = "0.1.0"
SPEC_VERSION = "1.3.0"  # the runtime-spec that we follow
