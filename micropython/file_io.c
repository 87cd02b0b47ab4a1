// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading and writing of open files, without the GIL.
 *
 * Most files copy to kernel memory. Those that have only the older operations (many of
 * /proc, debugfs and tracefs) copy to user memory, which kernel threads have none of: a
 * thread of ours gets an address space with one buffer in it, which is there only while
 * such an operation runs.
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/mman.h>
#include <linux/resource.h>
#include <linux/sched/mm.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include "files.h"

#define WINDOW_SIZE (64UL << 10)

#ifndef ITER_DEST /* kernel commit de4eda9de2d9 (v6.2, and 6.1's stable series) */
#define ITER_DEST READ
#define ITER_SOURCE WRITE
#endif

/* Not exported: found by name. */
static struct mm_struct *(*new_mm)(void); /* mm_alloc */
static void (*pick_layout)(struct mm_struct *mm, struct rlimit *stack); /* arch_pick_mmap_layout */
static void (*put_now)(struct file *file); /* __fput_sync */
static ssize_t (*user_read)(struct file *file, char __user *buf, size_t n, loff_t *pos);
static ssize_t (*user_write)(struct file *file, const char __user *buf, size_t n, loff_t *pos);

void kpy_file_io_init(void)
{
	new_mm = (void *)kpy_kallsyms_lookup("mm_alloc");
	pick_layout = (void *)kpy_kallsyms_lookup("arch_pick_mmap_layout");
	put_now = (void *)kpy_kallsyms_lookup("__fput_sync");
	user_read = (void *)kpy_kallsyms_lookup("vfs_read");
	user_write = (void *)kpy_kallsyms_lookup("vfs_write");
}

/* A kernel thread's fput() leaves the end to a worker, and what was written may count only from then. */
int kpy_file_io_close(struct file *file)
{
	bool now = put_now && (current->flags & PF_KTHREAD);
	int err;

	if (now)
		get_file(file);
	err = filp_close(file, NULL);
	if (now)
		put_now(file);
	return err;
}

void kpy_window_free(struct kpy_window *w)
{
	if (w->mm)
		mmput(w->mm);
	w->mm = NULL;
}

static int open_window(struct kpy_window *w)
{
	struct rlimit stack = { .rlim_cur = _STK_LIM, .rlim_max = RLIM_INFINITY };
	unsigned long at;

	w->mm = new_mm();
	if (!w->mm)
		return -ENOMEM;
	pick_layout(w->mm, &stack);
	kthread_use_mm(w->mm);
	at = vm_mmap(NULL, 0, WINDOW_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, 0);
	kthread_unuse_mm(w->mm);
	if (IS_ERR_VALUE(at)) {
		kpy_window_free(w);
		return at;
	}
	w->at = (char __user *)at;
	return 0;
}

/*
 * A program's memory is not ours to map a buffer in, and a kernel thread that has some is
 * amid an operation like ours, which a hook interrupted.
 */
static bool can_have_window(void)
{
	return (current->flags & PF_KTHREAD) && !current->mm && new_mm && pick_layout &&
	       user_read && user_write;
}

static loff_t *position(struct file *file)
{
	return file->f_mode & FMODE_STREAM ? NULL : &file->f_pos;
}

static ssize_t through_window(struct kpy_window *w, struct file *file, void *to, const void *from,
			      size_t n)
{
	ssize_t done;

	n = min_t(size_t, n, WINDOW_SIZE);
	kthread_use_mm(w->mm);
	if (from) {
		done = copy_to_user(w->at, from, n) ? -EFAULT
						    : user_write(file, w->at, n, position(file));
	} else {
		done = user_read(file, w->at, n, position(file));
		if (done > 0 && copy_from_user(to, w->at, min_t(size_t, done, n)))
			done = -EFAULT;
	}
	kthread_unuse_mm(w->mm);
	return done;
}

/* Reads to, or writes from, n bytes: one of both is NULL. */
static ssize_t copy_as_user(struct kpy_entry *e, struct file *file, void *to, const void *from,
			    size_t n)
{
	struct kpy_window once = {}, *w = e->kind <= KPY_THREAD ? &e->window : &once;
	ssize_t done;

	if (!can_have_window())
		return KPY_ONLY_IN_THREADS;
	done = w->mm ? 0 : open_window(w);
	if (!done)
		done = through_window(w, file, to, from, n);
	kpy_window_free(&once);
	return done;
}

/* The body of seq_read(), which has no iterator in /proc/PID/maps and elsewhere. */
static ssize_t read_seq(struct file *file, struct iov_iter *iter)
{
	struct kiocb iocb;
	ssize_t done;

	if (!(file->f_mode & FMODE_READ))
		return -EBADF;
	init_sync_kiocb(&iocb, file);
	iocb.ki_pos = file->f_pos;
	done = seq_read_iter(&iocb, iter);
	file->f_pos = iocb.ki_pos;
	return done;
}

ssize_t kpy_file_io_read(struct kpy_entry *e, struct file *file, void *buf, size_t n)
{
	struct kvec vec = { .iov_base = buf, .iov_len = min_t(size_t, n, MAX_RW_COUNT) };
	struct iov_iter iter;

	iov_iter_kvec(&iter, ITER_DEST, &vec, 1, vec.iov_len);
	if (file->f_op->read_iter)
		return vfs_iter_read(file, &iter, &file->f_pos, 0);
	if (file->f_op->read == seq_read)
		return read_seq(file, &iter);
	return file->f_op->read ? copy_as_user(e, file, buf, NULL, n) : -EINVAL;
}

ssize_t kpy_file_io_write(struct kpy_entry *e, struct file *file, const void *buf, size_t n)
{
	struct kvec vec = { .iov_base = (void *)buf, .iov_len = min_t(size_t, n, MAX_RW_COUNT) };
	struct iov_iter iter;

	if (!(file->f_mode & FMODE_WRITE))
		return -EBADF;
	if (!file->f_op->write_iter)
		return file->f_op->write ? copy_as_user(e, file, NULL, buf, n) : -EINVAL;
	if (S_ISREG(file_inode(file)->i_mode) && !file->f_op->write)
		return kernel_write(file, buf, n, &file->f_pos);
	iov_iter_kvec(&iter, ITER_SOURCE, &vec, 1, vec.iov_len);
	return vfs_iter_write(file, &iter, &file->f_pos, 0);
}
