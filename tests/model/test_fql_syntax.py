import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.model.fql_syntax import (
    MAX_DEPTH,
    MAX_STATEMENT_BYTES,
    All,
    And,
    Call,
    Comparison,
    FqlError,
    ListOf,
    Literal,
    Node,
    Not,
    Or,
    Path,
    read,
)
from model.statements import trees, written


def path(*segments: str) -> Path:
    return Path(segments)


A, B, C = path("a"), path("b"), path("c")

TREES: dict[str, tuple[str, Node]] = {
    # words
    "a word that starts with and is a field": ("andeverything", path("andeverything")),
    "a word that starts with an is a field": ("anna ", path("anna")),
    "a word that starts with or is a field": ("orange", path("orange")),
    "a word that starts with null is a field": ("nullify", path("nullify")),
    "android is a field": ("android = 1", Comparison("=", path("android"), Literal(1))),
    "null alone is null": ("null", Literal(None)),
    "null before a closing parenthesis is null": ("(null)", Literal(None)),
    "null before a comma is null": ("[null,1]", ListOf((Literal(None), Literal(1)))),
    "null before an operator is a field": ("null=1", Comparison("=", path("null"), Literal(1))),
    "NULL is a field": ("NULL", path("NULL")),
    "true is a constant": ("true", Literal(True)),
    "false is a constant": ("false = a", Comparison("=", Literal(False), A)),
    "an escaped true is a field": (r"\true", path("true")),
    "true before a dot is a field": ("true.a", path("true", "a")),
    "an escaped null is a field": (r"\null", path("null")),
    "an escaped all is a field": (r"\all", path("all")),
    "Infinity is a field": ("Infinity", path("Infinity")),
    "an underscore starts a field": ("_a_b_c", path("_a_b_c")),
    "a dash continues a field": ("a-b", path("a-b")),
    "a backslash escapes any character": (r"a\ b\$c\.", path("a b$c.")),
    "a backslash starts a field": (r"\$a\ b\$c\.", path("$a b$c.")),
    "a backslash escapes a letter outside ASCII": (r"\é\ア", path("éア")),
    "a backslash escapes itself": (r"a\\b", path("a\\b")),
    "keywords are keys after a dot": ("a.and.or.null.true.in", path("a", "and", "or", "null", "true", "in")),
    "a key after a dot may start with a digit": ("a.2026_total.-x", path("a", "2026_total", "-x")),
    "space may stand around dots": ("a . \n b", path("a", "b")),
    # strings
    "double quotes make a string": ('"d"', Literal("d")),
    "single quotes make a string": ("'or and'", Literal("or and")),
    "the other quote may stand in a string": ("""'say "x"'""", Literal('say "x"')),
    "a backslash in a string is itself": (r"'a\'", Literal("a\\")),
    "a string may span lines": ('"cat\n\tdog"', Literal("cat\n\tdog")),
    "any character may stand in a string": ("'$@#*`/é😀'", Literal("$@#*`/é😀")),
    "a string may be empty": ("''", Literal("")),
    # numbers
    "digits are a number": ("10000000", Literal(10_000_000)),
    "a decimal is a number": ("0.4", Literal(0.4)),
    "a minus sign belongs to a number": ("-3.2", Literal(-3.2)),
    "a plus sign belongs to a number": ("+5", Literal(5)),
    "leading zeros do not matter": ("007", Literal(7)),
    # structure
    "all is every event": ("all", All()),
    "all may have space around it": ("\n all\t", All()),
    "all within a statement is a field": ("all = 1", Comparison("=", path("all"), Literal(1))),
    "all in parentheses is a field": ("(all)", path("all")),
    "all before a dot is a field": ("all.a", path("all", "a")),
    "and binds tighter than or": ("a or b and c", Or((A, And((B, C))))),
    "and binds tighter than or on the left": ("a and b or c", Or((And((A, B)), C))),
    "parentheses group": ("(a or b) and c", And((Or((A, B)), C))),
    "a chain of and is one": ("a and b and c", And((A, B, C))),
    "not binds tighter than and": ("!a and b", And((Not(A), B))),
    "not negates the comparison": ("!a = b", Not(Comparison("=", A, B))),
    "not before a parenthesis": ("!(a or b)", Not(Or((A, B)))),
    "not may repeat through parentheses": ("!(!a)", Not(Not(A))),
    "AND and OR may be capitals": ("a AND b OR c", Or((And((A, B)), C))),
    "AND at the start is a field": ("AND = 1", Comparison("=", path("AND"), Literal(1))),
    "and may touch a parenthesis": ("(a)and(b)", And((A, B))),
    "operators need no space": ("a>=5", Comparison(">=", A, Literal(5))),
    "unequal needs no space": ("a!=b", Comparison("!=", A, B)),
    "less than needs no space": ("a<b", Comparison("<", A, B)),
    "in takes a list": ("a in ['x', 2]", Comparison("in", A, ListOf((Literal("x"), Literal(2))))),
    "in takes a field": ("'x' in a.b", Comparison("in", Literal("x"), path("a", "b"))),
    "in may touch a bracket": ("a in[1]", Comparison("in", A, ListOf((Literal(1),)))),
    "in at the start is a field": ("in in [1]", Comparison("in", path("in"), ListOf((Literal(1),)))),
    "a list may be empty": ("[]", ListOf(())),
    "lists nest": ("[[1],[]]", ListOf((ListOf((Literal(1),)), ListOf(())))),
    "a list holds fields and calls": ("[a,length(b)]", ListOf((A, Call("length", (B,))))),
    "a call takes calls": ("length(lowercase(a))", Call("length", (Call("lowercase", (A,)),))),
    "a call may have space before its arguments": ("length ( a )", Call("length", (A,))),
    "a function's name without arguments is a field": ("length = 1", Comparison("=", path("length"), Literal(1))),
    "a condition in parentheses is a value": ("(a = b) = c", Comparison("=", Comparison("=", A, B), C)),
}  # fmt: skip


