import pytest

from longctx.ingest import xml_tree
from longctx.ingest.xml_tree import XmlRefused, inside, parse_xml

MAIN = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
STRICT = "http://purl.oclc.org/ooxml/wordprocessingml/main"


@pytest.mark.parametrize("namespace", [MAIN, STRICT])
def test_names_are_short_whatever_prefix_the_file_uses(namespace: str) -> None:
    root = parse_xml(f'<x:p xmlns:x="{namespace}" x:val="1" y="2"><x:t/><z/></x:p>'.encode())
    assert (root.tag, root.attrib) == ("w:p", {"w:val": "1", "y": "2"})
    assert [child.tag for child in root] == ["w:t", "z"]
    assert inside(root, "w:t") is root[0]
    assert inside(root, "w:t", "w:t") is inside(None, "w:t") is None


@pytest.mark.parametrize(
    "data",
    [
        b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'.encode("utf-16"),
        b"<a>&undefined;</a>",
        b"<a>",
        b"",
        b'<?xml version="1.0" encoding="no-such"?><a/>',
    ],
)
def test_document_types_and_damage_are_refused(data: bytes) -> None:
    with pytest.raises(XmlRefused):
        parse_xml(data)


def test_more_tags_than_a_tree_can_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_tree, "MAX_TAGS", 10)
    assert len(parse_xml(b"<a>" + b"<b/>" * 8 + b"</a>")) == 8
    with pytest.raises(XmlRefused, match="more than the 10 tags"):
        parse_xml(b"<a>" + b"<b/>" * 9 + b"</a>")


def test_elements_however_deep_are_a_tree_like_any_other() -> None:
    depth = 300_000
    assert sum(1 for _ in parse_xml(b"<a>" * depth + b"</a>" * depth).iter()) == depth
