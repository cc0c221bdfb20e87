// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
//
// What Swift cannot import from the C library: variadic functions, function-like macros, calls that glibc 2.36 has
// no wrapper for, and structures that end in a flexible array. Nothing here decides anything.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

int gcl_openat(int directory, const char *path, int flags, unsigned mode);
/// getdents64(2): as many entries as fit; 0 at the end.
long gcl_getdents64(int directory, void *space, unsigned long length);
int gcl_pidfd_open(int pid);
int gcl_pidfd_send_signal(int pidfd, int signal);
int gcl_set_dumpable(int dumpable);
int gcl_set_child_subreaper(int on);
int gcl_rename_exchange(const char *a, const char *b);
int gcl_rename_noreplace(const char *from, const char *to);
/// pipe2(2), which needs _GNU_SOURCE.
int gcl_pipe2(int ends[2], int flags);
/// waitid(P_PIDFD, …, WEXITED | WNOHANG); returns 1 if it was reaped, 0 if it still runs, -1 on error.
int gcl_reap(int pidfd, int *code, int *status);
/// The same without taking the status (WNOWAIT); -1 also where it is no child of ours.
int gcl_peek(int pidfd, int *code, int *status);
/// A child that has ended and whose status nobody has taken yet: waitid(P_ALL, …, WNOWAIT); it is not taken.
int gcl_ended_child(void);
/// Spawns in a session of its own, with default signal dispositions, an empty signal mask and no descriptors but 0–2.
int gcl_spawn(int *pid, const char *path, char *const argv[], char *const envp[], const char *cwd, int in, int out,
              int err);
/// O_PATH, which glibc defines in a way that Swift does not import.
extern const int gcl_o_path;
char **gcl_environ(void);
