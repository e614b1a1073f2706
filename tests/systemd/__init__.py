"""Tests against a running systemd: as root with the system's manager, as a user with the user's."""
