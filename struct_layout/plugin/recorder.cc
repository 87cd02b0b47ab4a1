// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Describes GCC's trees.
 *
 * What cannot be described (a size known only at run time, a kind of type unknown here) becomes
 * "opaque" with its size when it has one. Trees are therefore looked at before they are taken
 * apart: release builds of GCC do not check the accessor macros.
 */
#include "gcc_compat.h"
#include "json.h"
#include "recorder.h"

namespace {

/* A constant that fits 64 bits without a sign; nothing else is taken for a size or an offset. */
bool constant(const_tree node, unsigned HOST_WIDE_INT *value)
{
	if (!node || TREE_CODE(node) != INTEGER_CST || !tree_fits_uhwi_p(node))
		return false;
	*value = tree_to_uhwi(node);
	return true;
}

const char *identifier(const_tree name)
{
	if (name && TREE_CODE(name) == TYPE_DECL)
		name = DECL_NAME(name);
	if (!name || TREE_CODE(name) != IDENTIFIER_NODE)
		return nullptr;
	return IDENTIFIER_POINTER(name);
}

/* The declaration of the typedef that `type` is spelled with, if it is spelled with one. */
tree typedef_decl(const_tree type)
{
	tree name = TYPE_NAME(type);

	if (name && TREE_CODE(name) == TYPE_DECL && DECL_NAME(name) && DECL_ORIGINAL_TYPE(name))
		return name;
	return NULL_TREE;
}

bool is_record(const_tree type)
{
	return TREE_CODE(type) == RECORD_TYPE || TREE_CODE(type) == UNION_TYPE ||
	       TREE_CODE(type) == QUAL_UNION_TYPE;
}

void put_location(std::string &out, location_t where)
{
	expanded_location place = expand_location(where);

	if (!place.file || place.line <= 0)
		return;
	key(out, "at");
	std::string text = place.file;
	text += ':';
	text += std::to_string(place.line);
	put_string(out, text.c_str());
}

/* C nests scopes in functions only; the context of a nested struct is not a scope. */
bool is_local(const_tree type)
{
	const_tree context = TYPE_CONTEXT(type);

	return context && (TREE_CODE(context) == FUNCTION_DECL || TREE_CODE(context) == BLOCK);
}

} // namespace

void recorder::emit(const std::string &line)
{
	if (fwrite(line.data(), 1, line.size(), file) != line.size() || fputc('\n', file) == EOF)
		bad = true;
	lines++;
}

/* The number of a type; one that is new waits for its own line. */
unsigned recorder::reference(tree type)
{
	/* Variants of a struct or enum that differ in nothing we record are one type. */
	if ((is_record(type) || TREE_CODE(type) == ENUMERAL_TYPE) && !typedef_decl(type) &&
	    TYPE_QUALS(type) == TYPE_UNQUALIFIED)
		type = TYPE_MAIN_VARIANT(type);

	auto added = ids.emplace(type, (unsigned)ids.size() + 1);

	if (added.second)
		waiting.push_back(type);
	return added.first->second;
}

void recorder::link(std::string &out, tree type)
{
	key(out, "t");
	put_unsigned(out, reference(type));
}

/* A worklist rather than recursion: the graph of kernel types is thousands of links deep. */
void recorder::drain()
{
	while (!waiting.empty()) {
		tree type = waiting.back();

		waiting.pop_back();
		describe(type, ids[type]);
	}
}

void recorder::describe(tree type, unsigned id)
{
	std::string out = "{\"i\":";

	put_unsigned(out, id);
	key(out, "k");
	if (describe_spelling(type, out)) {
		emit(out + "}");
		return;
	}

	switch (TREE_CODE(type)) {
	case VOID_TYPE:
		out += "\"void\"";
		break;
	case INTEGER_TYPE:
	case BOOLEAN_TYPE:
	case REAL_TYPE:
		describe_number(type, out);
		break;
	case POINTER_TYPE:
	case REFERENCE_TYPE:
		out += "\"ptr\"";
		key(out, "s");
		put_unsigned(out, TYPE_PRECISION(type) / BITS_PER_UNIT);
		link(out, TREE_TYPE(type));
		break;
	case RECORD_TYPE:
	case UNION_TYPE:
		describe_record(type, out);
		break;
	case ENUMERAL_TYPE:
		describe_enum(type, out);
		break;
	case ARRAY_TYPE:
		describe_array(type, out);
		break;
	case FUNCTION_TYPE:
		describe_function(type, out);
		break;
	case COMPLEX_TYPE:
	case VECTOR_TYPE: {
		unsigned HOST_WIDE_INT size;

		if (!constant(TYPE_SIZE_UNIT(type), &size)) {
			describe_opaque(type, get_tree_code_name(TREE_CODE(type)), out);
			break;
		}
		out += TREE_CODE(type) == COMPLEX_TYPE ? "\"complex\"" : "\"vector\"";
		key(out, "s");
		put_unsigned(out, size);
		link(out, TREE_TYPE(type));
		break;
	}
	default:
		if (kpy_is_bitint(type))
			describe_number(type, out);
		else
			describe_opaque(type, get_tree_code_name(TREE_CODE(type)), out);
	}
	emit(out + "}");
}

