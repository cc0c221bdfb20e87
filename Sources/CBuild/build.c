// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

#include "CBuild.h"

// A define and no generated file: a build writes nothing into the sources.
#ifndef GASCLAWD_COMMIT
#define GASCLAWD_COMMIT ""
#endif

const char *gasclawd_build_commit(void) { return GASCLAWD_COMMIT; }
