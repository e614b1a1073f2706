"""Labels and filters as pyrunc-init applies them, seen from the program that it becomes."""

import errno
import fcntl
import json
import os
import platform
import signal
import socket
import struct
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from pyrunc.errors import ConfigError, PyruncError
from pyrunc.kernel.mount import procfs
from pyrunc.kernel.process import keyring, lsm, sealed
from pyrunc.planning import security
from pyrunc.planning.facts import ProcessFacts
from pyrunc.spec.config import parse_process
from pyrunc.stages import entering, exec_child, security_steps
from pyrunc.stages.conversation import FAILURE, Ending
from pyrunc.stages.step_list import RETRY_EINTR, StepList
from pyrunc.stages.step_report import EXEC, FIND, HOOK, REPORT_TO, SPLIT, error_of
from pyrunc.wings.seccomp import filters, listener
from pyrunc.words import SECCOMP_FLAGS

from tests.seccomp_profiles import Profile, Rule

PR_SET_NO_NEW_PRIVS, PR_SET_KEEPCAPS, CAP_SYS_ADMIN = 38, 8, 21
STATUS = "print(*[line for line in open('/proc/self/status') if line.startswith({!r})], sep='', end='')"
MKDIR = "import os\ntry: os.mkdir('/no/such/directory')\nexcept OSError as error: print(error.errno)"
BY_NUMBER = "import ctypes; libc = ctypes.CDLL(None, use_errno=True); print(libc.syscall({}), ctypes.get_errno())"
# getpid(2) by the numbers of i386: mov eax, 20; int 0x80; ret
COMPATIBLE = """import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes.fromhex("b814000000cd80c3"))
import os
print(ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))() == os.getpid())
"""


class Init:
    """A pyrunc-init that carries out steps and becomes a program; report: what it says on its channel."""

    def __init__(self, compose, *argv: str) -> None:
        self.report, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        gate, self.gate = os.pipe()
        self.output = os.memfd_create("output")
        steps = StepList()
        steps.step(REPORT_TO, 0, (theirs.fileno(),), "report")
        self.pid = os.fork()
        if self.pid == 0:
            try:  # composed here: paths below a procfs name the process
                proc = procfs.private()
                steps.step(FIND, 0, (steps.strings([argv[0]]),), argv[0])  # as in a container, before the filter
                compose(steps, theirs.fileno(), gate, proc)
                steps.step(EXEC, 0, (steps.strings(argv), steps.strings([])), "exec")
                self._become(steps, (theirs.fileno(), gate, proc))
            finally:
                os._exit(99)
        theirs.close()
        os.close(gate)

    def _become(self, steps: StepList, kept: "tuple[int, ...]") -> None:
        listing, helper = sealed.data("steps", steps.data()), sealed.helper()
        os.dup2(self.output, 1)
        os.dup2(self.output, 2)
        for fd in (listing, *kept):
            os.set_inheritable(fd, True)
        os.execve(helper, ["pyrunc-init", str(listing)], {})

    def message(self) -> bytes:
        """What it reports next; b"" once its end is closed, as by the exit of the program, which has inherited it."""
        return self.report.recv(4096)

    def failure(self) -> PyruncError:
        """What it reports next is that: the error."""
        word, _, value = self.message().partition(b" ")
        assert word == FAILURE
        return error_of(value)

    def end(self) -> "tuple[int, str]":
        """Exit status (negative: a signal) and output of the program."""
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        output = os.pread(self.output, 1 << 16, 0).decode()
        os.close(self.output), os.close(self.gate), self.report.close()
        return status, output


def start_under(profile: Profile, script: str) -> Init:
    """A Python script under a profile, with no_new_privs."""
    made = filters.filter_of(profile)

    def compose(steps, report, gate, proc):
        steps.call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, label="no_new_privs")
        security_steps.load_filter(steps, made, gate)

    return Init(compose, sys.executable, "-IS", "-c", script)


