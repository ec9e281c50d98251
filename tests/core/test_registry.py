"""Families by name: finding, creating, counting, and registering from outside the package."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import ar_zoo
from ar_zoo.core import registry
from ar_zoo.heads import Categorical
from ar_zoo.models.gpt import GPT


@pytest.fixture
def clean_registry(monkeypatch):
    """What a test registers is gone after it."""
    monkeypatch.setattr(registry, "_FAMILIES", dict(registry._FAMILIES))
    known = dict(keras.saving.get_custom_objects())
    yield
    keras.saving.get_custom_objects().clear()
    keras.saving.get_custom_objects().update(known)


def family(name="HalfWidthNet", presets=("tiny",), module="somewhere.else"):
    """A family as a user's module would define it."""
    body = {"PRESETS": dict.fromkeys(presets, GPT.PRESETS["tiny"]), "__module__": module, "__qualname__": name}
    return type(name, (GPT,), body)


def test_names():
    assert ar_zoo.list_models() == sorted(ar_zoo.list_models(), key=lambda name: name.split(".")[0])
    assert {"gpt.tiny", "gated_pixel_cnn.tiny", "pixel_cnn.tiny", "wavenet.tiny"} <= set(ar_zoo.list_models("tiny"))
    assert all("gpt2" in name for name in ar_zoo.list_models("gpt2"))
    for name, cls in registry.families().items():
        assert cls.family == name
        assert "tiny" in cls.PRESETS


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("gpt.tny", "gpt.tiny"),
        ("wavnet.tiny", "wavenet.tiny"),
        ("gated_pixelcnn.mnist", "gated_pixel_cnn.mnist"),
        ("gpt", "gpt.tiny"),
        ("gpt.qqqqqqqqqqqqqqqqqqqq", "gpt.tiny"),
    ],
)
def test_unknown_names(name, nearest):
    for ask in (ar_zoo.create, ar_zoo.num_weights):
        with pytest.raises(ValueError, match=rf"`name` '{name}' is not known\. Nearest: .*{nearest}.*list_models"):
            ask(name)


def test_a_name_like_nothing_else():
    with pytest.raises(ValueError, match=r"`name` 'zzz' is not known\. `ar_zoo.list_models\(\)` shows all"):
        ar_zoo.create("zzz")
    with pytest.raises(ValueError, match=r"`name` must be a string like 'gpt.tiny'; got int"):
        ar_zoo.create(7)


def test_overrides():
    model = ar_zoo.create("gpt.tiny", units=8, num_heads=2, num_kv_heads=1, name="mine", dtype="float64")
    assert (model.units, model.num_heads, model.name, model.dtype) == (8, 2, "mine", "float64")
    assert GPT.PRESETS["tiny"]["units"] == 16, "the preset itself is left alone"


@pytest.mark.parametrize("name", ["gpt.tiny", "gated_pixel_cnn.tiny"])
def test_unknown_override(name):
    with pytest.raises(ValueError, match=rf"create\('{name}', …\).*does not have.*filters.*It takes .*head"):
        ar_zoo.create(name, filters=3)


@pytest.mark.parametrize("name", ["gpt.tiny", "wavenet.tiny", "gated_pixel_cnn.tiny", "pixel_cnn.tiny"])
def test_counting(name):
    model = ar_zoo.create(name)
    assert ar_zoo.num_weights(name) == sum(int(np.prod(weight.shape)) for weight in model.weights)
    assert ar_zoo.num_weights(name, units=2 * model.units) > ar_zoo.num_weights(name)


def test_counting_leaves_pending_weights_alone():
    with keras.StatelessScope(initialize_variables=False):
        layer = keras.layers.Dense(3)
        layer.build((None, 2))
    ar_zoo.num_weights("gpt.tiny")
    ar_zoo.create("gpt.tiny")
    assert layer.kernel.value.shape == (2, 3)


@pytest.mark.usefixtures("clean_registry")
def test_register_from_outside():
    cls = ar_zoo.register(family())
    assert registry.families()["half_width_net"] is cls
    assert "half_width_net.tiny" in ar_zoo.list_models()
    model = ar_zoo.create("half_width_net.tiny")
    assert isinstance(model, cls)
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert isinstance(copy, cls)


@pytest.mark.usefixtures("clean_registry")
def test_register_with_a_name():
    ar_zoo.register("narrow")(family())
    assert ar_zoo.create("narrow.tiny").family == "narrow"


@pytest.mark.usefixtures("clean_registry")
@pytest.mark.parametrize("name", ["Narrow", "nar-row", "2d", "a.b", ""])
def test_names_are_snake_case(name):
    with pytest.raises(ValueError, match="`name` must be snake case"):
        ar_zoo.register(name)(family())


@pytest.mark.usefixtures("clean_registry")
def test_tiny_is_mandatory():
    with pytest.raises(ValueError, match=r"HalfWidthNet.PRESETS must hold a preset 'tiny'"):
        ar_zoo.register(family(presets=("large",)))
    assert "half_width_net" not in registry.families()


@pytest.mark.usefixtures("clean_registry")
@pytest.mark.parametrize("module", ["somewhere.else", "elsewhere"])
def test_a_taken_name(module):
    registry.families()
    with pytest.raises(ValueError, match=r"The name 'gpt' is taken by ar_zoo\.models\.gpt\.GPT"):
        ar_zoo.register("gpt")(family("Other", module=module))
    with pytest.raises(ValueError, match=r"The name 'gpt' is taken by ar_zoo\.models\.gpt\.GPT"):
        ar_zoo.register(family("GPT", module=module))  # the same class name, from another module
    assert registry.families()["gpt"] is GPT


@pytest.mark.usefixtures("clean_registry")
def test_a_taken_class_name():
    """Saved models know their class by its name: two families cannot share one."""
    ar_zoo.register("narrow")(family())
    with pytest.raises(ValueError, match=r"class name 'HalfWidthNet' is taken by somewhere\.else\.HalfWidthNet"):
        ar_zoo.register("wide")(family(module="elsewhere"))
    assert "wide" not in registry.families()


@pytest.mark.usefixtures("clean_registry")
def test_a_module_may_be_loaded_again():
    ar_zoo.register(family())
    again = ar_zoo.register(family())
    assert registry.families()["half_width_net"] is again


def test_heads_of_presets_are_not_shared_state():
    one, two = ar_zoo.create("gpt.tiny"), ar_zoo.create("gpt.tiny", head=Categorical(7))
    assert (one.head.num_symbols, two.head.num_symbols) == (5, 7)
