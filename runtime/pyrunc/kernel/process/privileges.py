"""Giving up what a command does not need, before it reads what others have written (docs/adr/0009)."""


def give_up() -> None:
    """All capabilities but CAP_SYS_PTRACE, and what a program that is executed could gain (no_new_privs), for good.

    With /proc mounted `hidepid=`, the one that is kept decides whether a process is seen to be alive (proc(5)).
    """
    import _prctl

    _prctl.prctl(_prctl.PR_SET_NO_NEW_PRIVS, 1)
    given_up = [number for number in range(_prctl.CAP_LAST_CAP + 1) if number != _prctl.CAP_SYS_PTRACE]
    # What is to be set, then what is to be cleared: effective, permitted, inheritable.
    _prctl.set_caps([], [], [], given_up, given_up, given_up)
