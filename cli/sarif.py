"""Findings as SARIF 2.1.0 (OASIS, 2020): what code hosts and editors read."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from longctx.ingest.document import Span
from longctx.ingest.suspicion_rules import RULES, Rule
from longctx.prompts.finding import Finding

SCHEMA = (
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
)
_LEVELS = {"high": "error", "medium": "warning", "low": "note"}
_BY_HAND = "Check it by hand."
_OF_THE_MODEL = {
    "opinion": Rule("bug", "medium", "What the model holds for a defect", _BY_HAND),
    "unlikely": Rule("bug", "low", "The model would have written something else", _BY_HAND),
}


def sarif(findings: Sequence[Finding], error: BaseException | None) -> dict[str, Any]:
    """The SARIF document of a run, also of one that found nothing or failed."""
    kinds = sorted({one.kind for one in findings})
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "longctx",
                "version": version("longctx-cli"),
                "rules": [_rule(kind) for kind in kinds],
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(error)],
        "results": [_result(one, kinds.index(one.kind)) for one in findings],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _invocation(error: BaseException | None) -> dict[str, Any]:
    if error is None:
        return {"executionSuccessful": True}
    text = "stopped" if isinstance(error, KeyboardInterrupt) else str(error)
    notification = {"level": "error", "message": {"text": text or type(error).__name__}}
    return {"executionSuccessful": False, "toolExecutionNotifications": [notification]}


def _rule(kind: str) -> dict[str, Any]:
    rule = RULES.get(kind) or _OF_THE_MODEL[kind]
    return {
        "id": kind,
        "shortDescription": {"text": rule.title},
        "help": {"text": rule.suggestion},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"tags": [rule.category]},
    }


def _result(finding: Finding, index: int) -> dict[str, Any]:
    said = [f"{finding.heading}.", finding.body, finding.remark, finding.suggestion]
    result: dict[str, Any] = {
        "ruleId": finding.kind,
        "ruleIndex": index,
        "level": _LEVELS[finding.label],
        "message": {"text": " ".join(text for text in said if text)},
        "locations": [_location(finding.span, finding.code or finding.quote)],
        "partialFingerprints": {"longctx/v1": finding.fingerprint},
        "properties": {
            "category": finding.category,
            "severity": finding.label,
            "source": finding.source,
        },
    }
    if finding.related:
        result["relatedLocations"] = [_location(span, "") for span in finding.related]
    if finding.suppressed:
        kind = "inSource" if finding.suppressed == "comment" else "external"
        result["suppressions"] = [{"kind": kind}]
    return result


def _location(span: Span, code: str) -> dict[str, Any]:
    region: dict[str, Any] = {"startLine": span.first_line, "endLine": span.last_line}
    if code:
        region["snippet"] = {"text": code}
    place = {"uri": quote(span.name.encode("utf-8", "surrogatepass"), safe="/:")}
    return {"physicalLocation": {"artifactLocation": place, "region": region}}
