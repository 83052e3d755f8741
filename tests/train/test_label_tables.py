"""Data sets whose labels stand in tables: AffectNet's CSV files, ExpW's label.lst, RAF-DB's and others."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.train.data_sets import encode, random_image, write_folder, write_zip

from fer_edge.errors import DataError, UsageError
from fer_edge.labels import EMOTIONS
from fer_train.commands.data import main
from fer_train.importing.class_names import NUMBERINGS
from fer_train.importing.importer import import_dataset
from fer_train.importing.table_rows import AFFECTNET, EXPW, TABLE, kind_of

HEADER = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
LANDMARKS = ";".join(["10.5"] * 136)
FORMS = ["folder", "zip"]


def written(tmp_path: Path, files: dict[str, bytes], form: str = "folder") -> Path:
    return write_zip(tmp_path / "a.zip", files) if form == "zip" else write_folder(tmp_path / "a", files)


def picture(seed: int, face: int, side: int = 60) -> np.ndarray:
    """A grey picture with a brighter square of 20 pixels at (30, 10): the face, of its own brightness."""
    image = np.full((side, side), 20, np.uint8)
    image[10:30, 30:50] = 60 + face
    image[0, 0] = seed % 256
    return image


def affectnet(*, headless: bool = True) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for table, n in (("training", 22), ("validation", 16)):
        lines = [] if table == "validation" and headless else [HEADER]
        for i in range(n):
            expression = i % (11 if table == "training" else 8)
            name = f"{i % 3}/{table}{i:04d}.jpg"
            files[f"AffectNet/Manually_Annotated_Images/{name}"] = encode(picture(i, expression), ".png")
            box = "30,10,20,20" if expression < 8 else "NULL,NULL,NULL,NULL"
            lines.append(f"{name},{box},{LANDMARKS},{expression},-0.1,0.2")
        files[f"AffectNet/Manually_Annotated_file_lists/{table}.csv"] = "\n".join(lines).encode()
    return files


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("headless", [True, False])
def test_affectnet_is_cut_to_its_boxes(tmp_path: Path, form: str, headless: bool) -> None:
    report = import_dataset(written(tmp_path, affectnet(headless=headless), form), tmp_path / "out")
    assert report.counts == {split: dict.fromkeys(EMOTIONS, 2) for split in ("train", "validation")}
    assert report.dropped == {"contempt": 4, "none": 2, "uncertain": 2, "noface": 2} and not report.skipped
    assert report.numbering == "affectnet" and "numbered as affectnet: 0 neutral, 1 happy" in report.notes[0]
    for number, emotion in enumerate(NUMBERINGS["affectnet"][:7]):
        faces = sorted((tmp_path / "out/train" / emotion).glob("*.png"))
        shown = [cv2.imread(str(face), cv2.IMREAD_GRAYSCALE) for face in faces]
        assert all(face is not None and face.shape == (20, 20) and (face == 60 + number).all() for face in shown)
    assert json.loads((tmp_path / "out/manifest.json").read_text())["numbering"] == "affectnet"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
def test_tables_saved_as_unicode_text(tmp_path: Path, form: str, encoding: str) -> None:
    """Spreadsheets on Windows save so, PowerShell's ``>`` writes so."""
    for made, counts in ((affectnet(headless=False), {"train": 2, "validation": 2}), (expw(), {"train": 2})):
        files = {
            name: content.decode().encode(encoding) if name.endswith((".csv", ".lst")) else content
            for name, content in made.items()
        }
        folder = tmp_path / str(len(files))
        folder.mkdir()
        report = import_dataset(written(folder, files, form), folder / "out")
        assert {split: report.counts[split]["happy"] for split in counts} == counts


def expw() -> dict[str, bytes]:
    files, lines = {}, []
    for i in range(14):
        files[f"ExpW/image/origin/angry_actor_{i}.jpg"] = encode(picture(i, i % 7), ".png")
        lines.append(f"angry_actor_{i}.jpg 0 10 30 50 30 51.52 {i % 7}")
        if i < 2:  # a second face in the same picture
            lines.append(f"angry_actor_{i}.jpg 1 0 0 12 12 12.5 {6 - i}")
    lines.append("not_there.jpg 0 10 30 50 30 51.52 3")
    files["ExpW/label/label.lst"] = ("\n".join(lines) + "\n").encode()
    return files