def under(profile: Profile, script: str) -> "tuple[int, str]":
    """What became of the script."""
    return start_under(profile, script).end()


def test_program_is_filtered_by_one_filter():
    assert under(Profile("SCMP_ACT_ALLOW"), STATUS.format("Seccomp")) == (0, "Seccomp:\t2\nSeccomp_filters:\t1\n")


@pytest.mark.parametrize(
    ("rule", "result"),
    [
        (Rule(("mkdir",), "SCMP_ACT_ALLOW"), (0, f"{errno.ENOENT}\n")),
        (Rule(("mkdir",), "SCMP_ACT_LOG"), (0, f"{errno.ENOENT}\n")),
        (Rule(("mkdir",), "SCMP_ACT_ERRNO"), (0, f"{errno.EPERM}\n")),
        (Rule(("mkdir",), "SCMP_ACT_ERRNO", 77), (0, "77\n")),
        (Rule(("mkdir",), "SCMP_ACT_TRACE"), (0, f"{errno.ENOSYS}\n")),  # without a tracer
        (Rule(("mkdir",), "SCMP_ACT_KILL_PROCESS"), (-signal.SIGSYS, "")),
        (Rule(("mkdir",), "SCMP_ACT_KILL_THREAD"), (-signal.SIGSYS, "")),
        (Rule(("mkdir",), "SCMP_ACT_TRAP"), (-signal.SIGSYS, "")),
        (Rule(("mkdir",), "SCMP_ACT_ERRNO", 77, ((1, "SCMP_CMP_EQ", 0o777, 0),)), (0, "77\n")),
        (Rule(("mkdir",), "SCMP_ACT_ERRNO", 77, ((1, "SCMP_CMP_EQ", 0o700, 0),)), (0, f"{errno.ENOENT}\n")),
    ],
)
def test_kernel_does_what_the_rule_says(rule, result):
    default = "SCMP_ACT_LOG" if rule.action == "SCMP_ACT_ALLOW" else "SCMP_ACT_ALLOW"
    assert under(Profile(default, (rule,)), MKDIR) == result


def test_every_flag_is_taken_by_the_kernel():
    flags = tuple(SECCOMP_FLAGS)
    assert under(Profile("SCMP_ACT_ALLOW", flags=flags), STATUS.format("Seccomp:")) == (0, "Seccomp:\t2\n")


@pytest.mark.parametrize("answer", [errno.EPERM, errno.EINTR, 0])
@pytest.mark.parametrize("allowed", [(), ("exit_group",), ("exit",), ("execve",), ("write",)])
def test_pyrunc_init_ends_under_a_profile_that_lets_nothing_through(answer, allowed):
    """Whatever the profile answers to execve, to the report of that and to each system call that ends a process."""
    profile = Profile("SCMP_ACT_ERRNO", (Rule(allowed, "SCMP_ACT_ALLOW"),) if allowed else (), default_errno=answer)
    init = start_under(profile, "")
    deadline = time.monotonic() + 10
    while not os.waitid(os.P_PID, init.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(init.pid, signal.SIGKILL)
    status, _ = init.end()
    trapped = {-signal.SIGILL, -signal.SIGTRAP, -signal.SIGSEGV}  # by the processor; the last is Python's, without mmap
    assert status in ({126} if set(allowed) & {"exit_group", "exit"} else trapped)


def test_interrupted_for_ever():
    """A profile that answers EINTR to a read that is repeated for it."""
    made = filters.filter_of(Profile("SCMP_ACT_ALLOW", (Rule(("read",), "SCMP_ACT_ERRNO", errno.EINTR),)))

    def compose(steps, report, gate, proc):
        steps.call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, label="no_new_privs")
        security_steps.load_filter(steps, made, gate)
        steps.call("read", gate, steps.blob(b"\0"), 1, label="wait", flags=RETRY_EINTR)

    init = Init(compose, "/bin/true")
    init.report.settimeout(10)
    try:
        assert "wait: Interrupted" in str(init.failure())
    finally:
        os.kill(init.pid, signal.SIGKILL)
        init.end()


