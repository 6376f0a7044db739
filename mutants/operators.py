"""The changes that are tried, and the places in a file where each applies."""

import ast
import copy
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeGuard

# A line with this comment is left out: the comment says why no test can notice a change there.
EQUIVALENT = "# mutants: "

_SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
}
# What only type checkers, readers and the debugger see.
_TYPING_CALLS = {"TypeVar", "ParamSpec", "NewType", "cast"}
_UNSEEN_FIELDS = {"annotation", "returns", "decorator_list"}


@dataclass(frozen=True)
class Mutant:
    """One change to one file.

    Attributes:
        path: The file, relative to the project.
        line: Where the change begins, from 1.
        what: The kind of change.
        before: The file's text.
        after: The file's text with the change.
    """

    path: str
    line: int
    what: str
    before: str
    after: str

    @property
    def changes_something(self) -> bool:
        """Whether the text is still Python, and another program."""
        try:
            return ast.dump(ast.parse(self.after)) != ast.dump(ast.parse(self.before))
        except SyntaxError:
            return False

    @property
    def diff(self) -> str:
        """The change as a unified diff."""
        before, after = (text.splitlines(keepends=True) for text in (self.before, self.after))
        return "".join(difflib.unified_diff(before, after, self.path, self.path, n=1))


def mutants_of(path: str, source: str) -> tuple[list[Mutant], int]:
    """All changes of a file, in a fixed order, and how many its comments leave out.

    Args:
        path: What the file is called in the diff.
        source: Its text.
    """
    text = _Text(source)
    found: dict[tuple[int, int, str], Mutant] = {}
    left_out = 0
    for node in _seen(ast.parse(source)):
        for what, at, instead in _changes(text, node):
            start, end = text.span(at)
            if EQUIVALENT in text.lines[at.lineno - 1]:
                left_out += 1
            else:
                after = source[:start] + instead + source[end:]
                found.setdefault((start, end, instead), Mutant(path, at.lineno, what, source, after))
    return list(found.values()), left_out


class _Text:
    """A file's text, and where in it the nodes of its tree are."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.lines = source.splitlines(keepends=True)
        self._starts = [0, *accumulate(map(len, self.lines))]

    def span(self, node: ast.stmt | ast.expr | ast.keyword) -> tuple[int, int]:
        """Where a node begins and ends; Python counts columns in bytes."""
        last, column = node.end_lineno or node.lineno, node.end_col_offset or 0
        return self._at(node.lineno, node.col_offset), self._at(last, column)

    def without(self, node: ast.expr, part: ast.expr | ast.keyword) -> str:
        """The text of a node without one of its parts and the comma behind that."""
        start, end = self.span(node)
        from_, to = self.span(part)
        return self.source[start:from_] + re.sub(r"\A\s*,?[ \t]*", "", self.source[to:end])

    def _at(self, line: int, column: int) -> int:
        return self._starts[line - 1] + len(self.lines[line - 1].encode()[:column].decode())


def _seen(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below one that have an effect when the program runs."""
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and name not in _UNSEEN_FIELDS and not _is_unseen(child):
                yield child
                yield from _seen(child)


def _is_unseen(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()) | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
            return True  # docstrings; and Python 3.11 does not say where the parts of an f-string are
        case ast.Subscript(value=ast.Name("Literal" | "Annotated")):
            return True
        case ast.Call(func=ast.Name(name)) if name in _TYPING_CALLS:
            return True
        case ast.Assign(targets=[ast.Name("__all__")]) | ast.If(test=ast.Name("TYPE_CHECKING")):
            return True
    return False


def _changes(text: _Text, node: ast.AST) -> Iterator[tuple[str, ast.stmt | ast.expr, str]]:
    """The kind of each change of a node, the node whose text it replaces, and the new text."""
    match node:
        case ast.Compare(ops=[op]) | ast.BoolOp(op=op) | ast.BinOp(op=op) if type(op) in _SWAPPED:
            swapped = copy.copy(node)
            if isinstance(swapped, ast.Compare):
                swapped.ops = [_SWAPPED[type(op)]()]  # type: ignore[list-item]
            else:
                swapped.op = _SWAPPED[type(op)]()  # type: ignore[assignment]
            yield "swapped operator", node, f"({ast.unparse(swapped)})"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "removed not", node, f"({ast.unparse(operand)})"
        case ast.Constant(bool() as value):
            yield "changed constant", node, str(not value)
        case ast.Constant(int() | float() as value):
            yield "changed constant", node, str(value + 1)
        case ast.Constant(str() as value) if value and not re.search(r"\s", value):  # sentences are for people
            yield "changed constant", node, repr(f"{value}x")
        case ast.Call(func=function, args=arguments, keywords=keywords):
            for keyword in keywords:
                if keyword.arg:
                    yield f"removed argument {keyword.arg}", node, text.without(node, keyword)
            if isinstance(function, ast.Name) and function.id.islower() and len(arguments) == 1 and not keywords:
                yield "removed call", node, f"({ast.unparse(arguments[0])})"
        case ast.List(elts=elements) | ast.Set(elts=elements) if len(elements) > 1:
            for element in elements:
                yield "removed element", node, text.without(node, element)
        case ast.Tuple(elts=elements, ctx=ast.Load()) if len(elements) > 1:
            for index in range(len(elements)):
                rest = ast.Tuple(elements[:index] + elements[index + 1 :], ast.Load())
                yield "removed element", node, ast.unparse(rest)
    if isinstance(node, ast.If | ast.While | ast.IfExp) and not isinstance(node.test, ast.Compare | ast.UnaryOp):
        yield "negated condition", node.test, f"(not ({ast.unparse(node.test)}))"
    if _can_be_removed(node):
        yield "removed statement", node, "pass"


def _can_be_removed(node: ast.AST) -> TypeGuard[ast.stmt]:
    match node:
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) | ast.Expr(value=ast.Call()):
            return True
    return isinstance(node, ast.Raise | ast.AugAssign | ast.Delete | ast.Continue | ast.Break)
