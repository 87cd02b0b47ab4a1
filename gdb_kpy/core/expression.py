# SPDX-License-Identifier: GPL-2.0-or-later
"""Expressions over the guest's objects, evaluated here: nothing runs in the guest."""

from __future__ import annotations

import ast
import operator
from collections.abc import Sequence
from typing import Callable

from gdb_kpy.core import c_values, results
from gdb_kpy.core.attributes import Attributes
from gdb_kpy.core.builtin_calls import CALLS, Caller
from gdb_kpy.core.c_values import EvalError, StructPtr, StructType
from gdb_kpy.core.containers import Containers, number, same
from gdb_kpy.core.errors import KpyError
from gdb_kpy.core.names import Scope
from gdb_kpy.core.py_objects import Obj, Objects
from gdb_kpy.core.py_repr import Names, Repr

_MOST_BITS = 1 << 20  # of an int that is computed
_MOST_ITEMS = 1 << 20  # of a sequence that is
_DEEPEST = 100
_RUN = "`kpy eval` runs it in the guest"

_BINARY: dict[type[ast.operator], tuple[str, Callable[[int, int], int]]] = {
    ast.Add: ("+", operator.add),
    ast.Sub: ("-", operator.sub),
    ast.Mult: ("*", operator.mul),
    ast.FloorDiv: ("//", operator.floordiv),
    ast.Mod: ("%", operator.mod),
    ast.Pow: ("**", operator.pow),
    ast.LShift: ("<<", operator.lshift),
    ast.RShift: (">>", operator.rshift),
    ast.BitAnd: ("&", operator.and_),
    ast.BitOr: ("|", operator.or_),
    ast.BitXor: ("^", operator.xor),
}
_ORDER: dict[type[ast.cmpop], Callable[[object, object], bool]] = {
    ast.Lt: operator.lt,  # type: ignore[dict-item]
    ast.LtE: operator.le,  # type: ignore[dict-item]
    ast.Gt: operator.gt,  # type: ignore[dict-item]
    ast.GtE: operator.ge,  # type: ignore[dict-item]
}
_NAMES_OF_NODES = {
    "ListComp": "a comprehension",
    "SetComp": "a comprehension",
    "DictComp": "a comprehension",
    "GeneratorExp": "a generator expression",
    "Lambda": "a lambda",
    "Await": "await",
    "Yield": "yield",
    "NamedExpr": "an assignment",
    "JoinedStr": "an f-string",
    "Starred": "a starred value",
}


