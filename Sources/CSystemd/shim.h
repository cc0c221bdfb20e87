// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
//
// The same feature macros as in CLinuxSys: structures must look the same in both modules.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <systemd/sd-daemon.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>
