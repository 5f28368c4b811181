# ruff: noqa: E501
"""The questions of bench/questions.py: a third of them have no answer in their text.

They were written from the texts before any model was asked them.
"""

from typing import NamedTuple


class Text(NamedTuple):
    """A stretch of files of a corpus (bench/corpora.py), from `begin` to before `end`."""

    corpus: str
    paths: tuple[str, ...]
    begin: str = ""
    end: str = ""


class Asked(NamedTuple):
    """A question; an answer holds one of `accepted`, and its proof stands at `place`.

    Without `accepted` the text does not answer it.
    """

    text: str
    question: str
    accepted: tuple[str, ...] = ()
    place: str = ""


TEXTS = {
    "gpl": Text("licences", ("GPL-3",)),
    "mpl": Text("licences", ("MPL-2.0",)),
    "persuasion": Text("austen", ("persuasion.txt",), "Chapter 1\n", "Chapter 5\n"),
    "policy": Text(
        "debian-policy",
        ("policy.txt",),
        "2.4. Sections\n===",
        '4.4. Debian changelog: "debian/changelog"\n===',
    ),
    "requests": Text("requests-2.31.0", ("requests/adapters.py", "requests/auth.py")),
    "rcpp": Text("papers", ("Rcpp-introduction.pdf",)),
}

