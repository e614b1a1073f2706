/* libFuzzer's target for pyrunc-init: a list of steps made hostile, carried out without a kernel.
 *
 * An input is 64 bytes that decide what system calls return, and a list as pyrunc.stages.step_list lays it out. Calls
 * that pyrunc-init makes by itself read and write the memory that the kernel would, so that the sanitizer sees them;
 * what a CALL step does to memory is its composer's affair, and none of it happens.
 */
#define FUZZ
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static long call6(long n, long a, long b, long c, long d, long e, long f);
static long step_call(long n, long a, long b, long c, long d, long e, long f);
#include "pyrunc_init.c"

#define ANSWERS 64

static jmp_buf the_end;
static const uint8_t *answers, *content;
static size_t asked, content_size;
static void *copy;
volatile size_t sink; /* so that what is read is read */

static uint8_t answer(void) { return answers[asked++ % ANSWERS]; }

/* 0, or one of the errors that some code looks for. */
static long outcome(void) {
    static const long errors[] = { 0, 0, 0, -ENOENT, -EACCES, -EINTR, -ENOSYS, -EPERM };
    return errors[answer() % 8];
}

static void read_string(long address) {
    if (address) sink += strlen((const char *)address);
}

static void read_strings(long address) {
    for (const long *p = (const long *)address; p && *p; p++) read_string(*p);
}

static long fill(long to, long most) {
    long n = answer() % 4 ? (long)answer() * 8 : most;
    if (n > most) n = most;
    if (n > 0) memset((void *)to, answer(), (size_t)n);
    return n;
}

static long read_bytes(long from, long n) {
    for (long i = 0; i < n; i++) sink += ((const uint8_t *)from)[i];
    return answer() % 4 ? n : outcome();
}

static _Noreturn void end(void) { longjmp(the_end, 1); }

static long step_call(long n, long a, long b, long c, long d, long e, long f) {
    (void)n, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
    if (asked > 1 << 16) end(); /* who says EINTR for ever */
    uint8_t kind = answer();
    return kind % 4 == 3 ? (long)((uint64_t)answer() * 0x0101010101010101u) : kind % 4 == 2 ? answer() : outcome();
}

static long call6(long n, long a, long b, long c, long d, long e, long f) {
    (void)f;
    if (asked > 1 << 16) end();
    switch (n) {
    case __NR_exit_group: case __NR_exit: end();
    case __NR_execve:
        read_string(a), read_strings(b), read_strings(c);
        if (answer() % 2) end();
        return outcome();
    case __NR_statx:
        if (c == AT_EMPTY_PATH) { /* of the list itself */
            ((struct statx *)e)->stx_size = content_size;
            return 0;
        }
        read_string(b);
        ((struct statx *)e)->stx_mode = answer() % 2 ? 0100755 : 0040755;
        return outcome();
    case __NR_faccessat: case __NR_faccessat2: read_string(b); return outcome();
    case __NR_mmap:
        copy = malloc(content_size);
        memcpy(copy, content, content_size);
        return (long)copy;
    case __NR_openat2: read_string(b), read_bytes(c, d); return answer() % 4 ? answer() : outcome();
    case __NR_getcwd: return fill(a, b);
    case __NR_pread64: case __NR_read: return answer() % 4 ? fill(b, c) : outcome();
    case __NR_write: return read_bytes(b, c);
    case __NR_clone:
        if ((a & CLONE_PIDFD) && !c) return -EFAULT;
        if (a & CLONE_PIDFD) *(int *)c = answer();
        return answer() % 4 ? answer() : outcome();
    case __NR_ppoll:
        for (long i = 0; i < b; i++) ((struct pollfd *)a)[i].revents = answer() % 2 ? POLLIN : 0;
        return answer() % 4 ? answer() % (b + 1) : outcome();
    case __NR_pipe2: ((int *)a)[0] = answer(), ((int *)a)[1] = answer(); return outcome();
    case __NR_wait4: *(int *)b = answer() << 8 | (answer() & 0x7f); return answer() % 4 ? a : outcome();
    case __NR_lseek: return answer() % 4 ? (long)answer() * 64 : outcome();
    default: return outcome(); /* numbers alone: close, close_range, dup3, kill, setsid */
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < ANSWERS) return 0;
    answers = data, asked = 0, content = data + ANSWERS, content_size = size - ANSWERS;
    report = -1, chosen = 0;
    memset(&list, 0, sizeof list);
    if (!setjmp(the_end)) begin(3);
    free(copy);
    copy = 0;
    return 0;
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

/* A number that means something in a list of this size: a place, its end, one too many. */
static word offset(unsigned seed, size_t size) {
    const word end = size - ANSWERS, places[] = { end, end - 1, end - sizeof(word), end - 2 * sizeof(word) };
    return seed % 8 < 4 ? places[seed % 4] : seed / 8 % (end / sizeof(word)) * sizeof(word);
}

/* Most mutations change what system calls return, or one word to something that a word may be, and keep the size that
   the header says: else nearly all would be refused at the door. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
    if (seed % 4 == 0 || size < ANSWERS + 2 * sizeof(word)) {
        size = LLVMFuzzerMutate(data, size, most);
    } else if (seed % 4 == 1) {
        LLVMFuzzerMutate(data, ANSWERS, ANSWERS);
    } else {
        word value, seeds = seed / 4;
        uint8_t *where = data + ANSWERS + seeds % ((size - ANSWERS) / sizeof(word)) * sizeof(word);
        memcpy(&value, where, sizeof value);
        if (seed % 4 == 2)
            LLVMFuzzerMutate((uint8_t *)&value, sizeof value, sizeof value);
        else if (seeds / 4096 % 2)
            value = offset((unsigned)(seeds / 8192), size);
        else
            value += (seeds / 8192 % 8 - 4) * sizeof value;
        memcpy(where, &value, sizeof value);
    }
    if (size >= ANSWERS + 2 * sizeof(word) && seed / 4 % 8) {
        size -= (size - ANSWERS) % sizeof(word);
        word said = size - ANSWERS;
        memcpy(data + ANSWERS + sizeof(word), &said, sizeof said);
    }
    return size;
}
