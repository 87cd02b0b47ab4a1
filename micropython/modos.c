// SPDX-License-Identifier: GPL-2.0-or-later
/* The os module: names, directories and facts about the system. */
#ifndef NO_QSTR
#include <linux/err.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/kdev_t.h>
#include <linux/namei.h>
#include <linux/path.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/stat.h>
#include <linux/uidgid.h>
#include <linux/utsname.h>
#include <linux/version.h>
#endif
#include "py/objstr.h"
#include "py/objtuple.h"
#include "py/runtime.h"
#include "files.h"

#ifndef NO_QSTR
/*
 * The bodies of system calls, which take names of the kernel's own. Not exported;
 * struct filename arguments since Linux 5.15 (kernel commit 45f30dab3957 and around it).
 */
static struct filename *(*get_name)(const char *name);
static int (*do_unlink)(int dir, struct filename *name);
static int (*do_rmdir)(int dir, struct filename *name);
static int (*do_mkdir)(int dir, struct filename *name, umode_t mode);
static int (*do_rename)(int from_dir, struct filename *from, int to_dir, struct filename *to,
			unsigned int flags);

void kpy_os_init(void)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 15, 0)
	get_name = (void *)kpy_kallsyms_lookup("getname_kernel");
	do_unlink = (void *)kpy_kallsyms_lookup("do_unlinkat");
	do_rmdir = (void *)kpy_kallsyms_lookup("do_rmdir");
	do_mkdir = (void *)kpy_kallsyms_lookup("do_mkdirat");
	do_rename = (void *)kpy_kallsyms_lookup("do_renameat2");
#endif
}

/* Like the kernel's do_*(), which put the name. */
static struct filename *name_of(const char *path, const void *function)
{
	return get_name && function ? get_name(path) : ERR_PTR(-ENOSYS);
}

static mp_obj_t finish(struct kpy_entry *e, long err, const char *path)
{
	kpy_sleep_end(e);
	if (err)
		kpy_raise_errno(err, path);
	return mp_const_none;
}
#endif

static mp_obj_t os_remove(mp_obj_t name)
{
	const char *path = kpy_path(mp_obj_str_get_str(name));
	struct kpy_entry *e = kpy_sleep_begin();
	struct filename *file = name_of(path, do_unlink);

	return finish(e, IS_ERR(file) ? PTR_ERR(file) : do_unlink(AT_FDCWD, file), path);
}
static MP_DEFINE_CONST_FUN_OBJ_1(os_remove_obj, os_remove);

static mp_obj_t os_rmdir(mp_obj_t name)
{
	const char *path = kpy_path(mp_obj_str_get_str(name));
	struct kpy_entry *e = kpy_sleep_begin();
	struct filename *file = name_of(path, do_rmdir);

	return finish(e, IS_ERR(file) ? PTR_ERR(file) : do_rmdir(AT_FDCWD, file), path);
}
static MP_DEFINE_CONST_FUN_OBJ_1(os_rmdir_obj, os_rmdir);

