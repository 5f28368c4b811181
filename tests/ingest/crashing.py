"""A reader that crashes; processes find it by name, as they find no test."""

import os

from longctx.ingest.document import Skipped


def crash_or_tell(source, bad):
    if source.name == bad:
        os._exit(11)
    return [Skipped(source.name, f"read in {os.getpid()}")]
