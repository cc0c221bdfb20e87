// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
// Here and not in the header: there it would give the C library's types another shape than Swift's Glibc module has.
#define _GNU_SOURCE
#include "CLinuxSys.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

int gcl_openat(int directory, const char *path, int flags, unsigned mode) {
    return openat(directory, path, flags, mode);
}

int gcl_pidfd_open(int pid) { return (int)syscall(SYS_pidfd_open, pid, 0); }

int gcl_pidfd_send_signal(int pidfd, int signal) {
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

int gcl_set_dumpable(int dumpable) { return prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0); }

int gcl_set_child_subreaper(int on) { return prctl(PR_SET_CHILD_SUBREAPER, on, 0, 0, 0); }

int gcl_rename_exchange(const char *a, const char *b) {
    return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
}

int gcl_rename_noreplace(const char *from, const char *to) {
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
}

int gcl_reap(int pidfd, int *code, int *status) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    if (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) != 0) return -1;
    if (info.si_pid == 0) return 0;
    *code = info.si_code;
    *status = info.si_status;
    return 1;
}

int gcl_peek(int pidfd, int *code, int *status) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    if (waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT) != 0) return -1;
    if (info.si_pid == 0) return 0;
    *code = info.si_code;
    *status = info.si_status;
    return 1;
}

int gcl_ended_child(void) {
    siginfo_t info;
    memset(&info, 0, sizeof info);
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0) return -1;
    return info.si_pid;
}

int gcl_spawn(int *pid, const char *path, char *const argv[], char *const envp[], const char *cwd, int in, int out,
              int err) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int result = posix_spawn_file_actions_init(&actions);
    if (result != 0) return result;
    result = posix_spawnattr_init(&attributes);
    if (result != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return result;
    }
    sigemptyset(&none);
    sigfillset(&all);
    if (!(result = posix_spawnattr_setflags(&attributes,
                                            POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)) &&
        !(result = posix_spawnattr_setsigmask(&attributes, &none)) &&
        !(result = posix_spawnattr_setsigdefault(&attributes, &all)) &&
        !(result = posix_spawn_file_actions_adddup2(&actions, in, 0)) &&
        !(result = posix_spawn_file_actions_adddup2(&actions, out, 1)) &&
        !(result = posix_spawn_file_actions_adddup2(&actions, err, 2)) &&
        !(result = posix_spawn_file_actions_addclosefrom_np(&actions, 3)) &&
        !(cwd && (result = posix_spawn_file_actions_addchdir_np(&actions, cwd))))
        result = posix_spawn(pid, path, &actions, &attributes, argv, envp);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return result;
}

const int gcl_o_path = O_PATH;

char **gcl_environ(void) { return environ; }

int gcl_pipe2(int ends[2], int flags) { return pipe2(ends, flags); }

long gcl_getdents64(int directory, void *space, unsigned long length) {
    return syscall(SYS_getdents64, directory, space, length);
}
