"""What many tests need: memory that shows when it was never written, tiny models, the real ones."""

import functools
import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# Kernels run in Triton's interpreter, which must be known before anything imports Triton; on a GPU
# they are checked by bench/gpu.py.
os.environ["TRITON_INTERPRET"] = "1"

# The same examples on every run: a suite that passed passes again.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@pytest.fixture(autouse=True)
def poisoned_memory(request, monkeypatch):
    """In tests of tensors, memory that nobody has written is NaN."""
    torch = sys.modules.get("torch")
    if torch is None or request.path.parent.name not in {"kernels", "runtime"}:
        return

    def poisoned(allocate):
        @functools.wraps(allocate)
        def allocate_and_fill(*args, **kwargs):
            tensor = allocate(*args, **kwargs)
            return tensor.fill_(float("nan")) if tensor.is_floating_point() else tensor

        return allocate_and_fill

    for owner, name in (
        (torch, "empty"),
        (torch, "empty_like"),
        (torch, "empty_strided"),
        (torch.Tensor, "new_empty"),
    ):
        monkeypatch.setattr(owner, name, poisoned(getattr(owner, name)))


@pytest.fixture(scope="session")
def store_root():
    """The store with the models that are installed on this machine."""
    import platformdirs

    return Path(os.environ.get("LONGCTX_HOME") or platformdirs.user_data_path("longctx"))


@pytest.fixture(scope="session")
def real_model_dir(store_root):
    """A function from the name of an installed model to its directory; skips without it."""

    def directory(name):
        path = store_root / "models" / name
        if not (path / "config.json").is_file():
            pytest.skip(f"{name} is not in {store_root} (longctx models pull {name})")
        return path

    return directory


@pytest.fixture(scope="session")
def corpus_dir():
    """A function from an item of bench/corpora.py to its folder; skips where it cannot be had."""
    import platformdirs

    spec = importlib.util.spec_from_file_location(
        "corpora", Path(__file__).parent / "bench/corpora.py"
    )
    corpora = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(corpora)
    cache = os.environ.get("LONGCTX_CORPORA") or platformdirs.user_cache_path("longctx-corpora")

    def directory(name):
        try:
            return corpora.fetch(Path(cache), name)
        except (OSError, RuntimeError) as error:
            pytest.skip(f"{name}: {error}")

    return directory


def write_tiny_tokenizer(directory, *, pattern=QWEN2_PATTERN, num_tokens=512, **settings):
    """Leaves a byte-level BPE tokenizer with ChatML tokens in Hugging Face layout."""
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        trainers,
    )

    added = [
        AddedToken(content, normalized=False, special=content.startswith("<|"))
        for content in ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>")
    ]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=num_tokens - len(added),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([Path(__file__).read_text(encoding="utf-8")], trainer)
    tokenizer.add_tokens(added)
    assert tokenizer.get_vocab_size() == num_tokens
    tokenizer.save(str(directory / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "chat_template": CHATML,
    }
    (directory / "tokenizer_config.json").write_text(json.dumps(config | settings))
    return directory


@pytest.fixture(scope="session")
def tiny_tokenizer_dir(tmp_path_factory):
    """A directory with nothing but a tiny tokenizer."""
    return write_tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory):
    """A function from an architecture, and other sizes, to a directory with a tiny random model."""

    @functools.cache
    def directory(kind, **changes):
        import torch
        import transformers

        sizes = {"vocab_size": 512, "hidden_size": 64, "intermediate_size": 128}
        sizes |= {"num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 2048}
        # Qwen3's heads do not add up to the hidden size.
        sizes |= {"head_dim": 32} if kind == "qwen3" else {}
        config = transformers.AutoConfig.for_model(
            kind,
            **sizes | changes,
            num_key_value_heads=2,
            tie_word_embeddings=kind == "qwen2",
            bos_token_id=None,
            eos_token_id=510,
            pad_token_id=508,
        )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
            for name, weight in model.named_parameters():
                scale = 0.3 if weight.ndim == 1 else weight.shape[-1] ** -0.5
                is_norm = weight.ndim == 1 and name.endswith("weight")
                torch.nn.init.normal_(weight, mean=float(is_norm), std=scale)
        path = tmp_path_factory.mktemp(kind)
        model.save_pretrained(path)
        return write_tiny_tokenizer(path)

    return directory
