// Copyright 2026 the gasclawd authors. Licensed under the Apache License, Version 2.0.
#include "CToml.h"

#include <toml++/toml.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

struct Walker {
    void *context;
    void (*item)(void *, const ctoml_item *);

    void tell(ctoml_item &out, const toml::node &node, const toml::key *name) const {
        if (name) {
            out.name = name->str().data();
            out.name_length = name->str().size();
            out.name_line = name->source().begin.line;
            out.name_column = name->source().begin.column;
            if (!out.name) out.name = "";
        }
        out.line = node.source().begin.line;
        out.column = node.source().begin.column;
        item(context, &out);
    }

    void end() const {
        ctoml_item out{};
        out.kind = CTOML_END;
        item(context, &out);
    }

    template <typename Time> void time(ctoml_item &out, const Time &value, const toml::node &node, const toml::key *name) const {
        std::ostringstream stream;
        stream << value;
        const std::string text = stream.str();
        out.kind = CTOML_TIME;
        out.text = text.data();
        out.text_length = text.size();
        tell(out, node, name);
    }

    void walk(const toml::node &node, const toml::key *name) const {
        ctoml_item out{};
        switch (node.type()) {
        case toml::node_type::table: {
            out.kind = CTOML_TABLE;
            tell(out, node, name);
            // toml++ sorts its tables; the file's order is that of the keys' places.
            std::vector<std::pair<const toml::key *, const toml::node *>> members;
            for (const auto &[key, value] : *node.as_table()) members.emplace_back(&key, &value);
            std::stable_sort(members.begin(), members.end(), [](const auto &a, const auto &b) {
                const auto &x = a.first->source().begin, &y = b.first->source().begin;
                return x.line != y.line ? x.line < y.line : x.column < y.column;
            });
            for (const auto &[key, value] : members) walk(*value, key);
            end();
            return;
        }
        case toml::node_type::array:
            out.kind = CTOML_ARRAY;
            tell(out, node, name);
            for (const auto &element : *node.as_array()) walk(element, nullptr);
            end();
            return;
        case toml::node_type::string: {
            const std::string &text = node.as_string()->get();
            out.kind = CTOML_STRING;
            out.text = text.data();
            out.text_length = text.size();
            break;
        }
        case toml::node_type::integer:
            out.kind = CTOML_INTEGER;
            out.integer = node.as_integer()->get();
            break;
        case toml::node_type::floating_point:
            out.kind = CTOML_FLOAT;
            out.real = node.as_floating_point()->get();
            break;
        case toml::node_type::boolean:
            out.kind = CTOML_BOOLEAN;
            out.integer = node.as_boolean()->get();
            break;
        case toml::node_type::date: return time(out, node.as_date()->get(), node, name);
        case toml::node_type::time: return time(out, node.as_time()->get(), node, name);
        case toml::node_type::date_time: return time(out, node.as_date_time()->get(), node, name);
        default: return;
        }
        tell(out, node, name);
    }
};

} // namespace

int ctoml_parse(const char *bytes, size_t length, void *context, void (*item)(void *, const ctoml_item *),
                uint32_t *error_line, uint32_t *error_column) {
    toml::parse_result result = toml::parse(std::string_view(bytes, length));
    if (!result) {
        *error_line = result.error().source().begin.line;
        *error_column = result.error().source().begin.column;
        return -1;
    }
    Walker{context, item}.walk(result.table(), nullptr);
    return 0;
}
