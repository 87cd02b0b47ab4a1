// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A GCC plugin that writes down every C type and declaration of a translation unit.
 *
 *	gcc -fplugin=kpy_layout.so -fplugin-arg-kpy_layout-output=FILE …
 *		[-fplugin-arg-kpy_layout-functions=NAME,…] [-fplugin-arg-kpy_layout-lines]
 *
 * During parsing it only remembers trees. They are described once, when the unit is finished:
 * a struct that was incomplete where it was first mentioned is complete by then, and each type
 * is seen as GCC laid it out in the end.
 *
 * Output is one JSON object (docs/layout-records.md). FILE appears only when the compile had
 * no error.
 */
#include "gcc_compat.h"
#include "recorder.h"

int plugin_is_GPL_compatible;

namespace {

std::string output;
/* The functions to tell of, when not all. */
bool some_functions;
std::unordered_set<std::string> functions;

/* Types seen while parsing, kept alive over GCC's garbage collections by mark_seen(). */
std::vector<tree> seen_types;
std::unordered_set<tree> seen;
/* Functions and variables in the order of their first declaration; the fullest one counts. */
std::vector<declared> seen_decls;
std::unordered_map<std::string, size_t> decl_places;
bool written;

void remember(tree type)
{
	if (type && type != error_mark_node && TYPE_P(type) && seen.insert(type).second)
		seen_types.push_back(type);
}

void on_type(void *event, void *)
{
	remember((tree)event);
}

void on_decl(void *event, void *)
{
	tree decl = (tree)event;
	declared now;

	if (!decl || decl == error_mark_node || !DECL_P(decl))
		return;
	if (TREE_CODE(decl) == TYPE_DECL) {
		remember(TREE_TYPE(decl));
		return;
	}
	if (!now.read(decl))
		return;
	if (now.function && some_functions && !functions.count(now.name))
		return;

	auto added = decl_places.emplace(now.name, seen_decls.size());

	if (added.second) {
		seen_decls.push_back(now);
		return;
	}

	declared &known = seen_decls[added.first->second];

	now.percpu |= known.percpu;
	known = now;
}

void mark_seen(void *, void *)
{
	for (tree node : seen_types)
		gt_ggc_mx_tree_node(node);
	for (const declared &decl : seen_decls)
		gt_ggc_mx_tree_node(decl.type);
}

void write_records()
{
	/* Next to the result and private to this process, so that the rename is atomic. */
	std::string part = output + ".part" + std::to_string((long)getpid());
	FILE *file = fopen(part.c_str(), "w");

	written = true;
	if (!file) {
		error("cannot write layout records to %qs: %m", part.c_str());
		return;
	}

	recorder recorder;

	for (tree type : seen_types)
		recorder.type(type);
	for (const declared &decl : seen_decls)
		recorder.declaration(decl);

	bool good = recorder.write(file);

	if (fclose(file) != 0 || !good || rename(part.c_str(), output.c_str()) != 0) {
		error("cannot write layout records to %qs: %m", output.c_str());
		unlink(part.c_str());
	}
}

/* Before link-time optimisation frees what only the front end needs: typedefs among it. */
void on_pass(void *event, void *)
{
	const opt_pass *pass = (const opt_pass *)event;

	if (!written && !seen_error() && !strcmp(pass->name, "*free_lang_data"))
		write_records();
}

void on_finish(void *, void *)
{
	if (!written && !seen_error())
		write_records();
	else if (seen_error())
		unlink(output.c_str());
}

struct plugin_info info = {
	"1",
	"-fplugin-arg-NAME-output=FILE      write the types and declarations of the unit to FILE\n"
	"-fplugin-arg-NAME-functions=A,B    of functions, tell of these only\n"
	"-fplugin-arg-NAME-lines            compile faster: messages have lines, but no columns\n",
};

void only_functions(const char *list)
{
	some_functions = true;
	for (const char *end; *list; list = *end ? end + 1 : end) {
		end = strchrnul(list, ',');
		functions.emplace(list, end - list);
	}
}

/*
 * Have GCC number lines only. A large unit runs out of numbers for columns in any case, after
 * which each token that is longer than a byte costs an entry of a hash table, until it runs out
 * of those for columns altogether: here it begins with that.
 */
void lines_only()
{
	line_table->highest_location = LINE_MAP_MAX_LOCATION_WITH_COLS;
}

} // namespace

int plugin_init(struct plugin_name_args *args, struct plugin_gcc_version *version)
{
	const char *name = args->base_name;

	if (!plugin_default_version_check(version, &gcc_version)) {
		error("%s: built for GCC %s, but loaded into GCC %s: build it again for this compiler",
		      name, gcc_version.basever, version->basever);
		return 1;
	}
	for (int i = 0; i < args->argc; i++) {
		if (!strcmp(args->argv[i].key, "output") && args->argv[i].value) {
			output = args->argv[i].value;
		} else if (!strcmp(args->argv[i].key, "functions") && args->argv[i].value) {
			only_functions(args->argv[i].value);
		} else if (!strcmp(args->argv[i].key, "lines")) {
			lines_only();
		} else {
			error("%s: unknown argument %qs", name, args->argv[i].key);
			return 1;
		}
	}
	if (output.empty()) {
		error("%s: %<-fplugin-arg-%s-output=FILE%> is missing", name, name);
		return 1;
	}
	/* Assembler sources and the LTO back end load plugins too; only C has types to tell. */
	if (strncmp(lang_hooks.name, "GNU C", 5) || !strncmp(lang_hooks.name, "GNU C++", 7))
		return 0;

	register_callback(name, PLUGIN_INFO, NULL, &info);
	register_callback(name, PLUGIN_FINISH_TYPE, on_type, NULL);
	register_callback(name, PLUGIN_FINISH_DECL, on_decl, NULL);
	/* A function's definition is not a FINISH_DECL. */
	register_callback(name, PLUGIN_START_PARSE_FUNCTION, on_decl, NULL);
	register_callback(name, PLUGIN_GGC_MARKING, mark_seen, NULL);
	/* With -fsyntax-only the unit is never "finished", but the compiler is. */
	register_callback(name, PLUGIN_PASS_EXECUTION, on_pass, NULL);
	register_callback(name, PLUGIN_FINISH_UNIT, on_finish, NULL);
	register_callback(name, PLUGIN_FINISH, on_finish, NULL);
	return 0;
}
