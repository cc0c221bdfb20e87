// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
//
// No feature macros: structures of the C library must look as in Swift's own module of it.
#include <systemd/sd-daemon.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>
