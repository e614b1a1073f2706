"""Checks that run whole runtimes from outside: opencontainers' programs, podman, the benchmark, the test VM."""