@pytest.mark.parametrize("form", FORMS)
def test_expw_has_several_faces_in_a_picture(tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(written(tmp_path, expw(), form)), "--to", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().err
    assert "ExpW's label.lst with face boxes, numbered as fer2013: 0 angry, 1 disgust, 2 fear, 3 happy" in said
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["numbering"] == "fer2013"
    assert manifest["skipped"] == [["not_there.jpg", "in the table of labels, but not there"]]
    assert manifest["counts"]["train"] == dict.fromkeys(EMOTIONS, 2) | {"neutral": 3, "surprise": 3}
    first = cv2.imread(str(tmp_path / "out/train/angry/angry_actor_0_0.png"), cv2.IMREAD_GRAYSCALE)
    second = cv2.imread(str(tmp_path / "out/train/neutral/angry_actor_0_1.png"), cv2.IMREAD_GRAYSCALE)
    assert first is not None and first.shape == (20, 20) and (first == 60).all()
    assert second is not None and second.shape == (12, 12) and second[5, 5] == 20


def rafdb(*, flat: bool) -> dict[str, bytes]:
    """Kaggle's copy: folders 1 to 7 and tables; or the tables with all images in one folder."""
    files: dict[str, bytes] = {}
    for split, n in (("train", 21), ("test", 14)):
        lines = ["image,label"]
        for i in range(n):
            name, label = f"{split}_{i:05d}_aligned.jpg", i % 7 + 1
            folder = "images" if flat else f"DATASET/{split}/{label}"
            files[f"{folder}/{name}"] = encode(random_image(i + n, 20), ".jpg")
            lines.append(f"{name},{label}")
        files[f"{split}_labels.csv"] = "\r\n".join(lines).encode()
    return files


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("flat", [True, False])
def test_rafdb_with_tables(tmp_path: Path, form: str, flat: bool) -> None:
    files = rafdb(flat=flat)
    report = import_dataset(written(tmp_path, files, form), tmp_path / "out")
    assert report.counts == {"train": dict.fromkeys(EMOTIONS, 3), "test": dict.fromkeys(EMOTIONS, 2)}
    assert report.numbering == "rafdb" and not report.skipped
    assert "read as rafdb: 1 surprise, 2 fear, 3 disgust, 4 happy, 5 sad, 6 angry, 7 neutral" in report.notes[0]
    name = next(name for name in files if name.endswith("train_00003_aligned.jpg"))
    assert (tmp_path / "out/train/happy/train_00003_aligned.jpg").read_bytes() == files[name]


TABLES = {
    "words": "user.id,image,emotion\n" + "".join(f"628,{i}.png,{EMOTIONS[i % 7].title()}\n" for i in range(14)),
    "semicolons": "pth;label\n" + "".join(f"some/images/{i}.png;{EMOTIONS[i % 7]}\n" for i in range(14)),
    "without suffix": "label\timage_name\n" + "".join(f"{EMOTIONS[i % 7]}\t{i}\n" for i in range(14)),
    "backslashes": "file,class\n" + "".join(f'"images\\{i}.png",{EMOTIONS[i % 7]}\n' for i in range(14)),
    "contempt": "image,emotion\n" + "".join(f"{i}.png,{(*EMOTIONS, 'contempt')[i % 8]}\n" for i in range(16)),
}


@pytest.mark.parametrize("name", TABLES)
def test_any_table_of_images_and_words(tmp_path: Path, name: str) -> None:
    files = {f"set/some/images/{i}.png": encode(random_image(i, 20)) for i in range(16 if name == "contempt" else 14)}
    files["set/legend.csv"] = TABLES[name].encode("utf-8-sig")
    report = import_dataset(written(tmp_path, files), tmp_path / "out")
    assert report.counts == {"train": dict.fromkeys(EMOTIONS, 2)} and not report.skipped
    assert report.dropped == ({"contempt": 2} if name == "contempt" else {})
    assert "set/legend.csv" in report.notes[0]


@pytest.mark.parametrize("numbering", ["fer2013", "alphabetical", "affectnet"])
def test_numbers_that_could_mean_several_things_are_asked_for(tmp_path: Path, numbering: str) -> None:
    files = {f"images/{i}.png": encode(random_image(i, 20)) for i in range(14)}
    files["labels.csv"] = ("image,label\n" + "".join(f"{i}.png,{i % 7}\n" for i in range(14))).encode()
    source = written(tmp_path, files)
    with pytest.raises(DataError, match=r"could mean several things; say which with --numbering"):
        import_dataset(source, tmp_path / "out")
    report = import_dataset(source, tmp_path / "out", numbering=numbering)
    assert report.numbering == numbering
    assert (tmp_path / "out/train" / NUMBERINGS[numbering][3] / "3.png").exists()


def test_a_table_of_something_else_leaves_class_folders_alone(tmp_path: Path) -> None:
    files = {f"train/{EMOTIONS[i % 7]}/{i}.png": encode(random_image(i, 20)) for i in range(14)}
    files["audit.csv"] = b"image,label\n3.png,sad\n4.png,sad\n"
    files["sample_submission.csv"] = b"id,emotion\n1,0\n"
    report = import_dataset(written(tmp_path, files), tmp_path / "out")
    assert report.counts == {"train": dict.fromkeys(EMOTIONS, 2)} and not report.notes


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b" 51.52 3\n", b" 51.52\n", "expected 'NAME.jpg face_id top left right bottom confidence label'"),
        (b" 51.52 3\n", b" 51.52 9\n", "9 is not a class of the fer2013 numbering"),
        (b"angry_actor", b"other", "no image that ExpW/label/label.lst"),
    ],
)
def test_what_is_wrong_with_a_table_is_told(tmp_path: Path, old: bytes, new: bytes, expected: str) -> None:
    files = expw()
    files["ExpW/label/label.lst"] = files["ExpW/label/label.lst"].replace(old, new)
    with pytest.raises(DataError, match=expected) as caught:
        import_dataset(written(tmp_path, files), tmp_path / "out")
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_boxes_outside_and_contradictions_are_listed(tmp_path: Path) -> None:
    files = affectnet()
    path = "AffectNet/Manually_Annotated_file_lists/training.csv"
    lines = files[path].decode().splitlines()
    lines[1] = lines[1].replace("30,10,20,20", "900,10,20,20")
    lines.append(lines[2].replace(",1,-0.1", ",3,-0.1"))
    files[path] = "\n".join(lines).encode()
    reasons = dict(import_dataset(written(tmp_path, files), tmp_path / "out").skipped)
    assert "does not lie in an image" in reasons["train/neutral/training0000.png"]
    assert reasons["AffectNet/Manually_Annotated_Images/1/training0001.jpg"] == "labelled happy and surprise"


@pytest.mark.parametrize(("make", "kind"), [(affectnet, "AffectNet"), (expw, "ExpW")])
def test_a_numbering_that_does_not_fit_is_refused(tmp_path: Path, make: object, kind: str) -> None:
    with pytest.raises(UsageError, match=f"does not fit .*{kind}"):
        import_dataset(written(tmp_path, make()), tmp_path / "out", numbering="rafdb")  # type: ignore[operator]


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (HEADER, AFFECTNET),
        (f"1/a.jpg,1,2,3,4,{LANDMARKS},3,-0.1,0.2\n", AFFECTNET),
        ("a b.jpg 0 10 30 50 30 51.52 3\n", EXPW),
        ("a.jpg 12 -3 30 50 30 5e-1 0\n", EXPW),
        ("image,label\n", TABLE),
        (",pth,label,relFCs\n", TABLE),
        ("emotion,pixels,Usage\n", None),
        ("id,emotion\n", None),
        ("train_00001.jpg 5\n", None),
        ("Read me first, please\n", None),
        ("", None),
    ],
)
def test_tables_are_known_by_their_content(head: str, kind: str | None) -> None:
    assert kind_of(head) == kind
