import pytest

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
