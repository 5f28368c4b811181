"""SARIF documents, held to the official schema where it can be fetched, and to its core always."""

import json
from pathlib import Path

import jsonschema
import pytest

from longctx.cli.sarif import sarif
from longctx.ingest.document import Document
from longctx.prompts.proofread import unlikely_findings
from longctx.prompts.question import Correction

CODE = """\
import requests


def load(url, seen=[]):
    seen.append(url)
    return requests.get(url, verify=False)  # longctx: ignore[no-timeout]
"""
PLACE = {
    "type": "object",
    "required": ["physicalLocation"],
    "properties": {
        "physicalLocation": {
            "type": "object",
            "required": ["artifactLocation", "region"],
            "properties": {
                "artifactLocation": {"properties": {"uri": {"pattern": "^[!-~]+$"}}},
                "region": {"properties": {"startLine": {"type": "integer", "minimum": 1}}},
            },
        }
    },
}
# What sections 3.13, 3.14, 3.27 and 3.28 of SARIF 2.1.0 ask of what we write.
CORE = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "items": {
                "required": ["tool", "results", "invocations"],
                "properties": {
                    "tool": {"required": ["driver"]},
                    "invocations": {"items": {"required": ["executionSuccessful"]}},
                    "results": {
                        "items": {
                            "required": ["message", "ruleId"],
                            "properties": {
                                "level": {"enum": ["none", "note", "warning", "error"]},
                                "message": {"required": ["text"]},
                                "locations": {"items": PLACE},
                                "relatedLocations": {"items": PLACE},
                                "suppressions": {
                                    "items": {
                                        "properties": {"kind": {"enum": ["inSource", "external"]}}
                                    }
                                },
                            },
                        }
                    },
                },
            }
        },
    },
}


@pytest.fixture(scope="module")
def official(corpus_dir):
    return json.loads((corpus_dir("sarif-schema") / "sarif-2.1.0.json").read_text())


@pytest.fixture
def produce(run, model, tmp_path):
    """A function that reviews code and gives the SARIF document."""

    def review(text, *options, name="a b.py"):
        (tmp_path / "work" / name).write_text(text)
        return json.loads(run("review", ".", "--format", "sarif", *options).out)

    return review


def documents(produce, model):
    def stop(question):
        raise KeyboardInterrupt

    yield produce(CODE)
    yield produce("x = 1\n")
    model.say = lambda question: "high | bug | T | x = 1 + 2 + 3 + 4 | w | f"
    model.is_large = True
    yield produce("x = 1 + 2 + 3 + 4\n", "--no-explain")
    model.say = stop
    yield produce(CODE, "--no-explain")


def test_documents_of_all_ends_keep_to_the_core(produce, model):
    found = list(documents(produce, model))
    for document in found:
        jsonschema.validate(document, CORE)
    runs = [document["runs"][0] for document in found]
    assert [len(run["results"]) for run in runs] == [3, 0, 1, 3]
    assert [run["invocations"][0]["executionSuccessful"] for run in runs] == [True] * 3 + [False]


def test_documents_of_all_ends_are_valid(produce, model, official):
    for document in documents(produce, model):
        jsonschema.validate(document, official)


def test_a_result_has_its_rule_place_and_fingerprint(produce):
    (run,) = produce(CODE)["runs"]
    first, _, last = run["results"]
    rules = run["tool"]["driver"]["rules"]
    assert [rules[one["ruleIndex"]]["id"] for one in run["results"]] == [
        one["ruleId"] for one in run["results"]
    ]
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "a%20b.py"
    assert place["region"]["startLine"] == 4
    assert first["relatedLocations"][0]["physicalLocation"]["region"]["startLine"] == 5
    assert len(first["partialFingerprints"]["longctx/v1"]) == 16
    assert last["suppressions"] == [{"kind": "inSource"}]
    assert last["level"] == "note"


def test_sarif_is_for_review_only(run, model):
    Path("a.txt").write_text("text\n")
    outcome = run("ask", "a.txt", "-q", "What?", "--format", "sarif")
    assert outcome.code == 2
    assert "--format sarif is for longctx review, not ask" in outcome.err


def test_what_is_unlikely_has_a_rule_of_its_own():
    document = Document("a.py", "def f(a, b):\n    return g(a, a)\n", "code", "a")
    start = document.text.rindex(" a)")
    told = [Correction(start, start + 2, " b", 9.0, 5.0)]
    (run,) = sarif(unlikely_findings(document, told), None)["runs"]
    (rule,) = run["tool"]["driver"]["rules"]
    (result,) = run["results"]
    assert (rule["id"], rule["shortDescription"]["text"]) == (
        "unlikely",
        "The model would have written something else",
    )
    assert (result["level"], result["ruleIndex"]) == ("warning", 0)
    assert result["message"]["text"].startswith("`a` where `b` is expected.")
    jsonschema.validate(sarif(unlikely_findings(document, told), None), CORE)
