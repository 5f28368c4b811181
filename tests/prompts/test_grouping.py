from longctx.ingest.document import Document, Segment
from longctx.prompts.grouping import grouped, shown_segments
from longctx.prompts.pack import pack

TEXT = "".join(f"line {number:03}\n" for number in range(100))
DOCUMENT = Document("a.txt", TEXT, "prose", "0")


def segment(start: int, end: int, heading: str = "", level: int = 0) -> Segment:
    return Segment(DOCUMENT, start * 9, end * 9, heading, level)


def shapes(groups: list[Segment]) -> list[tuple[int, int, str]]:
    return [(group.start // 9, group.end // 9, group.heading) for group in groups]


def test_neighbours_are_joined_while_they_fit() -> None:
    parts = [segment(n, n + 10, f"Chapter {n // 10}", 1) for n in range(0, 100, 10)]
    assert shapes(grouped(parts, 40 * 9)) == [
        (0, 40, "Chapter 0 to Chapter 3"),
        (40, 80, "Chapter 4 to Chapter 7"),
        (80, 100, "Chapter 8 to Chapter 9"),
    ]


def test_a_long_segment_is_cut_at_line_ends_and_nothing_is_lost() -> None:
    groups = grouped([segment(0, 100, "All", 1)], 30 * 9)
    assert "".join(group.text for group in groups) == TEXT
    assert all(group.text.endswith("\n") and len(group.text) <= 270 for group in groups)
    assert len(groups) == 4


def test_a_line_longer_than_the_limit_is_cut_too() -> None:
    document = Document("a.txt", "x" * 1000, "prose", "0")
    groups = grouped([Segment(document, 0, 1000)], 300)
    assert [group.end - group.start for group in groups] == [250, 250, 250, 250]


def test_a_half_full_group_ends_where_a_higher_level_begins() -> None:
    parts = [segment(0, 5, "1", 1), segment(5, 30, "1.1", 2), segment(30, 35, "2", 1)]
    assert shapes(grouped(parts, 40 * 9)) == [(0, 30, "1"), (30, 35, "2")]


def test_only_what_the_pack_shows_is_grouped() -> None:
    packed = pack(
        [segment(10, 20), segment(50, 60)], key=b"k" * 32, count=lambda text: len(text.split())
    )
    shown = shown_segments(packed.parts[0])
    assert "".join(item.text for item in shown) == TEXT[90:180] + TEXT[450:540]
    assert len(grouped(shown, 10_000)) == 2, "a gap parts two groups"
