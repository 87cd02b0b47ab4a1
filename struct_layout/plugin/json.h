/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Little helpers that append JSON to a string. A member begins with its comma: every object
 * here opens with a member of its own.
 */
#ifndef KPY_JSON_H
#define KPY_JSON_H

#include "gcc_compat.h"

static inline void put_string(std::string &out, const char *text)
{
	out += '"';
	for (; *text; text++) {
		unsigned char c = *text;

		if (c == '"' || c == '\\') {
			out += '\\';
			out += c;
		} else if (c < 0x20) {
			char escape[8];

			snprintf(escape, sizeof(escape), "\\u%04x", c);
			out += escape;
		} else {
			out += c;
		}
	}
	out += '"';
}

static inline void put_number(std::string &out, long long value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", value);
	out += text;
}

static inline void put_unsigned(std::string &out, unsigned long long value)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu", value);
	out += text;
}

static inline void key(std::string &out, const char *name)
{
	out += ",\"";
	out += name;
	out += "\":";
}

static inline void flag(std::string &out, const char *name)
{
	key(out, name);
	out += '1';
}

#endif /* KPY_JSON_H */
