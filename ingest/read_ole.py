"""Files in Microsoft's compound format: named for what they are, since they cannot be read."""

from __future__ import annotations

from longctx.ingest.document import Skipped, Source

# The name of a stream tells the program; an encrypted .docx is kept in such a file too.
_STREAMS = (
    ("EncryptedPackage", "encrypted: it needs a password"),
    ("WordDocument", "an old Word file; save it as .docx"),
    ("PowerPoint Document", "an old PowerPoint file; save it as .pptx"),
    ("Workbook", "an old Excel file; save it as .xlsx"),
    ("Book", "an old Excel file; save it as .xlsx"),
    ("__substg1.0_", "an Outlook message; save it as .eml"),
)


def read_ole(source: Source, data: bytes) -> Skipped:
    """What the file is, as the reason why it is skipped."""
    for stream, reason in _STREAMS:
        if stream.encode("utf-16-le") in data:
            return Skipped(source.name, reason)
    return Skipped(source.name, "binary")