/* Typedef names and qualifiers are variants of a type in GCC, and layers of their own for us. */
bool recorder::describe_spelling(tree type, std::string &out)
{
	tree decl = typedef_decl(type);
	tree plain = decl ? TREE_TYPE(decl) : NULL_TREE;
	/* Qualifiers of an array are those of its elements; on a function they are attributes. */
	bool bare = TREE_CODE(type) == ARRAY_TYPE || TREE_CODE(type) == FUNCTION_TYPE;
	int quals = bare ? 0 : TYPE_QUALS(type);
	addr_space_t space = bare ? 0 : TYPE_ADDR_SPACE(type);

	if (decl && plain && plain != error_mark_node) {
		quals &= ~TYPE_QUALS(plain);
		if (TYPE_ADDR_SPACE(plain) == space)
			space = 0;
	}
	quals &= TYPE_QUAL_CONST | TYPE_QUAL_VOLATILE | TYPE_QUAL_RESTRICT | TYPE_QUAL_ATOMIC;
	if (quals || space) {
		tree inner;

		if (decl)
			inner = plain;
		else if (is_record(type) || TREE_CODE(type) == ENUMERAL_TYPE)
			inner = TYPE_MAIN_VARIANT(type);
		else
			inner = build_qualified_type(type, TYPE_UNQUALIFIED);
		if (inner == type || typedef_decl(inner) != decl) {
			describe_opaque(type, "qualified", out);
			return true;
		}
		out += "\"qual\"";
		key(out, "q");
		out += '"';
		if (quals & TYPE_QUAL_CONST)
			out += 'c';
		if (quals & TYPE_QUAL_VOLATILE)
			out += 'v';
		if (quals & TYPE_QUAL_RESTRICT)
			out += 'r';
		if (quals & TYPE_QUAL_ATOMIC)
			out += 'a';
		out += '"';
		if (space) {
			key(out, "as");
			put_unsigned(out, space);
		}
		link(out, inner);
		return true;
	}
	if (!decl)
		return false;
	out += "\"typedef\"";
	key(out, "n");
	put_string(out, IDENTIFIER_POINTER(DECL_NAME(decl)));
	put_location(out, DECL_SOURCE_LOCATION(decl));
	if (!DECL_FILE_SCOPE_P(decl))
		flag(out, "local");
	link(out, DECL_ORIGINAL_TYPE(decl));
	return true;
}

void recorder::describe_number(tree type, std::string &out)
{
	unsigned HOST_WIDE_INT size;
	const char *name = identifier(TYPE_NAME(type));

	if (!constant(TYPE_SIZE_UNIT(type), &size)) {
		describe_opaque(type, "number", out);
		return;
	}
	out += "\"base\"";
	key(out, "n");
	put_string(out, name ? name : "");
	key(out, "s");
	put_unsigned(out, size);
	key(out, "e");
	if (TREE_CODE(type) == REAL_TYPE)
		out += "\"float\"";
	else if (TREE_CODE(type) == BOOLEAN_TYPE)
		out += "\"bool\"";
	else
		out += TYPE_UNSIGNED(type) ? "\"unsigned\"" : "\"signed\"";
	if (TREE_CODE(type) != REAL_TYPE && TREE_CODE(type) != BOOLEAN_TYPE &&
	    TYPE_PRECISION(type) != size * BITS_PER_UNIT) {
		key(out, "p");
		put_unsigned(out, TYPE_PRECISION(type));
	}
}

