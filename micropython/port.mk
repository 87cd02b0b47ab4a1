# SPDX-License-Identifier: GPL-2.0-or-later
# Stage one of the module build: upstream's own make rules generate genhdr/ (qstrs, root
# pointers, module table) with the host compiler and name the objects of the core.
# Called by kmod/module.mk with UPSTREAM=, KPY= (repository), BUILD= (absolute paths) and PORT_SRC=.
include $(UPSTREAM)/py/mkenv.mk
QSTR_DEFS = $(KPY)/micropython/qstrdefsport.h
include $(TOP)/py/py.mk
include $(TOP)/extmod/extmod.mk

# Headers of the kernel are kept from this stage by NO_QSTR: C library headers stand in for them.
INC += -I$(KPY)/micropython/override -I$(KPY)/micropython -I$(KPY)/kmod -I$(TOP) -I$(BUILD)
CFLAGS += $(INC) -std=gnu11 -DNDEBUG

# The upstream files, beside the core, that the module is built from.
UPSTREAM_SRC = extmod/modtime.c extmod/moductypes.c extmod/modjson.c extmod/modre.c \
	extmod/modheapq.c extmod/modbinascii.c extmod/modhashlib.c extmod/moddeflate.c \
	extmod/modrandom.c shared/timeutils/timeutils.c \
	shared/runtime/pyexec.c shared/runtime/stdout_helpers.c \
	shared/runtime/gchelper_generic.c

SRC_QSTR += $(UPSTREAM_SRC) shared/readline/readline.c $(PORT_SRC)
OBJ =

all: $(BUILD)/objects.mk

include $(TOP)/py/mkrules.mk

GENERATED = $(addprefix $(HEADER_BUILD)/,qstrdefs.generated.h mpversion.h moduledefs.h root_pointers.h)

# Rewritten only when it changes, so that Kbuild does not start over for nothing.
$(BUILD)/objects.mk: $(GENERATED) FORCE
	$(Q)echo "upstream-objs := $(PY_CORE_O_BASENAME) $(UPSTREAM_SRC:.c=.o)" > $@.new
	$(Q)cmp -s $@.new $@ && rm $@.new || mv $@.new $@
FORCE:
.PHONY: FORCE
