/* pyrunc-init: what a container's first process is between the interpreter and the user's program.
 *
 * It runs a list of steps that pyrunc.stages.step_list composed: nearly all are plain system calls whose arguments stand
 * in the list. Decisions are made in Python, which a person can read; this file only carries them out, so that no
 * interpreter (its memory, its executable, its modules) is left inside the container while it waits to be started.
 *
 *   pyrunc-init FD [REPORT]
 *
 *   FD      a memory file with the list, laid out as the structs below
 *   REPORT  the report descriptor until a step names another
 *
 * The list comes from our own parent through an anonymous file, never from the container. It is checked all the same:
 * offsets, strings and arrays that are read here lie in the list's data, which only relocation changes. What a CALL does is
 * not checked: a system call with any arguments can do anything, to this memory as well.
 * Nothing is allocated, no environment is read, no library is used. tests/fuzz/init tries hostile lists.
 *
 * A step that fails sends a "failure" to the report descriptor (first the channel to the parent, later the fifo
 * exec.result that `pyrunc start` reads; pyrunc.stages.conversation draws both) and ends the process. With nobody to
 * read it, it goes to standard error.
 */
#include <linux/errno.h>
#include <stddef.h>
#include <stdint.h>

typedef unsigned long word;

enum kind { CALL, FIND, CHECK_CWD, HOOK, REPORT_TO, EXEC, SPLIT, WRITE, END_BY, LISTEN };
enum flag { EXPECT = 1, RETRY_EINTR = 2, REMEMBER = 4, IF_REMEMBERED = 8 };

struct step {
    word kind, flags, number;
    word arg[6];
    word tolerated[3]; /* errnos that are no failure */
    word expected;     /* with EXPECT: the only good result */
    word label;        /* what the step is, for standard error */
};

struct header {
    word magic, size, steps, relocations; /* in bytes, steps, words */
};

#define MAGIC 0x70797275u
#define MAX_SIZE (64ul << 20)
#define MOST_STEPS 4096

#if defined(BARE) && defined(__x86_64__)
static long call6(long n, long a, long b, long c, long d, long e, long f) {
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return r;
}
__asm__(".global _start\n_start: mov %rsp, %rdi\nand $-16, %rsp\ncall entry\n");
#elif defined(BARE) && defined(__aarch64__)
static long call6(long n, long a, long b, long c, long d, long e, long f) {
    register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}
__asm__(".global _start\n_start: mov x0, sp\nbl entry\n");
#elif defined(BARE) && defined(__riscv) && __riscv_xlen == 64
static long call6(long n, long a, long b, long c, long d, long e, long f) {
    register long a7 __asm__("a7") = n, a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c;
    register long a3 __asm__("a3") = d, a4 __asm__("a4") = e, a5 __asm__("a5") = f;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5) : "memory");
    return a0;
}
__asm__(".global _start\n_start: mv a0, sp\ncall entry\n");
#elif defined(BARE)
#error "no system call convention for this architecture: built with libc instead"
#elif !defined(FUZZ) /* the fuzzer brings its own call6 and step_call */
#include <errno.h>
#include <unistd.h>
static long call6(long n, long a, long b, long c, long d, long e, long f) {
    long r = syscall(n, a, b, c, d, e, f);
    return r < 0 ? -errno : r;
}
#endif

#ifndef FUZZ
#define step_call call6
#endif

#ifdef BARE
#include <asm/signal.h>
#else
#include <signal.h>
#endif
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <linux/time_types.h>

#define call(n, ...) call_(n, __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define call_(n, a, b, c, d, e, f, ...) call6(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#define MOST_INTERRUPTIONS 1000 /* a seccomp profile can answer EINTR for ever; the kernel has no handler to call */

static struct {
    word base, size, steps, data; /* address; then in bytes, steps, and the offset at which the data begins */
} list;
static int report = -1;
static const char *chosen; /* the program that FIND found */
static char said[8192];    /* the last words of a hook */
static size_t said_size;

