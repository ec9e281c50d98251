"""llama.cpp's own loop on a Llama of a given size, random weights in Q4_1: seconds for a text.

`tools/benchmark.py` runs it, where `xllamacpp` (llama.cpp, built) and `gguf` are installed.
"""

import importlib.metadata
import json
import pathlib
import sys
import tempfile

import gguf
import numpy as np
import xllamacpp

Q4_1, ROWS = gguf.GGMLQuantizationType.Q4_1, 1024


def main():
    size = json.loads(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "random.gguf"
        write(file, size)
        parameters = xllamacpp.CommonParams()
        parameters.model.path, parameters.n_ctx, parameters.n_parallel = str(file), 2 * size["num_sites"], 1
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = size["threads"]
        server = xllamacpp.Server(parameters)
        asked = dict(
            prompt=[size["num_symbols"] - 1], n_predict=size["num_sites"], ignore_eos=True, cache_prompt=False, top_k=0
        )
        seconds = []
        for _ in range(1 + size["repeats"]):  # the first one warms up
            timings = server.handle_completions(asked)["timings"]
            assert timings["predicted_n"] == size["num_sites"], timings
            seconds.append(timings["predicted_ms"] / 1e3)
    print(
        json.dumps(
            {"seconds": min(seconds[1:]), "version": f"llama.cpp, xllamacpp {importlib.metadata.version('xllamacpp')}"}
        )
    )


def write(file, size):
    """A GGUF file whose weights are random and whose tokens are made up."""
    units, hidden, heads, count = (size[name] for name in ("units", "hidden_units", "num_heads", "num_symbols"))
    held = units // heads * size["num_kv_heads"]
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(size["num_layers"])
    writer.add_context_length(2 * size["num_sites"])
    writer.add_embedding_length(units)
    writer.add_feed_forward_length(hidden)
    writer.add_head_count(heads)
    writer.add_head_count_kv(size["num_kv_heads"])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([f"<{symbol}>" for symbol in range(count)])
    writer.add_token_types([gguf.TokenType.NORMAL] * count)
    writer.add_token_merges(["< 0"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    random = np.random.default_rng(0)
    # A few rows, rounded once and repeated: speed does not see it, and rounding all takes a minute.
    some = {
        width: gguf.quantize(random.normal(0, 0.02, (ROWS, width)).astype("float32"), Q4_1) for width in (units, hidden)
    }

    def matrix(name, rows, width):
        values = np.resize(some[width], (rows, some[width].shape[1]))
        writer.add_tensor(f"{name}.weight", values, raw_dtype=Q4_1)

    matrix("token_embd", count, units)
    writer.add_tensor("output_norm.weight", np.ones(units, "float32"))
    for layer in range(size["num_layers"]):
        for name, rows, width in (
            ("attn_q", units, units),
            ("attn_k", held, units),
            ("attn_v", held, units),
            ("attn_output", units, units),
            ("ffn_gate", hidden, units),
            ("ffn_up", hidden, units),
            ("ffn_down", units, hidden),
        ):
            matrix(f"blk.{layer}.{name}", rows, width)
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(units, "float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