void recorder::describe_record(tree type, std::string &out)
{
	const char *name = identifier(TYPE_NAME(type));
	unsigned HOST_WIDE_INT size;
	std::string members;

	out += TREE_CODE(type) == RECORD_TYPE ? "\"struct\"" : "\"union\"";
	if (name) {
		key(out, "n");
		put_string(out, name);
	}
	if (TYPE_STUB_DECL(type))
		put_location(out, DECL_SOURCE_LOCATION(TYPE_STUB_DECL(type)));
	if (is_local(type))
		flag(out, "local");
	if (!TYPE_SIZE_UNIT(type)) {
		flag(out, "inc");
		return;
	}
	if (!constant(TYPE_SIZE_UNIT(type), &size)) {
		flag(out, "vla");
		return;
	}
	key(out, "s");
	put_unsigned(out, size);
	key(out, "al");
	put_unsigned(out, TYPE_ALIGN_UNIT(type));
	if (TYPE_PACKED(type))
		flag(out, "pk");
	if (TYPE_REVERSE_STORAGE_ORDER(type))
		flag(out, "sso");
	if (TREE_CODE(type) == UNION_TYPE && TYPE_TRANSPARENT_AGGR(type))
		flag(out, "tu");
	if (fields(type, members)) {
		key(out, "m");
		out += "[" + members + "]";
	} else {
		flag(out, "vla");
	}
}

/* The members: [name or null, bit offset, bits of a bitfield or -1, type]. */
bool recorder::fields(tree type, std::string &out)
{
	for (tree field = TYPE_FIELDS(type); field; field = DECL_CHAIN(field)) {
		unsigned HOST_WIDE_INT bytes, bits, width = 0;
		/* A bitfield as wide as its type has the plain mode type: ask for what was declared. */
		tree declared;

		if (TREE_CODE(field) != FIELD_DECL || !TREE_TYPE(field) ||
		    TREE_TYPE(field) == error_mark_node)
			continue;
		declared = DECL_BIT_FIELD_TYPE(field);
		if (!constant(DECL_FIELD_OFFSET(field), &bytes) ||
		    !constant(DECL_FIELD_BIT_OFFSET(field), &bits) || bytes >= (1ULL << 60))
			return false;
		if (declared && !constant(DECL_SIZE(field), &width))
			return false;
		/* The last member may be a flexible array; any other size must be a constant. */
		if (!declared && DECL_SIZE(field) && TREE_CODE(DECL_SIZE(field)) != INTEGER_CST)
			return false;
		if (!out.empty())
			out += ',';
		out += '[';
		if (DECL_NAME(field))
			put_string(out, IDENTIFIER_POINTER(DECL_NAME(field)));
		else
			out += "null";
		out += ',';
		put_unsigned(out, bytes * BITS_PER_UNIT + bits);
		out += ',';
		put_number(out, declared ? (long long)width : -1);
		out += ',';
		put_unsigned(out, reference(declared ? declared : TREE_TYPE(field)));
		out += ']';
	}
	return true;
}

void recorder::describe_enum(tree type, std::string &out)
{
	const char *name = identifier(TYPE_NAME(type));
	unsigned HOST_WIDE_INT size;
	bool first = true;

	out += "\"enum\"";
	if (name) {
		key(out, "n");
		put_string(out, name);
	}
	if (TYPE_STUB_DECL(type))
		put_location(out, DECL_SOURCE_LOCATION(TYPE_STUB_DECL(type)));
	if (is_local(type))
		flag(out, "local");
	if (!TYPE_VALUES(type) || !constant(TYPE_SIZE_UNIT(type), &size)) {
		flag(out, "inc");
		return;
	}
	key(out, "s");
	put_unsigned(out, size);
	key(out, "al");
	put_unsigned(out, TYPE_ALIGN_UNIT(type));
	if (TYPE_UNSIGNED(type))
		flag(out, "u");
	key(out, "v");
	out += '[';
	for (tree link = TYPE_VALUES(type); link; link = TREE_CHAIN(link)) {
		tree value = TREE_VALUE(link);
		const char *constant_name = identifier(TREE_PURPOSE(link));

		if (value && TREE_CODE(value) == CONST_DECL)
			value = DECL_INITIAL(value);
		if (!constant_name || !value || TREE_CODE(value) != INTEGER_CST)
			continue;
		if (!first)
			out += ',';
		first = false;
		out += '[';
		put_string(out, constant_name);
		out += ',';
		if (tree_fits_shwi_p(value))
			put_number(out, tree_to_shwi(value));
		else if (tree_fits_uhwi_p(value))
			put_unsigned(out, tree_to_uhwi(value));
		else
			out += "null";
		out += ']';
	}
	out += ']';
}