@pytest.mark.parametrize("name", ["pipe2", "clone", "ppoll", "wait4"])
def test_hook_that_cannot_be_attended_under_the_filter_fails_for_that_reason(name):
    """Not for its deadline, and not as if it had run well without one."""
    made = filters.filter_of(Profile("SCMP_ACT_ALLOW", (Rule((name,), "SCMP_ACT_ERRNO"),)))

    def compose(steps, report, gate, proc):
        steps.call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, label="no_new_privs")
        security_steps.load_filter(steps, made, gate)
        words = (steps.string("/bin/sh"), steps.strings(["sh", "-c", "sleep 0.1"]), steps.strings([]))
        steps.step(HOOK, 2, (*words, 0, 1, 60000), "startContainer hook #0")

    init = Init(compose, "/bin/true")
    assert str(init.failure()) == "error running startContainer hook #0: Operation not permitted"
    init.end()


on_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="machine code of x86_64")


@on_x86_64
@pytest.mark.parametrize(("architectures", "result"), [((), (-signal.SIGSYS, "")), (("X86",), (0, "True\n"))])
def test_calls_of_an_architecture_that_the_profile_does_not_list_kill(architectures, result):
    # A kernel without int 0x80 kills; user-mode Linux takes the number for one of x86_64 and makes another call.
    unfiltered = subprocess.run([sys.executable, "-c", COMPATIBLE], capture_output=True, text=True, check=False)
    if unfiltered.stdout != "True\n":
        pytest.skip("this kernel makes no calls of i386")
    names = tuple(f"SCMP_ARCH_{name}" for name in architectures)
    assert under(Profile("SCMP_ACT_ALLOW", (Rule(("mkdir",), "SCMP_ACT_TRAP"),), architectures=names), COMPATIBLE) == (
        result
    )


# What an interpreter calls between its execve and its end.
SYSCALLS_OF_PYTHON = """
access arch_prctl brk close dup execve exit exit_group fcntl fstat futex getcwd getdents64 getegid geteuid getgid getpid
getrandom gettid getuid ioctl lseek lstat mmap mprotect mremap munmap newfstatat open openat pread64 prlimit64 read
readlink rseq rt_sigaction rt_sigprocmask set_robust_list set_tid_address sigaltstack stat statx sysinfo uname write
writev
"""


@on_x86_64
def test_call_newer_than_the_profile_does_not_exist():
    profile = Profile("SCMP_ACT_ERRNO", (Rule(tuple(SYSCALLS_OF_PYTHON.split()), "SCMP_ACT_ALLOW"),))
    assert under(profile, BY_NUMBER.format(9999)) == (0, f"-1 {errno.ENOSYS}\n")
    assert under(profile, BY_NUMBER.format(165)) == (0, f"-1 {errno.EPERM}\n")  # mount


def test_without_no_new_privs_the_capability_is_given_up_under_the_filter():
    """As a user: CAP_SYS_ADMIN stays until the filter is loaded, the one call that has to pass it is capset."""
    if os.geteuid():
        pytest.skip("needs root")
    made = filters.filter_of(Profile("SCMP_ACT_ALLOW", (Rule(("setresuid", "setgroups"), "SCMP_ACT_KILL_PROCESS"),)))

    def capset(steps, mask):
        header, low = steps.blob(struct.pack("@Ii", 0x20080522, 0)), mask & 0xFFFFFFFF
        steps.call("capset", header, steps.blob(struct.pack("@6I", low, low, 0, 0, 0, 0)), label="capset")

    def compose(steps, report, gate, proc):
        steps.call("prctl", PR_SET_KEEPCAPS, 1, label="keep capabilities")
        steps.call("setresuid", 1000, 1000, 1000, label="become the user")
        capset(steps, 1 << CAP_SYS_ADMIN)
        security_steps.load_filter(steps, made, gate)
        capset(steps, 0)

    keys = "^(CapPrm|CapEff|NoNewPrivs|Seccomp):"
    assert Init(compose, "/bin/grep", "-E", keys, "/proc/self/status").end() == (
        0, "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t2\n",
    )  # fmt: skip


