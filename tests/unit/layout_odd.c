// SPDX-License-Identifier: GPL-2.0-or-later
/* C that no kernel has, but that a compiler plugin must survive. */
typedef __builtin_va_list va_list_t;
struct with_va_list {
	va_list_t list;
};
typedef int incomplete_array[];
incomplete_array one = {1, 2}, three = {1, 2, 3};
extern incomplete_array unknown;
enum forward_enum;
enum forward_enum *to_forward_enum;
void in_parameters(struct only_in_parameters { int a; } *p, enum { IN_PARAMETERS } e);
void vla_in_parameters(int n, struct vla_in_parameters { int a[n]; } *p, int (*q)[n][*]);
typedef int *pointer_typedef, **pointer_typedef2, array_typedef[3], function_typedef(int);
function_typedef declared_by_typedef;
struct of_typedefs {
	pointer_typedef p;
	const pointer_typedef cp;
	function_typedef *f;
	function_typedef **ff;
	array_typedef a;
};
struct huge_array {
	char c[1UL << 40];
};
struct floats {
#ifdef __FLT16_MAX__ /* GCC 12 and newer */
	_Float16 half;
#endif
	_Decimal128 decimal;
	_Complex _Float128 complex_quad;
	int mode __attribute__((mode(TI)));
	float vector __attribute__((vector_size(32)));
	_Bool flags[3];
};
struct zero_everything {
	int a[0][5];
	struct {
	} nothing[4];
	int after;
};
extern __seg_gs int gs_array[4];
extern __seg_fs struct floats *__seg_gs gs_pointer;
__thread int thread_local_int;
register long stack_pointer asm("rsp");
extern int aliased __attribute__((alias("thread_like")));
int thread_like;
extern void *memcpy(void *, const void *, unsigned long);
void attributed(void) __attribute__((noreturn, cold));
int attributed_const(int) __attribute__((const));
void (*attributed_pointer)(void) __attribute__((noreturn));
int knr(a, b)
int a;
char *b;
{
	return a + *b;
}
int odd(int n)
{
	typedef int local_vla[n];
	local_vla v;
	struct inner;
	struct inner *p = 0;
	struct inner {
		typeof(v) *to_vla;
		int x;
	} i;
	int nested(int k)
	{
		struct inside_nested {
			int q;
		} z = {k};
		return z.q + n;
	}
	static void *labels[] = {&&out};
	extern int block_extern;
	if (n)
		goto *labels[0];
out:
	return nested(sizeof(i)) + ({
		       struct in_statement {
			       int y;
		       } s = {3};
		       s.y;
	       }) + _Generic(n, int: 1, default: 2) +
	       (int)(sizeof(v) + (long)p) + (struct compound { int m; }){4}.m + block_extern;
}
