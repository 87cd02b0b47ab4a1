// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The machine module: memory by address. Upstream's would follow any address it is given;
 * here a bad one is an OSError.
 */
#include "py/runtime.h"
#include "ffi/ffi.h"

typedef struct {
	mp_obj_base_t base;
	size_t size;
} memory_t;

static void memory_print(const mp_print_t *print, mp_obj_t self, mp_print_kind_t kind)
{
	memory_t *m = MP_OBJ_TO_PTR(self);

	mp_printf(print, "<%u-bit memory>", 8 * (unsigned int)m->size);
}

/* mem[address] and mem[address] = value. A value may have more bits than fit, as upstream has it. */
static mp_obj_t memory_subscr(mp_obj_t self, mp_obj_t index, mp_obj_t value)
{
	memory_t *m = MP_OBJ_TO_PTR(self);
	unsigned long address, word = 0;

	if (value == MP_OBJ_NULL)
		return MP_OBJ_NULL; /* del is not supported */
	address = kpy_to_address(index);
	if (address & (m->size - 1))
		mp_raise_msg_varg(&mp_type_ValueError,
				  MP_ERROR_TEXT("address %08x is not aligned to %d bytes"), address,
				  (int)m->size);
	if (value == MP_OBJ_SENTINEL) {
		if (kpy_read_memory(&word, address, m->size))
			kpy_raise_fault(address);
		return mp_obj_new_int_from_uint(word);
	}
	word = mp_obj_get_int_truncated(value);
	kpy_store(address, &word, m->size);
	return mp_const_none;
}

/* clang-format off */
static MP_DEFINE_CONST_OBJ_TYPE(memory_type, MP_QSTR_mem, MP_TYPE_FLAG_NONE,
	print, memory_print, subscr, memory_subscr);
/* clang-format on */

static const memory_t mem8 = { { &memory_type }, 1 };
static const memory_t mem16 = { { &memory_type }, 2 };
static const memory_t mem32 = { { &memory_type }, 4 };
static const memory_t mem64 = { { &memory_type }, 8 };

static const mp_rom_map_elem_t machine_members[] = {
	{ MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_machine) },
	{ MP_ROM_QSTR(MP_QSTR_mem8), MP_ROM_PTR(&mem8) },
	{ MP_ROM_QSTR(MP_QSTR_mem16), MP_ROM_PTR(&mem16) },
	{ MP_ROM_QSTR(MP_QSTR_mem32), MP_ROM_PTR(&mem32) },
	{ MP_ROM_QSTR(MP_QSTR_mem64), MP_ROM_PTR(&mem64) },
};
static MP_DEFINE_CONST_DICT(machine_dict, machine_members);

const mp_obj_module_t kpy_module_machine = {
	.base = { &mp_type_module },
	.globals = (mp_obj_dict_t *)&machine_dict,
};
MP_REGISTER_EXTENSIBLE_MODULE(MP_QSTR_machine, kpy_module_machine);
