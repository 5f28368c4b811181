"""What the suites that ask an installed model about the corpora are called with."""

import argparse
from pathlib import Path


def parser_of(doc: str | None) -> argparse.ArgumentParser:
    """A parser of CORPORA, OUT and --model NAME, with the module's docstring as its help."""
    parser = argparse.ArgumentParser(description=doc)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", required=True)
    return parser
