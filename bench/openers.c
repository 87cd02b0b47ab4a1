// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * openers N SECONDS: one process on each of the first N CPUs opens and closes a directory, all
 * at the same time. Prints the nanoseconds that all of them took together, and their opens.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct shared {
	int waiting;
	long opens, ns;
};

static long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void work(struct shared *s, int cpu, long ns)
{
	cpu_set_t set;
	long begin, end, opens = 0;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		_exit(1);
	__atomic_sub_fetch(&s->waiting, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&s->waiting, __ATOMIC_SEQ_CST))
		sched_yield();
	begin = now();
	do {
		for (int i = 0; i < 8; i++, opens++)
			close(open("/", O_RDONLY));
		end = now();
	} while (end - begin < ns);
	__atomic_add_fetch(&s->opens, opens, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&s->ns, end - begin, __ATOMIC_SEQ_CST);
	_exit(0);
}

int main(int argc, char **argv)
{
	int n = argc == 3 ? atoi(argv[1]) : 0;
	struct shared *s =
		mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (n < 1 || s == MAP_FAILED)
		return 1;
	s->waiting = n;
	for (int cpu = 0; cpu < n; cpu++)
		if (!fork())
			work(s, cpu, atof(argv[2]) * 1e9);
	while (wait(NULL) > 0)
		;
	printf("%ld %ld\n", s->ns, s->opens);
	return s->opens ? 0 : 1;
}