class Evaluator:
    """Evaluates expressions by reading memory."""

    def __init__(self, objects: Objects, scope: Scope, names: Names, repr: Repr) -> None:
        self.objects = objects
        self.scope = scope
        self.attributes = Attributes(objects, scope, names)
        self.containers = Containers(objects, repr)
        self._repr = repr
        self._caller = Caller(objects, scope, self.attributes, self.containers, repr)
        self._depth = 0

    def evaluate(self, source: str) -> object:
        """Return the value of an expression; every mistake in it is a KpyError."""
        try:
            tree = ast.parse(results.expand(source.strip()), mode="eval")
        except SyntaxError as error:
            raise EvalError("SyntaxError", _syntax(source, error)) from None
        except (ValueError, RecursionError, MemoryError):
            raise EvalError("SyntaxError", "this cannot be parsed") from None
        self._depth = 0
        try:
            return self._value(tree.body)
        except ZeroDivisionError:
            raise EvalError("ZeroDivisionError", "divide by zero") from None
        except (TypeError, ValueError, OverflowError) as error:
            raise EvalError(type(error).__name__, str(error)) from None
        except RecursionError:
            raise EvalError("RuntimeError", "the expression is nested too deeply") from None

    def _value(self, node: ast.expr) -> object:
        found = _NODES.get(type(node))
        if found is None:
            name = type(node).__name__
            what = _NAMES_OF_NODES.get(name, name)
            raise EvalError("SyntaxError", f"{what} is not evaluated by reading memory: {_RUN}")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise EvalError("RuntimeError", "the expression is nested too deeply")
        try:
            return found(self, node)
        finally:
            self._depth -= 1

    # ---- Leaves ------------------------------------------------------------------------------

    def _constant(self, node: ast.Constant) -> object:
        if isinstance(node.value, (float, complex)):
            raise EvalError("SyntaxError", "the kernel's Python has no floats")
        return node.value

    def _name(self, node: ast.Name) -> object:
        return self.scope.find(node.id)

    def _attribute(self, node: ast.Attribute) -> object:
        return self.attributes.get(self._value(node.value), node.attr)

    def _subscript(self, node: ast.Subscript) -> object:
        value = self._value(node.value)
        if isinstance(node.slice, ast.Slice):
            parts = (node.slice.lower, node.slice.upper, node.slice.step)
            return self.containers.item(value, slice(*(self._bound(part) for part in parts)))
        return self.containers.item(value, self._value(node.slice))

    def _bound(self, node: ast.expr | None) -> int | None:
        if node is None:
            return None
        value = self._value(node)
        if value is None:
            return None
        found = number(value)
        if found is None:
            raise EvalError("TypeError", "the bounds of a slice must be ints")
        return found

    def _list(self, node: ast.List) -> object:
        return [self._value(each) for each in node.elts]

    def _tuple(self, node: ast.Tuple) -> object:
        return tuple(self._value(each) for each in node.elts)

    def _set(self, node: ast.Set) -> object:
        return {self.containers.plain(self._value(each)) for each in node.elts}

    def _dict(self, node: ast.Dict) -> object:
        found = {}
        for key, value in zip(node.keys, node.values):
            if key is None:
                raise EvalError("SyntaxError", f"** is not evaluated by reading memory: {_RUN}")
            found[self.containers.plain(self._value(key))] = self._value(value)
        return found

    # ---- Logic -------------------------------------------------------------------------------

    def truth(self, value: object) -> bool:
        """Return bool(value)."""
        found = number(value)
        if found is not None:
            return found != 0
        if not isinstance(value, Obj):
            return bool(value)
        if value.kind == "instance" and self.containers.inner(value) is value:
            for name in ("__bool__", "__len__"):
                try:
                    self.attributes.get(value, name)
                except EvalError:
                    continue
                raise EvalError("TypeError", f"{name} of this object is not run here: {_RUN}")
            return True
        try:
            return self.containers.length(value) != 0
        except EvalError:
            return True

    def _bool(self, node: ast.BoolOp) -> object:
        wanted = isinstance(node.op, ast.Or)
        value: object = None
        for each in node.values:
            value = self._value(each)
            if self.truth(value) is wanted:
                break
        return value

    def _if(self, node: ast.IfExp) -> object:
        return self._value(node.body if self.truth(self._value(node.test)) else node.orelse)

    def _compare(self, node: ast.Compare) -> object:
        left = self._value(node.left)
        for op, right_node in zip(node.ops, node.comparators):
            right = self._value(right_node)
            if not self._compared(op, left, right):
                return False
            left = right
        return True

    def _compared(self, op: ast.cmpop, left: object, right: object) -> bool:
        if isinstance(op, (ast.Is, ast.IsNot)):
            return self._is(left, right) is isinstance(op, ast.Is)
        if isinstance(op, (ast.In, ast.NotIn)):
            return self._in(left, right) is isinstance(op, ast.In)
        if isinstance(op, (ast.Eq, ast.NotEq)):
            return self._equal(left, right) is isinstance(op, ast.Eq)
        order = _ORDER[type(op)]
        return bool(order(self.containers.plain(left), self.containers.plain(right)))

    def _equal(self, left: object, right: object) -> bool:
        for one, other in ((left, right), (right, left)):
            if isinstance(one, c_values.ArrayPtr) and isinstance(other, str):
                return c_values.is_text(one) and c_values.text(self.objects.read, one) == other
        return same(self.containers.plain(left), self.containers.plain(right))

    @staticmethod
    def _is(left: object, right: object) -> bool:
        if isinstance(left, Obj) and isinstance(right, Obj):
            return left.address == right.address
        return type(left) is type(right) and left == right

    def _in(self, left: object, right: object) -> bool:
        if isinstance(right, (str, bytes)):
            if type(left) is not type(right):
                raise EvalError("TypeError", "only a string is looked for in a string")
            return left in right  # type: ignore[operator]
        wanted = self.containers.plain(left)
        return any(
            same(self.containers.plain(item), wanted) for item in self.containers.values(right)
        )

    # ---- Arithmetic --------------------------------------------------------------------------

    def _unary(self, node: ast.UnaryOp) -> object:
        value = self._value(node.operand)
        if isinstance(node.op, ast.Not):
            return not self.truth(value)
        found = number(value)
        if found is None:
            raise EvalError("TypeError", f"unsupported type '{self._repr.name_of_type(value)}'")
        if isinstance(node.op, ast.USub):
            return -found
        return ~found if isinstance(node.op, ast.Invert) else found

    def _binary(self, node: ast.BinOp) -> object:
        left, right = self._value(node.left), self._value(node.right)
        if isinstance(node.op, ast.Div):
            raise EvalError("TypeError", "the kernel's Python has no floats: use //")
        sign, function = _BINARY.get(type(node.op), ("@", operator.matmul))
        one, other = number(left), number(right)
        if one is not None and other is not None:
            _check_size(sign, one, other)
            return function(one, other)
        left, right = self.containers.plain(left), self.containers.plain(right)
        kinds = (str, bytes, list, tuple)
        if sign == "+" and type(left) is type(right) and isinstance(left, kinds):
            return left + right  # type: ignore[operator]
        if sign == "*":
            for text, count in ((left, other), (right, one)):
                if isinstance(text, kinds) and count is not None:
                    if len(text) * count > _MOST_ITEMS:
                        raise EvalError("MemoryError", "the result is too long")
                    return text * count
        if isinstance(left, set) and isinstance(right, set) and sign in "-&|^":
            return function(left, right)
        names = [self._repr.name_of_type(value) for value in (left, right)]
        raise EvalError("TypeError", f"unsupported types for {sign}: '{names[0]}', '{names[1]}'")

    # ---- Calls -------------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> object:
        if node.keywords:
            raise EvalError("TypeError", f"keyword arguments are not understood here: {_RUN}")
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in CALLS and not self.scope.is_global(name):
            return self._caller.call(name, self._arguments(node.args))
        function = self._value(node.func)
        if isinstance(function, StructType):
            (address,) = self._exactly_one(node.args)
            return self._cast(function, address)
        text = self._repr.text(function)
        raise EvalError("TypeError", f"{text} is not called by reading memory: {_RUN}")

    def _arguments(self, nodes: Sequence[ast.expr]) -> list[object]:
        return [self._value(node) for node in nodes]

    def _exactly_one(self, nodes: Sequence[ast.expr]) -> list[object]:
        if len(nodes) != 1:
            raise EvalError("TypeError", f"a struct takes one address, not {len(nodes)}")
        return self._arguments(nodes)

    def _cast(self, type: StructType, address: object) -> StructPtr:
        found = 0 if address is None else number(address)
        if found is None:
            name = self._repr.name_of_type(address)
            raise EvalError("TypeError", f"'{name}' is no address")
        return StructPtr(type.record, found & (1 << 64) - 1)


