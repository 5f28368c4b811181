"""How often `ask` is right, cites the right place, and knows what is not in the text.

`python -P tests/bench/questions.py CORPORA OUT.jsonl --model NAME` asks bench/questions_asked.py:
each text is read once and all its questions are asked on it, the chance that it holds the answer
measured before and after the answer, and that the answer is right by its sources alone; with
`--least P` not after it, and where it is below P before it the answer is that the text does not
hold it, as `longctx ask` does. Every question is a line of
OUT.jsonl as soon as it is answered, and is not asked again; at the end, or with `--score` at once,
the scores of all lines are printed. `--limit N` asks the first N questions of each text.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from questions_asked import ASKED, TEXTS, Asked, Text  # noqa: E402
from sessions import opened  # noqa: E402

from longctx.cli.drive import drive  # noqa: E402
from longctx.cli.settings import read_settings  # noqa: E402
from longctx.ingest.document import Document, Source, Span  # noqa: E402
from longctx.ingest.read import read  # noqa: E402
from longctx.prompts.ask import ABSENT, AFTER, BEFORE, SOURCES, ask  # noqa: E402
from longctx.prompts.boundary import load_key  # noqa: E402
from longctx.prompts.look_again import SURE  # noqa: E402
from longctx.prompts.pack import Pack, pack  # noqa: E402
from longctx.prompts.question import Answer, Question  # noqa: E402

# A citation this many characters from the place proves the answer too.
NEAR = 300
MAX_TOKENS = 160
Row = dict[str, Any]
Asker = Callable[
    [Sequence[Document]], AbstractContextManager[tuple[Pack, Callable[[Question], Answer]]]
]


def documents(cache: Path, text: Text) -> list[Document]:
    """The Documents of a text, cut to its stretch.

    Raises:
        RuntimeError: a file cannot be read.
    """
    from corpora import fetch

    root, found = fetch(cache, text.corpus), []
    for path in text.paths:
        whole = read(Source(path, path=root / path))
        if not isinstance(whole, Document):
            raise RuntimeError(f"{path}: {whole.reason}")
        start = whole.text.index(text.begin)
        end = whole.text.index(text.end, start) if text.end else len(whole.text)
        if (start, end) != (0, len(whole.text)):
            whole = Document(whole.name, whole.text[start:end], whole.kind, whole.digest)
        found.append(whole)
    return found


def place(asked: Asked, found: Sequence[Document]) -> Span | None:
    """Where the proof of an answer stands; None for a question without one.

    Raises:
        RuntimeError: it does not stand in the text exactly once.
    """
    if not asked.accepted:
        return None
    spans = [
        one.span(at, at + len(asked.place))
        for one in found
        if (at := one.text.find(asked.place)) >= 0
    ]
    if len(spans) != 1 or sum(one.text.count(asked.place) for one in found) != 1:
        raise RuntimeError(f"{asked.text}: {asked.place!r} does not stand there exactly once")
    return spans[0]


def answered(
    asked: Asked, where: Span | None, prompt: Pack, say: Callable[[Question], Answer], least: float
) -> Row:
    """The row of one question: what was said of it, and whether that is right."""
    began = time.monotonic()
    gates = (BEFORE, SOURCES) if least > 0 else (BEFORE, AFTER, SOURCES)
    job = ask([prompt], asked.question, max_tokens=MAX_TOKENS, gates=gates, least=least)
    result = drive(job, say, lambda piece: None)
    spans = [one.span for one in result.citations if one.span is not None]
    return {
        "text": asked.text,
        "question": asked.question,
        "answerable": bool(asked.accepted),
        "said": result.text,
        "absent": result.text == ABSENT,
        "right": result.text != ABSENT and holds(result.text, asked.accepted),
        "cited": [str(span) for span in spans],
        "cited_right": where is not None and any(_near(span, where) for span in spans),
        "missing": list(result.missing),
        "chances": dict(result.chances),
        "seconds": round(time.monotonic() - began, 2),
    }


def holds(said: str, accepted: Sequence[str]) -> bool:
    """Whether an answer has one of the words that a right one has."""
    told = " ".join(said.casefold().split())
    return any(one.casefold() in told for one in accepted)


def _near(span: Span, where: Span) -> bool:
    overlaps = span.start < where.end + NEAR and where.start < span.end + NEAR
    return span.name == where.name and overlaps


def run(
    cache: Path,
    out: Path,
    model: str,
    asker: Asker,
    *,
    limit: int | None = None,
    least: float = 0.0,
) -> None:
    """Ask what OUT does not hold yet, text by text; a row is written when it is known."""
    done = {(row["model"], row["text"], row["question"]) for row in rows(out)}
    for name, text in TEXTS.items():
        wanted = [one for one in ASKED if one.text == name][:limit]
        wanted = [one for one in wanted if (model, name, one.question) not in done]
        if not wanted:
            continue
        found = documents(cache, text)
        places = [place(one, found) for one in wanted]
        with asker(found) as (prompt, say), out.open("a", encoding="utf-8") as lines:
            for one, where in zip(wanted, places, strict=True):
                row = {"model": model, **answered(one, where, prompt, say, least)}
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
                lines.flush()


def rows(out: Path) -> list[Row]:
    """The rows written so far; a last line that a kill cut off is dropped from the file too."""
    if not out.exists():
        return []
    text = out.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        out.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]


def score(found: Sequence[Row]) -> Row:
    """The scores of one model's rows.

    `auc` is the area under the ROC of "not in the text", 0.5 for chance: how often a question
    without an answer has a lower chance than one with an answer, ties counted half. An answer that
    says itself that it is not there has the chance 0 after it.
    """
    there = [row for row in found if row["answerable"]]
    gone = [row for row in found if not row["answerable"]]
    shown = [row for row in there if not row["absent"]]
    return {
        "questions": len(found),
        "answerable": len(there),
        "right": sum(row["right"] for row in there),
        "right_and_cited_right": sum(row["right"] and row["cited_right"] for row in there),
        "cited_right_of_answers": _share(sum(row["cited_right"] for row in shown), len(shown)),
        "accuracy": _share(
            sum(row["right"] for row in there) + sum(row["absent"] for row in gone), len(found)
        ),
        "warned_of_made_up": _share(
            sum(bool(row.get("missing")) for row in gone if not row["absent"]),
            sum(not row["absent"] for row in gone),
        ),
        "warned_of_right": _share(
            sum(bool(row.get("missing")) for row in there if row["right"]),
            sum(row["right"] for row in there),
        ),
        "absent_said_of_absent": _share(sum(row["absent"] for row in gone), len(gone)),
        "absent_said_of_answerable": _share(sum(row["absent"] for row in there), len(there)),
        "chosen_on_other_texts": _held_out(found),
        "roc": {
            gate: _roc([_chance(row, gate) for row in there], [_chance(row, gate) for row in gone])
            for gate in (BEFORE, AFTER)
        },
        "sources": _doubts(found),
    }


def _doubts(found: Sequence[Row]) -> Row:
    """How well the chance by the sources alone tells answers that are right from all others.

    `auc` is how often one that is right has a higher chance than one that is not; `doubted` are
    those that are shown with a warning.
    """
    looked = [row for row in found if SOURCES in row["chances"]]
    kinds = {
        "right": [row for row in looked if row["right"]],
        "wrong": [row for row in looked if row["answerable"] and not row["right"]],
        "made_up": [row for row in looked if not row["answerable"]],
    }
    chances = {kind: [_chance(row, SOURCES) for row in rows] for kind, rows in kinds.items()}
    return {
        "answers": {kind: len(known) for kind, known in chances.items()},
        "doubted": {kind: sum(one < SURE for one in known) for kind, known in chances.items()},
        "auc": area(chances["right"], chances["wrong"] + chances["made_up"]),
        "auc_of_wrong": area(chances["right"], chances["wrong"]),
        "auc_of_made_up": area(chances["right"], chances["made_up"]),
        "right_by_chance": _calibration(looked),
    }


def _calibration(looked: Sequence[Row]) -> list[Row]:
    """How many answers are right of those whose chance lies in each fifth."""
    fifths: list[list[Row]] = [[] for _ in range(5)]
    for row in looked:
        fifths[min(4, int(5 * _chance(row, SOURCES)))].append(row)
    return [
        {"from": index / 5, "answers": len(rows), "right": sum(row["right"] for row in rows)}
        for index, rows in enumerate(fifths)
    ]


def _held_out(found: Sequence[Row]) -> dict[str, int]:
    """How many are called absent by the least chance that is best on the texts beside their own."""
    called = {"absent": 0, "answerable": 0}
    for text in {row["text"] for row in found}:
        others = [row for row in found if row["text"] != text]
        gone = [_chance(row, BEFORE) for row in others if not row["answerable"]]
        there = [_chance(row, BEFORE) for row in others if row["answerable"]]

        def gain(
            least: float, gone: Sequence[float] = gone, there: Sequence[float] = there
        ) -> float:
            below = sum(one < least for one in gone) / max(1, len(gone))
            return below - sum(one < least for one in there) / max(1, len(there))

        least = max(sorted({*gone, *there}), key=gain, default=0.0)
        for row in found:
            if row["text"] == text and _chance(row, BEFORE) < least:
                called["answerable" if row["answerable"] else "absent"] += 1
    return called


def _chance(row: Row, gate: str) -> float:
    return float(row["chances"].get(gate, 0.0))


def _roc(there: Sequence[float], gone: Sequence[float]) -> Row:
    """The area, and at each threshold what share of either kind is called absent."""
    edges = sorted({*there, *gone})
    return {
        "auc": area(there, gone),
        "points": [
            {
                "least": edge,
                "absent_of_absent": _share(sum(one < edge for one in gone), len(gone)),
                "absent_of_answerable": _share(sum(one < edge for one in there), len(there)),
            }
            for edge in edges
        ],
    }


def area(there: Sequence[float], gone: Sequence[float]) -> float | None:
    """The area under the ROC: how often one that is there has more than one that is not."""
    wins = sum((low < high) + (low == high) / 2 for low in gone for high in there)
    return _share(wins, len(there) * len(gone))


def _share(part: float, whole: int) -> float | None:
    return round(part / whole, 3) if whole else None


@contextmanager
def real(
    name: str, found: Sequence[Document]
) -> Iterator[tuple[Pack, Callable[[Question], Answer]]]:
    """The Pack of the Documents and the installed model, loaded once for all its questions."""
    with opened(name, f"questions {found[0].name}") as session:
        model = session.model
        prompt = pack(found, key=load_key(read_settings().root / "key"), count=model.count)
        # room for the question, an answer and the answer again in the question that follows it
        room = prompt.num_tokens + model.overhead + 4 * MAX_TOKENS + 1_024
        session.room = min(model.window, room)
        yield prompt, session.ask


def main() -> None:
    """Ask, and print the scores by model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--least", type=float, default=0.0)
    parser.add_argument("--score", action="store_true", help="ask nothing")
    options = parser.parse_args()
    if not options.score:
        if not options.model:
            parser.error("name a --model, or --score what there is")
        name = options.model
        given = {"limit": options.limit, "least": options.least}
        run(options.corpora, options.out, name, lambda found: real(name, found), **given)
    found = rows(options.out)
    models = dict.fromkeys(row["model"] for row in found)
    scores = {name: score([row for row in found if row["model"] == name]) for name in models}
    print(json.dumps(scores, indent=1))


if __name__ == "__main__":
    main()
