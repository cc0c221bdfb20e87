// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
//
// Patterns and lines are bytes.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