static const struct step *step_at(word i) {
    return (const struct step *)(list.base + sizeof(struct header)) + i;
}

static size_t length(const char *s) {
    size_t n = 0;
    while (s[n]) n++;
    return n;
}

static void say(const char *s) { call(__NR_write, 2, s, length(s)); }

/* A seccomp profile may deny one way to end, or all that are system calls. The signal for an instruction that does not
   exist cannot be blocked or ignored, not even by the first process of a pid namespace (force_sig() in the kernel). */
static _Noreturn void leave(int status) {
    call(__NR_exit_group, status);
    call(__NR_exit, status);
    __builtin_trap();
}

/* A message is a word and what it says. This one: what went wrong in which step, its label, a NUL and what a hook
   printed. */
struct failure {
    char word[8];
    int32_t step, kind, error, detail;
    char text[1000];
};

static _Noreturn void fail(word index, const struct step *s, long error, long detail) {
    static struct failure r;
    const char *label = s ? (const char *)s->label : "read the list of last steps";
    size_t n = length(label) < 400 ? length(label) : 400;
    for (size_t i = 0; i < sizeof r.word; i++) r.word[i] = "failure "[i];
    r.step = (int32_t)index, r.kind = s ? (int)s->kind : -1;
    r.error = (int32_t)error, r.detail = (int32_t)detail;
    for (size_t i = 0; i < n; i++) r.text[i] = label[i];
    size_t size = offsetof(struct failure, text) + n + 1;
    if (s && s->kind == HOOK) {
        size_t room = sizeof r.text - n - 1, more = said_size < room ? said_size : room;
        for (size_t i = 0; i < more; i++) r.text[n + 1 + i] = said[said_size - more + i];
        size += more;
    }
    if (report < 0 || (call(__NR_write, report, &r, size) != (long)size && error != EPIPE)) { /* its end is no news */
        char digits[8], *d = digits + sizeof digits;
        *--d = 0;
        for (long e = error < 0 ? 0 : error % 10000; d == digits + 7 || e; e /= 10) *--d = (char)('0' + e % 10);
        say("pyrunc: "), say(label), say(": errno "), say(d), say("\n");
    }
    leave(error == ENOENT || error == ENOTDIR ? 127 : 126);
}

/* Whether an address lies in the data: also the end of the string there does, because the data's last word is 0. */
static int in_data(word address) { return address - list.base - list.data < list.size - list.data; }

/* Whether it is an array of such addresses that ends in a 0. Asked when a step uses it: a CALL before it could have
   changed it. */
static int are_strings(word array) {
    if (array % sizeof(word) || !in_data(array)) return 0;
    for (const word *p = (const word *)array; *p; p++)
        if (!in_data(*p)) return 0;
    return 1;
}

/* The first candidate that is a regular file which this user may execute. */
static long find(const char **candidates) {
    long worst = -ENOENT;
    for (; *candidates; candidates++) {
        struct statx facts;
        long r = call(__NR_statx, AT_FDCWD, *candidates, 0, STATX_TYPE, &facts);
        if (!r && (facts.stx_mode & 0170000) != 0100000) r = -EISDIR;
        if (!r) r = call(__NR_faccessat2, AT_FDCWD, *candidates, 1 /* X_OK */, AT_EACCESS);
        if (r == -ENOSYS) r = call(__NR_faccessat, AT_FDCWD, *candidates, 1);
        if (!r) {
            chosen = *candidates;
            return 0;
        }
        if (r != -ENOENT && r != -ENOTDIR && worst == -ENOENT) worst = r;
    }
    return worst;
}

/* CVE-2024-21626: a working directory outside the root shows as "(unreachable)/...". */
static long check_cwd(void) {
    static char path[4096 + 16];
    long r = call(__NR_getcwd, path, sizeof path);
    if (r < 0) return r;
    return path[0] == '/' ? 0 : -EXDEV;
}

