// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The ints of words that are no small ints: mostly addresses of the kernel, and in one place
 * mostly the same few. So those made lately are remembered and given out again, which only `is`
 * can tell, and the digits are in the object itself, not in one of their own.
 */
#include <linux/hash.h>
#include <linux/string.h>
#include "py/objint.h"
#include "py/runtime.h"
#include "ffi/ffi.h"

#define SET_BITS 10

struct large_int {
	mp_obj_int_t o;
	mpz_dig_t digits[MPZ_NUM_DIG_FOR_INT];
};

/*
 * Sets of two, the later made first; 0, which is a small int, where there is none. No roots: they
 * are forgotten before anything is freed.
 */
static struct set {
	unsigned long words[2];
	struct large_int *ints[2];
} sets[1 << SET_BITS];
static bool any;

static noinline mp_obj_t make(unsigned long word, struct set *set)
{
	struct large_int *i = mp_obj_malloc(struct large_int, &mp_type_int);
	mpz_t *z = &i->o.mpz;

	z->neg = 0;
	z->fixed_dig = 1;
	z->alloc = z->len = ARRAY_SIZE(i->digits); /* the highest is not 0 */
	z->dig = i->digits;
	for (size_t n = 0; n < ARRAY_SIZE(i->digits); n++)
		i->digits[n] = word >> n * MPZ_DIG_SIZE;
	set->words[1] = set->words[0];
	set->ints[1] = set->ints[0];
	set->words[0] = word;
	set->ints[0] = i;
	any = true;
	return MP_OBJ_FROM_PTR(i);
}

mp_obj_t kpy_large_int(unsigned long word)
{
	struct set *set = &sets[hash_long(word, SET_BITS)];

	if (set->words[0] == word)
		return MP_OBJ_FROM_PTR(set->ints[0]);
	if (set->words[1] == word)
		return MP_OBJ_FROM_PTR(set->ints[1]);
	return make(word, set);
}

void kpy_large_ints_forget(void)
{
	if (any)
		memset(sets, 0, sizeof(sets));
	any = false;
}
