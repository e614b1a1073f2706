"""The checks, a module per subject; importing one declares its checks."""

from conformance.podman.checks import (  # noqa: F401
    build,
    checkpoint,
    devices,
    errors,
    execs,
    health,
    hooks,
    lifecycle,
    limits,
    monitor,
    mounts,
    namespaces,
    network,
    pods,
    process,
    quadlet,
    seccomp,
    streams,
    systemd,
    terminals,
)
