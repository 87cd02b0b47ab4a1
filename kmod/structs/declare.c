// SPDX-License-Identifier: GPL-2.0-or-later
/* Types in C syntax: a declarator grows around the name, from the inside out. */
#include <linux/kernel.h>
#include <linux/string.h>
#include "structs/ctype.h"

void kpy_text_add(struct kpy_text *out, const char *fmt, ...)
{
	size_t room = out->len < out->size ? out->size - out->len : 0;
	va_list args;

	va_start(args, fmt);
	out->len += vsnprintf(room ? out->at + out->len : NULL, room, fmt, args);
	va_end(args);
}

static const char *tag_word(enum kpy_ckind kind)
{
	return kind == KPY_C_STRUCT ? "struct" : kind == KPY_C_UNION ? "union" : "enum";
}

static void qualifiers(struct kpy_text *out, u8 q, const char *before, const char *after)
{
	static const struct {
		u8 bit;
		const char *word;
	} words[] = { { KPY_Q_CONST, "const" },
		      { KPY_Q_VOLATILE, "volatile" },
		      { KPY_Q_RESTRICT, "restrict" } };

	for (int i = 0; i < ARRAY_SIZE(words); i++)
		if (q & words[i].bit)
			kpy_text_add(out, "%s%s%s", before, words[i].word, after);
}

/* The name of a type that is not derived from another. */
static void base_name(struct kpy_text *out, const struct kpy_cinfo *info)
{
	switch (info->kind) {
	case KPY_C_VOID:
		kpy_text_add(out, "void");
		return;
	case KPY_C_STRUCT:
	case KPY_C_UNION:
	case KPY_C_ENUM:
		kpy_text_add(out, "%s %s", tag_word(info->kind),
			     *info->name ? info->name : "{...}");
		return;
	case KPY_C_BAD:
		kpy_text_add(out, "?");
		return;
	default:
		kpy_text_add(out, "%s", *info->name ? info->name : "?");
	}
}

static bool is_pointer(struct kpy_ctype t)
{
	struct kpy_cinfo info;

	kpy_ctype_get(t, &info);
	return info.kind == KPY_C_POINTER;
}

static bool is_derived(enum kpy_ckind kind)
{
	return kind == KPY_C_POINTER || kind == KPY_C_ARRAY || kind == KPY_C_FUNCTION;
}

/* Goes from a type to what it is made of, collecting qualifiers on the way. */
static struct kpy_ctype skip_qualifiers(struct kpy_ctype t, struct kpy_cinfo *info, u8 *q)
{
	*q = 0;
	for (int depth = 0; depth < KPY_C_DEPTH; depth++) {
		kpy_ctype_get(t, info);
		if (info->kind != KPY_C_QUALIFIED)
			return t;
		*q |= info->qualifiers;
		t.id = info->target;
	}
	info->kind = KPY_C_BAD;
	return t;
}

static void declare(struct kpy_text *out, struct kpy_ctype t, const char *name, int depth);

static void parameters(struct kpy_text *out, struct kpy_ctype function,
		       const struct kpy_cinfo *info, int depth)
{
	u32 i;

	kpy_text_add(out, "(");
	for (i = 0; i < info->count; i++) {
		struct kpy_cmember m;

		if (i)
			kpy_text_add(out, ", ");
		if (!kpy_ctype_member(function, i, &m)) {
			kpy_text_add(out, "?");
			break;
		}
		declare(out, m.type, m.name, depth + 1);
	}
	if (info->variadic)
		kpy_text_add(out, info->count ? ", ..." : "...");
	else if (!info->count)
		kpy_text_add(out, "void");
	kpy_text_add(out, ")");
}

/* Parameters that are functions nest: deeper than this nobody reads. */
#define NEST 4
/* Derivations of one declarator that are kept; further ones are not shown. */
#define LEVELS 12

/*
 * What is written on the left of the name and what on the right of it are two walks over
 * the same types: "int (*(*name)[3])(void)" has on the left "int (*(*" and on the right
 * ")[3])(void)".
 */
static void declare(struct kpy_text *out, struct kpy_ctype t, const char *name, int depth)
{
	/* From the name outwards: pointer, array and function derivations. */
	struct kpy_ctype types[LEVELS];
	u8 quals[LEVELS], q;
	struct kpy_cinfo info;
	int n = 0, i;

	if (depth > NEST) {
		kpy_text_add(out, "...");
		return;
	}
	for (;;) {
		t = skip_qualifiers(t, &info, &q);
		if (!is_derived(info.kind) || n == LEVELS)
			break;
		types[n] = t;
		quals[n++] = q;
		t.id = info.target;
	}
	qualifiers(out, q, "", " ");
	base_name(out, &info);
	/* The left side begins with the derivation that is applied last. */
	if (*name || (n && n != LEVELS))
		kpy_text_add(out, " ");
	for (i = n - 1; i >= 0; i--) {
		kpy_ctype_get(types[i], &info);
		if (info.kind != KPY_C_POINTER)
			continue;
		/* A pointer to an array or a function binds less than those. */
		if (i + 1 < n && !is_pointer(types[i + 1]))
			kpy_text_add(out, "(");
		kpy_text_add(out, "*");
		qualifiers(out, quals[i], "", i || *name ? " " : "");
	}
	kpy_text_add(out, "%s", name);
	for (i = 0; i < n; i++) {
		kpy_ctype_get(types[i], &info);
		if (info.kind == KPY_C_POINTER) {
			if (i + 1 < n && !is_pointer(types[i + 1]))
				kpy_text_add(out, ")");
		} else if (info.kind == KPY_C_FUNCTION) {
			parameters(out, types[i], &info, depth);
		} else if (info.count == KPY_C_FLEXIBLE) {
			kpy_text_add(out, "[]");
		} else {
			kpy_text_add(out, "[%u]", info.count);
		}
	}
}

void kpy_ctype_declare(struct kpy_text *out, struct kpy_ctype t, const char *name)
{
	struct kpy_cinfo info;

	kpy_ctype_get(t, &info);
	if (info.kind == KPY_C_DECL) {
		name = info.name;
		t.id = info.target;
	}
	declare(out, t, name, 0);
}