@pytest.mark.parametrize(("text", "tree"), TREES.values(), ids=TREES.keys())
def test_a_statement_is_read(text: str, tree: Node) -> None:
    assert repr(read(text)) == repr(tree)  # repr tells 1 from 1.0 and from true


ERRORS: dict[str, tuple[str, int, int]] = {
    '"': ("not closed", 1, 1),
    '"  ': ("not closed", 1, 1),
    '" " " ': ("not closed", 1, 5),
    '"abd': ("not closed", 1, 1),
    'abd "': ("not closed", 1, 5),
    "userId = oops\"": ("not closed", 1, 14),
    r"a = 'it\'s'": ("not closed", 1, 11),
    r"a = 'it\'s a'": ("not closed", 1, 13),
    "5.": ("decimal point", 1, 1),
    "5. ": ("decimal point", 1, 1),
    "5.0.": ("decimal point", 1, 1),
    "5.0.0": ("one decimal point", 1, 1),
    ".5": ("expected a value", 1, 1),
    "1e5": ("expected an operator", 1, 2),
    "-": ("digits", 1, 1),
    "a = +": ("digits", 1, 5),
    "--5": ("digits", 1, 1),
    "9" * 400: ("too large", 1, 1),
    "0" * 5000: ("too many digits", 1, 1),
    "!": ("right before a letter", 1, 1),
    "! a": ("right before a letter", 1, 1),
    "!!a": ("right before a letter", 1, 1),
    "!5": ("right before a letter", 1, 1),
    "!'a'": ("right before a letter", 1, 1),
    "!_a": ("right before a letter", 1, 1),
    "abc\\": ("after a backslash", 1, 4),
    "abc/": ("'/'", 1, 4),
    "$": ("'\\$'", 1, 1),
    "@": ("'@'", 1, 1),
    "#": ("'#'", 1, 1),
    "*": ("'\\*'", 1, 1),
    "`": ("'`'", 1, 1),
    "/": ("'/'", 1, 1),
    "a\r\n": ("'.*r'", 1, 2),
    "é = 1": ("'é'", 1, 1),
    "": ("empty", 1, 1),
    " \n\t": ("empty", 2, 2),
    "a b": ("expected an operator", 1, 3),
    "a = ": ("expected a value", 1, 5),
    "= a": ("expected a value", 1, 1),
    "a == b": ("expected a value", 1, 4),
    "a = b = c": ("expected an operator", 1, 7),
    "a and": ("expected a value", 1, 6),
    "and a": ("expected a value", 1, 1),
    "a and or b": ("expected a value", 1, 7),
    "a AND AND b": ("expected an operator", 1, 11),
    "a\nand\n  $": ("'\\$'", 3, 3),
    "(a": ("expected '\\)'", 1, 3),
    "a)": ("expected an operator", 1, 2),
    "()": ("expected a value", 1, 2),
    "[a": ("expected ','", 1, 3),
    "[a,]": ("expected a value", 1, 4),
    "[,a]": ("expected a value", 1, 2),
    "[a = b]": ("expected ','", 1, 4),
    "a.": ("field's name", 1, 3),
    ".a": ("expected a value", 1, 1),
    "a..b": ("field's name", 1, 3),
    "a.'b'": ("field's name", 1, 3),
    "a.length(b)": ("expected an operator", 1, 9),
    "random(50)": ("no function 'random'", 1, 1),
    "and(a)": ("no function 'and'", 1, 1),
    "length()": ("takes 1 argument, not 0", 1, 1),
    "a = contains(b)": ("takes 2 arguments, not 1", 1, 5),
    "contains(b, 5)": ("takes string, not 5", 1, 1),
    "lowercase(true)": ("takes string, not True", 1, 1),
    "length(5)": ("takes list or string, not 5", 1, 1),
    "number(true)": ("takes number or string", 1, 1),
    "match(a, '[')": ("closing", 1, 1),
    "a in 'b'": ("list or a field", 1, 3),
    "a in null": ("list or a field", 1, 3),
    "a IN [1]": ("expected an operator", 1, 3),
    "not a": ("expected an operator", 1, 5),
}  # fmt: skip


