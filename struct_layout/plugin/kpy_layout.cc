// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A GCC plugin that writes down every C type and declaration of a translation unit.
 *
 *	gcc -fplugin=kpy_layout.so -fplugin-arg-kpy_layout-output=FILE …
 *
 * During parsing it only remembers trees. They are described once, when the unit is finished:
 * a struct that was incomplete where it was first mentioned is complete by then, and each type
 * is seen as GCC laid it out in the end.
 *
 * Output is one JSON object per line (docs/layout-records.md). FILE appears only when the
 * compile had no error, and its last line is {"k":"end"}: half a file is never taken for whole.
 */
#include "gcc_compat.h"
#include "json.h"
#include "recorder.h"

int plugin_is_GPL_compatible;

namespace {

const int FORMAT_VERSION = 1;

std::string output;

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

	auto added = decl_places.emplace(now.name, seen_decls.size());

	if (added.second) {
		seen_decls.push_back(now);
		return;
	}

	declared &known = seen_decls[added.first->second];
	bool defined = known.defined || now.defined;

	if (now.parameters.empty() && known.function)
		now.parameters = known.parameters;
	if (!now.section)
		now.section = known.section;
	known = now;
	known.defined = defined;
}

void mark_seen(void *, void *)
{
	for (tree node : seen_types)
		gt_ggc_mx_tree_node(node);
	for (const declared &decl : seen_decls)
		gt_ggc_mx_tree_node(decl.type);
}

void write_header(FILE *file)
{
	std::string out = "{\"k\":\"kpy-layout\",\"version\":";

	put_number(out, FORMAT_VERSION);
	key(out, "gcc");
	put_string(out, gcc_version.basever);
	key(out, "unit");
	put_string(out, main_input_filename ? main_input_filename : "");
	key(out, "pointer");
	put_number(out, POINTER_SIZE / BITS_PER_UNIT);
	key(out, "big_endian");
	out += BYTES_BIG_ENDIAN ? '1' : '0';
	fprintf(file, "%s}\n", out.c_str());
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
	write_header(file);

	recorder recorder(file);

	for (tree type : seen_types)
		recorder.type(type);
	for (const declared &decl : seen_decls)
		recorder.declaration(decl);
	recorder.finish();

	bool bad = recorder.failed();

	if (fclose(file) != 0 || bad || rename(part.c_str(), output.c_str()) != 0) {
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
	"-fplugin-arg-NAME-output=FILE  write the types and declarations of the unit to FILE\n",
};

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
