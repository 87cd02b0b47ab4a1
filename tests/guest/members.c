// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Structs of all shapes, with values in them, as GCC lays them out: a program that prints for each
 * its name, its bytes, and the members with their values. The tests build a layout table of the
 * same file for the module.
 */
#include <stdio.h>
#include <string.h>

enum plain { PLAIN_A, PLAIN_B = 5 };
enum negative { NEGATIVE_A = -1, NEGATIVE_B = 0x7fffffff };
enum tiny { TINY_A, TINY_B = 200 } __attribute__((packed));
typedef unsigned int u32;
typedef unsigned long long u64;

struct kpy_scalars {
	signed char sc;
	unsigned char uc;
	short ss;
	unsigned short us;
	int si;
	u32 ui;
	long long sl;
	u64 ul;
	_Bool yes, no;
	enum plain plain;
	enum negative negative;
	enum tiny tiny;
};
struct kpy_bits {
	u32 a : 3, b : 5;
	int whole : 32;
	_Bool flag : 1;
	enum plain kind : 4;
	enum negative sign : 3;
	u64 quad : 64;
	int : 7;
	int : 0;
	unsigned char byte : 8;
	signed char tail : 2;
	u64 wide : 40, wider : 50;
	const u32 fixed : 6;
	volatile int moving : 9;
};
struct kpy_packed {
	char c;
	u32 a : 7, b : 17, straddles : 30;
	long long c64 : 61;
	unsigned short s : 9;
	int : 3;
	unsigned char last;
} __attribute__((packed));
struct kpy_loose {
	char c;
	u32 loose __attribute__((packed));
	u64 bits : 33 __attribute__((packed));
	int after;
};
struct kpy_deep {
	int first;
	union {
		struct {
			short low, high;
		};
		u32 both;
	};
	struct {
		struct {
			int leaf : 20;
		} inner[2];
	} named;
};
struct kpy_wide {
	__int128 big;
	unsigned __int128 ubig;
	int after;
};
struct kpy_const {
	const int fixed;
	int free;
	int *const pointer;
};
struct kpy_flexible {
	int n;
	unsigned short list[];
};
struct kpy_arrays {
	short grid[2][3];
	char text[8];
	struct kpy_wide *wide[2];
	int (*to_row)[4];
	struct kpy_loose loose[2];
	char none[0];
};

/* "name bytes" and, for each member, "path value" */
#define BEGIN(type, fill)                    \
	{                                    \
		struct type s;               \
		const char *what = #type;    \
		memset(&s, fill, sizeof(s));
#define SHOW(path) printf("%s %s %llu %d\n", what, #path, (u64)s.path, s.path < 0);
#define END                                                            \
	printf("%s = ", what);                                         \
	for (size_t i = 0; i < sizeof(s); i++)                         \
		printf("%02x", ((unsigned char *)&s)[i]);              \
	printf("\n");                                                  \
	}

#define SET(path, value) \
	s.path = value;  \
	SHOW(path)

static void with(int fill)
{
	BEGIN(kpy_scalars, fill)
	SET(sc, -100) SET(uc, 200) SET(ss, -30000) SET(us, 60000) SET(si, -2000000000)
	SET(ui, 4000000000u) SET(sl, -9000000000000000000ll) SET(ul, 18000000000000000000ull)
	SET(yes, 1) SET(no, 0) SET(plain, PLAIN_B) SET(negative, NEGATIVE_A) SET(tiny, TINY_B)
	END
	BEGIN(kpy_bits, fill)
	SET(a, 5) SET(b, 17) SET(whole, -123456789) SET(flag, 1) SET(kind, 9) SET(sign, -1)
	SET(quad, 0xfedcba9876543210ull) SET(byte, 0xa5) SET(tail, -2) SET(wide, 0xabcdef0123ull)
	SET(wider, 0x2fedcba987654ull) SET(moving, -200)
	END
	BEGIN(kpy_packed, fill)
	SET(c, 'x') SET(a, 0x55) SET(b, 0x1beef) SET(straddles, 0x2badcafe)
	SET(c64, -1152921504606846976ll + 12345) SET(s, 0x155) SET(last, 0x77)
	END
	BEGIN(kpy_loose, fill)
	SET(c, 1) SET(loose, 0xdeadbeef) SET(bits, 0x1cafebabeull) SET(after, -7)
	END
	BEGIN(kpy_deep, fill)
	SET(first, 11) SET(low, -2) SET(high, 3) SET(named.inner[0].leaf, -5)
	SET(named.inner[1].leaf, 0x7ffff)
	END
}

int main(void)
{
	with(0);
	with(0xff);
	with(0x5a);
	return 0;
}
