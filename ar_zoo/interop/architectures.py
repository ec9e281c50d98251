"""The architectures of transformers that the zoo's families are: their configurations, and what they call their weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from ar_zoo.core import arguments
from ar_zoo.core.tensors import TensorFile


@dataclasses.dataclass(frozen=True)
class Source:
    """Where one of our weights is in a file of theirs.

    Attributes:
        name: of the tensor.
        transposed: whether theirs is [outputs, inputs].
        part: (i, n) if it is the i-th of n equal parts along the last axis.
    """

    name: str
    transposed: bool = False
    part: tuple[int, int] | None = None

    def shape(self, stored: tuple) -> tuple:
        """Ours, of a tensor of theirs."""
        own = stored if self.part is None else (*stored[:-1], stored[-1] // self.part[1])
        return own[::-1] if self.transposed else own

    def take(self, file: TensorFile, name: str):
        if self.part is None:
            value = file.read(name)
        else:
            number, count = self.part
            size = file.shapes[name][-1] // count
            value = file.read(name, number * size, (number + 1) * size)
        return value.T if self.transposed else value


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A class of transformers, as one of our families.

    Attributes:
        family: ours.
        read: configuration → constructor arguments without `head`.
        write: model → configuration without what is common to all.
        names: model → our path → `Source`.
    """

    family: str
    read: Callable[[dict], dict]
    write: Callable
    names: Callable


class Config:
    """A configuration that says what it lacks."""

    def __init__(self, values: dict, path):
        self.values, self.path = values, path

    def __getitem__(self, name):
        if self.values.get(name) is None:
            raise ValueError(f"{self.path} lacks {name!r}, or it is null.")
        return self.values[name]

    def get(self, name, default=None):
        value = self.values.get(name)
        return default if value is None else value

    def must_be(self, name, *allowed):
        """Refuses what the zoo's families do not compute."""
        value = self.get(name, allowed[0])
        if value not in allowed:
            raise ValueError(
                f"{self.path}: {name!r} is {value!r}; the zoo has {' or '.join(map(repr, allowed))} for this architecture."
            )


def _start(config) -> int:
    start = config.get("bos_token_id", config.get("eos_token_id"))
    if isinstance(start, list):
        start = start[0] if start else None
    if start is None:
        raise ValueError(
            f"{config.path} has neither 'bos_token_id' nor 'eos_token_id': what text starts with is unknown."
        )
    arguments.whole(0, bos_token_id=start)
    return start


def _read_gpt2(config) -> dict:
    config.must_be("activation_function", "gelu_new", "gelu_pytorch_tanh", "gelu", "relu")
    for name in ("scale_attn_by_inverse_layer_idx", "add_cross_attention"):
        config.must_be(name, False)
    config.must_be("scale_attn_weights", True)
    config.must_be("tie_word_embeddings", True)
    kinds = {"gelu": "gelu_exact", "relu": "relu"}
    return dict(
        max_sites=config["n_positions"],
        num_layers=config["n_layer"],
        units=config["n_embd"],
        num_heads=config["n_head"],
        hidden_units=config.get("n_inner"),
        feed_forward=kinds.get(config.get("activation_function"), "gelu"),
        epsilon=config.get("layer_norm_epsilon", 1e-5),
        start_symbol=_start(config),
    )


def _write_gpt2(model) -> dict:
    return dict(
        model_type="gpt2",
        n_positions=model.max_sites,
        n_layer=model.num_layers,
        n_embd=model.units,
        n_head=model.num_heads,
        n_inner=model.hidden_units,
        activation_function={"gelu": "gelu_new", "gelu_exact": "gelu", "relu": "relu"}[model.feed_forward],
        layer_norm_epsilon=model.epsilon,
    )


