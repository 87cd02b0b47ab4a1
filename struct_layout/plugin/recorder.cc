// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Describes GCC's trees, each as the layout table will have it, but with all of its numbers written out.
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

/* Kinds of types: docs/layout-table.md. */
enum kind {
	T_VOID,
	T_BASE,
	T_STRUCT,
	T_UNION,
	T_ENUM,
	T_TYPEDEF,
	T_POINTER,
	T_ARRAY,
	T_FUNCTION,
	T_QUALIFIED,
	T_SPACE,
	T_VECTOR,
	T_COMPLEX,
	T_OPAQUE,
	T_VARIABLE,
};
const unsigned FLAG_SHIFT = 4;
/* Flags of base types, of functions, and those in the info of records and of enums. */
enum { BASE_UNSIGNED, BASE_SIGNED, BASE_BOOL, BASE_FLOAT };
enum { F_VARIADIC = 1, F_UNPROTOTYPED = 2 };
enum {
	R_PACKED = 1 << 6,
	R_INCOMPLETE = 1 << 7,
	R_LOCAL = 1 << 8,
	R_REVERSE = 1 << 9,
	R_TRANSPARENT = 1 << 10,
	R_OPAQUE = 1 << 11
};
enum { E_SIGNED = 1 << 6, E_INCOMPLETE = 1 << 7, E_LOCAL = 1 << 8 };
const unsigned BASE_SIZE_MAX = 255; /* a _BitInt may have more */

unsigned log2_of(unsigned HOST_WIDE_INT align)
{
	return align ? floor_log2(align) : 0;
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

/* C nests scopes in functions only; the context of a nested struct is not a scope. */
bool is_local(const_tree type)
{
	const_tree context = TYPE_CONTEXT(type);

	return context && (TREE_CODE(context) == FUNCTION_DECL || TREE_CODE(context) == BLOCK);
}

} // namespace

/* The number of a name; 0 is none. Identifiers of one text have one address. */
unsigned recorder::name(const char *text)
{
	if (!text || !*text)
		return 0;

	auto added = names.emplace(text, (unsigned)names.size() + 1);

	if (added.second) {
		texts += ',';
		put_string(texts, text);
	}
	return added.first->second;
}

/* The number of a type; one that is new waits for its own row. */
unsigned recorder::reference(tree type)
{
	/* Variants of a struct or enum that differ in nothing we record are one type. */
	if ((is_record(type) || TREE_CODE(type) == ENUMERAL_TYPE) && !typedef_decl(type) &&
	    TYPE_QUALS(type) == TYPE_UNQUALIFIED)
		type = TYPE_MAIN_VARIANT(type);

	auto added = ids.emplace(type, (unsigned)rows.size());

	if (added.second) {
		rows.emplace_back();
		waiting.push_back(type);
	}
	return added.first->second;
}

/* A worklist rather than recursion: the graph of kernel types is thousands of links deep. */
void recorder::drain()
{
	while (!waiting.empty()) {
		tree type = waiting.back();
		unsigned id = ids[type];

		waiting.pop_back();
		/* Not in place: rows move when a reference adds one. */
		std::string row = describe(type, id);

		rows[id] = row;
	}
}

/* A row without its last bracket: numbers may follow. */
std::string recorder::row(unsigned kind, unsigned flags, unsigned name, const std::string &types)
{
	std::string out = "[";

	put_unsigned(out, kind | flags << FLAG_SHIFT);
	out += ',';
	put_unsigned(out, name);
	out += ",[";
	out += types;
	out += ']';
	return out;
}

std::string recorder::row(unsigned kind, unsigned flags, unsigned name, tree type)
{
	std::string types;

	if (type)
		put_unsigned(types, reference(type));
	return row(kind, flags, name, types);
}

void recorder::add(std::string &out, unsigned long long number)
{
	out += ',';
	put_unsigned(out, number);
}

/* What has a name and can be looked up by it, or is an enum, whose constants can. */
void recorder::list(unsigned id)
{
	add(named, id);
}

