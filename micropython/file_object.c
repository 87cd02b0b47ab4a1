// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * open() and its file objects. Reads go through a small buffer in the object, so that
 * lines and single characters do not cost a kernel call each; writes do not.
 */
#ifndef NO_QSTR
#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/llist.h>
#include <linux/slab.h>
#include <linux/workqueue.h>
#endif
#include "py/builtin.h"
#include "py/mperrno.h"
#include "py/objstr.h"
#include "py/runtime.h"
#include "py/stream.h"
#include "files.h"
#ifndef NO_QSTR
#include "repl/output.h"
#endif

#define BUFFER_SIZE 512

extern const mp_obj_type_t kpy_type_fileio, kpy_type_textio;

#ifndef NO_QSTR
/* Not in the GC heap: outlives an object that is swept without having been closed. */
struct handle {
	struct llist_node node;
	struct file *file;
};

typedef struct {
	mp_obj_base_t base;
	mp_obj_t name;
	struct handle *handle; /* NULL: closed */
	u16 at, n; /* what was read ahead: buf[at .. n) */
	u8 buf[BUFFER_SIZE];
} file_obj_t;

/* Handles that finalisers left: these run under the GIL, where closing could sleep. */
static LLIST_HEAD(abandoned);

static void close_handle(struct handle *h)
{
	kpy_file_io_close(h->file);
	kfree(h);
}

static void close_abandoned(struct work_struct *work)
{
	struct handle *h, *next;

	llist_for_each_entry_safe(h, next, llist_del_all(&abandoned), node) close_handle(h);
}
static DECLARE_WORK(close_work, close_abandoned);

void kpy_files_kick(void)
{
	if (!llist_empty(&abandoned))
		schedule_work(&close_work);
}

void kpy_files_exit(void)
{
	cancel_work_sync(&close_work);
	close_abandoned(NULL);
}

static void check_open(const file_obj_t *o)
{
	if (!o->handle)
		mp_raise_ValueError(MP_ERROR_TEXT("I/O operation on closed file"));
}

/* kpy_sleep_begin() with a reference to the file: another thread may close the object meanwhile. */
static struct kpy_entry *begin(file_obj_t *o, struct file **file)
{
	check_open(o);
	kpy_sleep_check();
	*file = get_file(o->handle->file);
	return kpy_sleep_begin();
}

static void end(struct kpy_entry *e, struct file *file)
{
	fput(file);
	kpy_sleep_end(e);
}

static mp_uint_t failed(long err, int *errcode)
{
	if (err == KPY_ONLY_IN_THREADS)
		kpy_raise_errno(-EINVAL, "this file can be used in sessions and threads only");
	*errcode = err == -ERESTARTSYS ? MP_EINTR : -err;
	return MP_STREAM_ERROR;
}

static mp_uint_t read_into(file_obj_t *o, void *buf, size_t n, int *errcode)
{
	struct file *file;
	struct kpy_entry *e = begin(o, &file);
	ssize_t done = kpy_file_io_read(e, file, buf, n);

	end(e, file);
	return done < 0 ? failed(done, errcode) : done;
}

static mp_uint_t file_read(mp_obj_t self, void *buf, mp_uint_t n, int *errcode)
{
	file_obj_t *o = MP_OBJ_TO_PTR(self);

	if (o->at == o->n) {
		mp_uint_t done;

		if (n >= BUFFER_SIZE)
			return read_into(o, buf, n, errcode);
		done = read_into(o, o->buf, BUFFER_SIZE, errcode);
		if (done == MP_STREAM_ERROR)
			return done;
		o->at = 0;
		o->n = done;
	}
	n = min_t(mp_uint_t, n, o->n - o->at);
	memcpy(buf, o->buf + o->at, n);
	o->at += n;
	return n;
}

/* Moves the file back to where the Python code believes it to be. */
static loff_t seek(file_obj_t *o, loff_t offset, int whence)
{
	struct kpy_entry *e;
	struct file *file;
	loff_t pos;

	check_open(o);
	if (whence == SEEK_CUR)
		offset -= o->n - o->at;
	o->at = o->n = 0;
	e = begin(o, &file);
	pos = vfs_llseek(file, offset, whence);
	end(e, file);
	return pos;
}

/* Where the Python code is in the file: what was read ahead stays. */
static loff_t tell(file_obj_t *o)
{
	check_open(o);
	if (!(o->handle->file->f_mode & FMODE_LSEEK))
		return -ESPIPE;
	return o->handle->file->f_pos - (o->n - o->at);
}