/* mkdir(path, mode=0o777) */
static mp_obj_t os_mkdir(size_t n_args, const mp_obj_t *args)
{
	const char *path = kpy_path(mp_obj_str_get_str(args[0]));
	umode_t mode = n_args > 1 ? mp_obj_get_int(args[1]) : 0777;
	struct kpy_entry *e = kpy_sleep_begin();
	struct filename *file = name_of(path, do_mkdir);

	return finish(e, IS_ERR(file) ? PTR_ERR(file) : do_mkdir(AT_FDCWD, file, mode), path);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(os_mkdir_obj, 1, 2, os_mkdir);

static mp_obj_t os_rename(mp_obj_t from_name, mp_obj_t to_name)
{
	const char *from = kpy_path(mp_obj_str_get_str(from_name));
	const char *to = kpy_path(mp_obj_str_get_str(to_name));
	struct kpy_entry *e = kpy_sleep_begin();
	struct filename *a = name_of(from, do_rename), *b = name_of(to, do_rename);

	/* do_renameat2() copes with names that are errors. */
	return finish(e, do_rename ? do_rename(AT_FDCWD, a, AT_FDCWD, b, 0) : -ENOSYS, from);
}
static MP_DEFINE_CONST_FUN_OBJ_2(os_rename_obj, os_rename);

#ifndef NO_QSTR
static int stat_path(const char *path, struct kstat *stat)
{
	struct path found;
	int err = kern_path(path, LOOKUP_FOLLOW, &found);

	if (err)
		return err;
	err = vfs_getattr(&found, stat, STATX_BASIC_STATS, AT_STATX_SYNC_AS_STAT);
	path_put(&found);
	return err;
}
#endif

/* stat(path) -> (mode, ino, dev, nlink, uid, gid, size, atime, mtime, ctime), links followed */
static mp_obj_t os_stat(mp_obj_t name)
{
	const char *path = kpy_path(mp_obj_str_get_str(name));
	struct kpy_entry *e = kpy_sleep_begin();
	struct kstat stat;

	finish(e, stat_path(path, &stat), path);
	mp_obj_t items[] = {
		mp_obj_new_int_from_uint(stat.mode),
		mp_obj_new_int_from_uint(stat.ino),
		mp_obj_new_int_from_uint(new_encode_dev(stat.dev)),
		mp_obj_new_int_from_uint(stat.nlink),
		mp_obj_new_int_from_uint(from_kuid(&init_user_ns, stat.uid)),
		mp_obj_new_int_from_uint(from_kgid(&init_user_ns, stat.gid)),
		mp_obj_new_int_from_ll(stat.size),
		mp_obj_new_int_from_ll(stat.atime.tv_sec),
		mp_obj_new_int_from_ll(stat.mtime.tv_sec),
		mp_obj_new_int_from_ll(stat.ctime.tv_sec),
	};
	return mp_obj_new_tuple(MP_ARRAY_SIZE(items), items);
}
static MP_DEFINE_CONST_FUN_OBJ_1(os_stat_obj, os_stat);

#ifndef NO_QSTR
/* One entry of a directory, and its place in a chain of pages: read without the GIL. */
struct entry {
	u64 ino;
	u8 type;
	u8 len;
	char name[];
};

#define LISTING_PIECE (16UL << 10)
struct piece {
	struct piece *next;
	size_t used;
	char data[LISTING_PIECE - 16];
};

struct listing {
	struct dir_context ctx;
	struct piece *first, **last;
	int err;
};

static int add_entry(struct listing *l, const char *name, int len, u64 ino, unsigned int type)
{
	size_t size = ALIGN(sizeof(struct entry) + len, sizeof(u64));
	struct piece *p = container_of(l->last, struct piece, next);
	struct entry *entry;

	if ((len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.'))
		return 0;
	if (len > 255)
		return -ENAMETOOLONG;
	if (!l->first || p->used + size > sizeof(p->data)) {
		p = kvmalloc(sizeof(*p), GFP_KERNEL);
		if (!p)
			return -ENOMEM;
		p->next = NULL;
		p->used = 0;
		*l->last = p;
		l->last = &p->next;
	}
	entry = (struct entry *)(p->data + p->used);
	p->used += size;
	entry->ino = ino;
	entry->type = type;
	entry->len = len;
	memcpy(entry->name, name, len);
	return 0;
}

/* An actor says whether to go on by true and false since kernel commit 25885a35a720 (v6.1). */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 1, 0)
static bool take_entry(struct dir_context *ctx, const char *name, int len, loff_t offset, u64 ino,
		       unsigned int type)
{
	struct listing *l = container_of(ctx, struct listing, ctx);

	l->err = add_entry(l, name, len, ino, type);
	return !l->err;
}
#else
static int take_entry(struct dir_context *ctx, const char *name, int len, loff_t offset, u64 ino,
		      unsigned int type)
{
	struct listing *l = container_of(ctx, struct listing, ctx);

	l->err = add_entry(l, name, len, ino, type);
	return l->err;
}
#endif

static int read_directory(const char *path, struct listing *l)
{
	struct file *file = filp_open(path, O_RDONLY | O_DIRECTORY, 0);
	int err;

	if (IS_ERR(file))
		return PTR_ERR(file);
	do {
		loff_t before = l->ctx.pos;

		err = iterate_dir(file, &l->ctx);
		if (l->ctx.pos == before)
			break;
	} while (!err && !l->err);
	filp_close(file, NULL);
	return err ?: l->err;
}

static void free_listing(struct listing *l)
{
	struct piece *p, *next;

	for (p = l->first; p; p = next) {
		next = p->next;
		kvfree(p);
	}
}

static void append(mp_obj_t list, const struct entry *entry, bool with_type)
{
	mp_obj_t name = mp_obj_new_str(entry->name, entry->len);

	if (with_type) {
		mp_obj_t items[] = {
			name,
			MP_OBJ_NEW_SMALL_INT(entry->type << 12), /* DT_DIR to S_IFDIR */
			mp_obj_new_int_from_uint(entry->ino),
		};
		name = mp_obj_new_tuple(MP_ARRAY_SIZE(items), items);
	}
	mp_obj_list_append(list, name);
}

static mp_obj_t list_directory(const char *name, bool with_type)
{
	const char *path = kpy_path(*name ? name : ".");
	struct listing l = { .ctx = { .actor = take_entry } };
	struct kpy_entry *e = kpy_sleep_begin();
	mp_obj_t list = MP_OBJ_NULL;
	nlr_buf_t nlr;
	int err;

	l.last = &l.first;
	err = read_directory(path, &l);
	kpy_gil_acquire(e);
	nlr.ret_val = NULL;
	if (!err && nlr_push(&nlr) == 0) {
		list = mp_obj_new_list(0, NULL);
		for (struct piece *p = l.first; p; p = p->next)
			for (size_t at = 0; at < p->used;) {
				const struct entry *entry = (const void *)(p->data + at);

				append(list, entry, with_type);
				at += ALIGN(sizeof(*entry) + entry->len, sizeof(u64));
			}
		nlr_pop();
	}
	kpy_gil_release();
	free_listing(&l);
	finish(e, err, path);
	if (nlr.ret_val)
		nlr_jump(nlr.ret_val);
	return list;
}
#endif

static mp_obj_t os_listdir(size_t n_args, const mp_obj_t *args)
{
	return list_directory(n_args ? mp_obj_str_get_str(args[0]) : ".", false);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(os_listdir_obj, 0, 1, os_listdir);

/* ilistdir(path='.'): iterates over (name, type as in stat's mode, inode) */
static mp_obj_t os_ilistdir(size_t n_args, const mp_obj_t *args)
{
	return mp_getiter(list_directory(n_args ? mp_obj_str_get_str(args[0]) : ".", true), NULL);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(os_ilistdir_obj, 0, 1, os_ilistdir);

static mp_obj_t os_uname(void)
{
	static const qstr fields[] = { MP_QSTR_sysname, MP_QSTR_nodename, MP_QSTR_release,
				       MP_QSTR_version, MP_QSTR_machine };
	/* Not utsname(), that of the namespace: the task may be any. */
	const struct new_utsname *u = init_utsname();
	mp_obj_t items[] = {
		mp_obj_new_str_from_cstr(u->sysname), mp_obj_new_str_from_cstr(u->nodename),
		mp_obj_new_str_from_cstr(u->release), mp_obj_new_str_from_cstr(u->version),
		mp_obj_new_str_from_cstr(u->machine),
	};

	return mp_obj_new_attrtuple(fields, MP_ARRAY_SIZE(items), items);
}
static MP_DEFINE_CONST_FUN_OBJ_0(os_uname_obj, os_uname);

static mp_obj_t os_urandom(mp_obj_t n_in)
{
	mp_int_t n = mp_obj_get_int(n_in);
	struct kpy_entry *e;
	vstr_t data;

	if (n < 0)
		mp_raise_ValueError(MP_ERROR_TEXT("negative length"));
	vstr_init_len(&data, n);
	e = kpy_sleep_begin();
	get_random_bytes(data.buf, n);
	kpy_sleep_end(e);
	return mp_obj_new_bytes_from_vstr(&data);
}
static MP_DEFINE_CONST_FUN_OBJ_1(os_urandom_obj, os_urandom);

static const mp_rom_map_elem_t os_members[] = {
	{ MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_os) },
	{ MP_ROM_QSTR(MP_QSTR_sep), MP_ROM_QSTR(MP_QSTR__slash_) },
	{ MP_ROM_QSTR(MP_QSTR_chdir), MP_ROM_PTR(&kpy_chdir_obj) },
	{ MP_ROM_QSTR(MP_QSTR_getcwd), MP_ROM_PTR(&kpy_getcwd_obj) },
	{ MP_ROM_QSTR(MP_QSTR_ilistdir), MP_ROM_PTR(&os_ilistdir_obj) },
	{ MP_ROM_QSTR(MP_QSTR_listdir), MP_ROM_PTR(&os_listdir_obj) },
	{ MP_ROM_QSTR(MP_QSTR_mkdir), MP_ROM_PTR(&os_mkdir_obj) },
	{ MP_ROM_QSTR(MP_QSTR_remove), MP_ROM_PTR(&os_remove_obj) },
	{ MP_ROM_QSTR(MP_QSTR_rename), MP_ROM_PTR(&os_rename_obj) },
	{ MP_ROM_QSTR(MP_QSTR_rmdir), MP_ROM_PTR(&os_rmdir_obj) },
	{ MP_ROM_QSTR(MP_QSTR_stat), MP_ROM_PTR(&os_stat_obj) },
	{ MP_ROM_QSTR(MP_QSTR_uname), MP_ROM_PTR(&os_uname_obj) },
	{ MP_ROM_QSTR(MP_QSTR_unlink), MP_ROM_PTR(&os_remove_obj) },
	{ MP_ROM_QSTR(MP_QSTR_urandom), MP_ROM_PTR(&os_urandom_obj) },
};
static MP_DEFINE_CONST_DICT(os_dict, os_members);

const mp_obj_module_t kpy_module_os = {
	.base = { &mp_type_module },
	.globals = (mp_obj_dict_t *)&os_dict,
};
MP_REGISTER_EXTENSIBLE_MODULE(MP_QSTR_os, kpy_module_os);
