// SPDX-License-Identifier: GPL-2.0-or-later
/* dump_struct: values of all members. pahole: offsets, sizes and holes. */
#ifndef NO_QSTR
#include <linux/kernel.h>
#include <linux/string.h>
#endif
#include "py/runtime.h"
#include "structs/lookup.h"
#include "structs/object.h"
#include "structs/tools.h"

#ifndef NO_QSTR
#define LEVELS_MAX 8

struct dump {
	uintptr_t base;
	int level, levels;
	struct kpy_ctype record;
};

static void print_record(struct kpy_ctype record, uintptr_t base, int level, int levels);

static void indent(int level)
{
	while (level--)
		mp_print_str(&mp_plat_print, "    ");
}

/* A value, or what is wrong with it: dumping never raises for memory that is not there. */
static void print_value(const struct kpy_cmember *m, uintptr_t base, u32 bit_offset,
			struct kpy_ctype record)
{
	struct kpy_place place = { record, m->name };
	nlr_buf_t nlr;

	if (nlr_push(&nlr) == 0) {
		mp_obj_t value = kpy_typed_load(m->type, base + bit_offset / 8, m->bits,
						bit_offset % 8, &place);

		mp_obj_print_helper(&mp_plat_print, value, PRINT_REPR);
		nlr_pop();
	} else if (nlr.ret_val && mp_obj_exception_match(MP_OBJ_FROM_PTR(nlr.ret_val),
							 MP_OBJ_FROM_PTR(&mp_type_OSError))) {
		mp_print_str(&mp_plat_print, "<bad address>");
	} else {
		nlr_jump(nlr.ret_val);
	}
}

static bool print_member(const struct kpy_cmember *m, u32 bit_offset, void *data)
{
	const struct dump *d = data;
	struct kpy_cmember copy = *m;
	char name[KPY_C_NAME_MAX];
	struct kpy_ctype plain;
	struct kpy_cinfo info;

	mp_handle_pending(true);
	strscpy(name, m->name, sizeof(name));
	copy.name = name;
	plain = kpy_ctype_strip(m->type, &info);
	indent(d->level + 1);
	if ((info.kind == KPY_C_STRUCT || info.kind == KPY_C_UNION) && d->level + 1 < d->levels) {
		mp_printf(&mp_plat_print, "%s = {\n", name);
		print_record(plain, d->base + bit_offset / 8, d->level + 1, d->levels);
		indent(d->level + 1);
		mp_print_str(&mp_plat_print, "}\n");
		return false;
	}
	mp_printf(&mp_plat_print, "%s = ", name);
	print_value(&copy, d->base, bit_offset, d->record);
	mp_print_str(&mp_plat_print, "\n");
	return false;
}

static void print_record(struct kpy_ctype record, uintptr_t base, int level, int levels)
{
	struct dump d = { base, level, levels, record };

	kpy_fields_walk(record, print_member, &d);
}

static void dump(mp_obj_t o, int levels)
{
	const kpy_ptr_t *self = MP_OBJ_TO_PTR(o);
	struct kpy_cinfo info;

	if (!mp_obj_is_exact_type(o, &kpy_type_struct_ptr))
		mp_raise_msg_varg(&mp_type_TypeError, MP_ERROR_TEXT("'%s' is no StructPtr"),
				  mp_obj_get_type_str(o));
	kpy_require_layout(self->type);
	kpy_ctype_get(self->type, &info);
	mp_printf(&mp_plat_print, "%s %s at 0x%lx {\n",
		  info.kind == KPY_C_UNION ? "union" : "struct", info.name,
		  (unsigned long)self->value);
	print_record(self->type, self->value, 0, min(levels, LEVELS_MAX));
	mp_print_str(&mp_plat_print, "}\n");
}

struct holes {
	u32 end; /* bits that have been told */
	u32 bits;
};

static bool print_layout(const struct kpy_cmember *m, u32 bit_offset, void *data)
{
	struct holes *h = data;
	u32 size = kpy_ctype_size(m->type);
	char buf[160], name[KPY_C_NAME_MAX];
	struct kpy_text text = { buf, sizeof(buf) };

	mp_handle_pending(true);
	strscpy(name, m->name, sizeof(name));
	if (bit_offset > h->end) {
		h->bits += bit_offset - h->end;
		if ((bit_offset - h->end) % 8)
			mp_printf(&mp_plat_print, "    /* hole of %u bits */\n",
				  bit_offset - h->end);
		else
			mp_printf(&mp_plat_print, "    /* hole of %u bytes */\n",
				  (bit_offset - h->end) / 8);
	}
	*buf = 0;
	kpy_ctype_declare(&text, m->type, name);
	if (m->bits)
		mp_printf(&mp_plat_print, "    %s:%u;  /* 0x%x:%u */\n", buf, m->bits,
			  bit_offset / 8, bit_offset % 8);
	else
		mp_printf(&mp_plat_print, "    %s;  /* 0x%x %u */\n", buf, bit_offset / 8, size);
	h->end = max(h->end, bit_offset + (m->bits ?: size * 8));
	return false;
}

static void layout(struct kpy_ctype record)
{
	struct kpy_cinfo info;
	struct holes h = {};

	kpy_ctype_get(record, &info);
	mp_printf(&mp_plat_print, "%s %s {\n", info.kind == KPY_C_UNION ? "union" : "struct",
		  info.name);
	kpy_fields_walk(record, print_layout, &h);
	kpy_ctype_get(record, &info);
	if (info.size * 8 > h.end && info.kind == KPY_C_STRUCT)
		mp_printf(&mp_plat_print, "    /* padding of %u bytes */\n", info.size - h.end / 8);
	mp_printf(&mp_plat_print, "};  /* %u bytes, %u in holes */\n", info.size, h.bits / 8);
}
#endif

/* dump_struct(p, levels=1): prints the members; with levels=2 those of embedded structs, too. */
static mp_obj_t dump_struct(size_t n, const mp_obj_t *args)
{
#ifndef NO_QSTR
	dump(args[0], n > 1 ? mp_obj_get_int(args[1]) : 1);
	return mp_const_none;
#endif
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(kpy_dump_struct_obj, 1, 2, dump_struct);

/* pahole(s): prints the layout of a Struct, of a StructPtr's, or of that name. */
static mp_obj_t pahole(mp_obj_t o)
{
#ifndef NO_QSTR
	layout(kpy_record_of(o));
	return mp_const_none;
#endif
}
MP_DEFINE_CONST_FUN_OBJ_1(kpy_pahole_obj, pahole);
