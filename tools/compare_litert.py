"""Times one step of exports in both of LiteRT's interfaces, `Interpreter` (what `ar_zoo.runtime` uses) and `CompiledModel`.

    ar-zoo export gpt.kjv bible && ar-zoo export digits digits_export
    python tools/compare_litert.py bible digits_export

The graph alone, on buffers that were written: memory that nobody has touched reads fast, and flatters who has it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from ar_zoo.export.litert_lm import quietly


def interpreter(path, threads: int):
    from ai_edge_litert.interpreter import Interpreter

    graph = Interpreter(model_path=str(path), num_threads=threads)
    graph.allocate_tensors()
    for detail in graph.get_input_details():
        graph.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
    return graph.invoke, graph.get_input_details()


def compiled_model(path, details, threads: int):
    from ai_edge_litert.compiled_model import CompiledModel
    from ai_edge_litert.options import CpuOptions, Options

    graph = CompiledModel.from_file(str(path), options=Options(cpu_options=CpuOptions(num_threads=threads)))
    inputs, outputs = graph.create_input_buffers(0), graph.create_output_buffers(0)
    for detail, buffer in zip(details, inputs, strict=True):
        buffer.write(np.zeros(int(np.prod(detail["shape"])), detail["dtype"]))
    return lambda: graph.run_by_index(0, inputs, outputs)


def seconds(run, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("exports", nargs="+", type=Path, help="folders that `ar-zoo export` wrote, with TFLite files")
    parser.add_argument("--endpoint", default="step", help="which graph (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=20, help="in turn, the best of which counts (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=1, help="of either (default: %(default)s)")
    options = parser.parse_args()
    if options.threads < 1 or options.rounds < 1:
        parser.error(f"--threads and --rounds must be at least 1; got {options.threads} and {options.rounds}.")
    print("| export | Interpreter (µs) | CompiledModel (µs) | ratio |\n|---|---|---|---|")
    for folder in options.exports:
        path = folder / f"{options.endpoint}.tflite"
        if not path.exists():
            parser.error(f"{folder} has no {path.name}; export it with `--formats tflite`.")
        with quietly():
            ours, details = interpreter(path, options.threads)
            theirs = compiled_model(path, details, options.threads)
            calls = max(1, round(0.1 / seconds(ours, 3)))
            first, second = np.min(
                [(seconds(ours, calls), seconds(theirs, calls)) for _ in range(options.rounds)], axis=0
            )
        print(f"| {folder.name} | {first * 1e6:.1f} | {second * 1e6:.1f} | {second / first:.2f} |", flush=True)


if __name__ == "__main__":
    main()
