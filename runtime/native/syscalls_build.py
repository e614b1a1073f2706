"""The system calls that CPython lacks, or has only behind an expensive import, as a cffi extension (API mode).

Every function returns what the kernel does: a result, or -errno. `pyrunc.kernel.syscalls` is its only user and gives
each one a Python face. A call is one line here; its man page says the rest.
"""

from cffi import FFI

# name, C parameters, the call's arguments (its number and the values)
CALLS = [
    ("fork_into", "uint64_t flags, int exit_signal, int cgroup", None),
    ("unshare", "int flags", "SYS_unshare, flags"),
    ("setns", "int fd, int flags", "SYS_setns, fd, flags"),
    ("openat2", "int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve", None),
    ("open_tree", "int dir, const char *path, unsigned flags", "SYS_open_tree, dir, path, flags"),
    ("move_mount", "int from_dir, const char *from, int to_dir, const char *to, unsigned flags",
     "SYS_move_mount, from_dir, from, to_dir, to, flags"),
    ("fsopen", "const char *type, unsigned flags", "SYS_fsopen, type, flags"),
    ("fsconfig", "int fs, unsigned command, const char *key, const char *value, int aux",
     "SYS_fsconfig, fs, command, key, value, aux"),
    ("fsmount", "int fs, unsigned flags, unsigned attributes", "SYS_fsmount, fs, flags, attributes"),
    ("fspick", "int dir, const char *path, unsigned flags", "SYS_fspick, dir, path, flags"),
    ("mount_setattr", "int fd, const char *path, unsigned flags, uint64_t set, uint64_t clear, uint64_t spread, int id",
     None),
    ("mount", "const char *source, const char *target, const char *type, unsigned long flags, const char *data",
     "SYS_mount, source, target, type, flags, data"),
    ("umount2", "const char *target, int flags", "SYS_umount2, target, flags"),
    ("pivot_root", "const char *new_root, const char *put_old", "SYS_pivot_root, new_root, put_old"),
    ("statfs_type", "int fd", None),
    ("mount_flags", "int fd", None),
    ("mount_id", "int dir, const char *path, int flags", None),
    ("close_range", "unsigned first, unsigned last, unsigned flags", "SYS_close_range, first, last, flags"),
    ("default_signal", "int number", None),
    ("set_limit", "int pid, unsigned resource, uint64_t soft, uint64_t hard", None),
    ("hard_limit", "unsigned resource", None),
    ("pidfd_open", "int pid, unsigned flags", "SYS_pidfd_open, pid, flags"),
    ("pidfd_getfd", "int pidfd, int number, unsigned flags", "SYS_pidfd_getfd, pidfd, number, flags"),
    ("pidfd_send_signal", "int pidfd, int signal", "SYS_pidfd_send_signal, pidfd, signal, 0, 0"),
    ("execveat", "int dir, const char *path, char **argv, char **envp, int flags",
     "SYS_execveat, dir, path, argv, envp, flags"),
    ("sethostname", "const char *name, size_t length", "SYS_sethostname, name, length"),
    ("setdomainname", "const char *name, size_t length", "SYS_setdomainname, name, length"),
    ("keyctl", "int operation, unsigned long a, unsigned long b, unsigned long c",
     "SYS_keyctl, operation, a, b, c, 0"),
    ("join_session_keyring", "const char *name", "SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, name, 0, 0, 0"),
    ("rename_to_new", "const char *old, const char *new",
     "SYS_renameat2, AT_FDCWD, old, AT_FDCWD, new, 1 /* RENAME_NOREPLACE */"),
    ("capset", "const void *header, const void *sets", "SYS_capset, header, sets"),
    ("prctl", "int option, unsigned long a, unsigned long b", "SYS_prctl, option, a, b, 0, 0"),
    ("bpf", "int command, void *attr, unsigned size", "SYS_bpf, command, attr, size"),
    ("seccomp", "unsigned operation, unsigned flags, void *args", "SYS_seccomp, operation, flags, args"),
]

# libc's own, for libraries that are opened only when a config needs them (`kernel.library`).
LIBC = "void *dlopen(const char *file, int mode); void *dlsym(void *handle, const char *symbol); char *dlerror(void);"

# Numbers of calls that `stages.step_list` composes for pyrunc-init (fchdir, getpid and keyctl: its tests); they differ
# between architectures.
NUMBERS = [
    "capset", "chdir", "close", "close_range", "execve", "fchdir", "getpid", "ioctl", "ioprio_set", "keyctl", "openat2",
    "personality", "prctl", "prlimit64", "read", "sched_setaffinity", "sched_setattr", "seccomp", "set_mempolicy",
    "setgroups", "setresgid", "setresuid", "setsid", "umask", "write",
]

