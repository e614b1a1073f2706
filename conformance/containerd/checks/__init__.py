"""The checks, a module per subject; importing one declares its checks."""

from conformance.containerd.checks import execs, lifecycle, limits, pods, process, security  # noqa: F401