def _check_size(sign: str, left: int, right: int) -> None:
    """Refuse what would take long and give more than anybody reads."""
    if sign == "<<" and right > _MOST_BITS and left:
        raise EvalError("MemoryError", "the result is too long")
    if sign == "**":
        if right < 0:
            raise EvalError("ValueError", "negative power with no float support")
        if left.bit_length() * right > _MOST_BITS and abs(left) > 1:
            raise EvalError("MemoryError", "the result is too long")


def _syntax(source: str, error: SyntaxError) -> str:
    """Say where, as one line."""
    place = error.offset
    near = source.strip()[place - 1 :][:20] if place else ""
    return f"{error.msg}" + (f", near '{near}'" if near else "")


def completions(evaluator: Evaluator, text: str) -> tuple[str, list[str]]:
    """Return the last, unfinished word of an expression and what it may become."""
    start = len(text)
    while start and (text[start - 1].isalnum() or text[start - 1] == "_"):
        start -= 1
    word, before = text[start:], text[:start]
    if not before.endswith("."):
        return word, [name for name in evaluator.scope.names() if name.startswith(word)]
    owner = _last_primary(before[:-1])
    try:
        names = evaluator.attributes.names_of(evaluator.evaluate(owner))
    except KpyError:
        return word, []
    hidden = word.startswith("_")
    return word, [n for n in names if n.startswith(word) and (hidden or not n.startswith("_"))]


def _last_primary(text: str) -> str:
    """Return the last name, with its attributes, subscripts and calls, of a text."""
    depth, at = 0, len(text)
    while at:
        char = text[at - 1]
        if char in ")]":
            depth += 1
        elif char in "([":
            if not depth:
                break
            depth -= 1
        elif not depth and not (char.isalnum() or char in "_."):
            break
        at -= 1
    return text[at:]


_NODES: dict[type[ast.expr], Callable[..., object]] = {
    ast.Constant: Evaluator._constant,
    ast.Name: Evaluator._name,
    ast.Attribute: Evaluator._attribute,
    ast.Subscript: Evaluator._subscript,
    ast.List: Evaluator._list,
    ast.Tuple: Evaluator._tuple,
    ast.Set: Evaluator._set,
    ast.Dict: Evaluator._dict,
    ast.BoolOp: Evaluator._bool,
    ast.IfExp: Evaluator._if,
    ast.Compare: Evaluator._compare,
    ast.UnaryOp: Evaluator._unary,
    ast.BinOp: Evaluator._binary,
    ast.Call: Evaluator._call,
}
