/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Little helpers that append JSON to a string. */
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

static inline void put_unsigned(std::string &out, unsigned long long value)
{
	char text[24];
	char *at = text + sizeof(text);

	do {
		*--at = '0' + value % 10;
		value /= 10;
	} while (value);
	out.append(at, text + sizeof(text) - at);
}

static inline void put_number(std::string &out, long long value)
{
	if (value < 0)
		out += '-';
	put_unsigned(out, value < 0 ? -(unsigned long long)value : value);
}

#endif /* KPY_JSON_H */
