"""What `tools/benchmark.py` measures, and what must hold of it."""

from __future__ import annotations

import dataclasses

PRODUCTS = "its matrix products in NumPy"
HUB, TRANSFORMERS, LLAMA_CPP = "keras-hub", "transformers", "llama.cpp Q4_1"
VOCODER, GENERATIVE = "wavenet_vocoder", "pytorch-generative"


@dataclasses.dataclass(frozen=True)
class Bar:
    """`of` is at least so many times as fast as `than`, or takes at most so many times as long a site.

    Attributes:
        of: a measurement of the case: `"cached"`, `"litert float32"`, …
        than: another one (`"naive"`, a peer), the label of an earlier case, `PRODUCTS`, or samples a second (real time).
        at_least, at_most: one of them.
    """

    of: str
    than: str | int
    at_least: float | None = None
    at_most: float | None = None


@dataclasses.dataclass(frozen=True)
class Case:
    """One model at one batch size.

    Attributes:
        label: what the tables call it.
        preset, overrides: the model.
        batch: rows drawn at once.
        num_sites: length, where it is free.
        bars: what must hold.
        export: more arguments of `ar_zoo.export`.
        peers: other libraries' models of the same size: name → script in `tools/peers/`.
        threads: of its exports.
    """

    label: str
    preset: str
    batch: int
    bars: tuple[Bar, ...] = ()
    overrides: dict = dataclasses.field(default_factory=dict)
    num_sites: int | None = None
    export: dict = dataclasses.field(default_factory=dict)
    peers: dict[str, str] = dataclasses.field(default_factory=dict)
    threads: int = 1

    @property
    def family(self) -> str:
        return self.preset.split(".")[0]

    @property
    def title(self) -> str:
        return f"{self.label}, batch {self.batch}"


PIXELS = {GENERATIVE: "pixels_pytorch_generative.py"}
SOUND = {VOCODER: "sound_wavenet_vocoder.py"}
TEXT = {HUB: "text_keras_hub.py", TRANSFORMERS: "text_transformers.py"}
CASES = (
    Case(
        "GatedPixelCNN 28x28",
        "gated_pixel_cnn.benchmark",
        1,
        (
            Bar("cached", "naive", at_least=150),
            Bar("litert float32", "naive", at_least=200),
            Bar("litert int8", "naive", at_least=400),
            Bar("litert float32", PRODUCTS, at_most=2.2),
            Bar("litert float32", GENERATIVE, at_least=300),
        ),
        peers=PIXELS,
    ),
    Case(
        "GatedPixelCNN 28x28",
        "gated_pixel_cnn.benchmark",
        16,
        (Bar("cached", "naive", at_least=300), Bar("litert float32", "naive", at_least=600)),
    ),
    Case(
        "GatedPixelCNN 64x64",
        "gated_pixel_cnn.benchmark",
        1,
        (Bar("cached", "GatedPixelCNN 28x28, batch 1", at_most=1.3),),
        overrides=dict(image_shape=(64, 64, 1)),
    ),
    Case(
        "WaveNet, 30 layers",
        "wavenet.benchmark",
        1,
        (
            Bar("cached", "naive", at_least=300),
            Bar("litert float32", "naive", at_least=450),
            Bar("litert float32", PRODUCTS, at_most=2.2),
            Bar("litert float32", 8000, at_least=1.5),
            Bar("litert int8", 16000, at_least=1.0),
            Bar("litert float32", VOCODER, at_least=35),
        ),
        num_sites=8000,
        peers=SOUND,
    ),
    Case(
        "GPT, 512 tokens",
        "gpt.benchmark",
        1,
        (
            Bar("cached", "naive", at_least=10),
            Bar("cached", HUB, at_least=1.5),
            Bar("litert float32", HUB, at_least=3),
            Bar("litert float32", TRANSFORMERS, at_least=2),
        ),
        num_sites=512,
        export=dict(cache_sizes=(64, 128, 256)),
        peers=TEXT,
    ),
    Case(
        "SmolLM2-135M, 128 tokens",
        "llama.smollm2_135m",
        1,
        (
            Bar("cached", TRANSFORMERS, at_least=1),
            Bar("litert float32", TRANSFORMERS, at_least=2.5),
            Bar("litert int8", TRANSFORMERS, at_least=5),
            Bar("litert int8", LLAMA_CPP, at_least=1.2),
        ),
        overrides=dict(max_sites=512),
        num_sites=128,
        peers={TRANSFORMERS: TEXT[TRANSFORMERS], LLAMA_CPP: "text_llama_cpp.py"},
        threads=2,
    ),
    Case(
        "PixelCNN++ 32x32",
        "pixel_cnn_pp.benchmark",
        16,
        (Bar("cached", "naive", at_least=50), Bar("litert float32", PRODUCTS, at_most=3)),
    ),
    Case(
        "PixelSNAIL 28x28",
        "pixel_snail.benchmark",
        1,
        (Bar("cached", "naive", at_least=30), Bar("litert float32", PRODUCTS, at_most=3)),
    ),
    Case(
        "Image GPT 28x28",
        "image_gpt.benchmark",
        1,
        (Bar("cached", "naive", at_least=30), Bar("litert float32", PRODUCTS, at_most=3)),
    ),
    Case(
        "MADE 28x28, 500 units",
        "made.mnist",
        1,
        (Bar("cached", "naive", at_least=10), Bar("litert float32", PRODUCTS, at_most=3)),
        overrides=dict(raster=True),
    ),
    Case(
        "NADE 28x28, 500 units",
        "nade.mnist",
        1,
        (Bar("cached", "naive", at_least=10), Bar("litert float32", PRODUCTS, at_most=3)),
    ),
)
QUICK = (
    Case("GatedPixelCNN, tiny", "gated_pixel_cnn.tiny", 1, overrides=dict(image_shape=(6, 5, 1)), peers=PIXELS),
    Case("GatedPixelCNN, tiny", "gated_pixel_cnn.tiny", 3),
    Case("WaveNet, tiny", "wavenet.tiny", 1, num_sites=40, peers=SOUND),
    Case("GPT, tiny", "gpt.tiny", 1, num_sites=12, peers=TEXT),
    Case("Llama, tiny", "llama.tiny", 1, num_sites=12, peers={TRANSFORMERS: TEXT[TRANSFORMERS]}),
    Case("PixelCNN++, tiny", "pixel_cnn_pp.tiny", 1),
    Case("PixelSNAIL, tiny", "pixel_snail.tiny", 1),
    Case("Image GPT, tiny", "image_gpt.tiny", 1),
    Case("MADE, tiny", "made.tiny", 1),
    Case("NADE, tiny", "nade.tiny", 1),
)
