// SPDX-License-Identifier: GPL-2.0-or-later
/* C that layout readers get wrong: compiled by the tests with the plugin and with -g. */

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef _Bool bool;

/* Mentioned nowhere else. */
typedef struct {
	int never_used;
} never_used_t;
union top_level {
	int a;
	char b[3];
};
struct empty {
};

/* Incomplete where first mentioned; only ever declared; recursion. */
struct early;
struct holder {
	struct early *first;
	struct nowhere *never_defined;
	union nowhere_either *also_never;
};
struct early {
	struct holder inside;
	struct early *next, *(*chain)(struct early *);
	int value;
};
struct left {
	struct right *other;
};
struct right {
	struct left here, *there;
};

/* Enums */
enum plain { PLAIN_A, PLAIN_B = 5, PLAIN_C };
enum negative { NEGATIVE_A = -1, NEGATIVE_B = 0x7fffffff };
enum large { LARGE_A = 1ULL << 40, LARGE_B };
enum large_negative { LARGE_NEGATIVE = -(1LL << 40) };
enum top_bit { TOP_BIT = 1ULL << 63, TOP_ALL = ~0ULL };
enum half_bit { HALF_BIT = 0x80000000 };
enum tiny { TINY_A, TINY_B = 200 } __attribute__((packed));
enum small { SMALL_A = -100 } __attribute__((packed));
enum { NAMELESS_A = 42 };
typedef enum { ALIAS_A = 7 } alias_enum;

/* Bitfields of every shape */
struct bits {
	u32 a : 3, b : 5;
	int whole : 32;
	bool flag : 1;
	enum plain kind : 4;
	enum negative signed_kind : 3;
	u64 quad : 64;
	int : 7;
	int : 0;
	u8 byte : 8;
	signed char tail : 2;
	u64 wide : 40, wider : 50;
	alias_enum alias : 3;
	const u32 fixed : 6;
	volatile int moving : 9;
};
struct packed_bits {
	char c;
	u32 a : 7, b : 17, straddles : 30;
	u64 c64 : 61;
	unsigned short s : 9;
	int : 3;
	u8 last;
} __attribute__((packed));
struct one_packed_member {
	char c;
	u32 loose __attribute__((packed));
	u64 bits : 33 __attribute__((packed));
	int after;
};
struct aligned_bits {
	u32 a : 3 __attribute__((aligned(8)));
	u32 b : 3;
	char c __attribute__((aligned(32)));
} __attribute__((aligned(64)));
union bit_union {
	u32 a : 5;
	u64 b : 37;
	struct {
		u8 low : 4, high : 4;
	};
};
struct __attribute__((ms_struct)) microsoft {
	char a;
	int b : 3;
	char c : 2;
	u64 d : 9;
};
struct nothing_but_padding {
	int : 5;
};

/* Anonymous members, deep; unnamed types with names */
struct deep {
	int first;
	union {
		struct {
			int x;
			union {
				u64 q;
				struct {
					short s0, s1;
					u32 b0 : 1, b1 : 31;
				};
			};
		};
		char raw[24];
	};
	struct {
		int inner;
		struct {
			int leaf;
		} array[3];
	} named;
	struct {
		int twice;
	} matrix[2][4], *pointer;
	never_used_t typed;
};

/* Arrays */
struct arrays {
	int zero[0];
	int two[2], three[3][4][5];
	char text[16];
	int (*to_array)[7];
	int *of_pointers[9];
	u32 (*const table[2])(int, ...);
	int (*(*deep)(int, char *))[3];
	void (*(*handler)(int, void (*)(int)))(int);
	int *(*(*lots[2])(void))[5];
	u64 last[];
};
struct with_flexible_struct {
	int count;
	struct {
		short key;
		char value;
	} entries[];
};
struct with_zero_struct {
	int count;
	struct left entries[0];
};
typedef int five_ints[5];
struct array_typedefs {
	five_ints a, b[2];
	const five_ints c;
	five_ints *d;
};

/* Qualifiers and odd scalars */
struct scalars {
	const volatile u32 cv;
	u32 *restrict r;
	const char *const *volatile pointers;
	_Atomic int atomic;
	_Atomic(u32) atomic_typedef;
	_Atomic(char *) atomic_pointer;
	__int128 wide;
	unsigned __int128 unsigned_wide;
	float f;
	double d;
	long double ld;
	_Float128 quad;
	_Complex double complex_double;
	_Complex float complex_float;
	_Complex int complex_int;
	int vector __attribute__((vector_size(16)));
	char plain;
	signed char sc;
	unsigned char uc;
	bool yes;
	void *nothing;
	void (*old_style)();
	void (*no_arguments)(void);
	int (*variadic)(const char *, ...);
	__typeof__(sizeof(0)) size;
};
struct packed_scalars {
	char c;
	u64 q;
	long double ld;
	struct arrays *p;
} __attribute__((packed));
struct over_aligned {
	char c;
	int x __attribute__((aligned(128)));
	char d;
};
typedef u64 loose_u64 __attribute__((aligned(4)));
struct with_loose {
	u32 a;
	loose_u64 b;
	u32 c;
};
typedef union {
	int *i;
	float *f;
} transparent __attribute__((transparent_union));
int takes_transparent(transparent u);

/* Scopes: one tag, three types */
struct scoped {
	int global;
};
int scopes(int n);
int scopes(int n)
{
	struct scoped {
		char local[3];
	} a;
	{
		struct scoped {
			u64 nested;
		} b;
		n += sizeof(b);
	}
	return n + sizeof(a);
}

/* Sizes known only at run time */
int variable(int n);
int variable(int n)
{
	int vla[n];
	int(*to_vla)[n] = &vla;
	struct has_vla {
		int before;
		char middle[n];
		int after;
	} s;
	return sizeof(s) + sizeof(*to_vla) + sizeof(vla);
}
void takes_vla(int n, int a[n][n], int (*b)[*]);

/* Declarations */
extern const volatile int variable_decl;
extern struct early *early_list[];
struct early *early_list[12];
extern int twice_declared(int first, struct left *second);
extern int twice_declared(int first, struct left *second);
void never_returns(void) __attribute__((noreturn));
int old_style_function();
static inline int inlined(u8 byte)
{
	return byte;
}
int uses_inlined(void);
int uses_inlined(void)
{
	return inlined(1) + sizeof(struct only_in_sizeof { int q; });
}
extern __seg_gs int in_gs;
