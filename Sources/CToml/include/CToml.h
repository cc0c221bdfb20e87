// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
//
// toml++ behind a C face: one pass over the parsed document, each value told with its place.
#pragma once
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ctoml_kind {
    CTOML_STRING,
    CTOML_INTEGER,
    CTOML_FLOAT,
    CTOML_BOOLEAN,
    CTOML_TIME,
    CTOML_ARRAY,
    CTOML_TABLE,
    /// The end of the array or table that was begun last.
    CTOML_END,
};

struct ctoml_item {
    enum ctoml_kind kind;
    /// The name in the table around it; length 0 with a NULL pointer in an array and for the document.
    const char *name;
    size_t name_length;
    const char *text; // strings and times
    size_t text_length;
    int64_t integer; // integers and booleans
    double real;
    /// Counted from 1; 0 where toml++ knows no place.
    uint32_t line, column, name_line, name_column;
};

/// Calls `item` for the document's table and all that is in it, in the order of the file.
/// Returns 0, or -1 with the place of the first error; the text of an error is never given: it quotes the input.
int ctoml_parse(const char *bytes, size_t length, void *context,
                void (*item)(void *context, const struct ctoml_item *item), uint32_t *error_line,
                uint32_t *error_column);

#ifdef __cplusplus
}
#endif
