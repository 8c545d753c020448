from __future__ import annotations

import os

import pytest

from mlcli.data.own.image_folder import list_image_folder
from mlcli.errors import DataError
from tests.fixtures.photos import picture, save, write_photos


def test_folders_are_classes_and_images_are_in_order_of_their_names(tmp_path):
    folder = list_image_folder(write_photos(tmp_path, ("10", "9"), n=2))
    assert folder.class_names == ("9", "10")
    assert [(image.name, image.label) for image in folder.parts["train"]] == [
        ("9/0.png", 0),
        ("9/1.jpg", 0),
        ("10/0.png", 1),
        ("10/1.jpg", 1),
    ]
    assert folder.notes == ()


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Validation"])
def test_folders_of_parts_are_found_by_their_usual_names(tmp_path, name):
    folder = list_image_folder(write_photos(tmp_path, n=1, parts=("Train", name, "test")))
    assert {part: len(images) for part, images in folder.parts.items()} == {"train": 2, "validation": 2, "test": 2}


def test_a_folder_train_with_images_is_a_class(tmp_path):
    assert list_image_folder(write_photos(tmp_path, ("bus", "train"), n=1)).class_names == ("bus", "train")


def test_what_is_hidden_is_ignored_and_other_files_are_noted(tmp_path):
    write_photos(tmp_path, n=1)
    for hidden in (".ipynb_checkpoints", "__MACOSX", "cat/.ipynb_checkpoints"):
        save(tmp_path / hidden / "x.png", picture())
    (tmp_path / "cat" / ".DS_Store").write_text("")
    (tmp_path / "cat" / "Thumbs.db").write_text("")
    save(tmp_path / "overview.png", picture())
    folder = list_image_folder(tmp_path)
    assert len(folder.parts["train"]) == 2
    assert folder.class_names == ("cat", "dog")
    assert [note.replace(str(tmp_path), "P") for note in folder.notes] == [
        "ignored images in P itself, not in a class folder: 1",
        "ignored files in P/cat that are not named as images: Thumbs.db",
    ]


def test_links_are_followed(tmp_path):
    write_photos(tmp_path / "elsewhere", n=2)
    (tmp_path / "photos").mkdir()
    for name in ("cat", "dog"):
        os.symlink(tmp_path / "elsewhere" / name, tmp_path / "photos" / name)
    assert len(list_image_folder(tmp_path / "photos").parts["train"]) == 4


def test_the_digest_changes_with_names_sizes_and_times_and_not_with_the_place(tmp_path):
    write_photos(tmp_path / "a", n=2)
    before = list_image_folder(tmp_path / "a").digest
    os.rename(tmp_path / "a", tmp_path / "b")
    assert list_image_folder(tmp_path / "b").digest == before
    os.utime(tmp_path / "b" / "cat" / "0.png", (1, 1))
    assert list_image_folder(tmp_path / "b").digest != before


def _nested(path):
    save(path / "cat" / "siamese" / "x.png", picture())


def _differing(path):
    write_photos(path, ("cat", "dog"), n=1, parts=("train",))
    write_photos(path, ("cat", "owl"), n=1, parts=("test",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: None, "no class folders; expected photos/<class>/ with the images of each class"),
        (lambda path: save(path / "x.png", picture()), "images, but no class folders"),
        (lambda path: write_photos(path, ("cat",)), "one class folder, 'cat'; a classifier needs two classes or more"),
        (lambda path: (write_photos(path), (path / "owl").mkdir()), "owl: the class folder contains no image"),
        (lambda path: (write_photos(path), _nested(path)), "cat: a folder in a class folder: siamese"),
        (_differing, "class folders that are only in train or only in test: 'dog', 'owl'"),
        (lambda path: write_photos(path, parts=("test",)), "test, but no folder train"),
        (
            lambda path: (write_photos(path, parts=("train", "test")), write_photos(path, ("more", "other"))),
            "folders next to train that are no part of the data: more, other",
        ),
        (lambda path: write_photos(path, parts=("train", "val", "valid")), "both val and valid hold validation images"),
    ],
)
def test_a_folder_that_is_not_a_dataset_is_refused(tmp_path, change, message):
    path = tmp_path / "photos"
    path.mkdir()
    change(path)
    with pytest.raises(DataError) as error:
        list_image_folder(path)
    assert message in str(error.value)


def test_names_that_differ_only_in_case_are_noted_and_too_many_classes_refused(tmp_path, monkeypatch):
    folder = list_image_folder(write_photos(tmp_path, ("Cat", "cat", "dog"), n=1))
    assert folder.notes == ("labels that differ only in case or blanks are different classes: 'Cat' and 'cat'",)
    monkeypatch.setattr("mlcli.data.own.image_folder.MAX_CLASSES", 2)
    with pytest.raises(DataError, match="3 class folders; at most 2"):
        list_image_folder(tmp_path)


def test_class_folders_that_a_run_does_not_know_are_refused(tmp_path):
    write_photos(tmp_path, ("cat", "dog"), n=1)
    assert list_image_folder(tmp_path, ("dog", "bird", "cat")).parts["train"][0].label == 0
    with pytest.raises(DataError, match="folders that are no classes of the run: 'cat'"):
        list_image_folder(tmp_path, ("bird", "dog"))
