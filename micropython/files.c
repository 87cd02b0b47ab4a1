// SPDX-License-Identifier: GPL-2.0-or-later
/* Python source from the file system, for import. */
#include <linux/err.h>
#include <linux/fs.h>
#include "py/builtin.h"
#include "py/lexer.h"
#include "py/mperrno.h"
#include "py/reader.h"
#include "py/runtime.h"
#include "entry.h"

struct file_reader {
	struct file *file;
	loff_t pos;
	int n, at;
	u8 buf[512];
};

static mp_uint_t read_byte(void *data)
{
	struct file_reader *r = data;

	if (r->at == r->n) {
		struct kpy_entry *e = kpy_gil_release();

		r->n = kernel_read(r->file, r->buf, sizeof(r->buf), &r->pos);
		kpy_gil_acquire(e);
		r->at = 0;
		if (r->n <= 0) {
			r->n = 0;
			return MP_READER_EOF;
		}
	}
	return r->buf[r->at++];
}

static void close(void *data)
{
	struct file_reader *r = data;
	struct file *file = r->file;
	struct kpy_entry *e;

	m_del_obj(struct file_reader, r);
	e = kpy_gil_release();
	filp_close(file, NULL);
	kpy_gil_acquire(e);
}

static struct file *open_to_read(const char *path)
{
	struct kpy_entry *e = kpy_current;
	struct file *file;

	if (!kpy_may_sleep(e)) {
		mp_raise_msg(&mp_type_RuntimeError, MP_ERROR_TEXT("no files in this context"));
		return NULL;
	}
	kpy_gil_release();
	file = filp_open(path, O_RDONLY, 0);
	kpy_gil_acquire(e);
	return file;
}

mp_lexer_t *mp_lexer_new_from_file(qstr name)
{
	struct file_reader *r = m_new_obj(struct file_reader);
	mp_reader_t reader = { r, read_byte, close };

	r->pos = r->n = r->at = 0;
	r->file = open_to_read(qstr_str(name));
	if (IS_ERR(r->file))
		mp_raise_OSError_with_filename(-PTR_ERR(r->file), qstr_str(name));
	return mp_lexer_new(name, reader);
}

mp_import_stat_t mp_import_stat(const char *path)
{
	mp_import_stat_t stat = MP_IMPORT_STAT_NO_EXIST;
	struct file *file = open_to_read(path);
	struct kpy_entry *e;

	if (IS_ERR(file))
		return stat;
	stat = S_ISDIR(file_inode(file)->i_mode) ? MP_IMPORT_STAT_DIR : MP_IMPORT_STAT_FILE;
	e = kpy_gil_release();
	filp_close(file, NULL);
	kpy_gil_acquire(e);
	return stat;
}

static mp_obj_t builtin_open(size_t n_args, const mp_obj_t *args, mp_map_t *kwargs)
{
	mp_raise_NotImplementedError(MP_ERROR_TEXT("open() is not there yet: import reads files"));
	return mp_const_none;
}
MP_DEFINE_CONST_FUN_OBJ_KW(mp_builtin_open_obj, 1, builtin_open);
