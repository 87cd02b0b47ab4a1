// SPDX-License-Identifier: GPL-2.0-or-later
/* Finds the descriptions of types that the running kernel has, and keeps them. */
#include <linux/fs.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include "kpy.h"
#include "ffi/modules.h"
#include "structs/layout.h"
#include "structs/sources.h"

#define FILE_MAX (64UL << 20)

struct source {
	struct source *next; /* older: what was found there stays valid */
	char module[MODULE_NAME_LEN]; /* "": vmlinux */
	unsigned int generation; /* of modules for which this is known to hold */
	struct kpy_btf btf; /* without types: there is no BTF */
	void *data; /* our copy, NULL for vmlinux in place */
	size_t size;
};

/* Grows at its head, under the mutex; readers need no lock, as nothing leaves before unload. */
static struct source *sources;
static DEFINE_MUTEX(mutex);

static struct source *find(const char *module)
{
	struct source *s = smp_load_acquire(&sources);

	while (s && strcmp(s->module, module))
		s = s->next;
	return s;
}

static bool is_current(const struct source *s)
{
	return s && (!*s->module || READ_ONCE(s->generation) == kpy_module_generation());
}

/* The file in which the kernel offers its BTF; NULL, also when sysfs is not mounted. */
static void *read_sysfs(const char *name, size_t *size)
{
	char path[sizeof("/sys/kernel/btf/") + MODULE_NAME_LEN];
	struct file *file;
	void *data = NULL;
	loff_t at = 0;

	snprintf(path, sizeof(path), "/sys/kernel/btf/%s", name);
	file = filp_open(path, O_RDONLY, 0);
	if (IS_ERR(file))
		return NULL;
	*size = i_size_read(file_inode(file));
	if (*size && *size <= FILE_MAX)
		data = kvmalloc(*size, GFP_KERNEL);
	while (data && at < *size) {
		ssize_t n = kernel_read(file, data + at, *size - at, &at);

		if (n <= 0) {
			kvfree(data);
			data = NULL;
		}
	}
	filp_close(file, NULL);
	return data;
}

static void open_vmlinux(struct source *s)
{
	void *start = (void *)kpy_kallsyms_lookup("__start_BTF");
	void *stop = (void *)kpy_kallsyms_lookup("__stop_BTF");

	if (start && stop > start) {
		s->size = stop - start;
	} else {
		start = s->data = read_sysfs("vmlinux", &s->size);
		if (!start)
			return;
	}
	if (kpy_btf_open(&s->btf, start, s->size, NULL))
		pr_warn("the kernel's BTF cannot be used\n");
}

/* A BTF that is the same as before, as after rmmod and insmod, is kept. */
static struct source *open_module(struct source *s, struct source *before)
{
	const struct kpy_btf *base = kpy_sources_vmlinux();
	unsigned int generation = kpy_module_generation();

	s->data = base ? read_sysfs(s->module, &s->size) : NULL;
	if (before && before->size == s->size && !before->data == !s->data &&
	    (!s->data || !memcmp(before->data, s->data, s->size))) {
		WRITE_ONCE(before->generation, generation);
		return NULL;
	}
	s->generation = generation;
	if (s->data && kpy_btf_open(&s->btf, s->data, s->size, base))
		pr_warn("the BTF of module %s cannot be used\n", s->module);
	return s;
}

static void release(struct source *s)
{
	kpy_btf_close(&s->btf);
	kvfree(s->data);
	kfree(s);
}

static void prepare(const char *module)
{
	struct source *before = find(module), *s;

	if (is_current(before))
		return;
	s = kzalloc(sizeof(*s), GFP_KERNEL);
	if (!s)
		return;
	strscpy(s->module, module, sizeof(s->module));
	if (!*module) {
		kpy_layout_check();
		open_vmlinux(s);
	} else if (!open_module(s, before)) {
		release(s);
		return;
	}
	s->next = sources;
	smp_store_release(&sources, s);
}

void kpy_sources_prepare(const char *module)
{
	mutex_lock(&mutex);
	prepare("");
	if (module)
		prepare(module);
	mutex_unlock(&mutex);
}

bool kpy_sources_ready(const char *module)
{
	return find("") && (!module || is_current(find(module)));
}

static const struct kpy_btf *btf_of(const char *module)
{
	const struct source *s = find(module);

	return is_current(s) && s->btf.n_types ? &s->btf : NULL;
}

const struct kpy_btf *kpy_sources_vmlinux(void)
{
	return btf_of("");
}

const struct kpy_btf *kpy_sources_module(const char *module)
{
	return btf_of(module);
}

static struct kpy_ctype decl_in_btf(const struct kpy_btf *btf, const char *name)
{
	struct kpy_ctype found = {}, t;
	struct kpy_cinfo info;
	u32 id = 0, target = 0;

	while (btf && (id = kpy_btf_find(btf, KPY_C_DECL, name, id))) {
		t = kpy_btf_type(btf, id);
		kpy_ctype_get(t, &info);
		/* Static functions of one name: which of them is meant cannot be known. */
		if (found.in && info.target != target)
			return (struct kpy_ctype){};
		found = t;
		target = info.target;
	}
	return found;
}

/* Functions in assembly have that type in BTF (binutils describe them so), whatever they take. */
static bool is_void_void(struct kpy_ctype decl)
{
	struct kpy_cinfo info;

	kpy_ctype_get(decl, &info);
	decl.id = info.target;
	kpy_ctype_get(decl, &info);
	return info.kind == KPY_C_FUNCTION && !info.count && !info.target;
}

struct kpy_ctype kpy_sources_decl(const char *module, const char *name)
{
	struct kpy_ctype t = decl_in_btf(btf_of(module ?: ""), name), declared;
	u32 at = 0;

	if (t.in && !is_void_void(t))
		return t;
	declared = kpy_layout_find(KPY_C_DECL, name, &at);
	return declared.in ? declared : t;
}

size_t kpy_sources_bytes(void)
{
	size_t n = 0;

	for (const struct source *s = smp_load_acquire(&sources); s; s = s->next)
		n += sizeof(*s) + s->btf.index_bytes + (s->data ? s->size : 0);
	return n;
}

void kpy_sources_exit(void)
{
	while (sources) {
		struct source *s = sources;

		sources = s->next;
		release(s);
	}
}