# -- the listener ------------------------------------------------------------------------------------------------------

NOTIFIED = Rule(("mkdir",), "SCMP_ACT_NOTIFY")
DESCRIPTORS = """def target(fd):
    try: return os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError: return "the directory itself"
print([fd for fd in os.listdir("/proc/self/fd") if "seccomp" in target(fd)])
"""
NOTIF_RECV, NOTIF_SEND = 0xC0502100, 0xC0182101  # include/uapi/linux/seccomp.h
STATE = {"ociVersion": "1.3.0", "id": "c", "status": "created", "pid": 7, "bundle": "/b"}


def with_listener(*rules: Rule, script: str) -> Init:
    return start_under(Profile("SCMP_ACT_ALLOW", rules), script)


def serve(agent: socket.socket) -> "tuple[dict[str, object], int]":
    """Accept the one message of the one connection: (container process state, the listener)."""
    connection, _ = agent.accept()
    content, fds, _, _ = socket.recv_fds(connection, 1 << 16, 4)
    assert connection.recv(1) == b""  # closed after one state
    connection.close()
    assert len(fds) == 1
    return json.loads(content), fds[0]


def test_agent_gets_the_listener_although_sendmsg_is_forbidden_and_the_program_never_has_it(tmp_path):
    forbidden = Rule(("sendmsg", "connect", "clone", "clone3", "socket"), "SCMP_ACT_KILL_PROCESS")
    init = with_listener(forbidden, NOTIFIED, script=f"import sys; sys.path[:0] = {sys.path}\n{MKDIR}\n{DESCRIPTORS}")
    number = Ending().take(init.message())
    assert number is not None
    agent = socket.socket(socket.AF_UNIX)
    path = tmp_path / "agent"
    agent.bind(str(path))
    agent.listen()
    pidfd = os.pidfd_open(init.pid)
    listener.hand_over(pidfd, number, str(path), listener.process_state(STATE, init.pid, "metadata"))
    state, fd = serve(agent)
    assert state == {
        "ociVersion": "1.3.0", "fds": ["seccompFd"], "pid": init.pid, "metadata": "metadata", "state": STATE,
    }  # fmt: skip
    os.write(init.gate, b".")
    notification = bytearray(80)
    fcntl.ioctl(fd, NOTIF_RECV, notification)
    identity, pid = struct.unpack_from("=QI", notification)
    assert (pid, struct.unpack_from("=6Q", notification, 32)[1]) == (init.pid, 0o777)
    fcntl.ioctl(fd, NOTIF_SEND, bytearray(struct.pack("=QqiI", identity, 0, -errno.EDOM, 0)))
    assert init.end() == (0, f"{errno.EDOM}\n[]\n")
    agent.close(), os.close(fd), os.close(pidfd)


def test_profile_that_forbids_waiting_is_an_error_and_the_program_does_not_run():
    init = with_listener(NOTIFIED, Rule(("read",), "SCMP_ACT_ERRNO"), script="print('ran')")
    assert Ending().take(init.message()) is not None
    assert str(init.failure()) == "wait for the seccomp agent: Operation not permitted"
    assert init.end() == (126, "")


def test_listener_that_cannot_be_sent_is_an_error(tmp_path):
    init = with_listener(NOTIFIED, script="print('ran')")
    number = Ending().take(init.message())
    pidfd = os.pidfd_open(init.pid)
    with pytest.raises(PyruncError, match=f"connect to the seccomp listener socket `{tmp_path}/nobody`"):
        listener.hand_over(pidfd, number, f"{tmp_path}/nobody", b"{}")
    with pytest.raises(PyruncError, match=r"take the seccomp listener .*: Bad file descriptor"):
        listener.hand_over(pidfd, 1000, f"{tmp_path}/nobody", b"{}")
    os.close(pidfd)
    os.kill(init.pid, signal.SIGKILL)
    assert init.end() == (-signal.SIGKILL, "")