@pytest.mark.parametrize(("text", "fault"), ERRORS.items(), ids=[text[:20] for text in ERRORS])
def test_a_fault_is_named_with_its_line_and_column(text: str, fault: tuple[str, int, int]) -> None:
    message, line, column = fault
    with pytest.raises(FqlError, match=message) as refused:
        read(text)
    assert (refused.value.line, refused.value.column) == (line, column)
    assert f"line {line}, column {column}" in str(refused.value)


def test_a_statement_may_have_5_kb_and_no_byte_more() -> None:
    most = "'" + "é" * (MAX_STATEMENT_BYTES // 2 - 1) + "'"
    assert isinstance(read(most), Literal)
    with pytest.raises(FqlError, match="5120 bytes"):
        read(most + " ")


NESTS = {"(": ")", "!(": ")", "[": "]", "bool(": ")", "bool((": "))", "a and (": ")", "1 = (": ")"}


@pytest.mark.parametrize(("opening", "closing"), NESTS.items(), ids=NESTS.keys())
def test_nesting_is_bounded_without_exhausting_the_stack(opening: str, closing: str) -> None:
    levels = MAX_DEPTH // (opening.count("(") + opening.count("[") + opening.count("!"))
    assert read(opening * levels + "a" + closing * levels)
    with pytest.raises(FqlError, match="nested more than 64 levels"):
        read(opening * (levels + 1) + "a" + closing * (levels + 1))
    with pytest.raises(FqlError):
        read(opening * (5_000 // len(opening)))


def test_the_limit_is_on_depth_and_not_on_length() -> None:
    statement = " or ".join(["(a = 1)"] * 450)
    assert isinstance(tree := read(statement), Or)
    assert len(tree.operands) == 450


def fault_of(text: str) -> FqlError | None:
    """None when the text is read. Any other exception fails the test."""
    try:
        read(text)
    except FqlError as fault:
        return fault
    return None


WORDS = ["a", "b.c", "and", "or", "null", "true", "in", "all", "length(", "contains(", "match(", "typeof("]
VALUES = ["5", "-5", "5.", "0.5", "'x'", '"y"', "'['", "'", '"']
SIGNS = ["=", "!=", ">", ">=", "<", "!", "(", ")", "[", "]", ",", ".", "\\", "\\.", "$", "é", " ", "\n", "\t", "\r"]
mixes = st.lists(st.sampled_from([*WORDS, *VALUES, *SIGNS]), max_size=25)


@settings(max_examples=400)
@given(st.text(max_size=60) | mixes.map("".join) | mixes.map(" ".join))
def test_any_text_is_read_or_refused_at_a_place_in_it(text: str) -> None:
    fault = fault_of(text)
    if fault is not None:
        lines = text.split("\n")
        assert 1 <= fault.line <= len(lines)
        assert 1 <= fault.column <= len(lines[fault.line - 1]) + 1


@settings(max_examples=200)
@given(trees)
def test_a_tree_written_down_is_read_back(tree: Node) -> None:
    assert repr(read(written(tree))) == repr(tree)
