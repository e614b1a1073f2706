"""The checks, a module per subject; importing one declares its checks."""

from conformance.docker.checks import errors, execs, lifecycle, limits, network, process, security  # noqa: F401
