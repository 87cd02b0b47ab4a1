# SPDX-License-Identifier: GPL-2.0-or-later
# Builds kpy.ko. Called by the top Makefile with KPY= (repository), KPY_UPSTREAM= (MicroPython's
# sources), KPY_BUILD= (build folder of one kernel release) and KDIR=, all absolute; KPY_STUBS= is
# the number of stubs, when it is to be another.
farm := $(KPY_BUILD)/module
stage := $(KPY_BUILD)/genhdr-stage
vars := KPY=$(KPY) KPY_BUILD=$(KPY_BUILD) KPY_UPSTREAM=$(KPY_UPSTREAM) KPY_STUBS=$(KPY_STUBS)

# Our sources that name qstrs, root pointers or modules.
port-src := $(addprefix $(KPY)/kmod/,gil.c ffi/convert.c ffi/symbol.c ffi/memory.c ffi/call.c \
	ffi/pointer.c ffi/globals.c ffi/listing.c ffi/variable.c \
	ffi/stats.c ffi/modkernel_ffi.c ffi/hook_object.c ffi/missed.c ffi/later.c \
	ffi/kernel_fault.c ffi/alloc.c ffi/buffer.c ffi/handler.c ffi/original.c ffi/target.c \
	ffi/ftrace_hook.c ffi/callback.c ffi/kprobe_hook.c ffi/registers.c ffi/tracepoint.c \
	debug/results.c) \
	$(addprefix $(KPY)/kmod/structs/,lookup.c check.c struct_object.c array_object.c enum_value.c \
	tools.c dump.c walk.c xarray.c percpu.c modstruct_access.c) \
	$(addprefix $(KPY)/micropython/,interp.c paths.c file_object.c modos.c machine.c stdio.c)

all: $(KPY_BUILD)/kpy.ko
.PHONY: all FORCE

# What the interpreter calls itself; upstream's script would ask git.
export MICROPY_GIT_TAG := v$(shell sed -nE 's/.*"version": "([0-9.]+).*/\1/p' \
	$(KPY)/micropython/upstream.json)

genhdr: FORCE
	@mkdir -p $(stage)
	+@$(MAKE) --no-print-directory -s -C $(KPY)/micropython -f port.mk BUILD=$(stage) V=0 CC=gcc-12 \
		UPSTREAM=$(KPY_UPSTREAM) KPY=$(KPY) PORT_SRC="$(port-src)" all >/dev/null

farm: genhdr FORCE
	@mkdir -p $(farm)
	@for d in py extmod shared lib; do cp -rsfT $(KPY_UPSTREAM)/$$d $(farm)/$$d; done
	@for d in kmod micropython; do cp -rsfT $(KPY)/$$d $(farm)/$$d; done
	@ln -sf $(KPY)/kmod/Kbuild $(farm)/Kbuild

# Kbuild decides what is out of date.
$(KPY_BUILD)/kpy.ko: farm FORCE
	+@$(MAKE) --no-print-directory -C $(KDIR) M=$(farm) $(vars) modules
	@cmp -s $(farm)/kpy.ko $@ || { cp $(farm)/kpy.ko $@.new && mv $@.new $@; }
