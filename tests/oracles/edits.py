"""Edits of source text: silent ones, which change no behaviour, and loud ones, which may.

They work on the tree that Python itself parses and write it out with `ast.unparse`, so each also
formats the file anew, drops its comments and exchanges its quotes, all of which must count as
little as the silent edits do.
"""

import ast
import io
import tokenize
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTED = (*FUNCTIONS, ast.ClassDef, ast.Module)
ASSIGNING = (ast.Assign, ast.AnnAssign, ast.AugAssign)


# Silent


def with_comments(text: str) -> str:
    """A comment at the end of every line that may have one, and an empty line after it."""
    ends = {
        token.start[0]: token.start[1]
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.NEWLINE
    }
    lines = [
        f"{line.rstrip()}  # a comment\n" if number in ends else line
        for number, line in enumerate(text.split("\n"), start=1)
    ]
    return "\n".join(lines)


def unparsed(text: str) -> str:
    """The same syntax in Python's own format."""
    return ast.unparse(ast.parse(text)) + "\n"


def with_other_docstrings(text: str) -> str:
    """Every docstring edited."""
    return _each_body(
        text, lambda rest: [_expression("An edited docstring."), *rest], only_had=True
    )


def without_docstrings(text: str) -> str:
    """Every docstring removed."""
    return _each_body(text, lambda rest: rest or [ast.Pass()], only_had=True)


def with_docstrings(text: str) -> str:
    """A docstring wherever there may be one."""
    return _each_body(text, lambda rest: [_expression("A docstring."), *rest])


def with_idle_statements(text: str) -> str:
    """Texts below assignments, `...` and `pass` wherever a body ends."""
    return _each_body(
        text, lambda rest: [*rest, _expression("A text."), _expression(...), ast.Pass()]
    )


def with_other_annotations(text: str) -> str:
    """Every annotation of a function and of a variable in one replaced; bare ones added."""
    tree = ast.parse(text)
    another = ast.Constant("Another")
    for function in (node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)):
        function.returns = another
        for node in _own(function):
            if isinstance(node, (ast.arg, ast.AnnAssign)):
                node.annotation = another
    return _text(tree)


def with_functions_in_reverse(text: str) -> str:
    """Top-level functions in the opposite order, where none of them runs meanwhile."""
    tree = ast.parse(text)
    places = [i for i, node in enumerate(tree.body) if isinstance(node, FUNCTIONS)]
    functions = [tree.body[place] for place in places]
    for place, function in zip(places, reversed(functions), strict=True):
        tree.body[place] = function
    return _text(tree)


SILENT: dict[str, Callable[[str], str]] = {
    "comments and empty lines": with_comments,
    "formatting": unparsed,
    "edited docstrings": with_other_docstrings,
    "removed docstrings": without_docstrings,
    "added docstrings": with_docstrings,
    "statements that do nothing": with_idle_statements,
    "annotations of functions": with_other_annotations,
    "the order of functions": with_functions_in_reverse,
}


