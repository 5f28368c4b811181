"""The control words of RTF 1.9.1 that bear on text: characters, code pages, places to pass over."""

from __future__ import annotations

CHARACTERS = {
    "tab": "\t",
    "line": "\n",
    "lbr": "\n",
    "softline": "\n",
    "emdash": "—",
    "endash": "–",
    "lquote": "‘",
    "rquote": "’",
    "ldblquote": "“",
    "rdblquote": "”",
    "bullet": "•",
    "emspace": "\u2003",
    "enspace": "\u2002",
    "qmspace": "\u2005",
    "zwj": "\u200d",
    "zwnj": "\u200c",
    "~": "\xa0",
    "_": "\u2011",
    "{": "{",
    "}": "}",
    "\\": "\\",
}
# The first word of a group whose text is not printed where it stands.
PASSED_OVER = frozenset(
    (
        "fonttbl colortbl stylesheet info pict object nonshppict shprslt filetbl fldinst datafield"
        " listtable listoverridetable revtbl rsidtbl generator xe tc rxe txe bkmkstart bkmkend"
        " themedata colorschememapping latentstyles datastore ftnsep ftnsepc ftncn aftnsep aftnsepc"
        " aftncn pgptbl mmathPr xmlnstbl wgrffmtfilter atnid atnref atrfstart atrfend atndate"
        " atntime atnparent pnseclvl background template private docvar userprops protusertbl"
        " falt panose fname ud sp sn sv shpinst objdata result fontemb keywords"
    ).split()
)
HEADERS = frozenset("header headerl headerr headerf".split())
FOOTERS = frozenset("footer footerl footerr footerf".split())
# The groups that are read although a reader that does not know them may pass over them.
STARRED = frozenset({"annotation", "atnauthor", "shppict", "pnseclvl"}) - PASSED_OVER
# Character sets of fonts as code pages.
CHARSETS = {
    77: "mac_roman",
    128: "cp932",
    129: "cp949",
    130: "johab",
    134: "gbk",
    136: "big5",
    161: "cp1253",
    162: "cp1254",
    163: "cp1258",
    177: "cp1255",
    178: "cp1256",
    186: "cp1257",
    204: "cp1251",
    222: "cp874",
    238: "cp1250",
    254: "cp437",
    255: "cp437",
}
SYMBOL_CHARSET = 2