std::string recorder::describe(tree type, unsigned id)
{
	std::string out;

	if (describe_spelling(type, id, out))
		return out + "]";

	switch (TREE_CODE(type)) {
	case VOID_TYPE:
		out = row(T_VOID);
		break;
	case INTEGER_TYPE:
	case BOOLEAN_TYPE:
	case REAL_TYPE:
		out = describe_number(type);
		break;
	case POINTER_TYPE:
	case REFERENCE_TYPE:
		out = row(T_POINTER, 0, 0, TREE_TYPE(type));
		break;
	case RECORD_TYPE:
	case UNION_TYPE:
		out = describe_record(type, id);
		break;
	case ENUMERAL_TYPE:
		out = describe_enum(type, id);
		break;
	case ARRAY_TYPE:
		out = describe_array(type);
		break;
	case FUNCTION_TYPE:
		out = describe_function(type);
		break;
	case COMPLEX_TYPE:
	case VECTOR_TYPE: {
		unsigned HOST_WIDE_INT size;

		if (!constant(TYPE_SIZE_UNIT(type), &size)) {
			out = describe_opaque(type, get_tree_code_name(TREE_CODE(type)));
			break;
		}
		out = row(TREE_CODE(type) == COMPLEX_TYPE ? T_COMPLEX : T_VECTOR, 0, 0,
			  TREE_TYPE(type));
		add(out, size);
		break;
	}
	default:
		if (kpy_is_bitint(type))
			out = describe_number(type);
		else
			out = describe_opaque(type, get_tree_code_name(TREE_CODE(type)));
	}
	return out + "]";
}

/* Typedef names and qualifiers are variants of a type in GCC, and layers of their own for us. */
bool recorder::describe_spelling(tree type, unsigned id, std::string &out)
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
		if (inner == type || typedef_decl(inner) != decl)
			out = describe_opaque(type, "qualified");
		else
			out = describe_qualified(inner, quals, space);
		return true;
	}
	if (!decl)
		return false;
	out = row(T_TYPEDEF, 0, name(IDENTIFIER_POINTER(DECL_NAME(decl))),
		  DECL_ORIGINAL_TYPE(decl));
	if (DECL_FILE_SCOPE_P(decl))
		list(id);
	return true;
}

std::string recorder::describe_qualified(tree inner, int quals, addr_space_t space)
{
	unsigned flags = (quals & TYPE_QUAL_CONST ? 1 : 0) | (quals & TYPE_QUAL_VOLATILE ? 2 : 0) |
			 (quals & TYPE_QUAL_RESTRICT ? 4 : 0) | (quals & TYPE_QUAL_ATOMIC ? 8 : 0);
	std::string out, types;

	if (!space)
		return row(T_QUALIFIED, flags, 0, inner);
	out = row(T_SPACE, 0, 0, inner);
	add(out, space);
	if (!flags)
		return out;
	put_unsigned(types, rows.size());
	rows.push_back(out + "]");
	return row(T_QUALIFIED, flags, 0, types);
}

std::string recorder::describe_number(tree type)
{
	unsigned HOST_WIDE_INT size;
	const char *text = identifier(TYPE_NAME(type));
	unsigned encoding;
	std::string out;

	if (!constant(TYPE_SIZE_UNIT(type), &size))
		return describe_opaque(type, "number");
	if (size > BASE_SIZE_MAX)
		return describe_opaque(type, text ? text : "number");
	if (TREE_CODE(type) == REAL_TYPE)
		encoding = BASE_FLOAT;
	else if (TREE_CODE(type) == BOOLEAN_TYPE)
		encoding = BASE_BOOL;
	else
		encoding = TYPE_UNSIGNED(type) ? BASE_UNSIGNED : BASE_SIGNED;
	out = row(T_BASE, encoding, name(text));
	add(out, size);
	if (encoding == BASE_FLOAT || encoding == BASE_BOOL)
		add(out, size * BITS_PER_UNIT);
	else
		add(out, TYPE_PRECISION(type));
	return out;
}

