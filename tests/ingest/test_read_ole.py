import pytest
from office_files import docx, p, t

from longctx.ingest.document import Document, Skipped, Source
from longctx.ingest.read import read

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        ("WordDocument", "an old Word file; save it as .docx"),
        ("Workbook", "an old Excel file; save it as .xlsx"),
        ("EncryptedPackage", "encrypted: it needs a password"),
        ("Other", "binary"),
    ],
)
def test_old_files_are_named_for_what_they_are(stream: str, reason: str) -> None:
    data = OLE + bytes(600) + stream.encode("utf-16-le") + bytes(100)
    assert read(Source("a.docx", data=data)) == Skipped("a.docx", reason)


def test_an_office_file_from_a_pipe_is_known_by_its_parts() -> None:
    item = read(Source("stdin", data=docx(p(t("piped")))))
    assert isinstance(item, Document) and item.text == "piped\n"