# -- labels ------------------------------------------------------------------------------------------------------------


def labelled(attribute: lsm.Attribute) -> Init:
    return Init(lambda steps, _, __, proc: security_steps.set_attributes(steps, [attribute], proc), "/bin/echo", "ran")


def test_label_is_inherited_by_what_is_cloned_and_leaves_no_descriptor():
    """The process in the container is cloned after it (`last_steps.split`), and so are startContainer hooks."""

    def compose(steps, _report, _gate, proc):
        security_steps.set_attributes(steps, [lsm.Attribute("oom_score_adj", b"321")], proc)
        steps.call("close", proc, label="close it")
        steps.step(SPLIT, 0, (0x8000,), "clone")  # CLONE_PARENT

    script = "cat /proc/self/oom_score_adj; ls -l /proc/self/fd | grep -c attr"
    init = Init(compose, "/bin/sh", "-c", script)
    assert init.message() == b""  # the end of the program
    assert init.end() == (0, "321\n0\n")


def test_label_is_written_by_the_process_itself_after_its_execve():
    """The kernel looks at the label, and not away (EPERM, for a descriptor from before the execve)."""
    attribute = lsm.Attribute("attr/exec", b"no such label")
    init = labelled(attribute)
    error = init.failure()
    assert str(error) == "write file `/proc/thread-self/attr/exec`: Invalid argument"
    assert init.end() == (126, "")


def test_label_of_a_module_that_the_kernel_lacks_is_an_error():
    attribute = lsm.Attribute("attr/no_such_module/exec", b"label")
    init = labelled(attribute)
    text = "write file `/proc/thread-self/attr/no_such_module/exec`: No such file or directory"
    assert str(init.failure()) == text
    assert init.end()[1] == ""


def labels_of(**process: str) -> list[tuple[str, bytes]]:
    """What is planned for a process with these keys, on the host as it seems to be."""
    value = parse_process({"cwd": "/", "args": ["x"]} | process, "/process")
    facts = ProcessFacts()
    facts.look(value, 0, {})
    return [(each.path, each.value) for each in security.attributes(value, facts)]


def test_labels_without_their_module_are_refused(monkeypatch):
    monkeypatch.setattr(lsm, "_APPARMOR_ENABLED", "/no/such/file")
    monkeypatch.setattr(lsm, "_SELINUX", "/no/such/directory")
    with pytest.raises(ConfigError, match=r"SELinux is not enabled here .*/process/selinuxLabel"):
        labels_of(selinuxLabel="system_u:system_r:container_t:s0")
    with pytest.raises(ConfigError, match=r"AppArmor is not enabled here, .*`p`.*/process/apparmorProfile"):
        labels_of(apparmorProfile="p")
    assert labels_of(apparmorProfile="unconfined") == []
    assert labels_of() == []


def test_directory_that_is_no_selinuxfs_does_not_enable_selinux(monkeypatch, tmp_path):
    monkeypatch.setattr(lsm, "_SELINUX", str(tmp_path))
    assert not lsm.selinux_enabled()


@pytest.mark.parametrize(
    ("profile", "value"),
    [("here", b"exec here"), ("un confined (x)", b"exec un confined (x)"), ("unconfined", b"exec unconfined"),
     (":space:gone", b"exec :space:gone"), ("here//&gone", b"exec here//&gone"), ("gone", None), ("her", None)],
)  # fmt: skip
def test_apparmor_profile_must_be_loaded(profile, value, monkeypatch, tmp_path):
    (tmp_path / "enabled").write_text("Y\n")
    (tmp_path / "profiles").write_text("here (enforce)\nun confined (x) (complain)\n")
    monkeypatch.setattr(lsm, "_APPARMOR_ENABLED", str(tmp_path / "enabled"))
    monkeypatch.setattr(lsm, "_APPARMOR_PROFILES", str(tmp_path / "profiles"))
    if value is None:
        with pytest.raises(ConfigError, match=f"AppArmor profile `{profile}` is not loaded"):
            labels_of(apparmorProfile=profile)
        return
    assert labels_of(apparmorProfile=profile) == [("attr/apparmor/exec", value)]


