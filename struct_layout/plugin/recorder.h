/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes types and declarations to a file, as JSON (docs/layout-records.md). */
#ifndef KPY_RECORDER_H
#define KPY_RECORDER_H

#include "gcc_compat.h"

const int FORMAT_VERSION = 2;

/*
 * What is kept of a declaration. Not the tree: when C declares a thing twice, GCC frees one of
 * the two trees by hand, whoever may refer to it. Types and identifiers are never freed so.
 */
struct declared {
	tree type = NULL_TREE;
	const char *name = nullptr;
	bool function = false;
	bool is_static = false;
	bool is_inline = false;
	bool noreturn = false;
	bool percpu = false;

	bool read(tree decl);
};

class recorder {
      public:
	void type(tree node)
	{
		reference(node);
		drain();
	}
	void declaration(const declared &decl);
	bool write(FILE *file);

      private:
	std::unordered_map<tree, unsigned> ids;
	std::unordered_map<const char *, unsigned> names;
	std::vector<tree> waiting;
	std::vector<std::string> rows; /* of types, by number */
	std::string texts, members, constants, named, declarations;
	unsigned n_members = 0, n_constants = 0;

	unsigned name(const char *text);
	unsigned reference(tree type);
	void drain();
	void list(unsigned id);
	std::string row(unsigned kind, unsigned flags, unsigned name, const std::string &types);
	std::string row(unsigned kind, unsigned flags = 0, unsigned name = 0,
			tree type = NULL_TREE);
	void add(std::string &out, unsigned long long number);
	std::string describe(tree type, unsigned id);
	bool describe_spelling(tree type, unsigned id, std::string &out);
	std::string describe_qualified(tree inner, int quals, addr_space_t space);
	std::string describe_number(tree type);
	std::string describe_record(tree type, unsigned id);
	std::string describe_enum(tree type, unsigned id);
	std::string describe_array(tree type);
	std::string describe_function(tree type);
	std::string describe_opaque(tree type, const char *why);
	bool fields(tree type);
	void values(tree type);
	void put_array(FILE *file, const char *key, const std::string &items);
};

#endif /* KPY_RECORDER_H */
