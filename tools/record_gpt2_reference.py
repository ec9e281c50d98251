"""Records what Hugging Face's GPT-2 computes, for the parity test of `ar_zoo.models.gpt`.

The model is tiny and every one of its weights is random (Radford et al. 2019, in transformers'
`GPT2LMHeadModel`: pre-norm blocks, tanh-approximated GELU, output embedding tied to the input).
Gains and biases are randomised too: at their initial 1 and 0 they would hide a missing one.

The archive holds every weight under its name in transformers' state dict, once (the tied
`lm_head.weight` is left out), `tokens` int32 [2, 20], `logits` float32 [2, 20, 61] computed in
float64, and `versions`. In transformers' Conv1D a kernel is [inputs, outputs].
"""

import argparse
import os
import pathlib
import tempfile

import numpy as np

ENVIRONMENT = """\
This needs PyTorch, which ar_zoo does not. Make an environment outside the repository:
  python3.11 -m venv /tmp/torch
  /tmp/torch/bin/pip install torch==2.13.0 transformers
  /tmp/torch/bin/python tools/record_gpt2_reference.py
"""
DEFAULT_OUTPUT = pathlib.Path(__file__).parents[1] / "tests" / "references" / "gpt2_tiny.npz"
SCALE = 0.3


def build_model(seed):
    """Returns a tiny float64 GPT-2 in eval mode with random weights that float32 holds exactly."""
    import torch
    import transformers

    config = transformers.GPT2Config(
        vocab_size=61,
        n_positions=24,
        n_embd=32,
        n_layer=3,
        n_head=4,
        activation_function="gelu_new",
        tie_word_embeddings=True,
        # GPT-2's own 50256 lies outside this vocabulary.
        bos_token_id=None,
        eos_token_id=None,
    )
    model = transformers.GPT2LMHeadModel(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            is_gain = ".ln_" in name and name.endswith(".weight")
            noise = SCALE * torch.randn(weight.shape, generator=generator)
            weight.copy_(noise + 1.0 if is_gain else noise)
    return model.double()


def record(seed):
    """Returns the arrays of the archive, by name."""
    import torch
    import transformers

    model = build_model(seed)
    config = model.config
    generator = torch.Generator().manual_seed(seed + 1)
    tokens = torch.randint(config.vocab_size, (2, 20), generator=generator)
    with torch.no_grad():
        logits = model(tokens).logits
    # named_parameters() yields a tied weight once; state_dict() would yield it twice.
    arrays = {name: weight.detach().numpy() for name, weight in model.named_parameters()}
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    versions = [f"torch {torch.__version__}", f"transformers {transformers.__version__}"]
    return arrays | {
        "tokens": tokens.numpy().astype(np.int32),
        "logits": logits.numpy().astype(np.float32),
        "versions": np.array(versions),
    }


def save_atomically(path, arrays):
    """Writes a compressed archive so that `path` is either the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez_compressed(file, **arrays)
        # mkstemp makes files private; this one is for everybody.
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog=ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=pathlib.Path, default=DEFAULT_OUTPUT)
    parser.add_argument("--seed", type=int, default=20190214)
    arguments = parser.parse_args()
    try:
        arrays = record(arguments.seed)
    except ModuleNotFoundError as error:
        parser.exit(1, f"{error}\n\n{ENVIRONMENT}")
    save_atomically(arguments.output, arrays)
    print(f"{arguments.output}: {len(arrays)} arrays, {arguments.output.stat().st_size:,} bytes")
    print(f"recorded with {', '.join(arrays['versions'])}")


if __name__ == "__main__":
    main()
