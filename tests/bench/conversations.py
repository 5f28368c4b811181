"""How often `chat` is right, and knows what is not in the text, within a conversation.

Run: python -P tests/bench/conversations.py CORPORA OUT.json --model NAME

Of two texts the questions of bench/questions_asked.py are one conversation each, four turns before
every question, 36 in all, 12 of them without an answer; and ten talks have a question, one that
leans on it and is answered in the text, and one that leans on it and is not. All are answered
whatever the chances, which are kept: before the answer that it is there, and by its sources alone
that it is right.
"""

import json
import sys
from datetime import date
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from arguments import parser_of  # noqa: E402
from questions import area, documents, holds, real  # noqa: E402
from questions_asked import ASKED, TEXTS  # noqa: E402

from longctx.cli.drive import drive  # noqa: E402
from longctx.prompts.ask import ABSENT, BEFORE, SOURCES  # noqa: E402
from longctx.prompts.chat import asked, chat  # noqa: E402
from longctx.prompts.look_again import SURE  # noqa: E402
from longctx.prompts.question import Turn  # noqa: E402
from longctx.runtime.bench import machine  # noqa: E402
from longctx.runtime.catalog import DEFAULT  # noqa: E402

# Below this a user of the default model is told that it is not in the text.
LEAST = DEFAULT.least
TURNS = 4
MAX_TOKENS = 160
# The question, the one with an answer and what that must have one of, the one without.
TALKS = {
    "gpl": [
        ("May I charge a price for each copy that I convey?", "And for support?", ("may", "yes"),
         "How much does it usually cost?"),
        ("Is sublicensing allowed?", "Why not?", ("section 10", "unnecessary"),
         "Which court said so?"),
        ("What does source code for a work mean?", "And object code?", ("non-source",),
         "Who invented that word?"),
        ("Must modified works carry notices?", "What about?", ("modified it", "a relevant date"),
         "In which font?"),
        ("What happens to my rights if I violate the license?", "Can I get them back?",
         ("yes", "reinstated"), "How much must I pay for that?"),
    ],
    "rcpp": [
        ("Who wrote the paper?", "Where does the first of them work?", ("debian",),
         "What is his salary?"),
        ("How many unit tests does Rcpp have?", "With which framework are they written?",
         ("runit",), "How many hours do they run?"),
        ("Which function compiles and loads an external C++ file?",
         "And which evaluates a minimal expression?", ("evalcpp",), "Who pays for its upkeep?"),
        ("What must users on Windows install?", "And on macOS?", ("xcode", "command line"),
         "How many gigabytes is that?"),
        ("What does the operator %% implement in R?", "And in C++?", ("not", "modulus"),
         "In COBOL?"),
    ],
}  # fmt: skip


def answered(say, prompt, question, turns, last) -> tuple[dict, Turn]:
    """What is said of a question, and the turn that it makes."""
    given = {"max_tokens": MAX_TOKENS, "about": last, "least": 1e-9}
    result = drive(chat(prompt, question, turns[-TURNS:], **given), say, lambda piece: None)
    row = {"question": question, "said": result.text, "chances": dict(result.chances)}
    is_told = result.chances[BEFORE] >= LEAST
    return row, Turn(asked(question), result.text if is_told else ABSENT)


def conversation(say, prompt, name: str) -> list[dict]:
    """The rows of all questions on a text, asked one after another."""
    rows, turns, last = [], [], ""
    for one in (one for one in ASKED if one.text == name):
        row, turn = answered(say, prompt, one.question, turns, last)
        right = holds(row["said"], one.accepted)
        rows.append({"kind": "own", "answerable": bool(one.accepted), "right": right, **row})
        turns.append(turn)
        last = one.question
    return rows


def talks(say, prompt, name: str) -> list[dict]:
    """The rows of what leans on the question before it."""
    rows = []
    for first, there, accepted, gone in TALKS[name]:
        _, turn = answered(say, prompt, first, [], "")
        row, next_turn = answered(say, prompt, there, [turn], first)
        right = holds(row["said"], accepted)
        rows.append({"kind": "leaning", "answerable": True, "right": right, **row})
        row, _ = answered(say, prompt, gone, [turn, next_turn], there)
        rows.append({"kind": "leaning", "answerable": False, "right": False, **row})
    return rows


def score(rows: list[dict]) -> dict:
    """How the chances part what is there from what is not, and right answers from others."""
    there = [row for row in rows if row["answerable"]]
    gone = [row for row in rows if not row["answerable"]]
    shown = [row for row in rows if row["chances"][BEFORE] >= LEAST and SOURCES in row["chances"]]
    right = [row["chances"][SOURCES] for row in shown if row["right"]]
    other = [row["chances"][SOURCES] for row in shown if not row["right"]]
    refused = [sum(row["chances"][BEFORE] < LEAST for row in some) for some in (there, gone)]
    return {
        "answerable": len(there),
        "without_an_answer": len(gone),
        "right": sum(row["right"] for row in there),
        "right_and_not_refused": sum(
            row["right"] and row["chances"][BEFORE] >= LEAST for row in there
        ),
        "refused_of_answerable": refused[0],
        "refused_of_those_without": refused[1],
        "area_before": area([row["chances"][BEFORE] for row in there],
                             [row["chances"][BEFORE] for row in gone]),
        "shown": {"right": len(right), "other": len(other)},
        "doubted": {"right": sum(one < SURE for one in right),
                    "other": sum(one < SURE for one in other)},
    }  # fmt: skip


def main() -> None:
    """Ask, and print the scores."""
    options = parser_of(__doc__).parse_args()
    rows = []
    for name in TALKS:
        with real(options.model, documents(options.corpora, TEXTS[name])) as (prompt, say):
            for made in (conversation, talks):
                rows += [{"text": name, **row} for row in made(say, prompt, name)]
    scores = {
        kind: score([row for row in rows if row["kind"] == kind]) for kind in ("own", "leaning")
    }
    report = {"model": options.model, "date": date.today().isoformat(),
              "processor": machine()["processor"], **scores, "rows": rows}  # fmt: skip
    options.out.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    print(json.dumps(scores, indent=1))


if __name__ == "__main__":
    main()
