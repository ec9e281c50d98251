"""The architecture's one-way rule, read from the source with `ast` and enforced.

Every import counts: at module level, inside a function, and under `if TYPE_CHECKING`.
`violations(tree)` returns one line per forbidden import and is itself tested on made-up trees.
"""

import ast
import pathlib
import subprocess
import sys

import pytest

import ar_zoo

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]

ANYTHING = ("ar_zoo",)
MAY_IMPORT = {  # a folder or module of ar_zoo → what it may import of ar_zoo, itself aside
    "__init__": ANYTHING,
    "cli": ANYTHING,
    "__main__": ANYTHING,
    "drawing": ANYTHING,
    "bench": ANYTHING,
    "web": ANYTHING,
    "coding": ("ar_zoo.core", "ar_zoo.data", "ar_zoo.drawing"),
    "uses": ("ar_zoo.core", "ar_zoo.data", "ar_zoo.drawing"),
    "core": (),
    "layers": ("ar_zoo.core",),
    "heads": ("ar_zoo.core",),
    "data": ("ar_zoo.core",),
    "metrics": ("ar_zoo.core",),
    "decoder": ("ar_zoo.core", "ar_zoo.layers"),
    "raster": ("ar_zoo.core", "ar_zoo.layers"),
    "interop": ("ar_zoo.core", "ar_zoo.heads"),
    "sampling": ("ar_zoo.core", "ar_zoo.heads"),
    "models": ("ar_zoo.core", "ar_zoo.decoder", "ar_zoo.raster", "ar_zoo.layers", "ar_zoo.heads"),
    "training": ("ar_zoo.core", "ar_zoo.data", "ar_zoo.metrics", "ar_zoo.sampling", "ar_zoo.drawing"),
    "export": ("ar_zoo.core", "ar_zoo.data", "ar_zoo.metrics", "ar_zoo.runtime"),  # it checks what it wrote
    "testing": ("ar_zoo.core",),
    "runtime": tuple(f"ar_zoo.core.{name}" for name in ("arguments", "noise", "files", "known", "subwords", "text")),
}
OUTSIDE_THE_LIBRARY = ("recipes", "tools", "tests", "ar_zoo._recipes", "ar_zoo._exported", "ar_zoo._web")
TENSORFLOW = ("tensorflow", "tensorflow_probability", "tensorflow_datasets", "tf_keras")
MUST_NOT_IMPORT = {  # a folder or module → what it may not import of third parties
    "layers": TENSORFLOW,
    "runtime": (*TENSORFLOW, "keras"),
    # What runtime may import, and what runs on the way to it, is bound by runtime's rule.
    "core.noise": (*TENSORFLOW, "keras"),
    "core.files": (*TENSORFLOW, "keras"),
    "core.known": (*TENSORFLOW, "keras"),
    "core.arguments": (*TENSORFLOW, "keras"),
    "core.subwords": (*TENSORFLOW, "keras"),
    "core.text": (*TENSORFLOW, "keras"),
}
EXCEPT = {
    "runtime.saved_model": ("tensorflow",)
}  # the one engine that is TensorFlow; it imports it when it is asked for
# `tf.keras` is tf_keras in some installations; of TFP the house uses tfd and tfb alone.
FORBIDDEN_EVERYWHERE = ("tf_keras", "tensorflow.keras", "tf.keras")
# Where `import a as b` is enough to reach a submodule by naming it: tf.keras, tfp.layers.
LOADED_BY_NAME = ("tensorflow", "tf", "tensorflow_probability", "tfp")
TFP_NAMES = ("tensorflow_probability", "tfp")
TFP_ALLOWED = ("distributions", "bijectors")


def violations(tree):
    """Returns "path:line: reason" for every forbidden import below `tree`/ar_zoo."""
    found = []
    for path in sorted((tree / "ar_zoo").rglob("*.py")):
        module = ".".join(path.relative_to(tree).with_suffix("").parts)
        folder = module.split(".")[1]
        if folder not in MAY_IMPORT:
            found.append(f"{path.relative_to(tree)}: ar_zoo.{folder} is not in the architecture: add it to MAY_IMPORT")
            continue
        for line, target in imports(path, module):
            reason = why_forbidden(module, target, tree)
            if reason:
                found.append(f"{path.relative_to(tree)}:{line}: {reason}")
    return found


