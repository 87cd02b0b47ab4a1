// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sys.stdin, stdout and stderr: the session that runs the code. They take the place of
 * upstream's, which have no flush() and fileno(), and no end of file.
 */
#include "py/mperrno.h"
#include "py/mphal.h"
#include "py/obj.h"
#include "py/runtime.h"
#include "py/stream.h"
#ifndef NO_QSTR
#include "repl/session.h"
#endif

#define CTRL_D 4

enum { FD_IN, FD_OUT, FD_ERR };

typedef struct {
	mp_obj_base_t base;
	int fd;
} stdio_obj_t;

extern const mp_obj_type_t kpy_type_stdio_text, kpy_type_stdio_binary;

const stdio_obj_t mp_sys_stdin_obj = { { &kpy_type_stdio_text }, FD_IN };
const stdio_obj_t mp_sys_stdout_obj = { { &kpy_type_stdio_text }, FD_OUT };
const stdio_obj_t mp_sys_stderr_obj = { { &kpy_type_stdio_text }, FD_ERR };
static const stdio_obj_t buffers[] = {
	{ { &kpy_type_stdio_binary }, FD_IN },
	{ { &kpy_type_stdio_binary }, FD_OUT },
	{ { &kpy_type_stdio_binary }, FD_ERR },
};

#ifndef NO_QSTR
static void stdio_print(const mp_print_t *print, mp_obj_t self, mp_print_kind_t kind)
{
	stdio_obj_t *o = MP_OBJ_TO_PTR(self);

	mp_printf(print, "<io.%s %d>", mp_obj_get_type_str(self), o->fd);
}

/* Hooks and threads have no input: they are at its end. So is a text that Ctrl-D ends. */
static mp_uint_t stdio_read(mp_obj_t self, void *buf, mp_uint_t n, int *errcode)
{
	stdio_obj_t *o = MP_OBJ_TO_PTR(self);
	bool text = o->base.type == &kpy_type_stdio_text;
	struct kpy_session *s = kpy_current->session;
	mp_uint_t done;

	if (o->fd != FD_IN) {
		*errcode = MP_EBADF;
		return MP_STREAM_ERROR;
	}
	if (!s || kpy_current != &s->entry)
		return 0;
	for (done = 0; done < n; done++) {
		int c = mp_hal_stdin_rx_chr();

		if (text && c == CTRL_D)
			break;
		((byte *)buf)[done] = text && c == '\r' ? '\n' : c;
	}
	return done;
}

static mp_uint_t stdio_write(mp_obj_t self, const void *buf, mp_uint_t n, int *errcode)
{
	stdio_obj_t *o = MP_OBJ_TO_PTR(self);

	if (o->fd == FD_IN) {
		*errcode = MP_EBADF;
		return MP_STREAM_ERROR;
	}
	if (o->base.type == &kpy_type_stdio_text)
		mp_hal_stdout_tx_strn_cooked(buf, n);
	else
		mp_hal_stdout_tx_strn(buf, n);
	return n;
}

static mp_uint_t stdio_ioctl(mp_obj_t self, mp_uint_t request, uintptr_t arg, int *errcode)
{
	stdio_obj_t *o = MP_OBJ_TO_PTR(self);

	switch (request) {
	case MP_STREAM_POLL:
		return mp_hal_stdio_poll(arg);
	case MP_STREAM_CLOSE:
	case MP_STREAM_FLUSH:
		return 0;
	case MP_STREAM_GET_FILENO:
		return o->fd;
	default:
		*errcode = MP_EINVAL;
		return MP_STREAM_ERROR;
	}
}
#endif

static mp_obj_t stdio_fileno(mp_obj_t self)
{
	return MP_OBJ_NEW_SMALL_INT(((stdio_obj_t *)MP_OBJ_TO_PTR(self))->fd);
}
static MP_DEFINE_CONST_FUN_OBJ_1(stdio_fileno_obj, stdio_fileno);

static void text_attr(mp_obj_t self, qstr attr, mp_obj_t *dest)
{
	stdio_obj_t *o = MP_OBJ_TO_PTR(self);

	if (dest[0] != MP_OBJ_NULL)
		return;
	if (attr == MP_QSTR_buffer)
		dest[0] = MP_OBJ_FROM_PTR(&buffers[o->fd]);
	else
		dest[1] = MP_OBJ_SENTINEL; /* look in the members */
}

static const mp_rom_map_elem_t stdio_members[] = {
	{ MP_ROM_QSTR(MP_QSTR_read), MP_ROM_PTR(&mp_stream_read_obj) },
	{ MP_ROM_QSTR(MP_QSTR_readinto), MP_ROM_PTR(&mp_stream_readinto_obj) },
	{ MP_ROM_QSTR(MP_QSTR_readline), MP_ROM_PTR(&mp_stream_unbuffered_readline_obj) },
	{ MP_ROM_QSTR(MP_QSTR_readlines), MP_ROM_PTR(&mp_stream_unbuffered_readlines_obj) },
	{ MP_ROM_QSTR(MP_QSTR_write), MP_ROM_PTR(&mp_stream_write_obj) },
	{ MP_ROM_QSTR(MP_QSTR_flush), MP_ROM_PTR(&mp_stream_flush_obj) },
	{ MP_ROM_QSTR(MP_QSTR_fileno), MP_ROM_PTR(&stdio_fileno_obj) },
	{ MP_ROM_QSTR(MP_QSTR_close), MP_ROM_PTR(&mp_identity_obj) },
	{ MP_ROM_QSTR(MP_QSTR___enter__), MP_ROM_PTR(&mp_identity_obj) },
	{ MP_ROM_QSTR(MP_QSTR___exit__), MP_ROM_PTR(&mp_stream___exit___obj) },
};
static MP_DEFINE_CONST_DICT(stdio_dict, stdio_members);

#ifndef NO_QSTR
static const mp_stream_p_t text_stream = {
	.read = stdio_read,
	.write = stdio_write,
	.ioctl = stdio_ioctl,
	.is_text = true,
};

static const mp_stream_p_t binary_stream = {
	.read = stdio_read,
	.write = stdio_write,
	.ioctl = stdio_ioctl,
};
#endif

/* clang-format off */
MP_DEFINE_CONST_OBJ_TYPE(kpy_type_stdio_text, MP_QSTR_TextIOWrapper, MP_TYPE_FLAG_ITER_IS_STREAM,
	print, stdio_print, attr, text_attr, protocol, &text_stream, locals_dict, &stdio_dict);
MP_DEFINE_CONST_OBJ_TYPE(kpy_type_stdio_binary, MP_QSTR_FileIO, MP_TYPE_FLAG_ITER_IS_STREAM,
	print, stdio_print, protocol, &binary_stream, locals_dict, &stdio_dict);
/* clang-format on */
