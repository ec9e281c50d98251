"""Records what Hugging Face's transformers compute, for the parity tests of `ar_zoo.interop.hugging_face`.

Every model is tiny and all its weights are random: gains and biases too, which at their initial 1 and 0 would hide a missing
one. Each folder of tests/references/hugging_face/ is as `save_pretrained` writes it (config.json, model.safetensors), with
`reference.npz`: `tokens` int32 [2, 20], of which the first is the start, `logits` float32 [2, 20, vocabulary] computed in
float64, gradients of the mean log-likelihood for a few weights, and `versions`.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import shutil
import tempfile

import numpy as np

ENVIRONMENT = """\
This needs PyTorch, which ar_zoo does not. Make an environment outside the repository:
  python3.11 -m venv /tmp/torch
  /tmp/torch/bin/pip install torch==2.13.0 transformers
  /tmp/torch/bin/python tools/record_transformers.py
"""
DEFAULT_OUTPUT = pathlib.Path(__file__).parents[1] / "tests" / "references" / "hugging_face"
SCALE = 0.3
LLAMA = dict(
    vocab_size=61,
    hidden_size=32,
    intermediate_size=40,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=None,
)


def rope(kind, **more):
    return {"rope_type": kind, "rope_theta": 10000.0, **more}


SCALED = dict(factor=4.0, original_max_position_embeddings=8)
MODELS = {
    "gpt2": (
        "GPT2",
        dict(vocab_size=61, n_positions=24, n_embd=32, n_layer=3, n_head=4, bos_token_id=1, eos_token_id=2),
    ),
    "llama": ("Llama", LLAMA),
    "llama_linear": ("Llama", LLAMA | dict(rope_parameters=rope("linear", factor=4.0))),
    "llama_yarn": ("Llama", LLAMA | dict(rope_parameters=rope("yarn", **SCALED))),
    "llama_llama3": (
        "Llama",
        LLAMA | dict(rope_parameters=rope("llama3", low_freq_factor=1.0, high_freq_factor=4.0, **SCALED)),
    ),
    "llama_tied": ("Llama", LLAMA | dict(tie_word_embeddings=True, num_key_value_heads=1, head_dim=12)),
    "mistral": ("Mistral", LLAMA | dict(sliding_window=6)),
    "qwen2": ("Qwen2", LLAMA | dict(tie_word_embeddings=True)),
}


def build_model(kind, arguments, seed):
    """A tiny model in eval mode with random weights that float32 holds exactly, in float64."""
    import torch
    import transformers

    config = getattr(transformers, f"{kind}Config")(**arguments)
    config._attn_implementation = "eager"
    model = getattr(transformers, f"{kind}LMHeadModel" if kind == "GPT2" else f"{kind}ForCausalLM")(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            is_gain = ("norm" in name or ".ln_" in name) and name.endswith(".weight")
            noise = SCALE * torch.randn(weight.shape, generator=generator)
            weight.copy_(noise + 1.0 if is_gain else noise)
    return model


def record(model, seed):
    """The arrays of the archive, by name."""
    import torch
    import transformers

    model = model.double()
    generator = torch.Generator().manual_seed(seed + 1)
    tokens = torch.randint(model.config.vocab_size, (2, 20), generator=generator)
    tokens[:, 0] = model.config.bos_token_id
    logits = model(tokens).logits
    likelihood = torch.log_softmax(logits[:, :-1], dim=-1).gather(2, tokens[:, 1:, None]).mean()
    likelihood.backward()
    gradients = {f"gradient {name}": weight.grad.numpy() for name, weight in model.named_parameters()}
    chosen = [name for name in gradients if ".1." in name or "norm" in name or "ln_f" in name or "embed_tokens" in name]
    arrays = {name: gradients[name] for name in chosen} | {"logits": logits.detach().numpy()}
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    versions = [f"torch {torch.__version__}", f"transformers {transformers.__version__}"]
    return arrays | {"tokens": tokens.numpy().astype(np.int32), "versions": np.array(versions)}


def write(folder, name, seed):
    """`folder/name`, whole or not at all."""
    model = build_model(*MODELS[name], seed)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(dir=folder))
    try:
        model.save_pretrained(temporary)
        (temporary / "generation_config.json").unlink(missing_ok=True)
        np.savez_compressed(temporary / "reference.npz", **record(model, seed))
        os.chmod(temporary, 0o755)
        shutil.rmtree(folder / name, ignore_errors=True)
        os.replace(temporary, folder / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog=ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", help=f"of {', '.join(MODELS)}; all by default")
    parser.add_argument("--output", type=pathlib.Path, default=DEFAULT_OUTPUT)
    parser.add_argument("--seed", type=int, default=20190214)
    arguments = parser.parse_args()
    for name in arguments.names or MODELS:
        try:
            write(arguments.output, name, arguments.seed)
        except ModuleNotFoundError as error:
            parser.exit(1, f"{error}\n\n{ENVIRONMENT}")
        files = sorted((arguments.output / name).iterdir())
        print(f"{name}: {', '.join(f'{file.name} {file.stat().st_size:,}' for file in files)}")


if __name__ == "__main__":
    main()