def _each_body(
    text: str, change: Callable[[list[ast.stmt]], list[ast.stmt]], *, only_had: bool = False
) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED):
            had = ast.get_docstring(node, clean=False) is not None
            if had or not only_had:
                node.body = change(node.body[1:] if had else node.body)
    return _text(tree)


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """What stands in a function, but not in a class or another function inside of it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, (ast.ClassDef, *FUNCTIONS, ast.Lambda)):
            yield child
            yield from _own(child)


def _expression(value: Any) -> ast.stmt:
    return ast.Expr(ast.Constant(value))


def _text(tree: ast.Module) -> str:
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


# Loud: each edits the statement in place, or says that it has no place to


def edit_constant(statement: ast.stmt, random: Random) -> bool:
    """Another number, text or truth."""
    constants = [node for node in _effective(statement) if isinstance(node, ast.Constant)]
    if not constants:
        return False
    chosen = random.choice(constants)
    match chosen.value:
        case bool():
            chosen.value = not chosen.value
        case int() | float() | complex():
            chosen.value = 0 if chosen.value else 1
        case str():
            chosen.value += "~"
        case bytes():
            chosen.value += b"~"
        case _:
            chosen.value = 0
    return True


def edit_default(statement: ast.stmt, random: Random) -> bool:
    """Another default of an argument, or one where there was none."""
    functions = [node for node in ast.walk(statement) if isinstance(node, FUNCTIONS)]
    places = [node.args for node in functions if node.args.args or node.args.kwonlyargs]
    if not places:
        return False
    arguments = random.choice(places)
    new = ast.Constant("another default")
    if arguments.args:
        arguments.defaults = [*arguments.defaults[:-1], new]
    else:
        arguments.kw_defaults[-1] = new
    return True


def edit_body(statement: ast.stmt, random: Random) -> bool:
    """One statement more in a function, wherever in the definition that function is."""
    functions = [node for node in ast.walk(statement) if isinstance(node, FUNCTIONS)]
    if not functions:
        return False
    body = random.choice(functions).body
    body.insert(random.randint(1, len(body)), ast.parse("edited = 1").body[0])
    return True


def edit_class(statement: ast.stmt, random: Random) -> bool:
    """A class attribute more."""
    if not isinstance(statement, ast.ClassDef):
        return False
    statement.body.append(ast.parse("edited = 1").body[0])
    return True


def edit_bases(statement: ast.stmt, random: Random) -> bool:
    """A base of a class more."""
    if not isinstance(statement, ast.ClassDef):
        return False
    statement.bases.append(ast.Name("object", ast.Load()))
    return True


def edit_decorators(statement: ast.stmt, random: Random) -> bool:
    """A decorator removed, or one more."""
    definitions = [n for n in ast.walk(statement) if isinstance(n, (*FUNCTIONS, ast.ClassDef))]
    if not definitions:
        return False
    decorators = random.choice(definitions).decorator_list
    if decorators and random.random() < 0.5:
        decorators.pop(random.randrange(len(decorators)))
    else:
        decorators.append(ast.Name("staticmethod", ast.Load()))
    return True


def edit_value(statement: ast.stmt, random: Random) -> bool:
    """Something else assigned."""
    if not isinstance(statement, ASSIGNING) or statement.value is None:
        return False
    statement.value = ast.Tuple([statement.value, ast.Constant(1)], ast.Load())
    return True


LOUD: dict[str, Callable[[ast.stmt, Random], bool]] = {
    "a constant": edit_constant,
    "a default value": edit_default,
    "a function's body": edit_body,
    "a class attribute": edit_class,
    "a base of a class": edit_bases,
    "a decorator": edit_decorators,
    "an assigned value": edit_value,
}


def edited(text: str, place: int, edit: str, random: Random) -> str | None:
    """The text with one of the `LOUD` edits in its top-level statement `place`; None: no place."""
    tree = ast.parse(text)
    return _text(tree) if LOUD[edit](tree.body[place], random) else None


def with_every_definition_edited(text: str, random: Random) -> str:
    """All of the `LOUD` edits in every function and class at once."""
    tree = ast.parse(text)
    for statement in tree.body:
        if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
            for edit in LOUD.values():
                edit(statement, random)
    return _text(tree)


def _effective(node: ast.AST, in_function: bool = False) -> Iterator[ast.AST]:
    """Every node below that counts: annotations in functions and idle texts do not."""
    yield node
    in_function = isinstance(node, FUNCTIONS) or (
        in_function and not isinstance(node, ast.ClassDef)
    )
    for name, value in ast.iter_fields(node):
        is_field = isinstance(node, ast.AnnAssign) and not in_function
        if name == "returns" or (name == "annotation" and not is_field):
            continue
        for child in value if isinstance(value, list) else [value]:
            idle = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
            if isinstance(child, ast.AST) and not idle:
                yield from _effective(child, in_function)
