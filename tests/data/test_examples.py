import itertools
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from ar_zoo.data import Examples, shift_images

ROWS = np.arange(10 * 3).reshape(10, 3)
STREAM = np.arange(103)


def take(dataset, number):
    return list(itertools.islice(dataset.as_numpy_iterator(), number))


def assert_same(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        tf.nest.assert_same_structure(batch, other)
        for value, wanted in zip(tf.nest.flatten(batch), tf.nest.flatten(other), strict=True):
            np.testing.assert_array_equal(value, wanted, strict=True)


def rows():
    return Examples(ROWS, {"class": np.arange(10), "vector": np.linspace(0, 1, 20).reshape(10, 2)})


def images():
    return Examples(np.random.default_rng(0).integers(0, 256, (7, 6, 5, 2), dtype=np.uint8))


@pytest.mark.parametrize(
    ("examples", "augment"),
    [(rows(), None), (Examples(STREAM, window=8), None), (images(), shift_images(2))],
    ids=["rows", "stream", "augmented"],
)
@pytest.mark.parametrize("start", [1, 7])
def test_resumed_run_sees_the_same_batches(examples, augment, start):
    whole = take(examples.training(4, seed=3, augment=augment), 12)
    resumed = take(examples.training(4, seed=3, augment=augment, start_step=start), 12 - start)
    assert_same(resumed, whole[start:])
    assert len({batch["x"].tobytes() for batch in whole}) == 12


@pytest.mark.parametrize("batch_size", [1, 4, 10, 25])
def test_each_epoch_has_every_row_once_in_an_order_of_its_own(batch_size):
    batches = take(rows().training(batch_size, seed=0), 30 * 10 // batch_size)
    order = np.concatenate([batch["context"]["class"] for batch in batches])
    epochs = order[: len(order) // 10 * 10].reshape(-1, 10)
    assert len(epochs) == 30
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(10), (30, 1)))
    assert len(np.unique(epochs, axis=0)) == 30


def test_orders_of_a_thousand_epochs_are_even():
    order = np.concatenate([b["context"]["class"] for b in take(rows().training(100, seed=0), 100)]).reshape(-1, 10)
    counts = np.stack([np.bincount(column, minlength=10) for column in order.T])
    chi_square = ((counts - 100) ** 2 / 100).sum()  # 81 degrees of freedom: its 99.9 % point is 126
    assert 45 < chi_square < 126


def test_seeds_differ_and_large_ones_are_kept_apart():
    first = [take(rows().training(10, seed=seed), 1)[0]["x"].tobytes() for seed in (0, 1, 2**32, 2**63 - 1)]
    assert len(set(first)) == 4


def test_context_stays_with_its_row():
    for batch in take(rows().training(4, seed=1), 5):
        np.testing.assert_array_equal(batch["x"], ROWS[batch["context"]["class"]])
        np.testing.assert_array_equal(batch["context"]["vector"], rows().context["vector"][batch["context"]["class"]])


def test_training_has_static_shapes_and_plain_dtypes():
    spec = rows().training(4, seed=0).element_spec
    assert spec == {
        "x": tf.TensorSpec((4, 3), tf.int32),
        "context": {"class": tf.TensorSpec((4,), tf.int32), "vector": tf.TensorSpec((4, 2), tf.float64)},
    }
    assert images().training(4, seed=0).element_spec == {"x": tf.TensorSpec((4, 6, 5, 2), tf.int32)}
    assert Examples(ROWS > 4).training(4, seed=0).element_spec == {"x": tf.TensorSpec((4, 3), tf.int32)}
    assert rows().training(4, seed=0).cardinality() == tf.data.INFINITE_CARDINALITY


@pytest.mark.parametrize("dataset", [rows().training(4, seed=0), rows().evaluation(4)], ids=["training", "evaluation"])
def test_workers_share_the_data_row_by_row(dataset):
    policy = dataset.options().experimental_distribute.auto_shard_policy
    assert policy == tf.data.experimental.AutoShardPolicy.DATA


def test_windows_of_an_epoch_are_consecutive_and_shift_as_a_whole():
    examples = Examples(STREAM, window=8)
    assert len(examples) == 12
    offsets = set()
    for epoch in take(examples.training(12, seed=0), 200):
        starts = np.sort(epoch["x"][:, 0])
        np.testing.assert_array_equal(epoch["x"] - epoch["x"][:, :1], np.tile(np.arange(8), (12, 1)))
        np.testing.assert_array_equal(np.diff(starts), 8)
        offsets.add(int(starts[0]))
    assert offsets == set(range(8))


@pytest.mark.parametrize("length", [8, 9, 15, 16, 22, 23, 24])
def test_every_window_of_a_stream_is_seen(length):
    examples = Examples(np.arange(length), window=8)
    batches = take(examples.training(len(examples), seed=0), 150)
    assert {int(start) for batch in batches for start in batch["x"][:, 0]} == set(range(length - 7))


@pytest.mark.parametrize("batch_size", [1, 4, 10, 16])
def test_evaluation_has_every_row_once_in_order(batch_size):
    batches = list(rows().evaluation(batch_size).as_numpy_iterator())
    assert len(batches) == len(rows().evaluation(batch_size)) == -(-10 // batch_size)
    weights = np.concatenate([batch["sample_weight"] for batch in batches])
    for key, wanted in (("x", ROWS), ("class", np.arange(10)), ("vector", rows().context["vector"])):
        values = np.concatenate([batch["x"] if key == "x" else batch["context"][key] for batch in batches])
        np.testing.assert_array_equal(values[weights == 1], wanted)
    assert weights.sum() == 10
    assert {batch["x"].shape for batch in batches} == {(batch_size, 3)}
    assert all(set(batch) == {"x", "context", "sample_weight"} for batch in batches)


@pytest.mark.parametrize(("length", "rows_"), [(103, 13), (104, 13), (3, 1)])
def test_evaluation_of_a_stream_masks_the_tail(length, rows_):
    examples = Examples(np.arange(1, length + 1).astype(np.float32), window=8)
    batches = list(examples.evaluation(4).as_numpy_iterator())
    assert examples.num_evaluation_rows == rows_
    assert all(("mask" in batch) == (length % 8 > 0) for batch in batches)
    kept = [batch.get("mask", np.ones((4, 8), bool)) & (batch["sample_weight"][:, None] > 0) for batch in batches]
    sites = np.concatenate([batch["x"][keep] for batch, keep in zip(batches, kept, strict=True)])
    np.testing.assert_array_equal(sites, np.arange(1, length + 1))
    assert all((batch["x"][~batch["mask"]] == 0).all() for batch in batches if "mask" in batch)
    assert all(batch["x"].shape == (4, 8) and batch["x"].dtype == np.float32 for batch in batches)


def test_shift_moves_each_image_and_fills_with_background():
    x = np.random.default_rng(0).integers(1, 256, (200, 6, 5, 2)).astype(np.int32)
    shifted = shift_images(2, background=-7)(tf.constant(x), tf.constant([3, 4], tf.int64)).numpy()
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=-7)
    seen = set()
    for image, frame in zip(shifted, padded, strict=True):
        moves = [
            (row, column)
            for row, column in itertools.product(range(5), range(5))
            if np.array_equal(image, frame[row : row + 6, column : column + 5])
        ]
        assert len(moves) == 1
        seen.update(moves)
    assert seen == set(itertools.product(range(5), range(5)))


def test_shift_by_nothing_changes_nothing():
    x = tf.ones((2, 3, 3, 1), tf.int32)
    np.testing.assert_array_equal(shift_images(0)(x, tf.constant([0, 0], tf.int64)), x)


def test_augmentation_differs_from_batch_to_batch():
    x = np.zeros((1, 9, 9, 1), np.uint8)
    x[0, 4, 4] = 255
    batches = take(Examples(x).training(1, seed=0, augment=shift_images(4)), 20)
    assert len({batch["x"].tobytes() for batch in batches}) > 10
    assert all(batch["x"].sum() == 255 for batch in batches)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x": np.zeros(5)}, r"x must be rows .* got \[5\]. For a stream \[T\] pass window"),
        ({"x": ROWS, "window": 2}, r"window must be at least 1 and x a stream .* x \[10, 3\]"),
        ({"x": STREAM, "window": 0}, "window must be at least 1"),
        ({"x": STREAM, "window": 8, "context": {"class": STREAM}}, "context goes with rows"),
        ({"x": ROWS, "context": {"class": np.zeros(9)}}, r"context\['class'\] must have one entry for each of 10 rows"),
        ({"x": ROWS, "context": {"text": np.array(["a"] * 10)}}, r"context\['text'\] must be an array of numbers"),
        ({"x": np.array(["a", "b"])}, "x must be an array of numbers .* got <U1"),
        ({"x": np.zeros((0, 3))}, "at least one entry"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Examples(**arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"batch_size": 0, "seed": 0}, "batch_size must be an integer from 1"),
        ({"batch_size": 2, "seed": -1}, "seed must be an integer from 0"),
        ({"batch_size": 2, "seed": 2**63}, "seed must be an integer from 0"),
        ({"batch_size": 2, "seed": 0, "start_step": -1}, "start_step must be an integer from 0"),
        ({"batch_size": 2, "seed": 0, "augment": shift_images(1)}, r"shift_images is for images .* x is \[2, 3\]"),
        ({"batch_size": 2, "seed": 0, "augment": lambda x, seed: x[:1]}, "augment must keep shape and dtype"),
    ],
)
def test_training_arguments_out_of_range_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        rows().training(**arguments)


