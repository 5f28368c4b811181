"""The decoder: embedding, layers of attention and SwiGLU, final norm, head.

One forward pass reads the tokens of a Step, writes their keys and values into the KVCache and
returns what the last layer makes of them. The layers are those of Qwen2 (arXiv 2407.10671,
section 2), Qwen3 (arXiv 2505.09388, section 2: norms on queries and keys) and Llama (arXiv
2302.13971, section 2.2); they differ by which weights are there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest

import torch
from torch import Tensor
from torch.nn.functional import rms_norm

from longctx.kernels import byte_linear, tile_linear
from longctx.kernels.answer import AnswerLayer, Floats, Turned, turned
from longctx.kernels.attention import attend
from longctx.kernels.blocks import BlockRule
from longctx.kernels.dual_chunk import DualChunk, Plain
from longctx.kernels.flash import BLOCK, all_of, can_flash, shared_out
from longctx.kernels.linear import FEW_ROWS, Products, Upcast, project, rescored
from longctx.kernels.narrow import multiply
from longctx.kernels.rope import inverse_frequencies, rotate, score_factor
from longctx.kernels.sparse import Rule, attend_one, attend_tiles, items_for_one
from longctx.kernels.turning import turned_heads
from longctx.runtime.config import ModelConfig
from longctx.runtime.errors import ModelError
from longctx.runtime.fidelity import RecallMeter
from longctx.runtime.kv_cache import KVCache, check_eight_bits, take_key_biases
from longctx.runtime.layer import (
    MATRICES,
    FloatLayer,
    Heads,
    Layer,
    PanelLayer,
    Parameters,
    Release,
    fits_panels,
    keep,
)
from longctx.runtime.micro_batch import MicroBatch, micro_batches
from longctx.runtime.narrow_weights import Keeping, NarrowLayer, NarrowWeights, can_narrow
from longctx.runtime.numerics import Numerics, has_fast_bfloat16

_PRODUCTS = {"bytes": byte_linear.PRODUCTS, "tiles": tile_linear.PRODUCTS}


@dataclass(frozen=True)
class Decoder:
    """Weights in their stored precision, and how to compute with them.

    `key_biases` [G, D] are those that a KVCache in 8 bits keeps out of its keys. Prompts are
    multiplied by `products`, where there are any, and else as answers are if `in_narrow`.
    """

    config: ModelConfig
    numerics: Numerics
    weights: Mapping[str, Tensor]
    frequencies: Tensor
    upcast: Upcast
    narrowed: NarrowWeights | None
    reach: DualChunk | Plain = Plain()
    rule: Rule | None = None
    decode_rule: BlockRule | None = None
    meter: RecallMeter = field(default_factory=RecallMeter)
    products: Products | None = None
    in_narrow: bool = False
    key_biases: Sequence[Tensor] = ()

    @property
    def has_stand_ins(self) -> bool:
        """Whether Blocks that are not chosen are stood for by their means."""
        return any(getattr(rule, "stand_ins", 0) for rule in (self.rule, self.decode_rule))

    def embed(self, token_ids: Tensor) -> Tensor:
        """Returns the embeddings [T, hidden] of `token_ids` [T]."""
        return self.weights["model.embed_tokens.weight"][token_ids].to(self.numerics.dtype)

    def logits(self, hidden: Tensor, *, decoding: bool = False) -> Tensor:
        """Returns float32 logits [T, vocabulary] of normed rows [T, hidden]."""
        head = self.weights[head_name(self.config)]
        if self.narrowed and (decoding or self.in_narrow or self.products):
            return rescored(multiply(self.narrowed.head, hidden)[0], hidden, head)
        if decoding and self.numerics.decoding != "as read":
            return rescored(project(hidden, head).float(), hidden, head)
        # in slices, since the head in another precision would be the largest tensor of all
        parts = [project(hidden, rows.to(hidden.dtype)) for rows in torch.split(head, 16_384)]
        return torch.cat(parts, dim=-1).float()


def fitted(numerics: Numerics, config: ModelConfig, weights: Mapping[str, Tensor]) -> Numerics:
    """Returns the Numerics in which the model runs.

    Where only our own loops are fast at bfloat16 it is float32 for sizes that are not theirs.
    """
    by_loops = numerics.dtype == torch.bfloat16 and numerics.narrows and not has_fast_bfloat16()
    fits = config.head_dim % BLOCK == 0
    fits &= can_narrow(weights, config.num_layers, head_name(config))
    return replace(numerics, dtype=torch.float32) if by_loops and not fits else numerics


def head_name(config: ModelConfig) -> str:
    """Returns the name of the matrix of the logits."""
    return "model.embed_tokens.weight" if config.tied_head else "lm_head.weight"


def build_decoder(
    config: ModelConfig,
    weights: Mapping[str, Tensor],
    numerics: Numerics,
    *,
    rule: Rule | None = None,
    decode_rule: BlockRule | None = None,
    temperature_length: int | None = None,
    keeping: Keeping | None = None,
    release: Release = keep,
) -> Decoder:
    """Returns a Decoder over `weights`, named as in Hugging Face checkpoints.

    Without a `rule` prompts attend densely, without a `decode_rule` decoded tokens do.
    `temperature_length` is for the published temperature of Dual Chunk Attention. Without `keeping`
    narrow weights are made anew in every process. `release` hears of weights that are done with.

    Raises:
        ModelError: a weight is missing or has another shape than the config says.
    """
    for name, shape in _expected_shapes(config).items():
        if name not in weights:
            raise ModelError(f"the weights hold no {name!r}")
        if tuple(weights[name].shape) != shape:
            found = tuple(weights[name].shape)
            raise ModelError(f"{name} has shape {found}, config.json says {shape}")
    numerics = fitted(numerics, config, weights)
    frequencies = inverse_frequencies(config.head_dim, config.rope_theta, config.rope_scaling)
    reach: DualChunk | Plain = Plain()
    if config.dual_chunk:
        reach = DualChunk(
            *config.dual_chunk, trained=config.native_window, total=temperature_length
        )
    for chosen in filter(None, (rule, decode_rule)):
        if reach.stride is not None and reach.stride % chosen.grid:
            raise ModelError(
                f"Chunks of {reach.stride:,} tokens are not made of whole pieces of "
                f"{chosen.grid}: sparse attention needs them to be",
                "read densely: --attention dense",
            )
    # looked up for every token: norms and biases are brought to their precision once
    held = {
        name: weight.to(numerics.dtype) if weight.ndim == 1 else weight
        for name, weight in weights.items()
    }
    key_biases = list[Tensor]()
    if numerics.kv8:
        check_eight_bits(config, numerics, reach)
        key_biases = take_key_biases(config, held)
    narrowed, head = None, head_name(config)
    if numerics.narrows and can_narrow(weights, config.num_layers, head):
        narrowed = NarrowWeights(
            config, held, head, numerics.narrow_bits, numerics.dtype, keeping, release
        )
    products = None
    if narrowed and fits_panels(weights, config.num_layers):
        products = _PRODUCTS.get(numerics.reading)
    return Decoder(
        config,
        numerics,
        held,
        frequencies,
        Upcast(numerics.dtype),
        narrowed,
        products=products,
        in_narrow=bool(narrowed) and numerics.reading != "stored" and not products,
        reach=reach,
        rule=rule,
        decode_rule=decode_rule,
        key_biases=key_biases,
    )


def forward(
    decoder: Decoder,
    token_ids: Tensor,
    cache: KVCache,
    on_layer: Callable[[int], None] = lambda layer: None,
    *,
    dense: bool = True,
    decoding: bool = False,
) -> Tensor:
    """Returns the normed rows [T, hidden] of `token_ids` [T], which follow what `cache` holds.

    The cache grows by T at the end of the pass and not before: an interrupted pass leaves it as it
    was. `on_layer` hears of each layer as it is done. Unless `dense`, whole tiles of queries attend
    to what the decoder's Rule chooses for them. Tokens of an answer, `decoding`, meet the weights
    that the Numerics have for them.
    """
    start, num_tokens = cache.length, token_ids.shape[0]
    # the loops of an answer write where they are told
    assert start + num_tokens <= cache.capacity, (start, num_tokens, cache.capacity)
    x = decoder.embed(token_ids)
    if decoder.narrowed if decoding else decoder.products or decoder.in_narrow:
        # so stays what these layers add up
        x = x.float()
    batches = micro_batches(
        decoder.reach,
        decoder.frequencies,
        start,
        num_tokens,
        factor=score_factor(decoder.config.rope_scaling),
    )
    turns = _turns(decoder, batches, cache) if decoding and num_tokens <= FEW_ROWS else []
    for index in range(decoder.config.num_layers):
        layer = _layer(decoder, index, decoding)
        for batch, turn in zip_longest(batches, turns):
            rows = x[batch.rows]
            if turn:
                assert isinstance(layer, NarrowLayer)
                _answer(decoder, index, layer.parts, rows.numpy(), turn, cache)
                continue
            attended = _attended(decoder, index, layer.heads(rows), batch, cache, dense)
            layer.add_attention(attended, rows)
            layer.add_mlp(rows)
        on_layer(index)
    cache.length = start + num_tokens
    return last_norm(decoder, x)


def has_answer_layers(decoder: Decoder, cache: KVCache) -> bool:
    """Returns whether the few newest tokens of an answer can go through AnswerLayers."""
    dtype, head_dim = decoder.numerics.dtype, decoder.config.head_dim
    fits = decoder.narrowed and not cache.eights and not decoder.has_stand_ins
    return bool(fits) and can_flash(torch.empty(head_dim, dtype=dtype))


def _turns(decoder: Decoder, batches: Sequence[MicroBatch], cache: KVCache) -> list[Turned]:
    """Returns how the rows of an answer are turned, if they can take the way of an AnswerLayer."""
    if not has_answer_layers(decoder, cache):
        return []
    return [turned(batch.position, batch.keys, batch.queries) for batch in batches]


def _answer(
    decoder: Decoder, index: int, layer: AnswerLayer, x: Floats, turn: Turned, cache: KVCache
) -> None:
    """Take rows x [T, hidden] of an answer through a layer, in place."""
    keys, values, means = cache.keys[index], cache.values[index], cache.means[index]
    end, rule, threads = turn.position + len(x), decoder.decode_rule, torch.get_num_threads()
    queries = layer.into_heads(x, turn, keys, values)
    cache.average(index, turn.position, end)
    if len(x) == 1 and rule and end > rule.dense_until(index):
        work = shared_out(items_for_one(rule, turn.seen(queries), means, end), 1, threads)
    else:
        work = all_of(turn.views, len(x), len(keys), True, threads)
    layer.out_of_heads(x, queries, work, turn.position, keys, values)


def _attended(
    decoder: Decoder, layer: int, heads: Heads, batch: MicroBatch, cache: KVCache, dense: bool
) -> Tensor:
    """Returns what the heads of a MicroBatch see, [T, H * D], its keys and values cached."""
    q, k, v = heads
    num_tokens = q.shape[0]
    cache.write(layer, batch.position, rotate(k, *batch.keys), v)
    end = batch.position + num_tokens
    keys, values = cache.until(layer, end)
    views = [(begin, end, turned_heads(q, *turn)) for begin, end, turn in batch.queries]
    seen = views, keys, values
    value_means = cache.value_means[layer] if cache.value_means else None
    rule, decode_rule = None if dense else decoder.rule, decoder.decode_rule
    if num_tokens == 1 and decode_rule and end > decode_rule.dense_until(layer):
        out = attend_one(decode_rule, *seen, cache.means[layer], value_means)
    elif rule and end > rule.dense_until(layer):
        meter = decoder.meter.of_layer(layer)
        out = attend_tiles(rule, layer, *seen, cache.means[layer], meter, value_means)
    else:
        out = attend(*seen)
    return out.transpose(0, 1).reshape(num_tokens, -1)


def last_norm(decoder: Decoder, x: Tensor) -> Tensor:
    """Returns the rows x [T, hidden] that came through all layers, as they meet the head."""
    size, weight = (decoder.config.hidden_size,), decoder.weights["model.norm.weight"].to(x.dtype)
    return rms_norm(x, size, weight, decoder.config.norm_eps).to(decoder.numerics.dtype)


def _layer(decoder: Decoder, index: int, decoding: bool) -> Layer:
    """Returns a layer with its matrices in the precision that the rows are to meet."""
    products = None if decoding else decoder.products
    if decoder.narrowed and (decoding or decoder.in_narrow or products):
        layer = decoder.narrowed.layers[index]
        return PanelLayer(layer.own, layer.parts, products) if products else layer
    own = Parameters(decoder.config, decoder.weights, f"model.layers.{index}.")
    decoding = decoding and decoder.numerics.decoding != "as read"

    def matrix(name: str) -> Tensor:
        weight = decoder.weights[f"{own.prefix}{name}.weight"]
        if decoding:
            return weight
        return decoder.upcast(name, weight)

    if decoding:
        return FloatLayer(own, matrix)
    # once for all micro-batches of the Step
    return FloatLayer(own, {name: matrix(name) for name in MATRICES}.__getitem__)


def _expected_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every weight that a decoder cannot do without."""
    hidden, mlp = config.hidden_size, config.mlp_size
    queries, kv = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    matrices = dict(
        zip(
            MATRICES,
            [(queries, hidden), (kv, hidden), (kv, hidden), (hidden, queries)]
            + [(mlp, hidden), (mlp, hidden), (hidden, mlp)],
            strict=True,
        )
    )
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (config.vocab_size, hidden),
        "model.norm.weight": (hidden,),
    }
    if not config.tied_head:
        shapes["lm_head.weight"] = (config.vocab_size, hidden)
    for layer in range(config.num_layers):
        prefix = f"model.layers.{layer}."
        shapes[prefix + "input_layernorm.weight"] = (hidden,)
        shapes[prefix + "post_attention_layernorm.weight"] = (hidden,)
        for name, shape in matrices.items():
            shapes[f"{prefix}{name}.weight"] = shape
    return shapes
