"""Trees of FQL statements as a strategy, and the statement that a tree is read from."""

from typing import Any

from hypothesis import strategies as st

from mainstem.model.fql_syntax import PARAMETERS, All, And, Call, Comparison, ListOf, Literal, Node, Not, Or, Path

strings = st.text(max_size=6).filter(lambda text: not ("'" in text and '"' in text))
decimals = st.decimals(-1000, 1000, places=3, allow_nan=False).map(float)
literals = st.builds(Literal, st.none() | st.booleans() | st.integers(-(10**20), 10**20) | decimals | strings)
paths = st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=3).map(lambda keys: Path(tuple(keys)))


def calls(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    arguments = inner.filter(lambda node: not isinstance(node, Literal))
    return st.sampled_from(sorted(PARAMETERS)).flatmap(
        lambda name: st.tuples(*[arguments] * len(PARAMETERS[name])).map(lambda given: Call(name, given))
    )


def deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        calls(inner),
        st.builds(Not, inner),
        st.builds(And, several),
        st.builds(Or, several),
        st.builds(ListOf, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Comparison, st.sampled_from(["=", "!=", ">", ">=", "<", "<="]), inner, inner),
        st.builds(Comparison, st.just("in"), inner, inner.filter(lambda node: not isinstance(node, Literal))),
    )


trees: st.SearchStrategy[Node] = st.recursive(literals | paths, deeper, max_leaves=10)


def written(node: Node) -> str:
    """The statement of a tree, every inner operator in parentheses."""
    match node:
        case Literal(value=value):
            return constant(value)
        case Path(segments=segments):
            return ".".join("".join(f"\\{character}" for character in key) for key in segments)
        case ListOf(items=items):
            return f"[{', '.join(map(as_term, items))}]"
        case Call(function=function, arguments=arguments):
            return f"{function}({', '.join(map(as_term, arguments))})"
        case Not(operand=operand):
            return f"!({written(operand)})"
        case And(operands=operands):
            return " and ".join(map(as_term, operands))
        case Or(operands=operands):
            return " or ".join(map(as_term, operands))
        case Comparison(operator=symbol, left=left, right=right):
            return f"{as_term(left)} {symbol} {as_term(right)}"
        case All():
            return "all"


def constant(value: str | float | None) -> str:
    if isinstance(value, str):
        return f'"{value}"' if "'" in value else f"'{value}'"
    if isinstance(value, float):
        return f"{value:f}"
    return {"None": "null", "True": "true", "False": "false"}.get(str(value), str(value))


def as_term(node: Node) -> str:
    inner = written(node)
    return f"({inner})" if isinstance(node, Not | And | Or | Comparison) else inner