/* What the hook says, of which the last is kept; 0 when nobody can say more. */
static long listen(int pipe) {
    if (said_size > sizeof said / 2) {
        for (size_t i = 0; i < sizeof said / 2; i++) said[i] = said[said_size - sizeof said / 2 + i];
        said_size = sizeof said / 2;
    }
    long r = call(__NR_read, pipe, said + said_size, sizeof said - said_size);
    if (r > 0) said_size += (size_t)r;
    return r;
}

static _Noreturn void become_hook(const struct step *s, int output) {
    long r = call(__NR_setsid, 0);
    call(__NR_lseek, s->arg[3], 0, 0);
    if (r >= 0) r = call(__NR_dup3, s->arg[3], 0, 0);
    if (r >= 0) r = call(__NR_dup3, (int)s->arg[4] < 0 ? output : (int)s->arg[4], 1, 0);
    if (r >= 0) r = call(__NR_dup3, (int)s->number < 0 ? output : (int)s->number, 2, 0);
    call(__NR_close_range, 3, ~0u, 0); /* without it, what is not close-on-exec stays: what the program gets, too */
    if (r >= 0) r = call(__NR_execve, s->arg[0], s->arg[1], s->arg[2]);
    leave(r == -ENOENT ? 127 : 126);
}

/* Wait for the end of a hook, milliseconds (0: without limit), and read what it says: the pipe bounds how much memory
   that takes, in which a file would not. The error if there is no end to wait for. */
static long attend(int watch, int pipe, word milliseconds) {
    struct pollfd wanted[] = { { watch, POLLIN, 0 }, { pipe, POLLIN, 0 } };
    struct __kernel_timespec limit = { (long)(milliseconds / 1000), (long)(milliseconds % 1000 * 1000000) };
    struct __kernel_timespec none = { 0, 0 };
    for (int tries = 0; !wanted[0].revents;) {
        long r = call(__NR_ppoll, wanted, 2, milliseconds ? &limit : 0, 0, 0); /* leaves the time left in limit */
        if (r == -EINTR && ++tries < MOST_INTERRUPTIONS) continue;
        if (r <= 0) return r ? r : -ETIMEDOUT;
        if (wanted[1].revents && listen(pipe) <= 0) wanted[1].fd = -1;
    }
    /* What it said last; not for ever, if it has left somebody behind who goes on. */
    for (int i = 0; i < 64 && call(__NR_ppoll, wanted + 1, 1, &none, 0, 0) > 0 && listen(pipe) > 0;) i++;
    return 0;
}

/* Run a hook: arg 0 path, 1 argv, 2 envp, 3 its standard input, 4 its output, 5 milliseconds (0: no limit); `number` is
   its standard error. -1 for the output or the error: a pipe to us. */
static long hook(const struct step *s, long *detail) {
    int pipe[2], watch = -1, status = 0;
    long r = call(__NR_pipe2, pipe, O_CLOEXEC);
    if (r < 0) return r;
    said_size = 0;
    long pid = call(__NR_clone, CLONE_PIDFD | SIGCHLD, 0, &watch, 0, 0);
    if (!pid) become_hook(s, pipe[1]);
    call(__NR_close, pipe[1]);
    long end = pid < 0 ? pid : attend(watch, pipe[0], s->arg[5]);
    if (pid > 0) {
        if (end < 0) call(__NR_kill, -pid, SIGKILL), call(__NR_kill, pid, SIGKILL);
        for (int i = 0; i < MOST_INTERRUPTIONS && (r = call(__NR_wait4, pid, &status, 0, 0)) == -EINTR;) i++;
        call(__NR_close, watch);
    }
    call(__NR_close, pipe[0]);
    *detail = status;
    return end < 0 ? end : r < 0 ? r : status ? -ECANCELED : 0;
}

