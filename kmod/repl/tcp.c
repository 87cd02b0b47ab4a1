// SPDX-License-Identifier: GPL-2.0-or-later
/* The REPL over TCP: server_addr=IP:PORT. */
#include <linux/err.h>
#include <linux/in.h>
#include <linux/inet.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/net.h>
#include <linux/string.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include <net/tcp.h>
#include "kpy.h"
#include "repl/session.h"

static struct socket *listener;
static struct task_struct *server;

static ssize_t receive(struct kpy_session *s, char *buf, size_t n)
{
	struct msghdr msg = {};
	struct kvec piece = { buf, n };

	return kernel_recvmsg(s->connection, &msg, &piece, 1, n, 0);
}

static ssize_t transmit(struct kpy_session *s, const char *buf, size_t n)
{
	struct msghdr msg = { .msg_flags = MSG_NOSIGNAL };
	struct kvec piece = { (void *)buf, n };

	return kernel_sendmsg(s->connection, &msg, &piece, 1, n);
}

static void disconnect(struct kpy_session *s)
{
	kernel_sock_shutdown(s->connection, SHUT_RDWR);
}

static void release(struct kpy_session *s)
{
	sock_release(s->connection);
}

static const struct kpy_transport tcp_transport = {
	.recv = receive,
	.send = transmit,
	.shutdown = disconnect,
	.release = release,
};

static int server_main(void *unused)
{
	while (!kthread_should_stop()) {
		struct socket *peer;
		int err = kernel_accept(listener, &peer, 0);

		if (err == -EINVAL) /* the listener was shut down */
			break;
		if (err) {
			schedule_timeout_interruptible(HZ / 10);
			continue;
		}
		tcp_sock_set_nodelay(peer->sk);
		kpy_session_start(&tcp_transport, peer);
	}
	while (!kthread_should_stop())
		schedule_timeout_interruptible(HZ);
	return 0;
}

static int parse_address(const char *text, struct sockaddr_in *addr)
{
	const char *end;
	u16 port;

	memset(addr, 0, sizeof(*addr));
	addr->sin_family = AF_INET;
	if (!in4_pton(text, -1, (u8 *)&addr->sin_addr, ':', &end) || *end != ':' ||
	    kstrtou16(end + 1, 10, &port) || !port) {
		pr_err("server_addr=%s: expected IP:PORT, as in 127.0.0.1:9999\n", text);
		return -EINVAL;
	}
	addr->sin_port = htons(port);
	return 0;
}

int kpy_tcp_start(const char *server_addr)
{
	struct sockaddr_in addr;
	int err;

	if (!*server_addr)
		return 0;
	err = parse_address(server_addr, &addr);
	if (err)
		return err;
	err = sock_create_kern(&init_net, AF_INET, SOCK_STREAM, IPPROTO_TCP, &listener);
	if (err)
		return err;
	sock_set_reuseaddr(listener->sk);
	err = kernel_bind(listener, (struct sockaddr *)&addr, sizeof(addr));
	if (!err)
		err = kernel_listen(listener, SOMAXCONN);
	if (err) {
		pr_err("server_addr=%s: cannot listen there: error %d\n", server_addr, err);
		goto out;
	}
	server = kthread_run(server_main, NULL, "kpy-server");
	if (IS_ERR(server)) {
		err = PTR_ERR(server);
		goto out;
	}
	pr_info("REPL on %s\n", server_addr);
	return 0;
out:
	sock_release(listener);
	listener = NULL;
	return err;
}

void kpy_tcp_stop(void)
{
	if (!listener)
		return;
	kernel_sock_shutdown(listener, SHUT_RDWR);
	kthread_stop(server);
	sock_release(listener);
	listener = NULL;
}
