import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longctx.ingest.document import Document, Heading, Skipped, Source
from longctx.ingest.read import read


def make(cells: list[object], **more: object) -> bytes:
    return json.dumps({"nbformat": 4, "cells": cells, **more}).encode()


def code(source: object, *outputs: object) -> dict[str, object]:
    return {"cell_type": "code", "source": source, "outputs": list(outputs)}


def document(data: bytes) -> Document:
    item = read(Source("a.ipynb", data=data))
    assert isinstance(item, Document)
    return item


def test_cells_are_pages_with_their_code_and_outputs() -> None:
    stream = {"output_type": "stream", "text": ["1\n", "2\n"]}
    result = {"output_type": "execute_result", "data": {"text/plain": "3", "text/html": "<b>3</b>"}}
    metadata = {"language_info": {"name": "Python"}}
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        code("# no heading\nprint(1)", stream, result),
        {"cell_type": "raw", "source": ""},
        code(["x"]),
    ]
    notebook = document(make(cells, metadata=metadata))
    assert notebook.text == (
        "# Title\ntext\n\n```python\n# no heading\nprint(1)\n```\n\nOutput:\n```\n1\n2\n```\n\n"
        "Output:\n```\n3\n```\n\n```python\nx\n```\n\n"
    )
    assert [page.number for page in notebook.pages] == [1, 2, 3, 4]
    assert notebook.headings == (Heading(0, "Title", 1),) and notebook.notes == ()
    start = notebook.text.index("print")
    assert str(notebook.span(start, start + 5)) == "a.ipynb, cell 2"


def test_long_outputs_are_trimmed_and_images_left_out_with_notice() -> None:
    lines = "".join(f"line {number}\n" for number in range(1000)) + "x" * 3000
    image = {"data": {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure size 640x480>"}}
    cells = [
        code("a", {"text": lines}, image),
        {"cell_type": "markdown", "source": "![p](data:image/png;base64,iVBORw0KGgo=) after"},
        code("b", {"output_type": "error", "traceback": ["\x1b[0;31mError\x1b[0m: no"]}),
    ]
    notebook = document(make(cells))
    assert "line 24\n[966 lines left out]\nline 991\n" in notebook.text
    assert f"{'x' * 1000} [2,000 characters left out]" in notebook.text
    assert "![p]([image left out]) after" in notebook.text and "Figure" not in notebook.text
    assert "\nError: no\n" in notebook.text
    assert notebook.notes == ("outputs trimmed in cell 1", "2 images left out")


def test_fences_are_longer_than_those_inside() -> None:
    assert document(make([code("```\nx\n```")])).text == "````\n```\nx\n```\n````\n\n"


def test_notebooks_of_the_older_format_are_read() -> None:
    cells = [
        {"cell_type": "heading", "level": 2, "source": "Old"},
        {"cell_type": "code", "input": "x", "outputs": [{"text": ["y"], "png": "AAAA"}]},
    ]
    notebook = document(json.dumps({"worksheets": [{"cells": cells}]}).encode())
    assert notebook.text == "## Old\n\n```\nx\n```\n\nOutput:\n```\ny\n```\n\n"
    assert notebook.notes == ("1 image left out",)


def test_what_is_no_notebook_is_read_as_text() -> None:
    assert document(b'{"a": 1}').text == '{"a": 1}'
    assert document(b"[" * 100_000).kind == "data"
    assert read(Source("a.ipynb", data=make([]))) == Skipped("a.ipynb", "empty")


JSON = st.recursive(
    st.none() | st.integers() | st.text("a#\n`\x1b[", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "cell_type",
                    "source",
                    "outputs",
                    "data",
                    "text",
                    "traceback",
                    "text/html",
                    "level",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(JSON, max_size=5), JSON)
def test_whatever_the_cells_hold_they_are_read_or_named(cells: list[object], other: object) -> None:
    item = read(Source("a.ipynb", data=make(cells, metadata=other)))
    assert isinstance(item, Skipped) or item.text
    if isinstance(item, Document):
        assert "".join(item.text[page.start : page.end] for page in item.pages) == item.text