/* Go on as a child, made with the clone flags in arg 0; the parent is done. */
static long split(const struct step *s) {
    if (s->arg[0] & (CLONE_VM | CLONE_SETTLS)) return -EINVAL; /* both would go on on one stack */
    long pid = call(__NR_clone, s->arg[0], 0, 0, 0, 0);
    if (pid <= 0) return pid;
    leave(0);
}

static void end_now(int number) { leave(128 + number); }
#if defined(BARE) && defined(__x86_64__)
static void no_way_back(void) { __builtin_trap(); }
#endif

/* Let a signal end us that has no default action for the first process of a pid namespace. The handler does not return,
   and execve takes it away. */
static long end_by(int number) {
    struct sigaction action = { .sa_handler = end_now };
#if defined(BARE) && defined(__x86_64__) /* where the kernel takes no handler without one */
    action.sa_flags = SA_RESTORER, action.sa_restorer = no_way_back;
#endif
#if defined(BARE) || defined(FUZZ)
    return call(__NR_rt_sigaction, number, &action, 0, sizeof(uint64_t));
#else
    return sigaction(number, &action, 0) ? -errno : 0;
#endif
}

/* Load a seccomp filter (as CALL), and tell the number of its listener: who reads the report fetches it. */
static long load_and_tell(const struct step *s) {
    struct {
        char word[8];
        word number;
    } told;
    long r = step_call(s->number, s->arg[0], s->arg[1], s->arg[2], 0, 0, 0);
    if (r < 0) return r;
    for (size_t i = 0; i < sizeof told.word; i++) told.word[i] = "listens "[i];
    told.number = (word)r;
    r = call(__NR_write, report, &told, sizeof told);
    return r < 0 ? r : r == (long)sizeof told ? 0 : -EPIPE;
}

#define sizeof_how 24 /* struct open_how */

/* Write a file: arg 0 a directory, 1 a path in it, 2 struct open_how, 3 the content, 4 its size. */
static long write_file(const struct step *s) {
    long fd = call(__NR_openat2, s->arg[0], s->arg[1], s->arg[2], sizeof_how);
    if (fd < 0) return fd;
    long r = call(__NR_write, fd, s->arg[3], s->arg[4]);
    call(__NR_close, fd);
    return r < 0 ? r : r == (long)s->arg[4] ? 0 : -EIO;
}

static void run(void) {
    int remembered = 0; /* whether a step with REMEMBER met an error that it tolerates */
    for (word i = 0; i < list.steps; i++) {
        const struct step *s = step_at(i);
        const word *a = s->arg;
        long r = 0, detail = 0;
        int tolerated = 0, tries = 0;
        if ((s->flags & IF_REMEMBERED) && !remembered) continue;
        switch (s->kind) {
        case CALL:
            do r = step_call(s->number, a[0], a[1], a[2], a[3], a[4], a[5]);
            while (r == -EINTR && (s->flags & RETRY_EINTR) && ++tries < MOST_INTERRUPTIONS);
            break;
        case FIND: r = are_strings(a[0]) ? find((const char **)a[0]) : -EBADMSG; break;
        case CHECK_CWD: r = check_cwd(); break;
        case HOOK:
            r = in_data(a[0]) && are_strings(a[1]) && are_strings(a[2]) ? hook(s, &detail) : -EBADMSG;
            break;
        case REPORT_TO: report = (int)a[0]; break;
        case EXEC:
            r = chosen && are_strings(a[0]) && are_strings(a[1]) ? call(__NR_execve, chosen, a[0], a[1]) : -EBADMSG;
            break;
        case SPLIT: r = split(s); break;
        case WRITE:
            r = in_data(a[1]) && in_data(a[2] + sizeof_how - 1) && in_data(a[3]) && a[4] <= list.base + list.size - a[3]
                    ? write_file(s) : -EBADMSG;
            break;
        case END_BY: r = end_by((int)a[0]); break;
        case LISTEN: r = load_and_tell(s); break;
        }
        for (int t = 0; t < 3; t++)
            if (s->tolerated[t] && (word)r == -s->tolerated[t]) tolerated = 1;
        if (s->flags & REMEMBER) remembered = tolerated;
        if (r < 0 && r >= -4095 && !tolerated) fail(i, s, -r, detail);
        if ((s->flags & EXPECT) && r != (long)s->expected) fail(i, s, EPIPE, r);
    }
}

