"""The dataset of arrays: what their shapes and types mean, their labels, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from mlcli.config.dataset import DatasetConfig
from mlcli.data.load import load_dataset
from mlcli.data.own import own_dataset
from mlcli.errors import DataError, UsageError

RNG = np.random.default_rng(0)
Y = np.arange(40) % 2
TABLE = RNG.normal(size=(40, 3))
GREY = RNG.integers(0, 256, (40, 6, 5)).astype(np.uint8)


@pytest.fixture
def dataset_of(tmp_path):
    """Return the dataset of arrays that are saved as one archive. settings: those of the dataset."""

    def dataset(settings=None, **arrays):
        np.savez(tmp_path / "a.npz", **arrays)
        return own_dataset(DatasetConfig(path=str(tmp_path / "a.npz"), **settings or {}))

    return dataset


def test_two_axes_are_a_table_whose_features_are_numbered_or_named(dataset_of):
    dataset = dataset_of(x=TABLE, y=Y)
    assert (dataset.info.kind, dataset.info.input_shape) == ("table", (3,))
    assert dataset.info.feature_names == ("x0", "x1", "x2")
    assert dataset.scaling.kind == "standard"
    assert [len(dataset.train), len(dataset.test)] == [32, 8]
    names = np.array(["height", "width", "x\x1b[2J"])
    assert dataset_of(x=TABLE, y=Y, feature_names=names).info.feature_names == ("height", "width", "x\\x1b[2J")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((40, 6, 5), (1, 6, 5)),
        ((40, 1, 6, 5), (1, 6, 5)),
        ((40, 3, 6, 5), (3, 6, 5)),
        ((40, 6, 5, 1), (1, 6, 5)),
        ((40, 6, 5, 3), (3, 6, 5)),
        ((40, 6, 5, 4), (4, 6, 5)),
    ],
)
def test_three_and_four_axes_are_images_with_channels_on_the_axis_of_length_1_3_or_4(shape, expected, dataset_of):
    x = RNG.integers(0, 256, shape).astype(np.uint8)
    dataset = dataset_of({"test": "train"}, x=x, y=Y)
    assert (dataset.info.kind, dataset.info.input_shape) == ("image", expected)
    whole = x.reshape(40, *expected) if shape[-1] == 5 else np.moveaxis(x, -1, 1)
    np.testing.assert_array_equal(dataset.train.x, whole)
    assert dataset.train.x.flags.c_contiguous


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int64", "uint8", "bool", "float16", ">f8"])
@pytest.mark.parametrize("scaling", ["unit", "standard"])
def test_images_of_every_type_are_scaled_by_one_shift_and_one_scale(dtype, scaling, dataset_of):
    x = (RNG.integers(0, 2, (40, 6, 5)) if dtype == "bool" else RNG.integers(3, 100, (40, 6, 5))).astype(dtype)
    dataset = dataset_of({"scaling": scaling}, x=x, y=Y)
    values, found = dataset.train.x.astype(float), dataset.scaling
    shift, scale = (values.mean(), values.std()) if scaling == "standard" else (values.min(), np.ptp(values))
    if scaling == "unit" and dtype in ("uint8", "bool"):
        shift, scale = 0.0, {"uint8": 255.0, "bool": 1.0}[dtype]
    np.testing.assert_allclose(0.0 if found.shift is None else found.shift, shift, rtol=1e-12)
    np.testing.assert_allclose(found.scale, scale, rtol=1e-12)
    assert dataset.train.x.dtype in (np.uint8, np.float32, np.float64)


@pytest.mark.parametrize(
    ("y", "names"),
    [
        (Y, ("0", "1")),
        (Y[:, np.newaxis], ("0", "1")),
        (Y.astype(float) * 10 - 5, ("-5", "5")),
        (Y == 1, ("False", "True")),
        (np.where(Y == 1, "ja", "nein"), ("ja", "nein")),
        (np.where(Y == 1, b"ja", "è".encode()), ("ja", "è")),
        (np.where(Y == 1, 10, 9), ("9", "10")),
        (Y.astype(np.uint64) + 2**63, ("9223372036854775808", "9223372036854775809")),
    ],
)
def test_labels_are_whole_numbers_or_texts(y, names, dataset_of):
    dataset = dataset_of({"test": "train"}, x=TABLE, y=y)
    assert dataset.info.class_names == names
    first = str(np.ravel(y)[0].decode() if y.dtype.kind == "S" else np.ravel(y)[0]).removesuffix(".0")
    assert names[dataset.train.y[0]] == first


def test_parts_in_one_file_are_the_splits(dataset_of):
    parts = {"x_train": GREY[:20], "y_train": Y[:20], "x_val": GREY[20:26], "y_val": Y[20:26]}
    dataset = dataset_of(**parts, x_test=GREY[26:], y_test=Y[26:])
    assert [len(split) for split in (dataset.train, dataset.validation, dataset.test)] == [20, 6, 14]
    np.testing.assert_array_equal(dataset.test.x[:, 0], GREY[26:])
    assert (dataset.info.n_train, dataset.info.n_validation, dataset.info.n_test) == (20, 6, 14)
    chosen = dataset_of({"validation": 0.5}, **parts, x_test=GREY[26:], y_test=Y[26:])
    assert [len(chosen.train), len(chosen.validation)] == [10, 10]
    assert "the 6 validation samples of the dataset are not used" in chosen.notes


def test_a_file_for_each_part_gives_the_splits_of_one_file(dataset_of, tmp_path):
    whole = dataset_of(x_train=TABLE[:30], y_train=Y[:30], x_test=TABLE[30:], y_test=Y[30:])
    np.savez(tmp_path / "train.npz", x=TABLE[:30], y=Y[:30])
    np.savez(tmp_path / "test.npz", x_test=TABLE[30:], y_test=Y[30:])
    config = DatasetConfig(path=str(tmp_path / "train.npz"), test_path=str(tmp_path / "test.npz"))
    parts = own_dataset(config)
    assert (parts.fingerprint, parts.split_digest) == (whole.fingerprint, whole.split_digest)
    np.testing.assert_array_equal(parts.test.x, whole.test.x)


def test_a_change_of_any_file_is_noticed(tmp_path):
    config = {}
    for key, name in (("path", "train"), ("test_path", "test"), ("validation_path", "validation")):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "x.npy", TABLE)
        np.save(tmp_path / name / "y.npy", Y)
        config[key] = str(tmp_path / name / "x.npy")
    found = {own_dataset(DatasetConfig(**config)).fingerprint}
    for name in ("train", "test", "validation"):
        np.save(tmp_path / name / "y.npy", Y[::-1].repeat(1))
        found.add(own_dataset(DatasetConfig(**config)).fingerprint)
    assert len(found) == 4


def test_content_and_not_its_form_is_what_the_fingerprint_is_of(dataset_of, tmp_path):
    np.save(tmp_path / "x.npy", TABLE)
    np.save(tmp_path / "y.npy", Y)
    folder = own_dataset(DatasetConfig(path=str(tmp_path)))
    assert folder.fingerprint == dataset_of(x=np.asfortranarray(TABLE), y=Y).fingerprint
    assert folder.fingerprint != dataset_of(x=TABLE, y=Y + 1).fingerprint


def test_a_class_with_one_sample_needs_test_samples_of_their_own(dataset_of):
    y = np.append(Y[:-1], 7)
    with pytest.raises(DataError, match="a.npz: y: classes with one row, .*: '7'"):
        dataset_of(x=TABLE, y=y)
    assert dataset_of(x=TABLE, y=y, x_test=TABLE, y_test=Y).info.class_names == ("0", "1", "7")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": TABLE[:0], "y": Y[:0]}, r"a.npz: x: an empty array, of shape \(0, 3\)"),
        ({"x": TABLE, "y": Y[:39]}, "a.npz: y: 39 labels for 40 samples in x"),
        ({"x": np.where(TABLE[3, 1] == TABLE, np.nan, TABLE), "y": Y}, r"x: sample 3 \(from 0\), position \[1\]: a m"),
        ({"x": np.where(TABLE[3, 1] == TABLE, np.inf, TABLE), "y": Y}, r"sample 3 .*: inf; expected a number up to 1e"),
        ({"x": TABLE, "y": np.where(np.arange(40) == 5, np.nan, Y)}, r"y: sample 5 \(from 0\): the label is nan"),
        ({"x": TABLE, "y": Y + 0.5}, r"the label 0.5 is not a whole number\n.* regression"),
        ({"x": TABLE, "y": np.eye(2)[Y]}, r"one-hot labels; store their classes, e.g. y.argmax\(axis=1\)"),
        ({"x": TABLE, "y": RNG.normal(size=(40, 2))}, r"labels of shape \(40, 2\), expected one label for each"),
        ({"x": TABLE, "y": np.zeros(40)}, "the target has one class, '0'"),
        ({"x": np.zeros((1500, 2)), "y": np.arange(1500)}, "1,500 different values, .* regression"),
        ({"x": TABLE, "y": np.where(Y == 1, "a", "")}, r"sample 0 \(from 0\): the label is empty"),
        ({"x": TABLE, "y": np.where(Y == 1, "a" * 101, "b")}, "a.npz: y: a label of 101 characters, 'aaa"),
        ({"x": TABLE, "y": Y.astype(complex)}, "labels of type complex128"),
        ({"x": TABLE.astype(str), "y": Y}, "values of type <U32, expected numbers"),
        ({"x": TABLE[:, 0], "y": Y}, r"x: shape \(40,\); expected \(n, features\), \(n, height, width\)"),
        ({"x": np.zeros((40, 2, 2, 2, 3)), "y": Y}, r"x: shape \(40, 2, 2, 2, 3\); expected"),
        ({"x": np.zeros((40, 3, 8, 3)), "y": Y}, "both its second and its last axis can be the 1, 3 or 4 channels"),
        ({"x": np.zeros((40, 1, 8, 1)), "y": Y}, r"both its .*\ndrop the axis of length 1: \(n, height, width\)"),
        ({"x": np.zeros((40, 8, 8, 2)), "y": Y}, r"neither its .*\nreshape it to \(n, features\)"),
        ({"x": np.zeros((4, 20_000)), "y": Y[:4]}, r"20,000 features, and a table may have 16,000\nif these are"),
        ({"x": TABLE, "y": Y, "x_test": TABLE[:, :2], "y_test": Y}, "x_test: samples of shape 2, and .* x has 3"),
        ({"x": GREY, "y": Y, "x_test": GREY / 255, "y_test": Y}, "x_test: float64, and .* x has bytes"),
        ({"x": TABLE, "y": Y, "x_test": TABLE, "y_test": Y * 3}, "y_test: labels that are no classes of the training"),
        ({"x_test": TABLE, "y_test": Y}, "a.npz: it has no x and y, or x_train and y_train, for training"),
        ({"x": TABLE, "y": Y, "x_train": TABLE, "y_train": Y}, "x and y, and x_train and y_train as well"),
        ({"x": TABLE, "y": Y, "feature_names": np.array(["a", "b"])}, "feature_names: .*expected 3 texts"),
        ({"x": TABLE, "y": Y, "feature_names": np.array(["a", "b", "a"])}, "names that are empty or appear more than"),
        ({"x": GREY * 1e-30, "y": Y}, "a.npz: x: its values differ by less than 1e-18"),
    ],
)
def test_arrays_that_no_classifier_can_learn_from_are_refused(arrays, message, dataset_of):
    with pytest.raises(DataError, match=message) as caught:
        dataset_of(**arrays)
    assert str(caught.value).startswith(("/", "a.npz"))


@pytest.mark.parametrize("settings", [{"target": "y"}, {"columns": {"x0": "ignore"}}, {"missing": ("-1",)}])
def test_settings_of_tables_are_refused(settings, dataset_of):
    with pytest.raises(UsageError, match=f"dataset.{next(iter(settings))}: .*a.npz holds arrays and their labels"):
        dataset_of(settings, x=TABLE, y=Y)


def test_files_for_the_parts_that_do_not_fit_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=TABLE, y=Y, x_test=TABLE, y_test=Y)
    np.savez(tmp_path / "b.npz", x_train=TABLE, y_train=Y)
    (tmp_path / "t.csv").write_text("a,b\n")
    path = str(tmp_path / "a.npz")
    with pytest.raises(UsageError, match="test_path: .*a.npz has test arrays of its own; remove one of them"):
        own_dataset(DatasetConfig(path=path, test_path=path))
    with pytest.raises(DataError, match="b.npz: it has no x and y, or x_validation and y_validation"):
        own_dataset(DatasetConfig(path=path, validation_path=str(tmp_path / "b.npz")))
    with pytest.raises(UsageError, match="test_path: .*t.csv is a table, and the training file is an array file"):
        own_dataset(DatasetConfig(path=path, test_path=str(tmp_path / "t.csv")))


def test_an_idx_folder_is_the_dataset_that_its_files_are_known_as(image_data_dir):
    known = load_dataset(DatasetConfig(name="mnist"), data_dir=image_data_dir)
    own = own_dataset(DatasetConfig(path=str(image_data_dir / "MNIST" / "raw")))
    for split in ("train", "test"):
        np.testing.assert_array_equal(getattr(own, split).x, getattr(known, split).x)
        np.testing.assert_array_equal(getattr(own, split).y, getattr(known, split).y)
    assert own.split_digest == known.split_digest
    assert own.scaling == known.scaling
    assert own.info.class_names == known.info.class_names