std::string recorder::describe_record(tree type, unsigned id)
{
	const char *text = identifier(TYPE_NAME(type));
	unsigned info = is_local(type) ? R_LOCAL : 0;
	unsigned first = n_members;
	unsigned HOST_WIDE_INT size = 0;
	std::string out;

	if (!TYPE_SIZE_UNIT(type)) {
		info |= R_INCOMPLETE;
	} else if (!constant(TYPE_SIZE_UNIT(type), &size)) {
		info |= R_OPAQUE;
	} else {
		info |= log2_of(TYPE_ALIGN_UNIT(type));
		if (TYPE_PACKED(type))
			info |= R_PACKED;
		if (TYPE_REVERSE_STORAGE_ORDER(type))
			info |= R_REVERSE;
		if (TREE_CODE(type) == UNION_TYPE && TYPE_TRANSPARENT_AGGR(type))
			info |= R_TRANSPARENT;
		if (!fields(type))
			info |= R_OPAQUE;
	}
	if (text && !(info & (R_INCOMPLETE | R_LOCAL)))
		list(id);
	out = row(TREE_CODE(type) == RECORD_TYPE ? T_STRUCT : T_UNION, 0, name(text));
	add(out, info);
	add(out, size);
	add(out, first);
	add(out, n_members - first);
	return out;
}

/* The members, each four numbers: name, bit offset, bits of a bitfield or -1, type. */
bool recorder::fields(tree type)
{
	size_t begin = members.size();
	unsigned first = n_members;

	for (tree field = TYPE_FIELDS(type); field; field = DECL_CHAIN(field)) {
		unsigned HOST_WIDE_INT bytes, bits, width = 0;
		/* A bitfield as wide as its type has the plain mode type: ask for what was declared. */
		tree declared;

		if (TREE_CODE(field) != FIELD_DECL || !TREE_TYPE(field) ||
		    TREE_TYPE(field) == error_mark_node)
			continue;
		declared = DECL_BIT_FIELD_TYPE(field);
		if (!constant(DECL_FIELD_OFFSET(field), &bytes) ||
		    !constant(DECL_FIELD_BIT_OFFSET(field), &bits) || bytes >= (1ULL << 60) ||
		    (declared && !constant(DECL_SIZE(field), &width)) ||
		    /* The last may be a flexible array; any other size must be a constant. */
		    (!declared && DECL_SIZE(field) && TREE_CODE(DECL_SIZE(field)) != INTEGER_CST)) {
			members.resize(begin);
			n_members = first;
			return false;
		}
		/* An unnamed bitfield is padding. */
		if (declared && !DECL_NAME(field))
			continue;
		add(members, name(identifier(DECL_NAME(field))));
		add(members, bytes * BITS_PER_UNIT + bits);
		if (declared)
			add(members, width);
		else
			members += ",-1";
		add(members, reference(declared ? declared : TREE_TYPE(field)));
		n_members++;
	}
	return true;
}

std::string recorder::describe_enum(tree type, unsigned id)
{
	unsigned info = (is_local(type) ? E_LOCAL : 0) | (TYPE_UNSIGNED(type) ? 0 : E_SIGNED);
	unsigned first = n_constants;
	unsigned HOST_WIDE_INT size = 0;
	std::string out;

	if (!TYPE_VALUES(type) || !constant(TYPE_SIZE_UNIT(type), &size)) {
		info |= E_INCOMPLETE | E_SIGNED;
		size = 0;
	} else {
		info |= log2_of(TYPE_ALIGN_UNIT(type));
		values(type);
	}
	if (!(info & (E_INCOMPLETE | E_LOCAL)))
		list(id);
	out = row(T_ENUM, 0, name(identifier(TYPE_NAME(type))));
	add(out, info);
	add(out, size);
	add(out, first);
	add(out, n_constants - first);
	return out;
}

/* The constants, each two numbers: name and value. */
void recorder::values(tree type)
{
	for (tree link = TYPE_VALUES(type); link; link = TREE_CHAIN(link)) {
		tree value = TREE_VALUE(link);
		const char *text = identifier(TREE_PURPOSE(link));

		if (value && TREE_CODE(value) == CONST_DECL)
			value = DECL_INITIAL(value);
		if (!text || !value || TREE_CODE(value) != INTEGER_CST)
			continue;
		if (tree_fits_shwi_p(value)) {
			add(constants, name(text));
			constants += ',';
			put_number(constants, tree_to_shwi(value));
		} else if (tree_fits_uhwi_p(value)) {
			add(constants, name(text));
			add(constants, tree_to_uhwi(value));
		} else {
			continue;
		}
		n_constants++;
	}
}