void recorder::describe_array(tree type, std::string &out)
{
	tree domain = TYPE_DOMAIN(type);
	tree max = domain ? TYPE_MAX_VALUE(domain) : NULL_TREE;
	unsigned HOST_WIDE_INT low = 0, high;

	out += "\"array\"";
	if (domain && TYPE_MIN_VALUE(domain))
		(void)constant(TYPE_MIN_VALUE(domain), &low);
	if (!max) {
		/* int a[0] has a size, of zero; int a[] has none. */
		if (TYPE_SIZE(type) && integer_zerop(TYPE_SIZE(type)))
			key(out, "c"), out += '0';
		else
			flag(out, "flex");
	} else if (constant(max, &high) && high + 1 >= low) {
		key(out, "c");
		put_unsigned(out, high - low + 1);
	} else if (TREE_CODE(max) == INTEGER_CST) {
		/* An upper bound of -1: no elements. */
		key(out, "c");
		out += '0';
	} else {
		flag(out, "vla");
	}
	link(out, TREE_TYPE(type));
}

void recorder::describe_function(tree type, std::string &out)
{
	bool variadic = true;
	bool first = true;

	out += "\"func\"";
	link(out, TREE_TYPE(type));
	key(out, "a");
	out += '[';
	for (tree arg = TYPE_ARG_TYPES(type); arg; arg = TREE_CHAIN(arg)) {
		tree value = TREE_VALUE(arg);

		if (!value || value == error_mark_node)
			continue;
		if (VOID_TYPE_P(value)) {
			variadic = false;
			break;
		}
		if (!first)
			out += ',';
		first = false;
		put_unsigned(out, reference(value));
	}
	out += ']';
	if (!TYPE_ARG_TYPES(type) && !KPY_NO_NAMED_ARGS_STDARG_P(type))
		flag(out, "old");
	else if (variadic)
		flag(out, "va");
}

void recorder::describe_opaque(tree type, const char *why, std::string &out)
{
	unsigned HOST_WIDE_INT size;

	out += "\"opaque\"";
	key(out, "why");
	put_string(out, why);
	if (constant(TYPE_SIZE_UNIT(type), &size)) {
		key(out, "s");
		put_unsigned(out, size);
	}
}

bool declared::read(tree decl)
{
	tree type = TREE_TYPE(decl);

	function = TREE_CODE(decl) == FUNCTION_DECL;
	if (!DECL_NAME(decl) || !type || type == error_mark_node || !DECL_FILE_SCOPE_P(decl))
		return false;
	if (function ? TREE_CODE(type) != FUNCTION_TYPE : TREE_CODE(decl) != VAR_DECL)
		return false;
	this->type = type;
	name = IDENTIFIER_POINTER(DECL_NAME(decl));
	where = DECL_SOURCE_LOCATION(decl);
	is_static = !TREE_PUBLIC(decl);
	is_inline = function && DECL_DECLARED_INLINE_P(decl);
	noreturn = function && TREE_THIS_VOLATILE(decl);
	defined = !DECL_EXTERNAL(decl);
	if (!function && DECL_SECTION_NAME(decl))
		section = DECL_SECTION_NAME(decl);
	parameters.clear();
	if (function)
		for (tree arg = DECL_ARGUMENTS(decl); arg; arg = DECL_CHAIN(arg))
			parameters.push_back(DECL_NAME(arg) ? IDENTIFIER_POINTER(DECL_NAME(arg))
							    : "");
	return true;
}

void recorder::declaration(const declared &decl)
{
	std::string out = decl.function ? "{\"k\":\"fn\"" : "{\"k\":\"var\"";
	bool named = false, first = true;

	key(out, "n");
	put_string(out, decl.name);
	put_location(out, decl.where);
	link(out, decl.type);
	if (decl.is_static)
		flag(out, "static");
	if (decl.is_inline)
		flag(out, "inline");
	if (decl.noreturn)
		flag(out, "noreturn");
	if (decl.defined)
		flag(out, "def");
	if (decl.section) {
		key(out, "sec");
		put_string(out, decl.section);
	}
	for (const char *parameter : decl.parameters)
		named |= *parameter != '\0';
	if (named) {
		key(out, "p");
		out += '[';
		for (const char *parameter : decl.parameters) {
			if (!first)
				out += ',';
			first = false;
			put_string(out, parameter);
		}
		out += ']';
	}
	emit(out + "}");
	drain();
}

void recorder::finish()
{
	std::string out = "{\"k\":\"end\",\"lines\":";

	put_unsigned(out, lines);
	emit(out + "}");
}
