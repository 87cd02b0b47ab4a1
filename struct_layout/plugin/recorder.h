/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes types and declarations to a file, one JSON object per line (docs/layout-records.md). */
#ifndef KPY_RECORDER_H
#define KPY_RECORDER_H

#include "gcc_compat.h"

/*
 * What is kept of a declaration. Not the tree: when C declares a thing twice, GCC frees one of
 * the two trees by hand, whoever may refer to it. Types and identifiers are never freed so.
 */
struct declared {
	tree type = NULL_TREE;
	const char *name = nullptr;
	const char *section = nullptr;
	location_t where = UNKNOWN_LOCATION;
	bool function = false;
	bool is_static = false;
	bool is_inline = false;
	bool noreturn = false;
	bool defined = false;
	std::vector<const char *> parameters; /* "" where it has no name */

	bool read(tree decl);
};

class recorder {
      public:
	explicit recorder(FILE *file) : file(file)
	{
	}

	void type(tree node)
	{
		reference(node);
		drain();
	}
	void declaration(const declared &decl);
	void finish();
	bool failed() const
	{
		return bad;
	}

      private:
	FILE *file;
	bool bad = false;
	unsigned long lines = 0;
	std::unordered_map<tree, unsigned> ids;
	std::vector<tree> waiting;

	unsigned reference(tree type);
	void drain();
	void describe(tree type, unsigned id);
	bool describe_spelling(tree type, std::string &out);
	void describe_number(tree type, std::string &out);
	void describe_record(tree type, std::string &out);
	void describe_enum(tree type, std::string &out);
	void describe_array(tree type, std::string &out);
	void describe_function(tree type, std::string &out);
	void describe_opaque(tree type, const char *why, std::string &out);
	bool fields(tree type, std::string &out);
	void emit(const std::string &line);

	void link(std::string &out, tree type);
};

#endif /* KPY_RECORDER_H */
