// SPDX-License-Identifier: GPL-2.0-or-later
/* The REPL of a session, by upstream's pyexec. */
#include <linux/jiffies.h>
#include <linux/sched.h>
#include "py/builtin.h"
#include "py/mphal.h"
#include "py/runtime.h"
#include "shared/runtime/pyexec.h"
#include "kpy.h"
#include "entry.h"
#include "debug/info.h"
#include "ffi/hook.h"
#include "restart.h"
#include "repl/session.h"

/* Makes a session's entry fit for the interpreter that runs now. */
static void renew(struct kpy_entry *e)
{
	e->epoch = kpy_epoch;
	e->finalising = false;
	e->ts->gc_lock_depth = 0;
	e->ts->mp_pending_exception = MP_OBJ_NULL;
	e->own_ts.dict_locals = e->own_ts.dict_globals = &MP_STATE_VM(dict_main);
	e->own_ts.pystack_cur = e->own_ts.pystack_start;
}

/* Starts the interpreter anew, under this session and whatever else is connected. */
static void soft_reset(struct kpy_session *s)
{
	struct kpy_entry *e = &s->entry;

	kpy_gil_release();
	/* Whoever is stuck in a kernel call leaves Python when that returns: its epoch is over. */
	kpy_hooks_stop(jiffies + HZ);
	kpy_threads_stop(jiffies + HZ);
	kpy_gil_acquire(e);
	kpy_interpreter_stop();
	kpy_interpreter_start();
	renew(e);
	mp_hal_stdout_tx_str("MPY: soft reboot\r\n");
}

static int run_once(struct kpy_session *s)
{
	int result;

	/* Upstream sets this global just before it returns: no other session comes between. */
	pyexec_mode_kind = s->mode;
	result = s->mode == PYEXEC_MODE_RAW_REPL ? pyexec_raw_repl() : pyexec_friendly_repl();
	s->mode = pyexec_mode_kind;
	return result;
}

void kpy_repl_run(struct kpy_session *s)
{
	struct kpy_entry *e = &s->entry;
	nlr_buf_t base;

	s->mode = PYEXEC_MODE_FRIENDLY_REPL;
	kpy_restart_wait(s);
	while (!READ_ONCE(s->eof) && !e->abort) {
		nlr_buf_t *nlr = &base;

		nlr->ret_val = NULL;
		if (nlr_push(nlr) == 0) {
			int result;

			e->base = nlr;
			result = run_once(s);
			nlr_pop();
			e->base = NULL;
			if (!(result & PYEXEC_FORCED_EXIT))
				continue;
			if (!kpy_tests_mode || READ_ONCE(s->eof))
				break;
			soft_reset(s);
		} else {
			/* An abort, or an exception that came out while another was printed. */
			e->base = NULL;
			kpy_restart_wait(s);
			renew(e);
			s->interrupt_char = -1;
		}
	}
	e->base = NULL;
}