static mp_uint_t file_write(mp_obj_t self, const void *buf, mp_uint_t n, int *errcode)
{
	file_obj_t *o = MP_OBJ_TO_PTR(self);
	struct file *file;
	struct kpy_entry *e;
	ssize_t done;

	if (o->at != o->n)
		seek(o, 0, SEEK_CUR);
	e = begin(o, &file);
	done = kpy_file_io_write(e, file, buf, n);
	end(e, file);
	return done < 0 ? failed(done, errcode) : done;
}

/* close(), and __del__ when nobody did: the collector runs it where nothing may sleep. */
static void close_object(file_obj_t *o, bool collected)
{
	struct handle *h = o->handle;
	struct kpy_entry *e = kpy_current;

	if (!h)
		return;
	o->handle = NULL;
	o->at = o->n = 0;
	if (collected || !kpy_may_sleep(e)) {
		llist_add(&h->node, &abandoned);
		kpy_output_pending = true; /* the interrupt that follows calls kpy_files_kick() */
		return;
	}
	kpy_gil_release();
	close_handle(h);
	kpy_sleep_end(e);
}

static mp_uint_t file_ioctl(mp_obj_t self, mp_uint_t request, uintptr_t arg, int *errcode)
{
	file_obj_t *o = MP_OBJ_TO_PTR(self);

	if (request == MP_STREAM_CLOSE) {
		close_object(o, false);
	} else if (request == MP_STREAM_SEEK) {
		struct mp_stream_seek_t *s = (struct mp_stream_seek_t *)arg;
		bool stay = s->whence == SEEK_CUR && !s->offset;
		loff_t pos = stay ? tell(o) : seek(o, s->offset, s->whence);

		if (pos < 0)
			return failed(pos, errcode);
		s->offset = pos;
	} else if (request == MP_STREAM_FLUSH) {
		check_open(o);
	} else {
		return failed(-EINVAL, errcode);
	}
	return 0;
}

int kpy_file_getc(mp_obj_t self)
{
	u8 c;
	int unused;

	return file_read(self, &c, 1, &unused) == 1 ? c : -1;
}

/* Flags of open(2) for a mode of open(). */
static int open_flags(const char *mode, const mp_obj_type_t **type)
{
	int flags = O_RDONLY, ways = 0;

	for (; *mode; mode++) {
		switch (*mode) {
		case 'r':
			ways++;
			break;
		case 'w':
			flags |= O_WRONLY | O_CREAT | O_TRUNC;
			ways++;
			break;
		case 'a':
			flags |= O_WRONLY | O_CREAT | O_APPEND;
			ways++;
			break;
		case 'x':
			flags |= O_WRONLY | O_CREAT | O_EXCL;
			ways++;
			break;
		case '+':
			flags = (flags & ~O_ACCMODE) | O_RDWR;
			break;
		case 'b':
			*type = &kpy_type_fileio;
			break;
		case 't':
			break;
		default:
			ways = 2;
		}
	}
	if (ways != 1)
		mp_raise_ValueError(MP_ERROR_TEXT("mode must be one of 'r', 'w', 'a', 'x' "
						  "with '+', 'b' or 't'"));
	return flags | O_LARGEFILE;
}

static struct handle *open_handle(const char *path, int flags)
{
	struct handle *h = kmalloc(sizeof(*h), GFP_KERNEL);
	long err;

	if (!h)
		return ERR_PTR(-ENOMEM);
	h->file = filp_open(path, flags, 0644);
	if (!IS_ERR(h->file))
		return h;
	err = PTR_ERR(h->file);
	kfree(h);
	return ERR_PTR(err);
}

mp_obj_t kpy_file_open(const char *name, const char *mode)
{
	const mp_obj_type_t *type = &kpy_type_textio;
	int flags = open_flags(mode, &type);
	const char *path = kpy_path(name);
	file_obj_t *o = mp_obj_malloc_with_finaliser(file_obj_t, type);
	struct kpy_entry *e;
	struct handle *h;

	o->handle = NULL;
	o->name = mp_const_none;
	o->at = o->n = 0;
	o->name = mp_obj_new_str(name, strlen(name));
	e = kpy_sleep_begin();
	h = open_handle(path, flags);
	kpy_gil_acquire(e);
	if (!IS_ERR(h))
		o->handle = h; /* first, so that an interruption does not lose it */
	e = kpy_gil_release();
	kpy_sleep_end(e);
	if (IS_ERR(h))
		kpy_raise_errno(PTR_ERR(h), name);
	return MP_OBJ_FROM_PTR(o);
}

