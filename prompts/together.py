"""Together: tasks that do not wait for each other have their Questions put side by side.

A model writes several answers in little more time than one. What the tasks make is shown in their
order, whichever is done first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

from longctx.prompts.question import Answer, Heard, Piece, Question, Said, Task

# As many as the runtime writes at once.
WIDTH = 4

T = TypeVar("T")


def together(
    groups: Sequence[Sequence[Task[T]]], make: Callable[[int, list[T]], Sequence[Piece]]
) -> Generator[Said, Heard, None]:
    """Yields the Questions of WIDTH tasks at a time, and Pieces, those of the first group first.

    `make` is given the number of a group and the results of its tasks, and returns what is shown of
    it behind the Pieces of the tasks themselves.
    """
    results: list[dict[int, T]] = [{} for _ in groups]
    shown: list[list[Piece]] = [[] for _ in groups]
    begun: dict[tuple[int, int], tuple[Task[T], Question]] = {}

    def go_on(place: tuple[int, int], task: Task[T], answer: Answer | None) -> None:
        group, number = place
        try:
            while isinstance(said := task.send(answer), Piece):
                shown[group].append(said)
                answer = None
            begun[place] = task, said
        except StopIteration as stop:
            results[group][number] = stop.value

    waiting = deque(
        ((group, number), task)
        for group, tasks in enumerate(groups)
        for number, task in enumerate(tasks)
    )
    done = 0
    while done < len(groups):
        while waiting and len(begun) < WIDTH:
            go_on(*waiting.popleft(), None)
        while done < len(groups) and len(results[done]) == len(groups[done]):
            yield from shown[done]
            yield from make(done, [one for _, one in sorted(results[done].items())])
            done += 1
        if begun:
            going = list(begun.items())
            begun.clear()
            answers = yield tuple(question for _, (_, question) in going)
            assert isinstance(answers, Sequence)
            for (place, (task, _)), answer in zip(going, answers, strict=True):
                assert isinstance(answer, Answer)
                go_on(place, task, answer)
