"""Code is read without running it: where its first error is, and which handlers it declares."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mainstem.errors import SandboxUnavailable
from mainstem.sandbox import Fault, check, handlers, parse


@pytest.mark.parametrize(
    ("source", "line", "column", "message"),
    [
        ("x = ;", 1, 5, "Unexpected token ';'"),
        ("let a = 1;\n\n  let a = 2;", 3, 7, "Identifier 'a' has already been declared"),
        ("async function onTrack(event) {\n  return {;\n}", 2, 11, "Unexpected token ';'"),
        ("let a = 1;\r\nfunction f( {\r\n}\r\n", 4, 1, "Unexpected end of input"),
        ("function f() {", 1, 15, "Unexpected end of input"),
        ("`never closed", 1, 14, "Unexpected end of input"),
        ("/* never closed", 1, 1, "Invalid or unexpected token"),
        ("var s = 'abc\n';", 1, 9, "Invalid or unexpected token"),
        ("import x from 'y'", 1, 1, "Cannot use import statement outside a module"),
        ("\nexport default 1;", 2, 1, "Unexpected token 'export'"),
        ("}\nprocess.exit(1);\nfunction x() {", 2, 1, "Unexpected identifier 'process'"),
        ("}{", 1, 2, "Unexpected token '{'"),
        ("function f() {\n}\n  }\n", 3, 3, "Unexpected token '}'"),
        ("'use strict'; with (a) {}", 1, 15, "Strict mode code may not include a with statement"),
        ("//# sourceURL=other.js\n\nlet 1;", 3, 5, "Unexpected number"),
        ("(" * 100_000, 1, 1, "nested too deeply"),
    ],
)
def test_a_syntax_error_is_told_with_its_place(source: str, line: int, column: int, message: str) -> None:
    fault = check(source)
    assert fault is not None
    assert message in fault.message
    assert (fault.line, fault.column) == (line, column)


@pytest.mark.parametrize(
    "source",
    [
        "",
        "async function onTrack(event, settings) { await fetch('x'); }",
        "const { a, ...b } = c ?? {}; await a?.b; class D { #e = 1n; static {} }",
        "x = 1; with (x) {}; var let_ = 010;",
        "for (;;);",
        "throw new Error('not run'); // ünïcödé \U0001f600",
        "let s = '\ud800';",
    ],
)
def test_code_that_parses_has_no_fault_and_is_not_run(source: str) -> None:
    assert check(source) is None


def test_handlers_are_those_declared_at_the_top() -> None:
    source = """
    const onTrack = async () => {}, { onScreen } = {};
    function onPage() { function onGroup() {} }
    let onIdentify; { let onAlias = 1; }
    // function onDelete() {}
    const text = "async function onBatch() {}";
    exports.onRequest = () => {};
    """
    assert handlers(source) == ("onTrack", "onIdentify", "onPage", "onScreen")
    assert handlers("function onTrack() {") == ()


def test_code_that_takes_too_long_to_read_is_at_fault_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    check("")
    monkeypatch.setattr(parse, "_SECONDS", 0.0)
    fault = check("let a;")
    assert fault is not None
    assert "cannot be read" in fault.message
    monkeypatch.undo()
    assert check("let a;") is None, "the next is read by another process"


def test_a_process_that_somebody_ended_is_no_fault_of_the_code() -> None:
    assert check("1") is None
    process = parse._parser._process
    assert process is not None
    process.kill()
    process.wait()
    assert check("function onTrack() {}") is None


def test_threads_may_ask_at_once() -> None:
    sources = [f"let a{n};" + "\n" * n + ("?" if n % 3 == 0 else "") for n in range(40)]
    with ThreadPoolExecutor(8) as threads:
        faults = list(threads.map(check, sources))
    assert [fault and fault.line for fault in faults] == [n + 1 if n % 3 == 0 else None for n in range(40)]


def test_without_deno_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> list[str]:
        raise SandboxUnavailable("Deno is not installed")

    parse._parser.end()
    monkeypatch.setattr(parse, "command", missing)
    with pytest.raises(SandboxUnavailable, match="not installed"):
        check("")
    monkeypatch.setattr(parse, "command", lambda *_: ["/bin/sh", "-c", "exit 1"])
    with pytest.raises(SandboxUnavailable, match="does not start"):
        check("")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from(list("(){}[];,'\"`\\/*\n\r\u2028$=>.abx0é \ud800")), max_size=60))
def test_every_text_has_an_answer_within_itself(source: str) -> None:
    fault = check(source)
    if fault is not None:
        assert isinstance(fault, Fault)
        lines = source.replace("\r\n", "\n").replace("\r", "\n").replace("\u2028", "\n").split("\n")
        assert 1 <= fault.line <= len(lines)
        assert 1 <= fault.column <= len(lines[fault.line - 1]) + 1
