// SPDX-License-Identifier: GPL-2.0-or-later
/* The REPL over /dev/kpy: each open file is a session. */
#include <linux/fs.h>
#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "kpy.h"
#include "repl/session.h"

#define BUFFER_SIZE (16UL << 10)

/* Shared by the file and the session: whoever lets go last frees it. */
struct connection {
	struct kref refs;
	struct list_head list; /* of open files */
	pid_t pid; /* who opened it */
	char comm[TASK_COMM_LEN];
	struct kpy_ring typed, shown; /* user to session, session to user */
	struct mutex read_lock, write_lock; /* one reader, one writer of the file at a time */
	wait_queue_head_t wait;
	bool closed; /* by the user */
	bool down; /* by the session */
};

static LIST_HEAD(open_files);
static DEFINE_MUTEX(open_files_lock);

static void free_connection(struct kref *refs)
{
	struct connection *c = container_of(refs, struct connection, refs);

	kvfree(c->typed.buf);
	kvfree(c->shown.buf);
	kfree(c);
}

static struct connection *new_connection(void)
{
	struct connection *c = kzalloc(sizeof(*c), GFP_KERNEL);

	if (!c)
		return NULL;
	kref_init(&c->refs);
	mutex_init(&c->read_lock);
	mutex_init(&c->write_lock);
	init_waitqueue_head(&c->wait);
	c->typed.size = c->shown.size = BUFFER_SIZE;
	c->typed.buf = kvmalloc(BUFFER_SIZE, GFP_KERNEL);
	c->shown.buf = kvmalloc(BUFFER_SIZE, GFP_KERNEL);
	if (!c->typed.buf || !c->shown.buf) {
		kref_put(&c->refs, free_connection);
		return NULL;
	}
	return c;
}

/* The session's side. */

static ssize_t session_recv(struct kpy_session *s, char *buf, size_t n)
{
	struct connection *c = s->connection;
	const char *piece;

	if (wait_event_interruptible(c->wait, kpy_ring_used(&c->typed) || c->closed || c->down))
		return -EINTR;
	n = min(n, kpy_ring_peek(&c->typed, &piece));
	memcpy(buf, piece, n);
	kpy_ring_skip(&c->typed, n);
	wake_up_all(&c->wait);
	return n;
}

static ssize_t session_send(struct kpy_session *s, const char *buf, size_t n)
{
	struct connection *c = s->connection;

	if (wait_event_interruptible(c->wait, kpy_ring_room(&c->shown) || c->closed || c->down))
		return -EINTR;
	if (c->closed)
		return -EPIPE;
	n = kpy_ring_put(&c->shown, buf, n);
	wake_up_all(&c->wait);
	return n;
}

static void session_shutdown(struct kpy_session *s)
{
	struct connection *c = s->connection;

	WRITE_ONCE(c->down, true);
	wake_up_all(&c->wait);
}

static void session_release(struct kpy_session *s)
{
	struct connection *c = s->connection;

	kref_put(&c->refs, free_connection);
}

static const struct kpy_transport transport = {
	.recv = session_recv,
	.send = session_send,
	.shutdown = session_shutdown,
	.release = session_release,
};

/* The user's side. */

static int kpy_open(struct inode *inode, struct file *file)
{
	struct connection *c = new_connection();
	int err;

	if (!c)
		return -ENOMEM;
	kref_get(&c->refs); /* the session's, which it drops also when it cannot start */
	err = kpy_session_start(&transport, c);
	if (err) {
		kref_put(&c->refs, free_connection);
		return err;
	}
	file->private_data = c;
	c->pid = current->pid;
	get_task_comm(c->comm, current);
	mutex_lock(&open_files_lock);
	list_add_tail(&c->list, &open_files);
	mutex_unlock(&open_files_lock);
	return stream_open(inode, file);
}

static int kpy_release(struct inode *inode, struct file *file)
{
	struct connection *c = file->private_data;

	mutex_lock(&open_files_lock);
	list_del(&c->list);
	mutex_unlock(&open_files_lock);
	WRITE_ONCE(c->closed, true);
	wake_up_all(&c->wait);
	kref_put(&c->refs, free_connection);
	return 0;
}

static ssize_t kpy_read(struct file *file, char __user *buf, size_t n, loff_t *pos)
{
	struct connection *c = file->private_data;
	const char *piece;
	ssize_t done;

	if (mutex_lock_interruptible(&c->read_lock))
		return -ERESTARTSYS;
	while (!kpy_ring_used(&c->shown)) {
		done = 0;
		if (READ_ONCE(c->down))
			goto out;
		done = -EAGAIN;
		if (file->f_flags & O_NONBLOCK)
			goto out;
		done = -ERESTARTSYS;
		if (wait_event_interruptible(c->wait, kpy_ring_used(&c->shown) || c->down))
			goto out;
	}
	done = min(n, kpy_ring_peek(&c->shown, &piece));
	if (copy_to_user(buf, piece, done))
		done = -EFAULT;
	else
		kpy_ring_skip(&c->shown, done);
	wake_up_all(&c->wait);
out:
	mutex_unlock(&c->read_lock);
	return done;
}

static ssize_t kpy_write(struct file *file, const char __user *buf, size_t n, loff_t *pos)
{
	struct connection *c = file->private_data;
	char piece[256];
	size_t done = 0, part;
	ssize_t err = 0;

	if (mutex_lock_interruptible(&c->write_lock))
		return -ERESTARTSYS;
	while (done < n && !err) {
		if (READ_ONCE(c->down)) {
			err = -EPIPE;
		} else if (!kpy_ring_room(&c->typed)) {
			if (file->f_flags & O_NONBLOCK)
				err = -EAGAIN;
			else if (wait_event_interruptible(c->wait,
							  kpy_ring_room(&c->typed) || c->down))
				err = -ERESTARTSYS;
		} else {
			part = min3(n - done, sizeof(piece), kpy_ring_room(&c->typed));
			if (copy_from_user(piece, buf + done, part)) {
				err = -EFAULT;
			} else {
				done += kpy_ring_put(&c->typed, piece, part);
				wake_up_all(&c->wait);
			}
		}
	}
	mutex_unlock(&c->write_lock);
	return done ? done : err;
}

static __poll_t kpy_poll(struct file *file, poll_table *wait)
{
	struct connection *c = file->private_data;
	__poll_t ready = 0;

	poll_wait(file, &c->wait, wait);
	if (kpy_ring_used(&c->shown) || READ_ONCE(c->down))
		ready |= EPOLLIN | EPOLLRDNORM;
	if (kpy_ring_room(&c->typed))
		ready |= EPOLLOUT | EPOLLWRNORM;
	if (READ_ONCE(c->down))
		ready |= EPOLLHUP;
	return ready;
}

static const struct file_operations fops = {
	.owner = THIS_MODULE,
	.open = kpy_open,
	.release = kpy_release,
	.read = kpy_read,
	.write = kpy_write,
	.poll = kpy_poll,
	.llseek = no_llseek,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "kpy",
	.fops = &fops,
	.mode = 0600,
};

void kpy_chardev_report(void)
{
	struct connection *c;

	mutex_lock(&open_files_lock);
	list_for_each_entry (c, &open_files, list)
		pr_warn("rmmod refused: %s (pid %d) has /dev/kpy open\n", c->comm, c->pid);
	mutex_unlock(&open_files_lock);
}

int kpy_chardev_start(void)
{
	return misc_register(&device);
}

void kpy_chardev_stop(void)
{
	misc_deregister(&device);
}
