/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What upstream's extmod/modtime.c includes for the parts that differ between ports. */
#pragma once
#include "py/mphal.h"
#include "py/runtime.h"
#include "shared/timeutils/timeutils.h"

static mp_obj_t mp_time_time_get(void)
{
	return mp_obj_new_int_from_ull(mp_hal_time_ns() / 1000000000);
}

/* UTC: the kernel knows no other zone. */
static mp_obj_t mp_time_localtime_get(void)
{
	timeutils_struct_time_t t;
	mp_obj_t items[8];

	timeutils_seconds_since_epoch_to_struct_time(mp_hal_time_ns() / 1000000000, &t);
	items[0] = MP_OBJ_NEW_SMALL_INT(t.tm_year);
	items[1] = MP_OBJ_NEW_SMALL_INT(t.tm_mon);
	items[2] = MP_OBJ_NEW_SMALL_INT(t.tm_mday);
	items[3] = MP_OBJ_NEW_SMALL_INT(t.tm_hour);
	items[4] = MP_OBJ_NEW_SMALL_INT(t.tm_min);
	items[5] = MP_OBJ_NEW_SMALL_INT(t.tm_sec);
	items[6] = MP_OBJ_NEW_SMALL_INT(t.tm_wday);
	items[7] = MP_OBJ_NEW_SMALL_INT(t.tm_yday);
	return mp_obj_new_tuple(8, items);
}

static void mp_time_sleep(mp_obj_t seconds)
{
	mp_int_t n = mp_obj_get_int(seconds);

	if (n < 0)
		mp_raise_ValueError(MP_ERROR_TEXT("sleep length must be non-negative"));
	mp_hal_delay_ms(n > MP_SSIZE_MAX / 1000 ? MP_SSIZE_MAX : n * 1000);
}
