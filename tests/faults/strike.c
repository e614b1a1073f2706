/* strike LOG PROCESS CALL WHAT SECONDS COMMAND...
 *
 * Run COMMAND under ptrace(2) and let one system call of one of its processes fail.
 *
 *   LOG      the file for what was seen: "PROCESS CALL NUMBER PATH" a line, PATH being the call's, as far as it has one;
 *            of a list also "child PROCESS PARENT"
 *   PROCESS  in the order in which they appear: COMMAND is 0, its first child or grandchild 1
 *   CALL     counted from 1, for COMMAND from its execve on
 *   WHAT     "list": every call of every process goes to LOG, and nothing is struck
 *            "signal=N": the signal comes when the call begins; "error=N": the call is not made, and has failed with N
 *   SECONDS  after them all processes are killed, and LOG ends in "hang"
 *
 * Exit status: COMMAND's, 128 and the signal that ended it, 124 if it hung. Whoever lives on when it ends is let go. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/ptrace.h>

#ifndef __x86_64__
#error "how a system call is made to fail is written for x86-64 only"
#endif

enum { MOST = 4096, HANG = 124 };

static pid_t seen[MOST];
static int processes;
static int failing = -1; /* the process whose call fails when it ends */
static volatile sig_atomic_t late;

static void on_alarm(int number) { late = number; }

static int index_of(pid_t pid) {
    for (int i = 0; i < processes; i++)
        if (seen[i] == pid)
            return i;
    if (processes == MOST)
        exit(99);
    seen[processes] = pid;
    return processes++;
}

/* The argument of a call that is a path, or -1. */
static int path_argument(long number) {
    switch (number) {
    case SYS_open: case SYS_stat: case SYS_lstat: case SYS_access: case SYS_mkdir: case SYS_rmdir: case SYS_unlink:
    case SYS_readlink: case SYS_chdir: case SYS_rename: case SYS_execve: case SYS_umount2: case SYS_chown:
    case SYS_fsopen:
        return 0;
    case SYS_openat: case SYS_newfstatat: case SYS_mkdirat: case SYS_unlinkat: case SYS_renameat: case SYS_faccessat:
    case SYS_faccessat2: case SYS_mknodat: case SYS_statx: case SYS_openat2: case SYS_open_tree: case SYS_readlinkat:
    case SYS_move_mount: case SYS_fsconfig: case SYS_mount:
        return 1;
    default:
        return -1;
    }
}

static void describe(FILE *log, int process, long call, pid_t pid, const struct ptrace_syscall_info *info) {
    char text[161] = "";
    int argument = path_argument((long)info->entry.nr);
    for (size_t i = 0; argument >= 0 && i + sizeof(long) < sizeof text; i += sizeof(long)) {
        errno = 0;
        long word = ptrace(PTRACE_PEEKDATA, pid, info->entry.args[argument] + i, 0);
        if (errno)
            break;
        memcpy(text + i, &word, sizeof word);
        if (memchr(text + i, 0, sizeof word))
            break;
    }
    for (char *c = text; *c; c++)
        if (*c <= ' ' || *c > '~')
            *c = '?';
    fprintf(log, "%d %ld %lld %s\n", process, call, (long long)info->entry.nr, text);
    fflush(log);
}

static void set_register(pid_t pid, size_t offset, long value) { ptrace(PTRACE_POKEUSER, pid, offset, value); }

static pid_t run(char **command) {
    int gate[2];
    if (pipe(gate))
        exit(99);
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        close(gate[1]);
        if (read(gate[0], &byte, 1) < 0)
            _exit(99);
        close(gate[0]);
        execvp(command[0], command);
        _exit(98);
    }
    long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
    if (pid < 0 || ptrace(PTRACE_SEIZE, pid, 0, options | PTRACE_O_TRACEEXEC) || ptrace(PTRACE_INTERRUPT, pid, 0, 0))
        exit(97);
    close(gate[0]);
    close(gate[1]);
    return pid;
}

int main(int argc, char **argv) {
    if (argc < 7)
        return 99;
    FILE *log = fopen(argv[1], "we");
    int target = atoi(argv[2]), status, executed = 0, list = !strcmp(argv[4], "list"), struck = 0;
    long wanted = atol(argv[3]), counts[MOST] = {0};
    int number = 0, is_signal = sscanf(argv[4], "signal=%d", &number), is_error = sscanf(argv[4], "error=%d", &number);
    if (!log || !(list || is_signal == 1 || is_error == 1))
        return 99;
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm}, NULL);
    alarm((unsigned)atoi(argv[5]));
    pid_t command = run(argv + 6);
    index_of(command);
    for (;;) {
        pid_t pid = waitpid(-1, &status, __WALL);
        if (late) {
            for (int i = 0; i < processes; i++)
                kill(seen[i], SIGKILL);
            fprintf(log, "hang\n");
            fclose(log);
            return HANG;
        }
        if (pid < 0)
            return 99;
        if (!WIFSTOPPED(status)) {
            if (pid != command)
                continue;
            fclose(log);
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        }
        int me = index_of(pid), event = status >> 16, signal = WSTOPSIG(status), pass = 0, group_stop = 0;
        if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) {
            unsigned long child;
            if (!ptrace(PTRACE_GETEVENTMSG, pid, 0, &child)) {
                int born = index_of((pid_t)child);
                if (list)
                    fprintf(log, "child %d %d\n", born, me);
            }
        } else if (event == PTRACE_EVENT_EXEC) {
            executed = 1;
        } else if (event == PTRACE_EVENT_STOP) {
            group_stop = signal != SIGTRAP;
        } else if (signal == (SIGTRAP | 0x80)) {
            struct ptrace_syscall_info info;
            ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
            if (info.op == PTRACE_SYSCALL_INFO_EXIT && failing == me) {
                set_register(pid, offsetof(struct user_regs_struct, rax), -number);
                failing = -1;
            } else if (info.op == PTRACE_SYSCALL_INFO_ENTRY && (me || executed) && (list || me == target)) {
                counts[me]++;
                int now = !list && !struck && counts[me] == wanted;
                if (list || now)
                    describe(log, me, counts[me], pid, &info);
                if (now && is_signal == 1)
                    kill(pid, number);
                if (now && is_error == 1) {
                    set_register(pid, offsetof(struct user_regs_struct, orig_rax), -1);
                    failing = me;
                }
                struck |= now;
            }
        } else if (event == 0) {
            pass = signal;
        }
        int watched = list || failing == me || (!struck && me == target);
        ptrace(group_stop ? PTRACE_LISTEN : watched ? PTRACE_SYSCALL : PTRACE_CONT, pid, 0, pass);
    }
}
