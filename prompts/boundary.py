"""The marks around a Document in the prompt: keyed, so that no content can forge them."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path

from longctx.ingest.document import Document
from longctx.ingest.errors import InputError

KEY_BYTES = 32
_UNSAFE = re.compile(r'["<>\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')


def load_key(path: Path) -> bytes:
    """The secret of this store, 32 bytes, written on first use and readable by its owner only.

    Raises:
        InputError: `path` cannot be read or written, or holds something else.
    """
    try:
        if not path.exists():
            _create_key(path)
        key = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot use the key file {str(path)!r}: {error.strerror}",
            "set LONGCTX_HOME to a directory you can write",
        ) from error
    if len(key) != KEY_BYTES:
        raise InputError(
            f"the key file {str(path)!r} has {len(key)} bytes, expected {KEY_BYTES}",
            f"remove it, a new one is made on the next run: rm {str(path)!r}",
        )
    return key


def _create_key(path: Path) -> None:
    """Put a new key at `path`, whole at once; when another process was first, its key stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # A hard link fails where the name is taken; a rename would replace the winner's key.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)


def document_mark(key: bytes, document: Document) -> str:
    """The Document's mark: 10 hex digits of HMAC-SHA256 (RFC 2104) over its digest and name."""
    return keyed_mark(key, f"{document.digest} {document.name}")


def keyed_mark(key: bytes, message: str) -> str:
    """The first 10 hex digits of HMAC-SHA256 of `message` under `key`."""
    data = message.encode("utf-8", "surrogatepass")
    return hmac.new(key, data, hashlib.sha256).hexdigest()[:10]


def open_mark(document: Document, mark: str) -> str:
    """The line that opens a Document in the prompt."""
    extent = f'{document.unit}s="{len(document.pages) or document.num_lines}"'
    return f'<document id="{mark}" name="{quotable(document.name)}" {extent}>\n'


def close_mark(mark: str) -> str:
    """The line that closes a Document in the prompt."""
    return f'</document id="{mark}">\n\n'


def quotable(name: str) -> str:
    r"""The name with quotes, angle brackets and control characters as `\xNN`, for use in a mark."""
    return _UNSAFE.sub(_escape, name)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
