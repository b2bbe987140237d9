"""Where a function can be broken, and how: one small change of its syntax tree each. For `benchmarks/mutants.py`.

A change is made in place and taken back, so that one tree serves all mutants of a function.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

COMPARISONS = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}
OPERATIONS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
NAMES = {"min": "max", "max": "min", "ceil": "floor", "floor": "ceil"}
DELETABLE = (ast.Assign, ast.AugAssign, ast.Expr, ast.Return, ast.Break, ast.Continue)


@dataclass(frozen=True, slots=True)
class Site:
    """One change of a tree."""

    line: int
    kind: str
    before: str
    after: str
    """The smallest statement around the change, as text."""
    apply: Callable[[], None]
    undo: Callable[[], None]


def functions_of(source: str) -> list[ast.FunctionDef]:
    """The module's functions, without their decorators."""
    found = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    for function in found:
        function.decorator_list = []
    return found


def sites_of(function: ast.FunctionDef) -> Iterator[Site]:
    """Every change of a function's body; its docstring and annotations are left alone."""
    for statement, holder, place in _statements(function.body):
        if isinstance(statement, DELETABLE) and not _is_docstring(statement):
            yield _site(statement, statement, "delete", _swap_item(holder, place, ast.Pass()), whole=True)
        for node in _own_nodes(statement):
            for kind, swap in _changes(node):
                yield _site(statement, node, kind, swap)


Swap = tuple[Callable[[], None], Callable[[], None]]


def _site(statement: ast.stmt, node: ast.AST, kind: str, swap: Swap, *, whole: bool = False) -> Site:
    apply, undo = swap
    before = _head(statement)
    apply()
    after = "pass" if whole else _head(statement)
    undo()
    return Site(getattr(node, "lineno", statement.lineno), kind, before, after, apply, undo)


def _head(statement: ast.stmt) -> str:
    """A statement as text; of one with a body, its first line."""
    return ast.unparse(statement).splitlines()[0]


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _statements(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, list[ast.stmt], int]]:
    for place, statement in enumerate(body):
        yield statement, body, place
        for name in ("body", "orelse"):
            yield from _statements(getattr(statement, name, []))


def _own_nodes(statement: ast.stmt) -> Iterator[ast.AST]:
    """The statement and its expressions, without the statements inside it and without annotations."""
    if _is_docstring(statement):
        return
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop()
        yield node
        for name, child in ast.iter_fields(node):
            if name in ("annotation", "format_spec"):
                continue
            children = child if isinstance(child, list) else [child]
            todo += [c for c in children if isinstance(c, ast.AST) and not isinstance(c, ast.stmt)]


def _changes(node: ast.AST) -> Iterator[tuple[str, Swap]]:
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            if type(operator) in COMPARISONS:
                yield "comparison", _swap_item(node.ops, place, COMPARISONS[type(operator)]())
    elif isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in OPERATIONS:
        yield "arithmetic", _swap_field(node, "op", OPERATIONS[type(node.op)]())
    elif isinstance(node, ast.BoolOp):
        yield "and/or", _swap_field(node, "op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.Constant) and not isinstance(node.value, str) and node.value is not None:
        yield "constant", _swap_field(node, "value", _other(node.value))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMES:
        yield "min/max", _swap_field(node.func, "id", NAMES[node.func.id])
    elif isinstance(node, ast.UnaryOp):
        yield "sign", _swap_fields_to_operand(node)
    if isinstance(node, (ast.If, ast.While, ast.IfExp)):
        yield "negation", _swap_field(node, "test", ast.UnaryOp(ast.Not(), node.test))


def _other(value: complex | bool) -> complex | bool:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return 1.0 if value == 0.0 else value * 0.99


def _swap_item(items: list, place: int, new: ast.AST) -> Swap:
    old = items[place]
    return lambda: items.__setitem__(place, new), lambda: items.__setitem__(place, old)


def _swap_field(node: ast.AST, name: str, new: object) -> Swap:
    old = getattr(node, name)
    return lambda: setattr(node, name, new), lambda: setattr(node, name, old)


def _swap_fields_to_operand(node: ast.UnaryOp) -> Swap:
    """Drop a sign, a `not` or a `~`: two signs more than it had undo a minus, two `not`s a `not`."""
    new = {ast.USub: ast.UAdd, ast.Invert: ast.UAdd}.get(type(node.op))
    if new is not None:
        return _swap_field(node, "op", new())
    return _swap_field(node, "operand", ast.UnaryOp(ast.Not(), node.operand))
