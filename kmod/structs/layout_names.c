// SPDX-License-Identifier: GPL-2.0-or-later
/* The names of the layout table, which are compressed. */
#include <linux/compiler.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include "structs/layout_format.h"

/* Bytes that stand for themselves. */
static const bool is_plain[256] = {
	['0' ... '9'] = true, ['A' ... 'Z'] = true, ['_'] = true, ['a' ... 'z'] = true
};

static void append(struct name *name, char c)
{
	if (likely(name->length < sizeof(name->text) - 1))
		name->text[name->length++] = c;
}

/* The number of the word that a byte stands for. */
static u32 word_of(u8 byte)
{
	if (byte < '0')
		return byte;
	if (byte < 'A')
		return byte - 10;
	if (byte < '_')
		return byte - 36;
	return byte < 'a' ? byte - 37 : byte - 63;
}

#define WORD_ESCAPE 0xff
#define WORD_DEPTH 16

/* `first` is the first pair of the dictionary, n how many it has. */
static void append_code(struct name *name, u8 byte, u32 first, u32 n)
{
	u8 waiting[WORD_DEPTH], depth = 0;
	const u8 *pairs = bytes(PAIRS) + first * 2;

	for (;;) {
		u32 number;

		if (is_plain[byte]) {
			append(name, byte);
			if (!depth)
				return;
			byte = waiting[--depth];
			continue;
		}
		number = word_of(byte);
		if (number >= n || depth == WORD_DEPTH)
			return;
		waiting[depth++] = pairs[number * 2 + 1];
		byte = pairs[number * 2];
	}
}

void kpy_name_read(struct name *name, struct reader *r, u32 length, bool constants)
{
	u32 pairs = table()->pairs, n = pairs & 0xff, first = 0;

	if (constants) {
		first = n;
		n = pairs >> 8;
	}
	while (length-- && r->at < r->end) {
		u8 byte = read_byte(r);

		if (is_plain[byte]) {
			append(name, byte);
		} else if (byte == WORD_ESCAPE && length) {
			length--;
			append(name, read_byte(r));
		} else {
			append_code(name, byte, first, n);
		}
	}
	name->text[name->length] = 0;
}

#define N_LONG 31

static void next_name(struct name *name, struct reader *r)
{
	u8 head = read_byte(r);
	u32 prefix = head & N_LONG, length = (head >> 5) + 1;

	if (prefix == N_LONG) {
		prefix = read_number(r);
		length = read_number(r);
	}
	name->length = min(name->length, prefix);
	kpy_name_read(name, r, length, false);
}

static u32 block_text(u32 block, struct reader *r)
{
	u32 at = ((const u32 *)bytes(TEXT_BLOCKS))[block];

	at = min(at, count(TEXT));
	*r = (struct reader){ bytes(TEXT) + at, bytes(TEXT) + count(TEXT) };
	return at;
}

static void read_name(struct name *name, u32 number)
{
	struct reader r;

	block_text(number / BLOCK, &r);
	name->length = 0;
	for (u32 i = 0; i <= number % BLOCK; i++)
		next_name(name, &r);
}

/*
 * Names that were read last, each at the slot of its turn. One that is asked for again is where it
 * was, as long as LASTING others can be asked for before its slot is used again.
 */
#define RECENT 128
#define LASTING 32

const char *kpy_layout_name(u32 number)
{
	static struct {
		u32 number, turn;
		struct name name;
	} recent[RECENT], *found;
	static u8 slots[256];
	static u32 turn;

	if (!number || (number - 1) / BLOCK >= count(TEXT_BLOCKS))
		return "";
	found = &recent[slots[number % ARRAY_SIZE(slots)]];
	if (found->number == number && turn - found->turn < RECENT - LASTING)
		return found->name.text;
	found = &recent[turn % RECENT];
	slots[number % ARRAY_SIZE(slots)] = turn % RECENT;
	found->number = number;
	found->turn = turn++;
	read_name(&found->name, number - 1);
	return found->name.text;
}

/* The number of a name within [low, high) of the blocks, 0: it is not there. */
static u32 find_in(const char *text, u32 low, u32 high)
{
	struct name name = {};
	struct reader r;

	while (low + 1 < high) {
		u32 middle = low + (high - low) / 2;

		block_text(middle, &r);
		name.length = 0;
		next_name(&name, &r);
		if (strcmp(name.text, text) <= 0)
			low = middle;
		else
			high = middle;
	}
	if (low >= high)
		return 0;
	block_text(low, &r);
	name.length = 0;
	for (u32 i = 0; i < BLOCK && r.at < r.end; i++) {
		int order;

		next_name(&name, &r);
		order = strcmp(name.text, text);
		if (order >= 0)
			return order ? 0 : low * BLOCK + i + 1;
	}
	return 0;
}

u32 kpy_name_number(const char *text)
{
	u32 end = count(TEXT_BLOCKS), shared = min(table()->shared / BLOCK, end);

	if (!*text)
		return 0;
	return find_in(text, 0, shared) ?: find_in(text, shared, end);
}
