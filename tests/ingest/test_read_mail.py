from email.message import EmailMessage

from longctx.ingest.document import Document, Heading, Page, Skipped, Source
from longctx.ingest.read import read_all


def read(name: str, data: bytes) -> tuple[list[Document], list[Skipped]]:
    return read_all([Source(name, data=data)])


def message(subject: str, body: str = "Text.\n") -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = "Ann <ann@example.org>"
    mail["To"] = "Bob <bob@example.org>"
    mail["Subject"] = subject
    mail.set_content(body)
    return mail


def test_a_message_is_its_headers_and_its_body() -> None:
    mail = message("Grüße – ein sehr langer Betreff, der in mehreren Zeilen steht " * 2, "Größe\n")
    (document,), skipped = read("a.eml", bytes(mail))
    subject = ("Grüße – ein sehr langer Betreff, der in mehreren Zeilen steht " * 2).strip()
    assert document.text == (
        f"From: Ann <ann@example.org>\nTo: Bob <bob@example.org>\nSubject: {subject}\n\nGröße\n\n"
    )
    assert document.pages == (Page(1, 0, len(document.text), "message"),)
    assert document.headings == (Heading(0, subject, 1),) and skipped == []


def test_attachments_are_read_by_the_reader_of_their_type_or_named() -> None:
    mail = message("Files")
    mail.add_attachment("x = 1\n", filename="../a.py")
    mail.add_attachment(b"\x89PNG\0\1", maintype="image", subtype="png", filename="naïve.png")
    mail.add_attachment(message("Inner"))
    documents, skipped = read("a.eml", bytes(mail))
    assert [(item.name, item.kind) for item in documents] == [
        ("a.eml", "prose"),
        ("a.eml/a.py", "code"),
        ("a.eml/Inner.eml", "prose"),
    ]
    assert "\nAttachments: a.py, naïve.png, Inner.eml\n\nText.\n" in documents[0].text
    assert skipped == [Skipped("a.eml/naïve.png", "binary")]


def test_of_two_forms_of_one_text_the_plain_one_is_read() -> None:
    mail = message("Both", "plain words\n")
    mail.add_alternative("<p>rich words</p>", subtype="html")
    (document,), _ = read("a.eml", bytes(mail))
    assert "plain words" in document.text and "rich" not in document.text
    rich = message("Rich", "")
    rich.add_alternative("<h1>Rich</h1><p>words</p>", subtype="html")
    (document,), _ = read("a.eml", bytes(rich))
    assert document.text.endswith("\n\nRich\n\nwords\n\n")


def test_a_mailbox_is_its_messages_and_a_sentence_begins_none() -> None:
    second = message("Two", "I come\n\nFrom here on\n>From there\n")
    second.add_attachment("attached\n", filename="a.txt")
    data = b"".join(
        b"From ann@example.org Mon Nov 23 10:00:00 2026\n" + bytes(mail) + b"\n"
        for mail in (message("One"), second)
    )
    for name in ("box.mbox", "Inbox"):
        documents, _ = read(name, data)
        assert [item.name for item in documents] == [name, f"{name}/2/a.txt"]
        mailbox = documents[0]
        assert [item.title for item in mailbox.headings] == ["One", "Two"]
        start = mailbox.text.index("From here on\nFrom there")
        assert str(mailbox.span(start, start + 9)) == f"{name}, message 2"


def test_bytes_in_no_declared_encoding_are_guessed() -> None:
    raw = "Subject: Привет мир\nContent-Type: text/plain; charset=nonsense\n\n".encode()
    (document,), _ = read("a.eml", raw + "Война и мир\n".encode())
    assert document.text == "Subject: Привет мир\n\nВойна и мир\n\n"


def test_malformed_messages_are_read_as_far_as_they_go() -> None:
    nested = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (depth, depth)
        for depth in range(200)
    )
    for data in (
        b"no header at all\n",
        b"Subject: =?utf-8?b?!!!?=\nContent-Type: multipart/mixed\n\nbody\n",
        b"Content-Type: text/plain; charset*=x''%%%\nContent-Transfer-Encoding: base64\n\n@@@@\n",
        b"Content-Disposition: attachment; filename*0*=utf-8''%ff; filename=\n\nx\n",
        nested + b"\ndeep\n",
    ):
        documents, skipped = read("a.eml", data)
        assert documents or skipped
    assert read("a.eml", b"") == ([], [Skipped("a.eml", "empty")])