/* Whether a word at this offset may be an address: one of the data but the last, which ends all strings, or an argument
   or the label of a step. */
static int may_be_address(word where) {
    word steps = sizeof(struct header), in_step = (where - steps) % sizeof(struct step);
    if (where % sizeof(word)) return 0;
    if (where < steps || where >= steps + list.steps * sizeof(struct step))
        return where >= list.data && where < list.size - sizeof(word);
    return (in_step >= offsetof(struct step, arg) && in_step < offsetof(struct step, tolerated)) ||
           in_step == offsetof(struct step, label);
}

/* Turn offsets into addresses, and look at all that `run` will not look at again. */
static int prepare(const struct header *head) {
    word steps_end = sizeof *head + head->steps * sizeof(struct step);
    if (head->magic != MAGIC || head->size != list.size || list.size % sizeof(word) || head->steps > MOST_STEPS ||
        steps_end >= list.size || head->relocations >= (list.size - steps_end) / sizeof(word))
        return 0;
    list.steps = head->steps, list.data = steps_end + head->relocations * sizeof(word);
    if (*(const word *)(list.base + list.size - sizeof(word))) return 0;
    const word *relocation = (const word *)(list.base + steps_end);
    for (word i = 0; i < head->relocations; i++) {
        word where = relocation[i], *what = (word *)(list.base + where);
        if (!may_be_address(where)) return 0;
        if (*what < list.data || *what >= list.size) return 0; /* also one that was relocated before */
        *what += list.base;
    }
    for (word i = 0; i < list.steps; i++) {
        const struct step *s = step_at(i);
        if (s->kind > LISTEN || !in_data(s->label)) return 0;
    }
    return 1;
}

static _Noreturn void begin(int fd) {
    struct statx facts;
    long r = call(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_SIZE, &facts);
    if (r < 0) fail(0, 0, -r, 0);
    if (facts.stx_size <= sizeof(struct header) || facts.stx_size > MAX_SIZE) fail(0, 0, EINVAL, 0);
#ifdef __NR_mmap
    r = call(__NR_mmap, 0, facts.stx_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
#else
    r = call(__NR_mmap2, 0, facts.stx_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
#endif
    if ((word)r >= (word)-4095) fail(0, 0, -r, 0);
    call(__NR_close, fd);
    list.base = (word)r, list.size = facts.stx_size;
    if (!prepare((const struct header *)list.base)) fail(0, 0, EBADMSG, 0);
    run();
    leave(126); /* a list without EXEC at its end */
}

#ifndef FUZZ
static int number(const char *s) {
    int n = 0;
    if (!s || !*s) return -1;
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || n > 1000000) return -1;
        n = n * 10 + *s - '0';
    }
    return n;
}

#ifdef BARE
__attribute__((used)) _Noreturn void entry(const word *stack) {
    if (stack[0] == 3) report = number((const char *)stack[3]);
    begin(stack[0] == 2 || stack[0] == 3 ? number((const char *)stack[2]) : -1);
}
/* gcc may call it for clearing a struct. */
void *memset(void *to, int value, size_t n) {
    for (volatile char *p = to; n; n--) *p++ = (char)value;
    return to;
}
#else
int main(int argc, char **argv) {
    if (argc == 3) report = number(argv[2]);
    begin(argc == 2 || argc == 3 ? number(argv[1]) : -1);
}
#endif
#endif