ASKED = (
    # GPL-3
    Asked(
        "gpl",
        "For at least how many years must a written offer of the source be valid?",
        ("three", "3 years"),
        "valid for at least three years",
    ),
    Asked(
        "gpl",
        "Which WIPO treaty does the license name, by its date of adoption?",
        ("20 December 1996", "copyright treaty"),
        "adopted on 20 December 1996",
    ),
    Asked(
        "gpl",
        "Within how many days after a violation ceased must the copyright holder give notice, so that the license is not reinstated for good?",
        ("60",),
        "60 days after the cessation",
    ),
    Asked(
        "gpl",
        "Is interaction with a user through a computer network, without transfer of a copy, conveying?",
        ("not conveying", "no"),
        "with no transfer of a copy, is not conveying",
    ),
    Asked(
        "gpl",
        "What does source code for a work mean?",
        ("preferred form",),
        "means the preferred form of the work",
    ),
    Asked(
        "gpl",
        "Which physical works are given as an example of works under copyright-like laws?",
        ("semiconductor mask",),
        "such as semiconductor masks",
    ),
    Asked(
        "gpl",
        "May I charge a price for each copy that I convey?",
        ("any price", "yes"),
        "You may charge any price or no price",
    ),
    Asked("gpl", "Is sublicensing allowed?", ("not allowed", "no"), "Sublicensing is not allowed"),
    Asked(
        "gpl",
        "What is a compilation called in which a covered work stands beside separate and independent works?",
        ("aggregate",),
        '"aggregate" if the compilation',
    ),
    Asked(
        "gpl",
        "What must modified works carry prominent notices about, besides the license?",
        ("modified", "date"),
        "prominent notices stating that you modified",
    ),
    Asked(
        "gpl",
        "How may object code be conveyed with peers, and what must they be told?",
        ("where",),
        "Convey the object code using peer-to-peer",
    ),
    Asked(
        "gpl",
        "In which case does the requirement to give Installation Information not apply, by the example of the license?",
        ("ROM",),
        "been installed in ROM",
    ),
    Asked(
        "gpl",
        "How many days does the licensor have to answer a request for the source code by e-mail?",
    ),
    Asked("gpl", "Which court has jurisdiction over disputes about this license?"),
    Asked("gpl", "What royalty in percent may a contributor ask for?"),
    Asked("gpl", "Who is the treasurer of the Free Software Foundation?"),
    Asked("gpl", "Which encryption algorithm must be used when the source is put on a server?"),
    Asked("gpl", "How many users may run the program at the same time?"),
    # MPL-2.0
    Asked(
        "mpl",
        "What share of the outstanding shares amounts to control of an entity?",
        ("fifty percent", "50%", "50 percent"),
        "fifty percent (50%)",
    ),
    Asked(
        "mpl",
        "Who is the license steward?",
        ("Mozilla Foundation",),
        "Mozilla Foundation is the license steward",
    ),
    Asked(
        "mpl",
        "In which courts may litigation be brought?",
        ("principal place of business", "defendant"),
        "courts of a jurisdiction where the defendant",
    ),
    Asked(
        "mpl",
        "When do the licenses for a Contribution become effective?",
        ("first distributes", "first distributed"),
        "the date the Contributor first",
    ),
    Asked(
        "mpl",
        "Within how many days of the first notice must a violator become compliant?",
        ("30",),
        "prior to 30 days after",
    ),
    Asked(
        "mpl",
        "What is any form of the work other than Source Code Form called?",
        ("Executable Form",),
        "any form of the work other than Source Code Form",
    ),
    Asked(
        "mpl",
        "What is a Larger Work?",
        ("combines",),
        "a work that combines Covered Software with other material",
    ),
    Asked(
        "mpl",
        "Where must limitations be described if a statute makes compliance impossible?",
        ("text file",),
        "be placed in a text file included",
    ),
    Asked(
        "mpl",
        "Does the license grant rights in trademarks?",
        ("not grant", "no"),
        "does not grant any rights in the trademarks",
    ),
    Asked(
        "mpl",
        "For what purpose may license notices be altered?",
        ("inaccurac",),
        "remedy known factual inaccuracies",
    ),
    Asked(
        "mpl",
        "Which exhibit holds the notice that makes software Incompatible With Secondary Licenses?",
        ("Exhibit B",),
        "in Exhibit B to the Covered",
    ),
    Asked(
        "mpl",
        "What happens to the rights of one who sues over a patent?",
        ("terminate",),
        "2.1 of this License shall terminate",
    ),
    Asked("mpl", "How much does the Mozilla Foundation charge for a copy of the license?"),
    Asked("mpl", "Which version of Firefox was first released under this license?"),
    Asked("mpl", "For how many years must the source code be kept available?"),
    Asked("mpl", "In which city does the Mozilla Foundation have its seat?"),
    Asked("mpl", "What is the highest amount of damages that a Contributor owes?"),
    Asked("mpl", "Which arbitration body settles disputes?"),
    # Persuasion, chapters 1 to 4
    Asked(
        "persuasion",
        "Which book did Sir Walter Elliot take up for his amusement?",
        ("Baronetage",),
        "took up any book but the Baronetage",
    ),
    Asked(
        "persuasion",
        "On what day was Anne Elliot born?",
        ("August 9, 1787", "9 August 1787", "August 9"),
        "Anne, born August 9, 1787",
    ),
    Asked(
        "persuasion",
        "Who is the heir presumptive?",
        ("William",),
        "Heir presumptive, William Walter Elliot",
    ),
    Asked(
        "persuasion",
        "In which county does Kellynch Hall lie?",
        ("Somerset",),
        "of Kellynch Hall, in Somersetshire",
    ),
    Asked(
        "persuasion",
        "How old was Sir Walter?",
        ("fifty-four", "54"),
        "at fifty-four, was still a very fine man",
    ),
    Asked(
        "persuasion",
        "How far is Bath from Kellynch?",
        ("fifty miles", "50 miles"),
        "distance from Kellynch, only fifty miles",
    ),
    Asked(
        "persuasion",
        "In how many years would Sir Walter be clear of debt under Lady Russell's regulations?",
        ("seven", "7"),
        "in seven years he will be clear",
    ),
    Asked(
        "persuasion",
        "Where had Admiral Croft and Mr Shepherd met?",
        ("Taunton",),
        "quarter sessions at Taunton",
    ),
    Asked(
        "persuasion",
        "In which battle had Admiral Croft fought?",
        ("Trafalgar",),
        "He was in the Trafalgar action",
    ),
    Asked(
        "persuasion",
        "What age was Admiral Baldwin really?",
        ("forty", "40"),
        "'Forty,' replied Sir Basil",
    ),
    Asked(
        "persuasion",
        "Whom did Charles Musgrove marry?",
        ("Mary",),
        "found a more willing mind in her younger",
    ),
    Asked(
        "persuasion",
        "After which action was Frederick Wentworth made commander?",
        ("Domingo",),
        "commander in consequence of the action off St",
    ),
    Asked("persuasion", "What is the first name of Lady Russell's late husband?"),
    Asked("persuasion", "How many horses does Sir Walter own?"),
    Asked("persuasion", "What rent in pounds does Admiral Croft pay?"),
    Asked("persuasion", "What is the name of Anne's dog?"),
    Asked("persuasion", "Which ship did Captain Wentworth command at Trafalgar?"),
    Asked("persuasion", "What colour are Anne's eyes?"),
    # Debian Policy, 2.4 to 4.3
    Asked(
        "policy",
        "Which priority do most packages have?",
        ("optional",),
        'packages will have a priority of "optional"',
    ),
    Asked("policy", "Which priority is deprecated?", ("extra",), "This priority is deprecated"),
    Asked(
        "policy",
        "In which file format must all packages be provided?",
        (".deb",),
        'must be provided in the ".deb" file format',
    ),
    Asked(
        "policy",
        "What is added to the name of a package with offensive material that was split out?",
        ("-offensive",),
        'adding "-offensive"',
    ),
    Asked(
        "policy",
        "What is the maintainer of an orphaned package set to?",
        ("QA Group",),
        "packages@qa.debian.org",
    ),
    Asked(
        "policy",
        "Which field must be present if the maintainer is a team with a shared address?",
        ("Uploaders",),
        'the "Uploaders" control field must be present',
    ),
    Asked(
        "policy",
        "Which character cannot be used in native version numbers?",
        ("hyphen", "-"),
        "cannot be used in native",
    ),
    Asked(
        "policy",
        "Which section holds special packages used by the installer?",
        ("debian-installer",),
        "The additional section *debian-installer*",
    ),
    Asked(
        "policy",
        "May two packages of priority standard conflict with each other?",
        ("not", "no"),
        "not conflict with each other",
    ),
    Asked(
        "policy",
        "What are most source packages in Debian, native or non-native?",
        ("non-native",),
        "Most source packages in Debian are non-native",
    ),
    Asked(
        "policy",
        "Which file should be edited instead of a Makefile where a configure script is used?",
        (".in",),
        'you should edit the ".in" files',
    ),
    Asked(
        "policy",
        "In which control field does the version of the policy stand with which a package complied?",
        ("Standards-Version",),
        'specified in the "Standards-Version" control field',
    ),
    Asked("policy", "How many maintainers does Debian have?"),
    Asked("policy", "What is the largest size in megabytes that a package may have?"),
    Asked("policy", "In which year was dpkg written?"),
    Asked("policy", "What fee must a sponsor pay for an upload?"),
    Asked("policy", "Which compiler version must be used for packages written in Ada?"),
    Asked("policy", "What is the code name of the next release?"),
    # requests, two files
    Asked(
        "requests",
        "How many connection pools does the adapter cache by default?",
        ("10", "ten"),
        "DEFAULT_POOLSIZE = 10",
    ),
    Asked(
        "requests",
        "How many times does the adapter retry by default?",
        ("0", "zero", "not retry"),
        "DEFAULT_RETRIES = 0",
    ),
    Asked(
        "requests",
        "Into which encoding are the user name and the password put for basic authentication?",
        ("latin1", "latin-1"),
        'username.encode("latin1")',
    ),
    Asked(
        "requests",
        "Which hash is used for digest authentication if the server names no algorithm?",
        ("MD5",),
        '_algorithm = "MD5"',
    ),
    Asked(
        "requests",
        "Which header does HTTPProxyAuth set?",
        ("Proxy-Authorization",),
        'r.headers["Proxy-Authorization"] = _basic_auth_str',
    ),
    Asked(
        "requests",
        "What is raised if SOCKS support is not installed?",
        ("InvalidSchema",),
        "Missing dependencies for SOCKS support.",
    ),
    Asked(
        "requests",
        "What does AuthBase raise when it is called?",
        ("NotImplementedError",),
        "Auth hooks must be callable.",
    ),
    Asked(
        "requests",
        "What is raised for a timeout tuple that has not two values?",
        ("ValueError",),
        "Invalid timeout {timeout}",
    ),
    Asked(
        "requests",
        "Where does HTTPDigestAuth keep its state?",
        ("thread",),
        "Keep state in per-thread local storage",
    ),
    Asked(
        "requests",
        "How many characters of the SHA-1 digest make the cnonce?",
        ("16", "sixteen"),
        "hexdigest()[:16]",
    ),
    Asked(
        "requests",
        "What is raised on a MaxRetryError whose reason is a ResponseError?",
        ("RetryError",),
        "raise RetryError(e, request=request)",
    ),
    Asked(
        "requests",
        "Which digest quality of protection is not implemented?",
        ("auth-int",),
        "XXX handle auth-int",
    ),
    Asked("requests", "How long is a token of OAuth kept?"),
    Asked("requests", "Which function uploads a file to Amazon S3?"),
    Asked("requests", "What is the default size of the cache for responses in bytes?"),
    Asked("requests", "How is HTTP/3 switched on?"),
    Asked("requests", "Which class implements Kerberos authentication?"),
    Asked("requests", "What is the rate limit per second of the adapter?"),
    # Rcpp, a paper
    Asked("rcpp", "Who wrote the paper?", ("Eddelbuettel", "Balamuta"), "James Joseph Balamut"),
    Asked(
        "rcpp",
        "On what date was this version compiled?",
        ("January 11, 2022", "11 January 2022"),
        "compiled on January 11, 2022",
    ),
    Asked(
        "rcpp",
        "Which function evaluates a minimal C++ expression?",
        ("evalCpp",),
        "one of its simplest functions, evalCpp()",
    ),
    Asked(
        "rcpp", "What must users on Windows install?", ("Rtools",), "have to install the Rtools kit"
    ),
    Asked("rcpp", "How many unit tests does Rcpp have?", ("1385",), "1385+ unit tests"),
    Asked(
        "rcpp",
        "Which framework is used to construct the unit tests of Rcpp?",
        ("RUnit",),
        "such as RUnit by Burger",
    ),
    Asked(
        "rcpp",
        "How many lines of housekeeping does the C version of the convolution need?",
        ("ten", "10"),
        "of ten lines of mere housekeeping",
    ),
    Asked(
        "rcpp",
        "Which function compiles and loads an external C++ file?",
        ("sourceCpp",),
        'Rcpp::sourceCpp("convolve.cpp")',
    ),
    Asked(
        "rcpp",
        "What does the operator %% implement in R?",
        ("mod",),
        "The operator %% implements the mod operation",
    ),
    Asked(
        "rcpp",
        "What is the Prime Directive, in the words of Chambers?",
        ("trustworthy", "trustful"),
        "the Prime Directive",
    ),
    Asked(
        "rcpp",
        "In which chapter of Writing R Extensions are the internal macros documented?",
        ("5", "five"),
        "functions documented in Chapter 5",
    ),
    Asked(
        "rcpp",
        "With which two other languages does Chambers illustrate interfaces?",
        ("Julia",),
        "both Python and Julia",
    ),
    Asked("rcpp", "How much memory did the authors' computer have?"),
    Asked("rcpp", "Which grant paid for the work?"),
    Asked("rcpp", "How many users does the R language have?"),
    Asked("rcpp", "How is Rcpp called from a program written in Haskell?"),
    Asked("rcpp", "What salary does an R developer earn?"),
    Asked("rcpp", "Which version of CUDA does Rcpp require?"),
)
