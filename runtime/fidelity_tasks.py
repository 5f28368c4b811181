"""Questions whose answers are put into a real text, in the manner of RULER (arXiv 2404.06654).

One text carries the facts of many questions, each at a depth of its own, so that a long text is
read once and asked often. Seeded: the same book, seed and number of questions give the same items.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])\s*|\n\s*\n")
_HAN = re.compile(r"[\u4e00-\u9fff]")

Fact = tuple[float, str]
"""A sentence and the depth, 0 to 1, at which it is put into the text."""


@dataclass(frozen=True, slots=True)
class Item:
    """A question, what its answer must contain, and the facts that make it so.

    `depth` is that of its first fact.
    """

    task: str
    language: str
    question: str
    answers: tuple[str, ...]
    facts: tuple[Fact, ...]

    @property
    def depth(self) -> float:
        """Where in the text the answer begins, 0 to 1."""
        return min(depth for depth, _ in self.facts)

    def score(self, text: str) -> float:
        """Returns the share of the expected answers that the text contains."""
        said = text.casefold()
        return sum(answer.casefold() in said for answer in self.answers) / len(self.answers)


_PLACES = {
    "en": "Lisbon Oslo Cairo Lima Kyoto Quito Turin Perth Delhi Tunis Basel Dakar Malmo Porto "
    "Sofia Riga Minsk Accra Bergen Hanoi Leeds Genoa Davos Sucre Luxor Nantes Gdansk Aleppo Bruges",
    "zh": "里斯本 奥斯陆 开罗 利马 京都 基多 都灵 珀斯 德里 突尼斯 巴塞尔 达喀尔 马尔默 波尔图 "
    "索菲亚 里加 明斯克 阿克拉 卑尔根 河内 利兹 热那亚 达沃斯 苏克雷 卢克索 南特 阿勒颇 布鲁日",
}
_WORDS = {
    "en": "lantern copper harvest violin granite pepper saddle meadow anchor velvet walnut beacon "
    "cradle thistle marble ribbon falcon kettle",
    "zh": "灯笼 铜器 收成 提琴 花岗岩 胡椒 马鞍 草地 船锚 天鹅绒 核桃 灯塔 摇篮 蓟花 大理石 "
    "丝带 猎鹰 水壶",
}
_NAMES = {
    "en": "Oriel Tamsin Bastien Ludmila Quentin Sunniva Ignace Perpetua Anselm Mireille Thaddeus "
    "Yolanda Casimir Henrike",
    "zh": "欧阳静 司马远 诸葛明 上官云 慕容雪 夏侯安 令狐青 皇甫兰 尉迟峰 公孙月 端木清 东方朔 "
    "南宫雨 西门川",
}
# what a person does, and a question about it that has no word in common with it
_MEANINGS = {
    "en": [
        ("{} keeps bees on the roof of the old mill.", "Who is able to sell honey? Give the name."),
        ("{} repairs broken clocks in a cellar.", "My watch stopped: who can help? Give the name."),
        ("{} hunted whales for eleven years.", "Which person was a sailor? Give the name."),
        ("{} bakes forty loaves before sunrise.", "At whose shop is bread sold? Give the name."),
        ("{} set the leg of a lame horse.", "Which person treats sick animals? Give the name."),
        ("{} cannot abide the taste of meat.", "Which person is a vegetarian? Give the name."),
        ("{} owes the bank nine hundred pounds.", "Which person is in debt? Give the name."),
    ],
    "zh": [
        ("{}在旧磨坊的屋顶上养蜂。", "谁能卖蜜糖？请说出名字。"),
        ("{}在地窖里修理坏掉的钟。", "我的手表停了，该找谁？请说出名字。"),
        ("{}在捕鲸船上度过了十一年。", "哪个人当过水手？请说出名字。"),
        ("{}天亮以前要烤四十个饼。", "想买面食该去谁家的铺子？请说出名字。"),
        ("{}治好了一匹瘸马的腿。", "哪个人是兽医？请说出名字。"),
        ("{}受不了肉的味道。", "哪个人吃素？请说出名字。"),
        ("{}欠银行九百镑。", "哪个人负债？请说出名字。"),
    ],
}  # fmt: skip


class _Maker:
    """Makes the Items of one text; no place, name or number is used for two of them."""

    def __init__(self, language: str, seed: int) -> None:
        self.language = language
        self.random = random.Random(seed)
        pools: dict[str, list[str] | list[int]] = {
            "place": _PLACES[language].split(),
            "name": _NAMES[language].split(),
            "meaning": list(range(len(_MEANINGS[language]))),
        }
        self._unused = {
            kind: list[str | int](self.random.sample(list[str | int](words), len(words)))
            for kind, words in pools.items()
        }
        self._numbers: set[str] = set()

    def take(self, kind: str) -> str | int:
        """Returns one that was not taken; after the last one, with a number."""
        pool = self._unused[kind]
        return pool.pop() if pool else f"{kind} {self.number()}"

    def place(self) -> str:
        """Returns a place that no other fact names."""
        return str(self.take("place"))

    def number(self) -> str:
        """Returns five digits that stand nowhere else."""
        while (number := str(self.random.randrange(10_000, 100_000))) in self._numbers:
            pass
        self._numbers.add(number)
        return number

    def words(self, english: str, chinese: str) -> str:
        """Returns the wording of the language."""
        return chinese if self.language == "zh" else english

    def item(self, task: str, question: str, answers: Sequence[str], facts: Sequence[Fact]) -> Item:
        """Returns the Item."""
        return Item(task, self.language, question, tuple(answers), tuple(facts))


def passkey(make: _Maker, depth: float) -> Item:
    """Returns one number to be found at one place."""
    place, number = make.place(), make.number()
    fact = make.words(
        f"The pass key of the gate in {place} is {number}. Remember it.",
        f"{place}大门的通行密码是{number}。请记住它。",
    )
    question = make.words(
        f"What is the pass key of the gate in {place}? Answer with the number only.",
        f"{place}大门的通行密码是什么？只回答数字。",
    )
    return make.item("passkey", question, [number], [(depth, fact)])


def multi_key(make: _Maker, depth: float) -> Item:
    """Returns one number among others whose keys differ in one word."""
    place = make.place()
    rooms = make.random.sample(range(1, 100), 5)
    numbers = [make.number() for _ in rooms]
    facts = [
        (
            depth if index == 0 else make.random.random(),
            make.words(
                f"The safe in room {room} of the hotel in {place} opens with {number}.",
                f"{place}旅馆{room}号房间的保险箱用{number}打开。",
            ),
        )
        for index, (room, number) in enumerate(zip(rooms, numbers, strict=True))
    ]
    question = make.words(
        f"Which number opens the safe in room {rooms[0]} of the hotel in {place}? "
        "Answer with the number only.",
        f"{place}旅馆{rooms[0]}号房间的保险箱用什么数字打开？只回答数字。",
    )
    return make.item("multi-key", question, numbers[:1], facts)


def multi_value(make: _Maker, depth: float) -> Item:
    """Returns four numbers of one key, each at a depth of its own."""
    place = make.place()
    numbers = [make.number() for _ in range(4)]
    facts = [
        (
            depth if index == 0 else make.random.random(),
            make.words(
                f"One of the lottery numbers drawn in {place} is {number}.",
                f"在{place}抽出的彩票号码之一是{number}。",
            ),
        )
        for index, number in enumerate(numbers)
    ]
    question = make.words(
        f"List the four lottery numbers drawn in {place}.", f"列出在{place}抽出的四个彩票号码。"
    )
    return make.item("multi-value", question, numbers, facts)


def variables(make: _Maker, depth: float) -> Item:
    """Returns a chain of variables, each set to the one before, in their order in the text."""
    number, tag = make.number(), make.number()[:3]
    names = [f"VAR{letter}{tag}" for letter in "ABCD"]
    depths = [depth, *sorted(depth + (1 - depth) * make.random.random() for _ in names[1:])]
    values = [number, *names]
    facts = [
        (at, f"{name} = {value}.") for at, name, value in zip(depths, names, values, strict=False)
    ]
    question = make.words(
        f"Which variables have the value {number}, given directly or through other variables? "
        "List their names.",
        f"哪些变量的值是{number}（直接或通过其他变量得到）？列出变量名。",
    )
    return make.item("variables", question, names, facts)


def common_words(make: _Maker, depth: float) -> Item:
    """Returns lists of words all over the text, three of which stand in most of them."""
    place = make.place()
    pool = make.random.sample(_WORDS[make.language].split(), 18)
    often, seldom = pool[:3], pool[3:]
    facts = []
    for index in range(10):
        listed = [*(often if index % 5 else often[:2]), *make.random.sample(seldom, 2)]
        make.random.shuffle(listed)
        facts.append(
            (
                depth if index == 0 else make.random.random(),
                make.words(
                    f"Sold today at the market of {place}: {', '.join(listed)}.",
                    f"{place}市场今天卖出：{'、'.join(listed)}。",
                ),
            )
        )
    question = make.words(
        f"Which three things are sold most often at the market of {place}? List them.",
        f"{place}市场最常卖出的三样东西是什么？请列出。",
    )
    return make.item("common-words", question, often, facts)


def meaning(make: _Maker, depth: float) -> Item:
    """Returns a fact and a question that share no word: only what it means leads there."""
    index = make.take("meaning")
    if isinstance(index, str):
        # each meaning can be asked for once a text
        return passkey(make, depth)
    name = str(make.take("name"))
    fact, question = _MEANINGS[make.language][index]
    return make.item("meaning", question, [name], [(depth, fact.format(name))])


Task = Callable[[_Maker, float], Item]
"""Makes a question whose facts begin at a depth of 0 to 1."""

TASKS: Sequence[Task] = (
    passkey,
    multi_key,
    multi_value,
    variables,
    common_words,
    meaning,
)


def make_items(language: str, count: int, seed: int, tasks: Sequence[Task] = TASKS) -> list[Item]:
    """Returns `count` Items, the tasks in turn, their depths spread evenly for every task."""
    make = _Maker(language, seed)
    rounds = -(-count // len(tasks))
    depths = [(turn + 0.5) / rounds for turn in range(rounds)]
    return [task(make, depth) for depth in make.random.sample(depths, rounds) for task in tasks][
        :count
    ]


def language_of(text: str) -> str:
    """Returns "zh" for a text that is mostly Chinese, else "en"."""
    return "zh" if len(_HAN.findall(text)) > len(text) / 4 else "en"


def with_facts(text: str, facts: Sequence[Fact]) -> str:
    """Returns the text with every fact put between two of its sentences, at its depth."""
    ends = [0, *(match.end() for match in _SENTENCE.finditer(text)), len(text)]
    placed = sorted(
        (min(ends, key=lambda end: abs(end - depth * len(text))), index)
        for index, (depth, _) in enumerate(facts)
    )
    pieces, begin = [], 0
    for end, index in placed:
        pieces += [text[begin:end], f" {facts[index][1]} "]
        begin = end
    return "".join([*pieces, text[begin:]])