# Resources of getrlimit(2); their numbers differ between architectures too.
LIMITS = [
    "AS", "CORE", "CPU", "DATA", "FSIZE", "LOCKS", "MEMLOCK", "MSGQUEUE", "NICE", "NOFILE", "NPROC", "RSS", "RTPRIO",
    "RTTIME", "SIGPENDING", "STACK",
]

SOURCE = r"""
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Headers older than the kernels that we run on; the numbers are the same on all architectures since Linux 5.0. */
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x1000U
#endif
struct pyrunc_mount_attr { uint64_t set, clear, propagation, userns; };
struct pyrunc_clone_args { uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
                           set_tid_size, cgroup; };

#define RESULT(call) do { long result = (call); return result < 0 ? -errno : result; } while (0)

/* clone3 without a new stack: a fork, into namespaces and a cgroup. */
static long pyrunc_fork_into(uint64_t flags, int exit_signal, int cgroup) {
    struct pyrunc_clone_args args;
    memset(&args, 0, sizeof args);
    args.flags = flags;
    args.exit_signal = exit_signal;
    if (cgroup >= 0) { args.flags |= CLONE_INTO_CGROUP; args.cgroup = cgroup; }
    RESULT(syscall(SYS_clone3, &args, sizeof args));
}

static long pyrunc_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
    struct open_how how;
    memset(&how, 0, sizeof how);
    how.flags = flags; how.mode = mode; how.resolve = resolve;
    RESULT(syscall(SYS_openat2, dir, path, &how, sizeof how));
}

static long pyrunc_mount_setattr(int fd, const char *path, unsigned flags, uint64_t set, uint64_t clear,
                                 uint64_t spread, int id) {
    struct pyrunc_mount_attr attr = { set, clear, spread, id < 0 ? 0 : id };
    RESULT(syscall(SYS_mount_setattr, fd, path, flags, &attr, sizeof attr));
}

static long pyrunc_default_signal(int number) {  /* also those two that libc keeps for itself */
    uint64_t action[8] = { 0 };  /* struct sigaction of the kernel: handler SIG_DFL, no flags, empty mask */
    RESULT(syscall(SYS_rt_sigaction, number, action, 0, 8));
}

static long pyrunc_set_limit(int pid, unsigned resource, uint64_t soft, uint64_t hard) {
    uint64_t pair[2] = { soft, hard };  /* struct rlimit64; all ones is infinity */
    RESULT(syscall(SYS_prlimit64, pid, resource, pair, 0));
}

static long pyrunc_hard_limit(unsigned resource) {  /* our own; -1 is infinity */
    uint64_t pair[2] = { 0, 0 };
    syscall(SYS_prlimit64, 0, resource, 0, pair);
    return (long)pair[1];
}

static long pyrunc_statfs_type(int fd) {
    struct statfs facts;
    if (fstatfs(fd, &facts)) return -errno;
    return (long)(unsigned)facts.f_type;
}

static long pyrunc_mount_flags(int fd) {  /* the ST_* flags of the mount that holds fd */
    struct statfs facts;
    if (fstatfs(fd, &facts)) return -errno;
    return facts.f_flags;
}

static long pyrunc_mount_id(int dir, const char *path, int flags) {
    struct statx facts;
    memset(&facts, 0, sizeof facts);
    if (syscall(SYS_statx, dir, path, flags, STATX_MNT_ID, &facts) < 0) return -errno;
    return (long)facts.stx_mnt_id;
}
"""


def _declarations() -> tuple[str, str]:
    """(what Python sees, the C that defines it)."""
    seen, defined = [LIBC], [SOURCE]
    for name, parameters, arguments in CALLS:
        seen.append(f"long pyrunc_{name}({parameters});")
        if arguments:
            defined.append(f"static long pyrunc_{name}({parameters}) {{ RESULT(syscall({arguments})); }}")
    seen += [f"#define SYS_{name} ..." for name in NUMBERS]
    seen += [f"#define RLIMIT_{name} ..." for name in LIMITS]
    return "\n".join(seen), "\n".join(defined)


ffibuilder = FFI()
_seen, _defined = _declarations()
ffibuilder.cdef(_seen)
ffibuilder.set_source("pyrunc._native", _defined)
