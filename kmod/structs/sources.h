/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What describes the types of the running kernel: BTF of vmlinux and of its modules, and the
 * layout table. Made ready when first asked for; found types stay valid until the module goes.
 */
#pragma once
#include "structs/btf.h"

/* Makes the sources ready, with the BTF of that module (or NULL). Without the GIL; may sleep. */
void kpy_sources_prepare(const char *module);
/* Has this been done, for that module as it is loaded now? Any context. */
bool kpy_sources_ready(const char *module);

/* What is ready, NULL else. Any context. */
const struct kpy_btf *kpy_sources_vmlinux(void);
const struct kpy_btf *kpy_sources_module(const char *module);

/*
 * The declaration of a function or variable: from the BTF of its module (NULL: vmlinux), else
 * from the layout table. No source: unknown, or the name has several types. Any context.
 */
struct kpy_ctype kpy_sources_decl(const char *module, const char *name);

/* Memory in use. */
size_t kpy_sources_bytes(void);
void kpy_sources_exit(void);
