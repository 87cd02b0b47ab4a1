// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What programs do, all the time, with each result compared to what it must be: open files that
 * are there and that are not, fork, talk over loopback, wait in open() for the other end of a FIFO.
 * Until /tmp/storm is removed; then it says how often, and "wrong" for what was not as it must be.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPENERS 4
#define PORT 7171

static struct shared {
	long opened, refused, forked, talked, met, wrong;
} * counts;

static int going(void)
{
	return access("/tmp/storm", F_OK) == 0;
}

static void wrong(const char *what, long got)
{
	__atomic_add_fetch(&counts->wrong, 1, __ATOMIC_RELAXED);
	printf("wrong: %s: %ld, errno %d (%s)\n", what, got, errno, strerror(errno));
	fflush(stdout);
}

static void right(long *count)
{
	__atomic_add_fetch(count, 1, __ATOMIC_RELAXED);
}

static void opener(int number)
{
	char path[64], text[64], got[64];
	int fd, n;

	sprintf(path, "/tmp/storm-%d", number);
	while (going()) {
		n = sprintf(text, "%d %ld", number, random());
		fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		if (fd < 0 || write(fd, text, n) != n)
			wrong("write", fd);
		close(fd);
		memset(got, 0, sizeof(got));
		fd = open(path, O_RDONLY);
		if (fd < 0 || read(fd, got, sizeof(got)) != n || strcmp(got, text))
			wrong("read", fd);
		else
			right(&counts->opened);
		close(fd);
		fd = open("/tmp/storm-none", O_RDONLY);
		if (fd >= 0 || errno != ENOENT)
			wrong("no such file", fd);
		else
			right(&counts->refused);
		fd = open("/tmp", O_WRONLY);
		if (fd >= 0 || errno != EISDIR)
			wrong("a directory", fd);
		else
			right(&counts->refused);
	}
}

static void forker(void)
{
	int status, n = 0;
	pid_t pid;

	while (going()) {
		n = (n + 1) % 100;
		pid = fork();
		if (pid == 0)
			_exit(n);
		if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
		    WEXITSTATUS(status) != n)
			wrong("fork", pid);
		else
			right(&counts->forked);
		usleep(2000);
	}
}

static struct sockaddr_in address(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(PORT) };

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static void listener(void)
{
	struct sockaddr_in a = address();
	int on = 1, s = socket(AF_INET, SOCK_STREAM, 0), peer;
	char text[256];
	ssize_t n;

	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(s, (void *)&a, sizeof(a)) || listen(s, 8))
		wrong("listen", s);
	while (going()) {
		peer = accept(s, NULL, NULL);
		if (peer < 0)
			wrong("accept", peer);
		while ((n = read(peer, text, sizeof(text))) > 0)
			if (write(peer, text, n) != n)
				wrong("echo", n);
		if (n < 0 && errno != ECONNRESET)
			wrong("listener", n);
		close(peer);
	}
}

/* What the kernel counts, to tell why a connection was reset. */
static void counters(void)
{
	char text[8192];
	ssize_t n;
	int fd, i;

	for (i = 0; i < 2; i++) {
		fd = open(i ? "/proc/net/netstat" : "/proc/net/snmp", O_RDONLY);
		while ((n = read(fd, text, sizeof(text) - 1)) > 0) {
			text[n] = 0;
			printf("%s", text);
		}
		close(fd);
	}
	fflush(stdout);
}

static void talker(void)
{
	char text[64], got[64];
	struct sockaddr_in a = address();
	int i, n, s;

	usleep(300000);
	while (going()) {
		s = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(s, (void *)&a, sizeof(a))) {
			wrong("connect", s);
			close(s);
			usleep(100000);
			continue;
		}
		for (i = 0; i < 20; i++) {
			n = sprintf(text, "%ld", random());
			memset(got, 0, sizeof(got));
			errno = 0;
			if (write(s, text, n) != n || read(s, got, sizeof(got)) != n ||
			    strcmp(got, text))
				break;
			right(&counts->talked);
			usleep(3000);
		}
		if (i < 20) {
			wrong("talk, after messages", i);
			counters();
		}
		close(s);
	}
	/* The listener is in accept(). */
	s = socket(AF_INET, SOCK_STREAM, 0);
	connect(s, (void *)&a, sizeof(a));
	close(s);
}

static void fifo_reader(void)
{
	char got[5];
	ssize_t n;
	int fd;

	while (going()) {
		fd = open("/tmp/storm-fifo", O_RDONLY);
		n = read(fd, got, sizeof(got));
		/* Nothing: the last writer was still there, and had written to another. */
		if (fd < 0 || (n && (n != 5 || memcmp(got, "hello", 5))))
			wrong("fifo", n);
		else if (n)
			right(&counts->met);
		close(fd);
		usleep(20000);
	}
}

static void fifo_writer(void)
{
	int fd;

	while (going()) {
		usleep(700000 + random() % 1000000);
		fd = open("/tmp/storm-fifo", O_WRONLY);
		if (fd < 0 || write(fd, "hello", 5) != 5)
			wrong("fifo writer", fd);
		usleep(1000);
		close(fd);
	}
	/* The reader may be on its way into open(), or be there. */
	for (fd = 0; fd < 100; fd++) {
		int end = open("/tmp/storm-fifo", O_WRONLY | O_NONBLOCK);

		if (end >= 0 && write(end, "hello", 5) != 5)
			wrong("last fifo", end);
		usleep(10000);
		close(end);
	}
}

static int start(void (*what)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		srandom(getpid());
		what();
		_exit(0);
	}
	return pid < 0;
}

int main(void)
{
	int i, status, bad = 0;

	signal(SIGPIPE, SIG_IGN);
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	close(open("/tmp/storm", O_WRONLY | O_CREAT, 0600));
	unlink("/tmp/storm-fifo");
	bad |= mkfifo("/tmp/storm-fifo", 0600);
	for (i = 0; i < OPENERS; i++) {
		if (fork() == 0) {
			srandom(i);
			opener(i);
			_exit(0);
		}
	}
	bad |= start(forker) | start(listener) | start(talker) | start(fifo_reader) |
	       start(fifo_writer);
	while (wait(&status) > 0)
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			wrong("a process ended", status);
	printf("opened %ld refused %ld forked %ld talked %ld met %ld wrong %ld\n", counts->opened,
	       counts->refused, counts->forked, counts->talked, counts->met, counts->wrong + bad);
	return 0;
}
