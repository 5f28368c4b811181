"""What each kind of Suspicion is: its category, how bad it is, its title and what to do."""

from __future__ import annotations

from typing import NamedTuple

CATEGORIES = (
    "bug",
    "security",
    "resource",
    "concurrency",
    "error-handling",
    "performance",
    "maintainability",
)
SEVERITIES = ("high", "medium", "low")


class Rule(NamedTuple):
    """One kind of Suspicion: category and severity are from the lists above."""

    category: str
    severity: str
    title: str
    suggestion: str


RULES = {
    # security
    "shell-command": Rule(
        "security",
        "medium",
        "A shell command is built from a variable",
        "Pass a list of arguments without a shell, or quote each with shlex.quote.",
    ),
    "code-from-text": Rule(
        "security",
        "medium",
        "Text that is not constant is run as code",
        "Parse the text (ast.literal_eval, json) instead of running it.",
    ),
    "unsafe-load": Rule(
        "security",
        "medium",
        "Loading this data can run code that is in it",
        "Load a format that holds only data (json, yaml.safe_load), or check a signature first.",
    ),
    "no-certificate-check": Rule(
        "security",
        "high",
        "The certificate of the server is not checked",
        "Leave verification on; trust a private certificate with a CA file.",
    ),
    "weak-hash": Rule(
        "security",
        "medium",
        "A broken hash protects a secret",
        "Use hashlib.scrypt or another password hash for passwords, SHA-256 or HMAC for the rest.",
    ),
    "guessable-random": Rule(
        "security",
        "high",
        "A secret comes from a generator that can be predicted",
        "Use the secrets module.",
    ),
    "sql-text": Rule(
        "security",
        "high",
        "A query is built from text",
        "Give the values as parameters of execute().",
    ),
    "secret-in-code": Rule(
        "security",
        "high",
        "A secret stands in the code",
        "Read it from the environment or a secret store, and revoke this one.",
    ),
    "guessable-file": Rule(
        "security",
        "medium",
        "The name of a temporary file can be taken by another process",
        "Use tempfile.mkstemp or NamedTemporaryFile, which also create the file.",
    ),
    "path-from-request": Rule(
        "security",
        "high",
        "A path is made from a request",
        "Resolve the path and refuse what lies outside the directory it belongs to.",
    ),
    "debug-server": Rule(
        "security",
        "medium",
        "The debugger of the web server is switched on",
        "Take debug from the configuration, off by default.",
    ),
    "dangerous-function": Rule(
        "security",
        "medium",
        "A function that cannot be called safely",
        "Use the form that takes the size of the buffer.",
    ),
    # errors and resources
    "swallowed-error": Rule(
        "error-handling",
        "medium",
        "Every error is caught and dropped",
        "Catch only what is expected; raise, log or report the rest.",
    ),
    "dropped-error": Rule(
        "error-handling",
        "low",
        "An error is dropped without a trace",
        "Catch only what is expected, or say in a comment why nothing has to be done.",
    ),
    "except-order": Rule(
        "error-handling",
        "medium",
        "A handler that is never reached",
        "Put the narrower exception first.",
    ),
    "exit-in-finally": Rule(
        "error-handling",
        "medium",
        "Leaving a finally block drops the exception",
        "Move the statement out of the finally block.",
    ),
    "not-raised": Rule(
        "error-handling",
        "high",
        "An exception is made and not raised",
        "Write raise before it.",
    ),
    "raise-not-implemented": Rule(
        "error-handling",
        "high",
        "NotImplemented is a value, not an exception",
        "Raise NotImplementedError.",
    ),
    "not-closed": Rule(
        "resource",
        "medium",
        "What is opened here is never closed",
        "Open it in a with statement.",
    ),
    "no-timeout": Rule(
        "resource",
        "low",
        "A network call without a timeout",
        "Give a timeout; without one the call can wait for ever.",
    ),
    # concurrency
    "lock-not-released": Rule(
        "concurrency",
        "high",
        "A lock stays locked on some path",
        "Take the lock in a with statement.",
    ),
    "not-awaited": Rule(
        "concurrency",
        "high",
        "A coroutine is made and never awaited",
        "Write await before the call.",
    ),
    "check-then-act": Rule(
        "concurrency",
        "low",
        "A file is tested and then used",
        "Do it and handle the error (or exist_ok=True): another process may act in between.",
    ),
    # bugs
    "mutable-default": Rule(
        "bug",
        "high",
        "A default value is shared by all calls and changed",
        "Default to None and make the value inside the function.",
    ),
    "literal-identity": Rule(
        "bug",
        "medium",
        "A value is compared by identity",
        "Compare with == or !=.",
    ),
    "same-both-sides": Rule(
        "bug",
        "high",
        "Both sides are the same",
        "One side was probably meant to be another name.",
    ),
    "no-effect": Rule(
        "bug",
        "medium",
        "A statement without effect",
        "Assign or return the value, or remove the line.",
    ),
    "lost-result": Rule(
        "bug",
        "high",
        "The result is thrown away",
        "Assign or return it: the call changes nothing by itself.",
    ),
    "same-branches": Rule(
        "bug",
        "medium",
        "Both branches do the same",
        "One branch was probably meant to differ; else remove the condition.",
    ),
    "repeated-condition": Rule(
        "bug",
        "medium",
        "A condition is tested a second time in vain",
        "The second was probably meant to test something else.",
    ),
    "self-assignment": Rule(
        "bug",
        "medium",
        "A variable is assigned to itself",
        "One side was probably meant to be another name.",
    ),
    "index-past-end": Rule(
        "bug",
        "high",
        "An index goes past the end",
        "Stop one earlier.",
    ),
    "missing-f": Rule(
        "bug",
        "medium",
        "A placeholder in a string that is never filled",
        "Write f before the string.",
    ),
    "format-arguments": Rule(
        "bug",
        "high",
        "Placeholders and arguments do not match",
        "Give one argument for each placeholder.",
    ),
    "duplicate-key": Rule(
        "bug",
        "medium",
        "A key stands twice in a dictionary",
        "Remove the first, whose value is lost, or correct the key.",
    ),
    "assert-tuple": Rule(
        "bug",
        "high",
        "An assertion that is always true",
        "Remove the parentheses.",
    ),
    "or-literal": Rule(
        "bug",
        "high",
        "A condition that is always true",
        "Compare with each value: x in (a, b).",
    ),
    "inverted-check": Rule(
        "bug",
        "high",
        "A value is used where it cannot be there",
        "The condition is probably the wrong way round.",
    ),
    "unchecked-none": Rule(
        "bug",
        "medium",
        "A value that may be None is used unchecked",
        "Test it for None first.",
    ),
    "unreachable": Rule(
        "bug",
        "medium",
        "Code that is never reached",
        "Remove it, or move it before the statement that leaves.",
    ),
    "missing-return": Rule(
        "bug",
        "medium",
        "A path ends without the value that is promised",
        "Return a value, or raise, at the end of the function.",
    ),
    "changed-while-iterating": Rule(
        "bug",
        "high",
        "A collection is changed while it is iterated",
        "Iterate over a copy: list(...).",
    ),
    "late-closure": Rule(
        "bug",
        "medium",
        "A function made in a loop sees the last value of the variable",
        "Bind the value when it is made: a default argument or functools.partial.",
    ),
    "shadowed-builtin": Rule(
        "bug",
        "high",
        "A built-in function is called after its name was taken",
        "Rename the variable.",
    ),
    "undefined-name": Rule(
        "bug",
        "high",
        "A name that is defined nowhere",
        "Import or define it, or correct its spelling.",
    ),
    "call-arguments": Rule(
        "bug",
        "high",
        "A call does not match the definition",
        "Give what the definition takes.",
    ),
    "swapped-arguments": Rule(
        "bug",
        "high",
        "Arguments stand in each other's places",
        "Give them in the order of the definition, or by name.",
    ),
    "self-argument": Rule(
        "bug",
        "high",
        "An object is combined with itself",
        "One of the two was probably meant to be another name.",
    ),
    "copied-line": Rule(
        "bug",
        "medium",
        "A line looks copied from the one above and not adapted",
        "Check which value belongs here.",
    ),
    # the rest
    "front-of-list": Rule(
        "performance",
        "low",
        "A list is emptied from its front",
        "Use collections.deque and popleft(): every pop(0) moves all that follows.",
    ),
}
