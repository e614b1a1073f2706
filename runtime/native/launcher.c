/* The `pyrunc` program of an installation: it starts the interpreter that it is linked to as `python3 -IS` would, without
 * what pyrunc has no use for, and has that execute a few lines of Python. No step of a command is here (docs/adr/0011).
 *
 * Built where the interpreter has a library to link to; elsewhere a script with the same lines is the program. Only CPython's
 * public calls are used. What lies in launcher.h is of the interpreter at hand (runtime/packaging/native_launcher.py):
 *
 *   PROGRAM       the lines of Python, compiled and marshalled
 *   FROZEN        modules that every start imports, without what it does not use of them (thin_*.py)
 *   EXECUTABLE    where that interpreter lies
 *   HOME          the prefixes that it was built for: its standard library is there, and is not searched for */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <marshal.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include "launcher.h"

/* Which function of CPython's it was means nothing to a user; what there can be is a want of memory. */
static void check(PyStatus status) {
    if (!PyStatus_Exception(status))
        return;
    dprintf(STDERR_FILENO, "pyrunc: start the interpreter: %s\n", status.err_msg ? status.err_msg : "no reason is given");
    _exit(1);
}

static void preinitialize(void) {
    PyPreConfig config;
    PyPreConfig_InitIsolatedConfig(&config);
    /* Arguments, paths and JSON are UTF-8 whatever the locale says; other bytes come and go as surrogates. */
    config.utf8_mode = 1;
    check(Py_PreInitialize(&config));
}

static void initialize(int argc, char **argv) {
    PyConfig config;
    /* Isolated: no PYTHON* variable, no directory of the caller's or the user's has a say. */
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    config.parse_argv = 0; /* they are pyrunc's, -c and -m too */
    /* Until pyrunc has a handler of its own Ctrl-C ends us without a word. */
    config.install_signal_handlers = 0;
    check(PyConfig_SetBytesArgv(&config, argc, argv));
    check(PyConfig_SetBytesString(&config, &config.program_name, EXECUTABLE));
    check(PyConfig_SetBytesString(&config, &config.executable, EXECUTABLE));
    check(PyConfig_SetBytesString(&config, &config.home, HOME));
    PyImport_FrozenModules = FROZEN;
    check(Py_InitializeFromConfig(&config));
}

static int execute(void) {
    PyObject *module = PyImport_AddModule("__main__");
    PyObject *code = module ? PyMarshal_ReadObjectFromString((const char *)PROGRAM, sizeof PROGRAM) : NULL;
    PyObject *names = code ? PyModule_GetDict(module) : NULL;
    if (names && PyEval_EvalCode(code, names, names))
        return 0;
    PyErr_Print(); /* SystemExit ends the process here, and says its text */
    return 1;
}

int main(int argc, char **argv) {
    /* As CPython does when it installs handlers: a reader that goes away, or a limit, is an error and no end. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    preinitialize();
    initialize(argc, argv);
    int status = execute(); /* does not return from a command: that ends the process */
    return Py_FinalizeEx() < 0 ? 1 : status;
}
