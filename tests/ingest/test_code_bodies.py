import pytest

from longctx.ingest.code_bodies import body_code
from longctx.ingest.document import Document

PYTHON = '''\
import os

LIMIT = sum(range(3))


@app.route("/x")
def f(a: int, b=3) -> str:
    """Doc."""
    x: list[int] = []  # hi
    if not a and isinstance(b, dict):
        return g(a, key=lambda z: z + 1)
    from os import path
    raise ValueError(f"no {a}")
'''
SMALL = {
    "a.js": ("class A { go(y) { const f = (z) => z + y; return f(`a${y}`, 's', /x/); } }",
             "{ const f = z + y ; return f ( , , ) ; }"),
    "a.ts": ("function g(x: number): string { const y: T<A> = new M(); return f(x, y); }",
             "{ const y = new M ( ) ; return f ( x , y ) ; }"),
    "a.java": ("class A { @O int m(L<T> xs) { String s = \"no\"; /* c */ return (int) f(s); } }",
               "{ s = ; return ( ) f ( s ) ; }"),
    "a.c": ("#include <x.h>\nint n = 3;\nint f(char *a) { for (i = 0; i < n; i++) a[i] = 'x'; }",
            "{ for ( i = 0 ; i < n ; i ++ ) a [ i ] = ; }"),
    "a.cpp": ("int n::D::run() const { for (auto &x : v) { if (x != 1) return x; } }",
              "{ for ( & x : v ) { if ( x != 1 ) return x ; } }"),
    "a.cs": ("class C { int M(string a) { if (a is null) return 0; return N(a, \"x\"); } }",
             "{ if ( a is null ) return 0 ; return N ( a , ) ; }"),
    "a.go": ("package m\nfunc (s *S) F(a int) error { var x map[string]int; return s.g(a) }",
             "{ var x ; return s . g ( a ) }"),
    "a.rs": ("fn f(a: &str) -> u8 { if !self.ok { return h(\"s\"); } a.map(|b| b + 1) }",
             "{ if ! self . ok { return h ( ) ; } a . map ( b + 1 ) }"),
    "a.php": ("<?php\nfunction f(int $a): int { if (!$a) { return \"x\"; } return $this->g($a); }",
              "{ if ( ! $ a ) { return ; } return $ this -> g ( $ a ) ; }"),
}  # fmt: skip


def told(name, text):
    places = body_code(Document(name, text, "code", name))
    assert places == sorted(places)
    return " ".join(text[start:end] for start, end in places)


def test_python_has_what_its_functions_do_and_nothing_else():
    assert told("a.py", PYTHON) == (
        "x : = [ ] if not a and isinstance ( b , dict ) : return g ( a , key = z + 1 ) "
        "raise ValueError ( )"
    )


@pytest.mark.parametrize("name", SMALL)
def test_other_languages_too(name):
    text, expected = SMALL[name]
    assert told(name, text) == expected


def test_places_are_those_of_the_text_whatever_its_characters():
    text = "def f(x):\n    # Größe 🙂\n    länge = 'ü' + x  # 長さ\n    return länge\n"
    assert told("a.py", text) == "länge = + x return länge"


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.rb"])
def test_what_is_not_parsed_has_none(name):
    assert told(name, PYTHON) == ""


def test_code_nested_deeper_than_calls_may_be_has_its_places():
    text = f"def f(a):\n    return {'[' * 900}a{']' * 900}\n"
    assert told("deep.py", text).count("[") == 900
