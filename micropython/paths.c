// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Names of files. The working directory is the interpreter's own: that of a kernel
 * thread is shared with init, whom os.chdir() must not move.
 */
#ifndef NO_QSTR
#include <linux/err.h>
#include <linux/dcache.h>
#include <linux/namei.h>
#include <linux/path.h>
#include <linux/sched/signal.h>
#include <linux/limits.h>
#endif
#include "py/mperrno.h"
#include "py/objstr.h"
#include "py/runtime.h"
#include "files.h"

MP_REGISTER_ROOT_POINTER(const char *kpy_cwd);

#ifndef NO_QSTR
void kpy_sleep_check(void)
{
	if (!kpy_may_sleep(kpy_current))
		mp_raise_msg(&mp_type_RuntimeError,
			     MP_ERROR_TEXT("no files here: this context must not sleep"));
}

struct kpy_entry *kpy_sleep_begin(void)
{
	kpy_sleep_check();
	return kpy_gil_release();
}

void kpy_sleep_end(struct kpy_entry *e)
{
	if (e->kind <= KPY_THREAD && signal_pending(current))
		flush_signals(current);
	kpy_gil_acquire(e);
	mp_handle_pending(true);
}

/* What the kernel keeps to itself, for a call that a signal ended. */
static int visible(long err)
{
	return err == -ERESTARTSYS || err == -ERESTARTNOINTR ? MP_EINTR : -err;
}

void kpy_raise_errno(long err, const char *path)
{
	mp_obj_t args[] = { MP_OBJ_NEW_SMALL_INT(visible(err)), mp_obj_new_str_from_cstr(path) };

	nlr_raise(mp_obj_new_exception_args(&mp_type_OSError, MP_ARRAY_SIZE(args), args));
}

const char *kpy_path(const char *name)
{
	const char *cwd = MP_STATE_VM(kpy_cwd);
	size_t n = strlen(name), n_cwd;
	char *path;

	if (name[0] == '/' || !name[0] || !cwd)
		return name;
	n_cwd = strlen(cwd);
	path = m_new(char, n_cwd + n + 2);
	memcpy(path, cwd, n_cwd);
	path[n_cwd] = '/';
	memcpy(path + n_cwd + 1, name, n + 1);
	return path;
}

/* The directory at path by its full name, somewhere in buf; or an error. */
static char *full_name(const char *path, char *buf, size_t size)
{
	struct path found;
	char *name;
	int err = kern_path(path, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &found);

	if (err)
		return ERR_PTR(err);
	name = d_path(&found, buf, size);
	path_put(&found);
	return name;
}
#endif

static mp_obj_t getcwd(void)
{
	const char *cwd = MP_STATE_VM(kpy_cwd);

	return cwd ? mp_obj_new_str(cwd, strlen(cwd)) : MP_OBJ_NEW_QSTR(MP_QSTR__slash_);
}
MP_DEFINE_CONST_FUN_OBJ_0(kpy_getcwd_obj, getcwd);

/* chdir(path=/): where relative names start, for all Python code. */
static mp_obj_t chdir(size_t n_args, const mp_obj_t *args)
{
	const char *path = kpy_path(n_args ? mp_obj_str_get_str(args[0]) : "/");
	char *buf = m_new(char, PATH_MAX), *name, *cwd;
	struct kpy_entry *e = kpy_sleep_begin();

	name = full_name(path, buf, PATH_MAX);
	kpy_sleep_end(e);
	if (IS_ERR(name))
		kpy_raise_errno(PTR_ERR(name), path);
	cwd = m_new(char, strlen(name) + 1);
	strcpy(cwd, name);
	m_del(char, buf, PATH_MAX); /* and keeps it alive up to here */
	MP_STATE_VM(kpy_cwd) = strcmp(cwd, "/") ? cwd : NULL;
	return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_chdir_obj, 0, 1, chdir);
