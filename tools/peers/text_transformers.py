"""Hugging Face's GPT-2, or Llama, of a given size with random weights, `generate` with its cache: seconds for a batch of texts.

`tools/benchmark.py` runs it.
"""

import json
import sys
import time

import torch
import transformers

size = json.loads(sys.argv[1])
torch.set_num_threads(size["threads"])
torch.manual_seed(0)
first = size["num_symbols"]
common = dict(vocab_size=first + 1, bos_token_id=first, eos_token_id=None, pad_token_id=0)
if size["family"] == "llama":
    config = transformers.LlamaConfig(
        max_position_embeddings=size["num_sites"] + 1,
        hidden_size=size["units"],
        intermediate_size=size["hidden_units"],
        num_hidden_layers=size["num_layers"],
        num_attention_heads=size["num_heads"],
        num_key_value_heads=size["num_kv_heads"],
        tie_word_embeddings=True,
        **common,
    )
    model = transformers.LlamaForCausalLM(config).eval()
else:
    config = transformers.GPT2Config(
        n_positions=size["num_sites"] + 1,
        n_embd=size["units"],
        n_layer=size["num_layers"],
        n_head=size["num_heads"],
        **common,
    )
    model = transformers.GPT2LMHeadModel(config).eval()
beginning = torch.full((size["batch_size"], 1), first)
length = dict(max_new_tokens=size["num_sites"], min_new_tokens=size["num_sites"])
seconds = []
with torch.inference_mode():
    for _ in range(1 + size["repeats"]):  # the first one warms up
        start = time.perf_counter()
        drawn = model.generate(beginning, do_sample=True, top_k=0, use_cache=True, **length)
        seconds.append(time.perf_counter() - start)
assert drawn.shape[1] == size["num_sites"] + 1
version = f"transformers {transformers.__version__}, torch {torch.__version__}"
print(json.dumps({"seconds": min(seconds[1:]), "version": version}))
