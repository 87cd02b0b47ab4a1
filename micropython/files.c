// SPDX-License-Identifier: GPL-2.0-or-later
/* Python source from the file system, for import. */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/namei.h>
#include <linux/path.h>
#include "py/builtin.h"
#include "py/lexer.h"
#include "py/reader.h"
#include "py/runtime.h"
#include "py/stream.h"
#include "files.h"

/* The reader is a file object: an import that is cut off leaves it to the collector. */
static mp_uint_t read_byte(void *file)
{
	int c = kpy_file_getc(MP_OBJ_FROM_PTR(file));

	return c < 0 ? MP_READER_EOF : c;
}

static void close(void *file)
{
	mp_stream_close(MP_OBJ_FROM_PTR(file));
}

mp_lexer_t *mp_lexer_new_from_file(qstr name)
{
	mp_reader_t reader = { MP_OBJ_TO_PTR(kpy_file_open(qstr_str(name), "rb")), read_byte,
			       close };

	return mp_lexer_new(name, reader);
}

mp_import_stat_t mp_import_stat(const char *name)
{
	mp_import_stat_t stat = MP_IMPORT_STAT_NO_EXIST;
	const char *path = kpy_path(name);
	struct kpy_entry *e = kpy_sleep_begin();
	struct path found;

	if (!kern_path(path, LOOKUP_FOLLOW, &found)) {
		stat = S_ISDIR(d_inode(found.dentry)->i_mode) ? MP_IMPORT_STAT_DIR
							      : MP_IMPORT_STAT_FILE;
		path_put(&found);
	}
	kpy_sleep_end(e);
	return stat;
}