def imports(path, module):
    """Yields (line, dotted name) of all that a file imports, `from a import b` as "a.b"."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            # `from . import x` counts from the module's parent, which for __init__ is its folder.
            parents = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", None) in LOADED_BY_NAME:
            yield node.lineno, f"{node.value.id}.{node.attr}"


def why_forbidden(module, target, tree):
    """Returns the reason why `module` may not import `target`, or None."""
    folder = module.split(".")[1]
    if within(target, *OUTSIDE_THE_LIBRARY):
        return f"the library never imports {target}"
    if within(target, "ar_zoo"):
        return why_forbidden_inside(module, folder, target, tree)
    if within(target, *FORBIDDEN_EVERYWHERE):
        return f"nobody imports {target}: keras is Keras 3"
    head, _, rest = target.partition(".")
    if head in TFP_NAMES and rest and not within(rest, *TFP_ALLOWED):
        return f"nobody imports {target}: of TFP only distributions and bijectors"
    for bound, names in MUST_NOT_IMPORT.items():
        allowed = EXCEPT.get(module.removeprefix("ar_zoo."), ())
        if within(module, f"ar_zoo.{bound}") and within(target, *names) and not within(target, *allowed):
            return f"ar_zoo.{bound} never imports {target}"
    return None


def why_forbidden_inside(module, folder, target, tree):
    allowed = MAY_IMPORT[folder]
    if allowed == ANYTHING:
        return None
    if folder == "models" and within(target, "ar_zoo.models") and module != "ar_zoo.models.__init__":
        return f"a model never imports models: {target}"
    # The version is the one thing that is nowhere but at the front.
    if within(target, f"ar_zoo.{folder}", *allowed) or target == "ar_zoo.__version__":
        return None
    name = target.removeprefix("ar_zoo").split(".")[1:2]
    if not name or not (tree / "ar_zoo" / name[0]).is_dir():
        return f"ar_zoo.{folder} takes {target} from the lazy front; import it from where it is"
    return f"ar_zoo.{folder} may import {', '.join(allowed) or 'nothing'} of ar_zoo, not {target}"


def within(name, *ancestors):
    return any(name == ancestor or name.startswith(f"{ancestor}.") for ancestor in ancestors)


def test_imports_run_one_way():
    assert violations(REPOSITORY) == []


@pytest.mark.parametrize(
    ("file", "source", "reason"),
    [
        ("core/model.py", "from ar_zoo.heads import Categorical", "may import nothing"),
        ("core/model.py", "def f():\n    import ar_zoo.training", "may import nothing"),
        ("core/model.py", "class A:\n    from ..layers import norms", "may import nothing"),
        ("core/model.py", "if TYPE_CHECKING:\n    from ar_zoo import data", "may import nothing"),
        ("core/model.py", "from ar_zoo import create", "from the lazy front"),
        ("core/model.py", "import ar_zoo", "from the lazy front"),
        ("core/__init__.py", "from ..heads import base", "may import nothing"),
        ("layers/gates.py", "from ar_zoo.heads.base import Head", "not ar_zoo.heads.base.Head"),
        ("layers/gates.py", "from .. import heads", "not ar_zoo.heads"),
        ("layers/gates.py", "import tensorflow as tf", "never imports tensorflow"),
        ("layers/gates.py", "from tensorflow_probability import distributions", "never imports"),
        ("models/gpt.py", "from ar_zoo.models.llama import Llama", "a model never imports models"),
        ("models/gpt.py", "from . import llama", "a model never imports models"),
        ("models/gpt.py", "def f():\n    from .llama import Block", "a model never imports models"),
        ("models/gpt.py", "from ar_zoo.training import train", "not ar_zoo.training"),
        ("training/recipe.py", "from ar_zoo import models", "not ar_zoo.models"),
        ("export/to_onnx.py", "from ar_zoo.training import recipe", "not ar_zoo.training"),
        ("runtime/loop.py", "from ar_zoo.core.model import Model", "not ar_zoo.core.model"),
        ("runtime/loop.py", "from ar_zoo.core import model", "not ar_zoo.core.model"),
        ("runtime/loop.py", "import tensorflow.lite", "never imports tensorflow.lite"),
        ("runtime/loop.py", "def f():\n    import keras", "never imports keras"),
        ("core/noise.py", "from keras import ops", "never imports keras.ops"),
        ("data/text.py", "from recipes import gpt_kjv", "the library never imports recipes"),
        ("cli.py", "import tools.benchmark", "the library never imports tools"),
        ("heads/base.py", "import tf_keras", "nobody imports tf_keras"),
        ("heads/base.py", "from tensorflow import keras", "nobody imports tensorflow.keras"),
        ("heads/base.py", "import tensorflow as tf\ntf.keras.layers", "nobody imports tf.keras"),
        ("heads/base.py", "from tensorflow_probability import layers", "only distributions and"),
        ("heads/base.py", "tfp.layers.DistributionLambda", "only distributions and"),
        ("misc/odd.py", "", "is not in the architecture"),
    ],
)
def test_the_rule_can_fail(tmp_path, file, source, reason):
    plant(tmp_path, file, source)
    (found,) = violations(tmp_path)
    assert found.startswith(f"ar_zoo/{file}:")
    assert reason in found


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("__init__.py", "def create():\n    from ar_zoo.core import registry"),
        ("cli.py", "from ar_zoo import models, create"),
        ("core/model.py", "from . import cache\nimport keras, tensorflow"),
        ("core/pretrained.py", "from ar_zoo import __version__"),
        ("layers/gates.py", "from keras import ops\nfrom .norms import RMSNorm"),
        ("models/__init__.py", "from . import gpt"),
        ("models/gpt.py", "from ar_zoo import heads, layers\nfrom ..core.model import Model"),
        ("heads/base.py", "import tensorflow_probability as tfp\ntfd = tfp.distributions"),
        ("heads/base.py", "from tensorflow_probability.distributions import Categorical"),
        ("runtime/loop.py", "import numpy\nfrom ar_zoo.core.noise import uniforms\nfrom . import x"),
        ("runtime/loop.py", "from ar_zoo.core import files"),
    ],
)
def test_the_rule_lets_through(tmp_path, file, source):
    plant(tmp_path, file, source)
    assert violations(tmp_path) == []


def plant(tree, file, source):
    """Writes one module into an otherwise empty ar_zoo that has all folders."""
    for folder in MAY_IMPORT.keys() - {"__init__", "cli"}:
        (tree / "ar_zoo" / folder).mkdir(parents=True)
    path = tree / "ar_zoo" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(source)


@pytest.mark.parametrize("module", ["ar_zoo", "ar_zoo.runtime", "ar_zoo.coding", "ar_zoo.uses", "ar_zoo.sampling"])
def test_importing_stays_light(module):
    """A fresh interpreter: this one has TensorFlow already."""
    program = f"import sys, {module}; print(*sorted(sys.modules), sep='\\n')"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    heavy = {name.partition(".")[0] for name in result.stdout.split()}
    assert module in result.stdout.split()
    assert heavy.isdisjoint({*TENSORFLOW, "keras"})


@pytest.mark.parametrize("room", ["sampling", "uses"])
def test_rooms_are_found_by_the_front(room):
    """Asked directly: once something has imported them, they are there anyway."""
    assert ar_zoo.__getattr__(room).__name__ == f"ar_zoo.{room}"


@pytest.mark.parametrize("name", ["gguf", "hugging_face", "keras_hub", "hub"])
def test_modules_of_interop_are_found_by_it(name):
    assert ar_zoo.interop.__getattr__(name).__name__ == f"ar_zoo.interop.{name}"