def test_list_of_profiles_that_cannot_be_read_leaves_the_answer_to_the_kernel(monkeypatch, tmp_path):
    (tmp_path / "enabled").write_text("Y\n")
    monkeypatch.setattr(lsm, "_APPARMOR_ENABLED", str(tmp_path / "enabled"))
    monkeypatch.setattr(lsm, "_APPARMOR_PROFILES", str(tmp_path / "profiles"))
    assert labels_of(apparmorProfile="p") == [("attr/apparmor/exec", b"exec p")]


def test_keyring_of_a_labelled_container_is_made_with_its_label(monkeypatch):
    done = []
    monkeypatch.setattr(lsm, "label_new_keys", lambda _, label: done.append(label))
    monkeypatch.setattr(keyring.syscalls, "join_session_keyring", lambda name: done.append(name) or 1)
    monkeypatch.setattr(keyring.syscalls, "keyctl", lambda *_: 0)
    monkeypatch.setattr(keyring.syscalls, "describe_key", lambda _: f"keyring;{os.getuid()};0;3f0b0000;_ses.x")
    for name, label in (("_ses.x", "system_u:system_r:container_t:s0"), ("_ses.y", "")):
        entering.join_keyring(SimpleNamespace(new_keyring=True, keyring=name), None, label)
    assert done == ["system_u:system_r:container_t:s0", "_ses.x", "_ses.y"]


@pytest.mark.parametrize("new_keyring", [True, False])
def test_keyring_that_exec_may_make_is_labelled_too(monkeypatch, new_keyring):
    reading, writing = os.pipe()
    monkeypatch.setattr(lsm, "label_new_keys", lambda _, label: os.write(writing, label.encode()))
    process = SimpleNamespace(terminal=False, selinux_label="label", oom_score_adj=None)
    attributes = [lsm.Attribute("attr/exec", b"label")]
    plan = SimpleNamespace(final_cpus=None, attributes=attributes, new_keyring=new_keyring, process=process)
    pid = os.fork()
    if pid == 0:
        try:
            exec_child._prepare(plan, SimpleNamespace(filter=None))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    assert os.read(reading, 100) == (b"label" if new_keyring else b"")
    os.close(reading)


def test_labels_of_a_config_are_the_programs(monkeypatch):
    """From the process of a config to the steps before its execve; oom_score_adj stands in for a label."""
    monkeypatch.setattr(lsm, "selinux_enabled", lambda: True)
    monkeypatch.setattr(lsm, "apparmor_enabled", lambda: True)
    monkeypatch.setattr(lsm, "_APPARMOR_PROFILES", "/no/such/file")
    found = labels_of(selinuxLabel="a:b:c", apparmorProfile="p")
    assert found == [("attr/exec", b"a:b:c"), ("attr/apparmor/exec", b"exec p")]

    def compose(steps, _report, _gate, proc):
        security_steps.set_attributes(steps, [lsm.Attribute("oom_score_adj", b"321")], proc)

    assert Init(compose, "/bin/cat", "/proc/self/oom_score_adj").end() == (0, "321\n")


def test_label_of_new_keys_is_an_error_where_it_cannot_be_set():
    if lsm.selinux_enabled():
        pytest.skip("SELinux is enabled here: labels of keys can be set")
    with pytest.raises(PyruncError, match=r"write file `/proc/thread-self/attr/keycreate`.*/process/selinuxLabel"):
        entering.label_keys("system_u:system_r:container_t:s0")
