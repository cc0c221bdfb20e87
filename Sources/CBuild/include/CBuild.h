// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.

#ifndef GASCLAWD_CBUILD_H
#define GASCLAWD_CBUILD_H

/// The commit that this was built from, as Package.swift gives it; "" where it is not known.
const char *gasclawd_build_commit(void);

#endif
