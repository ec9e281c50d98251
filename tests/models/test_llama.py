"""Llama, Mistral and their kin: the published sizes. Their values are compared with transformers' in tests/interop."""

from __future__ import annotations

import numpy as np
import pytest

import ar_zoo

slow = pytest.mark.slow  # counting takes seconds a model


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("llama.smollm2_135m", 134_515_008),
        pytest.param("llama.smollm2_360m", 361_821_120, marks=slow),
        pytest.param("llama.smollm2_1b", 1_711_376_384, marks=slow),
        pytest.param("llama.tinyllama_1b", 1_100_048_384, marks=slow),
        pytest.param("llama.llama_7b", 6_738_415_616, marks=slow),
        pytest.param("llama.llama_13b", 13_015_864_320, marks=slow),
        pytest.param("llama.llama2_7b", 6_738_415_616, marks=slow),
        pytest.param("llama.llama2_70b", 68_976_648_192, marks=slow),
        pytest.param("llama.llama3_8b", 8_030_261_248, marks=slow),
        pytest.param("llama.llama31_70b", 70_553_706_496, marks=slow),
        pytest.param("llama.llama32_1b", 1_235_814_400, marks=slow),
        pytest.param("llama.llama32_3b", 3_212_749_824, marks=slow),
        pytest.param("llama.qwen2_0b", 494_032_768, marks=slow),
        pytest.param("llama.qwen2_1b", 1_543_714_304, marks=slow),
        pytest.param("llama.qwen2_7b", 7_615_616_512, marks=slow),
        pytest.param("mistral.mistral_7b", 7_241_732_096, marks=slow),
        pytest.param("gpt.gpt1", 116_535_552, marks=slow),  # 116,534,784 and a start of 768 numbers of its own
    ],
)
def test_published_sizes(name, count):
    assert ar_zoo.num_weights(name) == count


@pytest.mark.parametrize("window", [2, 4])
@pytest.mark.parametrize("sinks", [0, 1, 3])
def test_a_window_with_sinks_reaches_what_it_declares(window, sinks):
    """One layer: the last `window` entries, each holding the site before it, and the first ones from everywhere."""
    model = ar_zoo.create("mistral.tiny", num_layers=1, window=window, num_sinks=sinks)
    field = model.receptive_field(12)
    for i in range(12):
        expected = {j for j in range(i) if i - j <= window} | set(range(min(i, max(sinks - 1, 0))))
        assert set(np.flatnonzero(field[i])) == expected
