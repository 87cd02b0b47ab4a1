// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Processes whose registers and counts must stay exact while a debugger borrows their CPUs: two per
 * CPU compute, two open files. Until /tmp/registers is removed; then they say how often, and what
 * was wrong.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define TURNS 20000L

struct state {
	unsigned char xmm[16][16];
	unsigned long general[8]; /* r8 to r15 */
	unsigned char x87[4][16];
	unsigned int mxcsr;
	unsigned short control;
	unsigned long turns, steps;
};

static struct shared {
	long rounds, opened, wrong;
} * counts;

static int going(void)
{
	return access("/tmp/registers", F_OK) == 0;
}

static void wrong(const char *what)
{
	__atomic_add_fetch(&counts->wrong, 1, __ATOMIC_RELAXED);
	printf("wrong: %s\n", what);
	fflush(stdout);
}

#define XMM(op)                                                                                 \
	op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) \
		op(14) op(15)
#define LOAD(n) "movdqu 16*" #n "(%[in]), %%xmm" #n "\n\t"
#define STORE(n) "movdqu %%xmm" #n ", 16*" #n "(%[out])\n\t"
#define GENERAL(op) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)
#define LOAD_G(n) "mov 256+8*(" #n "-8)(%[in]), %%r" #n "\n\t"
#define STORE_G(n) "mov %%r" #n ", 256+8*(" #n "-8)(%[out])\n\t"

/* All registers keep what they got while two of them count. */
static void __attribute__((noinline)) spin(const struct state *in, struct state *out)
{
	unsigned long turns = TURNS, steps = 0;

	asm volatile(
		"fninit\n\tfld1\n\tfldpi\n\tfldl2e\n\tfldln2\n\t" XMM(LOAD) GENERAL(
			LOAD_G) "1: add $3, %[steps]\n\t"
				"dec %[turns]\n\t"
				"jnz 1b\n\t" XMM(STORE) GENERAL(
					STORE_G) "fstpt 320(%[out])\n\tfstpt 336(%[out])\n\t"
						 "fstpt 352(%[out])\n\tfstpt 368(%[out])\n\t"
						 "stmxcsr 384(%[out])\n\tfnstcw 388(%[out])\n\t"
		: [turns] "+a"(turns), [steps] "+d"(steps)
		: [in] "S"(in), [out] "D"(out)
		: "memory", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm1",
		  "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
		  "xmm12", "xmm13", "xmm14", "xmm15", "st", "st(1)", "st(2)", "st(3)", "st(4)",
		  "st(5)", "st(6)", "st(7)");
	out->turns = turns;
	out->steps = steps;
}

static double series(void)
{
	volatile double sum = 0;
	int i;

	for (i = 1; i < 3000; i++)
		sum += 1.0 / i - sum / (i * 3.0);
	return sum;
}

static long double long_series(void)
{
	volatile long double sum = 0;
	int i;

	for (i = 1; i < 3000; i++)
		sum += 1.0L / i - sum / (i * 3.0L);
	return sum;
}

static void computer(int number)
{
	struct state in, out, first;
	double sum = series();
	long double long_sum = long_series();
	unsigned long i;

	_Static_assert(__builtin_offsetof(struct state, general) == 256, "general");
	_Static_assert(__builtin_offsetof(struct state, x87) == 320, "x87");
	_Static_assert(__builtin_offsetof(struct state, control) == 388, "control");
	memset(&in, 0, sizeof(in));
	memset(&first, 0, sizeof(first));
	for (i = 0; i < sizeof(in.xmm); i++)
		((unsigned char *)in.xmm)[i] = i * 7 + number;
	for (i = 0; i < 8; i++)
		in.general[i] = 0x0123456789abcdefUL * (i + 1) + number;
	spin(&in, &first);
	while (going()) {
		memset(&out, 0, sizeof(out));
		spin(&in, &out);
		if (memcmp(out.xmm, in.xmm, sizeof(in.xmm)))
			wrong("xmm registers");
		if (memcmp(out.general, in.general, sizeof(in.general)))
			wrong("general registers");
		if (out.turns || out.steps != 3 * TURNS)
			wrong("the count of turns");
		if (memcmp(&out, &first, sizeof(out)))
			wrong("x87 registers or control words");
		if (series() != sum || long_series() != long_sum)
			wrong("a sum of floating point numbers");
		__atomic_add_fetch(&counts->rounds, 1, __ATOMIC_RELAXED);
	}
}

static void opener(int number)
{
	char path[64], got[64] = "";
	int fd, n;

	n = sprintf(path, "/tmp/registers-%d", number);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	if (write(fd, path, n) != n)
		wrong("write");
	close(fd);
	while (going()) {
		fd = open(path, O_RDONLY);
		if (fd < 0 || read(fd, got, sizeof(got)) != n || strncmp(got, path, n))
			wrong("read");
		close(fd);
		__atomic_add_fetch(&counts->opened, 1, __ATOMIC_RELAXED);
		usleep(500);
	}
}

int main(void)
{
	int i, status, cpus = sysconf(_SC_NPROCESSORS_ONLN);

	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	close(open("/tmp/registers", O_WRONLY | O_CREAT, 0600));
	for (i = 0; i < 2 * cpus; i++) {
		if (fork() == 0) {
			computer(i);
			_exit(0);
		}
	}
	for (i = 0; i < 2; i++) {
		if (fork() == 0) {
			opener(i);
			_exit(0);
		}
	}
	while (wait(&status) > 0)
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			wrong("a process ended");
	printf("rounds %ld opened %ld wrong %ld\n", counts->rounds, counts->opened, counts->wrong);
	return 0;
}
