"""Mail, one message or a mailbox of them: headers and bodies, and the attachments as Sources."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from typing import TYPE_CHECKING

from longctx.ingest.document import Document, Heading, Skipped, Source, printable
from longctx.ingest.draft import Draft
from longctx.ingest.page_text import page_text
from longctx.ingest.read_text import decode

if TYPE_CHECKING:
    from longctx.ingest.archive import Room

# Messages forwarded inside messages, and parts inside parts, deeper than this are left out.
MAX_DEPTH = 20

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
# The line before a message in a mailbox, told from a sentence by the header line that follows.
_FROM_LINE = re.compile(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From [^\n]*\n(?=[!-9;-~]+:)")
_QUOTED_FROM = re.compile(rb"^>(>*From )", re.M)


@dataclass(frozen=True, slots=True)
class _Attachment:
    """A file that a message carries."""

    name: str
    data: bytes


def is_mailbox(data: bytes) -> bool:
    """Whether the data begins as a mailbox does."""
    return _FROM_LINE.match(data) is not None


def read_mail(source: Source, data: bytes, room: Room) -> Iterator[Document | Source | Skipped]:
    """The Document with the messages in a file, and a Source for each attachment."""
    from email import message_from_bytes

    draft = Draft()
    attached: list[Source] = []
    notes: list[str] = []
    for number, raw in enumerate(_messages(data), 1):
        title = ""
        try:
            message = message_from_bytes(raw)
            title = _header(message, "Subject")
            text, attachments = _read_message(message)
        except (RecursionError, ValueError, LookupError, TypeError, AttributeError):
            # What the parts of a forged message make the parser do is not foreseeable.
            text, attachments = raw.decode("ascii", "backslashreplace") + "\n", []
            notes.append(f"message {number}: malformed, shown as it is")
        start = draft.add_page(text, "message")
        draft.headings.append(Heading(start, title or f"message {number}", 1))
        folder = f"{source.name}/{number}" if is_mailbox(data) else source.name
        attached += [Source(f"{folder}/{item.name}", data=item.data) for item in attachments]
    if not draft.text:
        yield Skipped(source.name, "empty")
        return
    yield draft.document(source, data, notes)
    for item in attached:
        assert item.data is not None
        if room.num_files and len(item.data) <= room.num_bytes:
            room.num_bytes -= len(item.data)
            room.num_files -= 1
            yield item
        else:
            yield Skipped(item.name, "more than is taken out of one file")


def _messages(data: bytes) -> Iterator[bytes]:
    """The messages of a mailbox, or the one message."""
    if not is_mailbox(data):
        if data.strip():
            yield data
        return
    starts = [(match.start(), match.end()) for match in _FROM_LINE.finditer(data)]
    ends = [start for start, _ in starts[1:]] + [len(data)]
    for (_, start), end in zip(starts, ends, strict=True):
        yield _QUOTED_FROM.sub(rb"\1", data[start:end])


def _read_message(message: Message) -> tuple[str, list[_Attachment]]:
    """The headers and the body as text, and what is attached."""
    bodies: list[str] = []
    attachments: list[_Attachment] = []
    _collect(message, bodies, attachments, 0)
    lines = [f"{name}: {value}" for name in _HEADERS if (value := _header(message, name))]
    if attachments:
        lines.append(f"Attachments: {', '.join(item.name for item in attachments)}")
    parts = ["\n".join(lines), *(body.strip("\n") for body in bodies)]
    return "\n\n".join(filter(None, parts)) + "\n\n", attachments


def _collect(part: Message, bodies: list[str], attachments: list[_Attachment], depth: int) -> None:
    """Add what a part of a message holds to the bodies or to the attachments."""
    kind = part.get_content_type()
    payload = part.get_payload()
    children = [child for child in payload if isinstance(child, Message)]
    if depth > MAX_DEPTH:
        bodies.append("[parts nested deeper are left out]")
    elif kind == "message/rfc822" and children:
        title = _file_name(_header(children[0], "Subject") or "message")
        attachments.append(_Attachment(f"{title}.eml", children[0].as_bytes()))
    elif children:
        for child in _chosen(children) if kind == "multipart/alternative" else children:
            _collect(child, bodies, attachments, depth + 1)
    else:
        content = part.get_payload(decode=True)
        data = content if isinstance(content, bytes) else b""
        name = part.get_filename()
        body = None if name or "attachment" in _disposition(part) else _body(part, kind, data)
        if body is not None:
            bodies.append(body)
        elif data:
            attachments.append(_Attachment(_attachment_name(part, name, len(attachments)), data))


def _chosen(alternatives: list[Message]) -> list[Message]:
    """Of several forms of one text the plain one, where it says anything, or else the richest."""
    plain = [
        part
        for part in alternatives
        if part.get_content_type() == "text/plain" and str(part.get_payload()).strip()
    ]
    return plain[:1] or alternatives[-1:]


def _disposition(part: Message) -> str:
    return str(part.get("Content-Disposition", "")).lower()


def _body(part: Message, kind: str, data: bytes) -> str | None:
    """The text of a part; None where it is no text to read in place."""
    if kind not in ("text/plain", "text/html", "text/enriched"):
        return None
    try:
        text = data.decode(part.get_content_charset() or "utf-8")
    except (LookupError, UnicodeDecodeError):
        decoded = decode(data)
        if decoded is None:
            return None
        text = decoded[0]
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return page_text(text).text if kind == "text/html" else text


def _header(message: Message, name: str) -> str:
    """A header in one line, encoded words and stray bytes resolved."""
    value = next(
        (str(value) for key, value in message.raw_items() if key.lower() == name.lower()), ""
    )
    if not value.isascii():
        stray = decode(value.encode("utf-8", "surrogateescape"))
        value = stray[0] if stray else ascii(value)
    return " ".join(_unencoded(value).split())


def _unencoded(value: str) -> str:
    """The value with its encoded words (RFC 2047) resolved, where they are sound."""
    from email.errors import HeaderParseError
    from email.header import decode_header, make_header

    if "=?" in value:
        with suppress(LookupError, ValueError, HeaderParseError):
            return str(make_header(decode_header(value)))
    return value


def _attachment_name(part: Message, name: str | None, number: int) -> str:
    from mimetypes import guess_extension

    if name:
        return _file_name(_unencoded(name))
    return f"part-{number + 1}{guess_extension(part.get_content_type()) or ''}"


def _file_name(name: str) -> str:
    """The last part of a name, in characters that can be shown."""
    last = re.split(r"[/\\]", name.strip())[-1]
    return printable(" ".join(last.split())[:120]) or "unnamed"
