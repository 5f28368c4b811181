"""Numbers in the cells of a workbook as dates, times and percentages where their format says so."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from xml.etree.ElementTree import Element

# Formats that every workbook has without naming them (ISO 29500-1 18.8.30).
_BUILT_IN = {
    9: "0%",
    10: "0.00%",
    **dict.fromkeys((14, 15, 16, 17, *range(27, 32), 34, 35, 36, *range(50, 59)), "yyyy-mm-dd"),
    **dict.fromkeys((18, 19, 20, 21, 32, 33), "h:mm:ss"),
    22: "yyyy-mm-dd h:mm",
    45: "mm:ss",
    46: "[h]:mm:ss",
    47: "mm:ss.0",
}
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.I)
_ELAPSED = re.compile(r"\[(?:h+|m+|s+)\]", re.I)
# The last day before the leap day that 1900 never had, as the first spreadsheets counted.
_LAST_TRUE_DAY = 60


class CellFormats:
    """The number formats of a workbook by the style numbers of its cells."""

    def __init__(self, workbook: Element, styles: Element | None) -> None:
        """Take the formats from `styles.xml`, and the first day from `workbook.xml`."""
        own: dict[int, str] = {}
        for item in () if styles is None else styles.iter("s:numFmt"):
            if item.get("numFmtId", "").isdigit():
                own[int(item.get("numFmtId", ""))] = item.get("formatCode", "")
        cells = None if styles is None else styles.find("s:cellXfs")
        numbers = [item.get("numFmtId", "0") for item in (() if cells is None else cells)]
        self._codes = [
            own.get(int(number), _BUILT_IN.get(int(number), "")) if number.isdigit() else ""
            for number in numbers
        ]
        settings = workbook.find("s:workbookPr")
        self._from_1904 = settings is not None and settings.get("date1904") in ("1", "true")

    def shown(self, value: str, style: str) -> str:
        """The number as a date, a time or a percentage by its style, or plain."""
        try:
            number = float(value)
        except ValueError:
            return value
        place = int(style) if style.isdigit() else 0
        code = self._codes[place] if place < len(self._codes) else ""
        code = _LITERAL.sub("", code.split(";")[0]).lower()
        if code in ("", "general", "@"):
            return _plain(number)
        if "%" in code:
            decimals = re.search(r"\.(0+)", code)
            return f"{number * 100:.{len(decimals[1]) if decimals else 0}f}%"
        if _ELAPSED.search(code):
            seconds = round(number * 86_400)
            return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        has_time = "h" in code or "s" in code
        has_date = "y" in code or "d" in code or ("m" in code and not has_time)
        if not has_time and not has_date:
            return _plain(number)
        return self._moment(number, has_date=has_date, has_time=has_time) or _plain(number)

    def _moment(self, number: float, *, has_date: bool, has_time: bool) -> str:
        """The day and the time of a serial number; "" where the calendar has none."""
        first = datetime(1904, 1, 1) if self._from_1904 else datetime(1899, 12, 30)
        if not self._from_1904 and number < _LAST_TRUE_DAY:
            first += timedelta(days=1)
        try:
            moment = first + timedelta(seconds=round(number * 86_400))
        except (OverflowError, ValueError):
            return ""
        clock = moment.strftime("%H:%M:%S" if moment.second else "%H:%M")
        day = moment.date().isoformat()
        return " ".join((day,) * has_date + (clock,) * has_time)


def _plain(number: float) -> str:
    """The number with the fifteen digits that a spreadsheet computes with."""
    return str(int(number)) if abs(number) < 1e15 and number.is_integer() else f"{number:.15g}"