def test_evaluation_and_shift_refuse_what_is_out_of_range():
    with pytest.raises(ValueError, match="batch_size must be an integer from 1"):
        rows().evaluation(0)
    with pytest.raises(ValueError, match="max_pixels must be at least 0"):
        shift_images(-1)


def test_training_on_a_stream_shorter_than_a_window_is_refused():
    with pytest.raises(ValueError, match="window must fit into the stream: it is 8, the stream 7 long"):
        Examples(np.arange(7), window=8).training(2, seed=0)


TWO_REPLICAS = """
import numpy as np, tensorflow as tf
from ar_zoo.data import Examples
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
training = Examples(np.arange(20).reshape(10, 2)).training(4, seed=0)
shared = iter(strategy.experimental_distribute_dataset(training))
for batch in training.take(6).as_numpy_iterator():
    halves = strategy.experimental_local_results(next(shared)["x"])
    assert [half.shape for half in halves] == [(2, 2)] * 2
    np.testing.assert_array_equal(np.concatenate(halves), batch["x"])
print("shared")
"""


def test_two_replicas_share_each_batch_and_the_process_ends_while_they_prefetch():
    """The iterators are alive when Python exits: with Python code in the data set it would wait for ever."""
    done = subprocess.run([sys.executable, "-c", TWO_REPLICAS], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "shared\n"), done.stderr


def test_importing_the_package_does_not_import_tensorflow():
    script = (
        "import sys, ar_zoo.data; print({'tensorflow', 'keras', 'matplotlib', 'PIL', 'soundfile'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


def test_the_first_rows_and_windows():
    rows = Examples(np.arange(12).reshape(6, 2), {"label": np.arange(6)})
    assert rows.first(4).x.tolist() == rows.x[:4].tolist()
    assert rows.first(4).context["label"].tolist() == [0, 1, 2, 3]
    stream = Examples(np.arange(10), window=3)
    assert stream.first(2).x.tolist() == [0, 1, 2, 3, 4, 5]
    assert stream.first(2).num_evaluation_rows == 2
    assert stream.first(9).x.tolist() == list(range(10))
    assert rows.first(None) is rows