static void file_print(const mp_print_t *print, mp_obj_t self, mp_print_kind_t kind)
{
	file_obj_t *o = MP_OBJ_TO_PTR(self);

	mp_printf(print, "<io.%s ", mp_obj_get_type_str(self));
	mp_obj_print_helper(print, o->name, PRINT_REPR);
	mp_print_str(print, o->handle ? ">" : " closed>");
}

static mp_obj_t file_del(mp_obj_t self)
{
	close_object(MP_OBJ_TO_PTR(self), true);
	return mp_const_none;
}
#else
mp_obj_t file_del(mp_obj_t self);
#endif
static MP_DEFINE_CONST_FUN_OBJ_1(file_del_obj, file_del);

static mp_obj_t builtin_open(size_t n_args, const mp_obj_t *args, mp_map_t *kwargs)
{
	enum { ARG_file, ARG_mode };
	static const mp_arg_t allowed[] = {
		{ MP_QSTR_file, MP_ARG_OBJ | MP_ARG_REQUIRED, { .u_obj = MP_OBJ_NULL } },
		{ MP_QSTR_mode, MP_ARG_OBJ, { .u_obj = MP_OBJ_NEW_QSTR(MP_QSTR_r) } },
		{ MP_QSTR_buffering, MP_ARG_INT, { .u_int = -1 } },
		{ MP_QSTR_encoding, MP_ARG_OBJ, { .u_obj = mp_const_none } },
	};
	mp_arg_val_t values[MP_ARRAY_SIZE(allowed)];

	mp_arg_parse_all(n_args, args, kwargs, MP_ARRAY_SIZE(allowed), allowed, values);
	return kpy_file_open(mp_obj_str_get_str(values[ARG_file].u_obj),
			     mp_obj_str_get_str(values[ARG_mode].u_obj));
}
MP_DEFINE_CONST_FUN_OBJ_KW(mp_builtin_open_obj, 1, builtin_open);

static const mp_rom_map_elem_t file_members[] = {
	{ MP_ROM_QSTR(MP_QSTR_read), MP_ROM_PTR(&mp_stream_read_obj) },
	{ MP_ROM_QSTR(MP_QSTR_readinto), MP_ROM_PTR(&mp_stream_readinto_obj) },
	{ MP_ROM_QSTR(MP_QSTR_readline), MP_ROM_PTR(&mp_stream_unbuffered_readline_obj) },
	{ MP_ROM_QSTR(MP_QSTR_readlines), MP_ROM_PTR(&mp_stream_unbuffered_readlines_obj) },
	{ MP_ROM_QSTR(MP_QSTR_write), MP_ROM_PTR(&mp_stream_write_obj) },
	{ MP_ROM_QSTR(MP_QSTR_seek), MP_ROM_PTR(&mp_stream_seek_obj) },
	{ MP_ROM_QSTR(MP_QSTR_tell), MP_ROM_PTR(&mp_stream_tell_obj) },
	{ MP_ROM_QSTR(MP_QSTR_flush), MP_ROM_PTR(&mp_stream_flush_obj) },
	{ MP_ROM_QSTR(MP_QSTR_close), MP_ROM_PTR(&mp_stream_close_obj) },
	{ MP_ROM_QSTR(MP_QSTR___del__), MP_ROM_PTR(&file_del_obj) },
	{ MP_ROM_QSTR(MP_QSTR___enter__), MP_ROM_PTR(&mp_identity_obj) },
	{ MP_ROM_QSTR(MP_QSTR___exit__), MP_ROM_PTR(&mp_stream___exit___obj) },
};
static MP_DEFINE_CONST_DICT(file_dict, file_members);

#ifndef NO_QSTR
static const mp_stream_p_t binary_stream = {
	.read = file_read,
	.write = file_write,
	.ioctl = file_ioctl,
};

static const mp_stream_p_t text_stream = {
	.read = file_read,
	.write = file_write,
	.ioctl = file_ioctl,
	.is_text = true,
};
#endif

/* clang-format off */
MP_DEFINE_CONST_OBJ_TYPE(kpy_type_fileio, MP_QSTR_FileIO, MP_TYPE_FLAG_ITER_IS_STREAM,
	print, file_print, protocol, &binary_stream, locals_dict, &file_dict);
MP_DEFINE_CONST_OBJ_TYPE(kpy_type_textio, MP_QSTR_TextIOWrapper, MP_TYPE_FLAG_ITER_IS_STREAM,
	print, file_print, protocol, &text_stream, locals_dict, &file_dict);
/* clang-format on */
