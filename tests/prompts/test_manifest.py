import json

from longctx.ingest.document import Document, Page, Segment, Skipped
from longctx.prompts.manifest import manifest
from longctx.prompts.pack import Cut, pack


def test_a_manifest_says_what_is_in_what_is_out_and_why() -> None:
    code = Document("a.py", "x\ny\nz\n", "code", "aa", notes=("read as cp1252 (a guess)",))
    pages = (Page(1, 0, 4), Page(2, 4, 8))
    paged = Document("b.pdf", "aaa\nbbb\n", "pdf", "bb", pages=pages)
    cut = Cut(paged.span(0, 4), 3, "less close to the question")
    packed = pack(
        [code, Segment(paged, 4, 8)],
        [Skipped("c.bin", "binary")],
        key=b"k" * 32,
        count=len,
        cuts=[cut],
    )
    result = manifest(packed)
    assert result == json.loads(json.dumps(result))
    assert result["num_tokens"] == len(packed.text) and result["estimated"] is False
    first, second = result["documents"]
    assert first == {
        "name": "a.py",
        "kind": "code",
        "num_lines": 3,
        "num_pages": None,
        "num_tokens": packed.parts[0].num_tokens,
        "whole": True,
        "shown": [{"name": "a.py", "lines": [1, 3], "unit": "line", "pages": None}],
        "digest": "aa",
        "notes": ["read as cp1252 (a guess)"],
    }
    assert not second["whole"] and second["num_pages"] == 2
    assert second["shown"] == [{"name": "b.pdf", "lines": [2, 2], "unit": "page", "pages": [2, 2]}]
    assert result["skipped"] == [{"name": "c.bin", "reason": "binary"}]
    assert result["cuts"] == [
        {
            "name": "b.pdf",
            "lines": [1, 1],
            "unit": "page",
            "pages": [1, 1],
            "num_tokens": 3,
            "reason": "less close to the question",
        }
    ]