std::string recorder::describe_array(tree type)
{
	tree domain = TYPE_DOMAIN(type);
	tree max = domain ? TYPE_MAX_VALUE(domain) : NULL_TREE;
	unsigned HOST_WIDE_INT low = 0, high, count = 0;
	std::string out;

	if (domain && TYPE_MIN_VALUE(domain))
		(void)constant(TYPE_MIN_VALUE(domain), &low);
	if (!max) {
		/* int a[0] has a size, of zero; int a[] has none, and is flexible. */
		if (TYPE_SIZE(type) && integer_zerop(TYPE_SIZE(type)))
			count = 1;
	} else if (constant(max, &high) && high + 1 >= low) {
		count = high - low + 2;
	} else if (TREE_CODE(max) == INTEGER_CST) {
		/* An upper bound of -1: no elements. */
		count = 1;
	} else {
		return row(T_VARIABLE, 0, 0, TREE_TYPE(type));
	}
	out = row(T_ARRAY, 0, 0, TREE_TYPE(type));
	add(out, count);
	return out;
}

std::string recorder::describe_function(tree type)
{
	bool variadic = true;
	unsigned flags = 0;
	std::string types;

	put_unsigned(types, reference(TREE_TYPE(type)));
	for (tree arg = TYPE_ARG_TYPES(type); arg; arg = TREE_CHAIN(arg)) {
		tree value = TREE_VALUE(arg);

		if (!value || value == error_mark_node)
			continue;
		if (VOID_TYPE_P(value)) {
			variadic = false;
			break;
		}
		add(types, reference(value));
	}
	if (!TYPE_ARG_TYPES(type) && !KPY_NO_NAMED_ARGS_STDARG_P(type))
		flags = F_UNPROTOTYPED;
	else if (variadic)
		flags = F_VARIADIC;
	return row(T_FUNCTION, flags, 0, types);
}

std::string recorder::describe_opaque(tree type, const char *why)
{
	unsigned HOST_WIDE_INT size;
	std::string out = row(T_OPAQUE, 0, name(why));

	add(out, constant(TYPE_SIZE_UNIT(type), &size) ? size + 1 : 0);
	return out;
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
	is_static = !TREE_PUBLIC(decl);
	is_inline = function && DECL_DECLARED_INLINE_P(decl);
	noreturn = function && TREE_THIS_VOLATILE(decl);
	percpu = !function && DECL_SECTION_NAME(decl) && strstr(DECL_SECTION_NAME(decl), "percpu");
	return true;
}

/* Three numbers: name, flags as the table has them above the name, type. */
void recorder::declaration(const declared &decl)
{
	add(declarations, name(decl.name));
	add(declarations, (decl.percpu ? 1 : 0) | (decl.noreturn ? 2 : 0) |
				  (decl.is_inline ? 4 : 0) | (decl.is_static ? 8 : 0));
	add(declarations, reference(decl.type));
	drain();
}

/* One array of the object that the file is; `items` begins with the comma of its first. */
void recorder::put_array(FILE *file, const char *key, const std::string &items)
{
	fprintf(file, ",\n\"%s\":[%s]", key, items.empty() ? "" : items.c_str() + 1);
}

bool recorder::write(FILE *file)
{
	std::string types;

	for (const std::string &row : rows) {
		types += ",\n";
		types += row;
	}
	fprintf(file, "{\"kpy-layout\":%d,\"gcc\":\"%s\",\"pointer\":%d,\"big_endian\":%d",
		FORMAT_VERSION, gcc_version.basever, (int)(POINTER_SIZE / BITS_PER_UNIT),
		BYTES_BIG_ENDIAN ? 1 : 0);
	put_array(file, "names", ",\"\"" + texts);
	put_array(file, "types", types);
	put_array(file, "members", members);
	put_array(file, "constants", constants);
	put_array(file, "named", named);
	put_array(file, "declarations", declarations);
	fputs("}\n", file);
	return !ferror(file);
}