def _read_llama(config) -> dict:
    config.must_be("hidden_act", "silu")
    config.must_be("attention_bias", False)
    config.must_be("mlp_bias", False)
    heads, units = config["num_attention_heads"], config["hidden_size"]
    size = config.get("head_dim", units // heads)
    rope = config.get("rope_parameters", {}) or config.get("rope_scaling", {})
    if not isinstance(rope, dict):
        raise ValueError(f"`rope_parameters` (or `rope_scaling`) must be an object, or null; got {rope!r}.")
    rope = {"rope_type": rope.get("type", "default")} | {name: value for name, value in rope.items() if name != "type"}
    base = rope.pop("rope_theta", config.get("rope_theta", 10_000.0))
    return dict(
        max_sites=config["max_position_embeddings"],
        num_layers=config["num_hidden_layers"],
        units=units,
        num_heads=heads,
        num_kv_heads=config.get("num_key_value_heads", heads),
        head_size=None if size * heads == units else size,
        hidden_units=config["intermediate_size"],
        max_wavelength=float(base),
        epsilon=config.get("rms_norm_eps", 1e-6),
        tied=config.get("tie_word_embeddings", False),
        start_symbol=_start(config),
        **({"rope_scaling": rope} if rope["rope_type"] != "default" else {}),
    )


def _read_mistral(config) -> dict:
    return _read_llama(config) | dict(window=config.values.get("sliding_window", 4096))  # null: none


def _read_qwen2(config) -> dict:
    config.must_be("use_sliding_window", False)
    return _read_llama(config) | dict(qkv_bias=True)


def _write_llama(model) -> dict:
    scaling = model.rope_scaling
    if scaling:
        scaling = {name: value for name, value in scaling.items() if name != "type"} | {"rope_type": _kind_of(scaling)}
    rope = {"rope_theta": model.max_wavelength, "rope_type": "default"} | (scaling or {})
    qwen = bool(model.qkv_bias)
    return dict(
        model_type="qwen2" if qwen else "llama",
        max_position_embeddings=model.max_sites,
        num_hidden_layers=model.num_layers,
        hidden_size=model.units,
        num_attention_heads=model.num_heads,
        num_key_value_heads=model.num_kv_heads or model.num_heads,
        head_dim=model.head_size or model.units // model.num_heads,
        intermediate_size=model.hidden_units,
        hidden_act="silu",
        rms_norm_eps=model.epsilon,
        rope_parameters=rope,
        # As transformers before version 5 read it.
        rope_theta=model.max_wavelength,
        rope_scaling=scaling,
    )


def _kind_of(scaling) -> str:
    """Under its name of today, or the older one."""
    return (scaling or {}).get("rope_type", (scaling or {}).get("type", "default"))


def _write_mistral(model) -> dict:
    return _write_llama(model) | dict(model_type="mistral", sliding_window=model.window)


# Names of weights.


def _names_gpt2(model) -> dict[str, Source]:
    names = {
        "embedding/table": Source("transformer.wte.weight"),
        "positions/table": Source("transformer.wpe.weight"),
        "norm/gamma": Source("transformer.ln_f.weight"),
        "norm/beta": Source("transformer.ln_f.bias"),
    }
    layers = {"attention/out": "attn.c_proj", "expand": "mlp.c_fc", "reduce": "mlp.c_proj"}
    norms = {"norm_1": "ln_1", "norm_2": "ln_2"}
    for i in range(model.num_layers):
        ours, theirs = f"block_{i}", f"transformer.h.{i}"
        for name, other in layers.items():
            names[f"{ours}/{name}/kernel"] = Source(f"{theirs}.{other}.weight")
            names[f"{ours}/{name}/bias"] = Source(f"{theirs}.{other}.bias")
        for name, other in norms.items():
            names[f"{ours}/{name}/gamma"] = Source(f"{theirs}.{other}.weight")
            names[f"{ours}/{name}/beta"] = Source(f"{theirs}.{other}.bias")
        for part, name in enumerate(("query", "key", "value")):
            names[f"{ours}/attention/{name}/kernel"] = Source(f"{theirs}.attn.c_attn.weight", part=(part, 3))
            names[f"{ours}/attention/{name}/bias"] = Source(f"{theirs}.attn.c_attn.bias", part=(part, 3))
    return names


def _names_llama(model) -> dict[str, Source]:
    names = {"embedding/table": Source("model.embed_tokens.weight"), "norm/scale": Source("model.norm.weight")}
    if not model.tied:
        names["output/kernel"] = Source("lm_head.weight", transposed=True)
    layers = {
        "attention/query": "self_attn.q_proj",
        "attention/key": "self_attn.k_proj",
        "attention/value": "self_attn.v_proj",
        "attention/out": "self_attn.o_proj",
        "gate": "mlp.gate_proj",
        "expand": "mlp.up_proj",
        "reduce": "mlp.down_proj",
    }
    biased = list(layers)[:3] if model.qkv_bias else []
    for i in range(model.num_layers):
        ours, theirs = f"block_{i}", f"model.layers.{i}"
        for name, other in layers.items():
            names[f"{ours}/{name}/kernel"] = Source(f"{theirs}.{other}.weight", transposed=True)
            if name in biased:
                names[f"{ours}/{name}/bias"] = Source(f"{theirs}.{other}.bias")
        names[f"{ours}/norm_1/scale"] = Source(f"{theirs}.input_layernorm.weight")
        names[f"{ours}/norm_2/scale"] = Source(f"{theirs}.post_attention_layernorm.weight")
    return names


ARCHITECTURES = {
    "GPT2LMHeadModel": Architecture("gpt", _read_gpt2, _write_gpt2, _names_gpt2),
    "LlamaForCausalLM": Architecture("llama", _read_llama, _write_llama, _names_llama),
    "MistralForCausalLM": Architecture("mistral", _read_mistral, _write_mistral, _names_llama),
    "Qwen2ForCausalLM": Architecture("llama", _read_qwen2, _write_llama, _names_llama),
}


def architecture_named(config, folder) -> Architecture:
    named = config.get("architectures") or []
    named = named if isinstance(named, list) else [named]
    for name in named:
        if isinstance(name, str) and name in ARCHITECTURES:
            return ARCHITECTURES[name]
    raise ValueError(
        f"{folder / 'config.json'} is of {', '.join(map(str, named)) or 'no architecture'}; known: "
        f"{', '.join(ARCHITECTURES)}."
    )


def architecture_of(model) -> tuple[str, Architecture]:
    """What a model is called in transformers."""
    known = {"gpt": "GPT2LMHeadModel", "llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM"}
    family = getattr(model, "family", type(model).__name__)
    if family not in known:
        raise ValueError(f"`model` must be of {', '.join(known)}; got {family}.")
    if model.start_symbol is None:
        raise ValueError(
            "`model` starts from an embedding of its own, which transformers does not know: give `start_symbol`."
        )
    if model.family == "gpt":
        plain = dict(positions="learned", norm="layer", order="pre", use_bias=True, tied=True, window=None)
        plain |= dict(num_kv_heads=None, head_size=None, qkv_bias=None, attention_cap=None, logit_cap=None)
        other = {name: getattr(model, name) for name, value in plain.items() if getattr(model, name) != value}
        if other or model.feed_forward not in ("gelu", "gelu_exact", "relu"):
            raise ValueError(f"`model` is no GPT-2: it has {other or model.feed_forward}.")
    stretched = _kind_of(model.rope_scaling)
    odd = {
        "a window with sinks": model.num_sinks,
        "a llama's window": model.family == "llama" and model.window,
        "a mistral's biases": model.family == "mistral" and model.qkv_bias,
        f"rope scaling of the type {stretched!r}": stretched not in ("default", "linear", "yarn", "llama3"),
    }
    for what, has in odd.items():
        if has:
            raise ValueError(f"`model` has {what}, which transformers does not know. Save it with `ar_zoo.save`.")
    name = "Qwen2ForCausalLM" if model.qkv_bias and model.family == "llama" else known[model.family]
    return name, ARCHITECTURES[name]
