"""Records what Hugging Face's transformers make of logits, for the parity tests of `ar_zoo.sampling`.

tests/references/processors.npz holds logits by kind (`logits random`, …, float32 [3, 29]), `tokens` int32 [3, 12] whose rows
end together and are filled up with -1 on the left, and what each case made of them under "name: arguments: kind", and
`guidance SCALE` of the random and, as the weak ones, the coarse logits. They have
no presence or frequency penalty; those are in closed form.
"""

from __future__ import annotations

import argparse
import json
import pathlib

import numpy as np

ENVIRONMENT = "This needs PyTorch, which ar_zoo does not: see tools/record_transformers.py."
DEFAULT_OUTPUT = pathlib.Path(__file__).parents[1] / "tests" / "references" / "processors.npz"
VOCABULARY, SLOTS, LENGTHS = 29, 12, (12, 7, 1)

# Ours → theirs, and the arguments of each case: the same for both, in the same order.
CASES = {
    "temperature": ("TemperatureLogitsWarper", [(0.3,), (1.7,)]),
    "top_k": ("TopKLogitsWarper", [(1,), (4,), (28,), (29,), (1000,)]),
    "top_p": ("TopPLogitsWarper", [(0.0,), (0.2,), (0.7,), (0.95,), (1.0,)]),
    "min_p": ("MinPLogitsWarper", [(0.0,), (0.05,), (0.5,), (1.0,)]),
    "typical": ("TypicalLogitsWarper", [(0.01,), (0.3,), (0.7,), (0.99,)]),
    "repetition_penalty": ("RepetitionPenaltyLogitsProcessor", [(1.0,), (1.3,), (0.6,)]),
    "no_repeat_ngram": ("NoRepeatNGramLogitsProcessor", [(1,), (2,), (3,), (5,), (12,), (40,)]),
    "suppress": ("SuppressTokensLogitsProcessor", [([3, 3, 0, 28],)]),
}

GUIDANCE_SCALES = (0.0, 0.5, 1.0, 3.0)


def logits_by_kind(generator):
    """Random logits; coarse ones, of which many are equal; such in which some are suppressed; and a certain token."""
    random = generator.normal(size=(3, VOCABULARY)) * 2
    ties = generator.integers(-2, 3, (3, VOCABULARY)).astype(float)
    suppressed = np.where(generator.random((3, VOCABULARY)) < 0.6, -np.inf, random)
    certain = np.where(np.arange(VOCABULARY) == [[0], [14], [28]], 200.0, random)
    equal = np.zeros((3, VOCABULARY))
    kinds = {"random": random, "ties": ties, "suppressed": suppressed, "certain": certain, "equal": equal}
    return {kind: logits.astype(np.float32) for kind, logits in kinds.items()}


def guided(strong, weak, scale):
    """Their guidance of logits, with a model that always says `weak`."""
    import torch
    import transformers

    says_weak = lambda *_, **__: transformers.utils.ModelOutput(logits=torch.tensor(weak)[:, None])  # noqa: E731
    guide = transformers.UnbatchedClassifierFreeGuidanceLogitsProcessor(scale, says_weak)
    return guide(torch.zeros((len(weak), 1), dtype=torch.long), torch.tensor(strong)).numpy()


def record(seed):
    """The arrays of the archive, by name."""
    import torch
    import transformers

    generator = np.random.default_rng(seed)
    by_kind = logits_by_kind(generator)
    tokens = generator.integers(0, 4, (3, SLOTS)).astype(np.int32)  # few, so that runs repeat
    arrays = {f"logits {kind}": logits for kind, logits in by_kind.items()}
    for row, length in enumerate(LENGTHS):
        tokens[row, : SLOTS - length] = -1
    for name, (theirs, cases) in CASES.items():
        for arguments in cases:
            processor = getattr(transformers, theirs)(*arguments)
            for kind, logits in by_kind.items():
                # Row by row: they know no rows of different lengths.
                rows = [
                    processor(
                        torch.tensor(tokens[row : row + 1, SLOTS - length :]).long(),
                        torch.tensor(logits[row : row + 1]),
                    )
                    for row, length in enumerate(LENGTHS)
                ]
                arrays[f"{name}: {json.dumps(arguments)}: {kind}"] = torch.cat(rows).numpy()
    arrays |= {f"guidance {scale}": guided(by_kind["random"], by_kind["ties"], scale) for scale in GUIDANCE_SCALES}
    versions = [f"torch {torch.__version__}", f"transformers {transformers.__version__}"]
    return arrays | {"tokens": tokens, "versions": np.array(versions)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog=ENVIRONMENT)
    parser.add_argument("--output", type=pathlib.Path, default=DEFAULT_OUTPUT)
    parser.add_argument("--seed", type=int, default=20230610)
    arguments = parser.parse_args()
    try:
        arrays = record(arguments.seed)
    except ModuleNotFoundError as error:
        parser.exit(1, f"{error}\n\n{ENVIRONMENT}\n")
    np.savez_compressed(arguments.output, **arrays)
    print(f"{arguments.output}: {len(arrays)} arrays, {arguments.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
