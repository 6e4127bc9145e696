"""dlib's recognizer: what dlib's own tools give for a photo, people told apart, and a judge of a run."""

import shutil
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut

import facecloak
from benchmarks.suites.paths import FOLDER
from facecloak.config import read_yaml, to_yaml
from facecloak.data import to_tensor
from facecloak.errors import FacecloakError
from facecloak.faces import FaceDetector, crop
from facecloak.io import read_image, shared_dir
from facecloak.recognizers import load_recognizer, weights_file
from facecloak.recognizers.dlib_resnet import LANDMARKS, dlib_file

dlib = pytest.importorskip("dlib", reason="dlib is not installed: pip install 'facecloak[dlib]'")
PAIRS = shared_dir() / "data" / "celeba_hq_pairs"


@pytest.fixture(scope="module")
def recognizer():
    return load_recognizer("dlib")


def embed(recognizer, photos, boxes):
    return recognizer(crop(to_tensor(photos), torch.tensor(boxes, dtype=torch.float32), recognizer.input_size))


def test_it_gives_what_dlibs_own_tools_give(recognizer):
    """They find the face, its landmarks and its chip in the whole photo; we do so in a crop around MTCNN's box."""
    photo = astronaut()
    network = dlib.face_recognition_model_v1(str(dlib_file()))
    found = dlib.shape_predictor(str(dlib_file(LANDMARKS)))(photo, dlib.get_frontal_face_detector()(photo, 1)[0])
    own = torch.tensor(np.asarray(network.compute_face_descriptor(photo, found)), dtype=torch.float32)
    x0, y0, x1, y1 = FaceDetector()(photo)
    margin = 0.2 * (y1 - y0)  # the chip has one, too
    box = (x0 - margin, y0 - margin, x1 + margin, y1 + margin)
    assert float(embed(recognizer, [photo], [box])[0] @ (own / own.norm())) > 0.97


def test_rows_are_units_alone_as_in_a_batch_and_without_gradient(recognizer):
    faces = torch.rand(3, 3, 150, 150, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = recognizer(faces)
    assert found.shape == (3, 128) and torch.allclose(found.norm(dim=1), torch.ones(3), atol=1e-5)
    assert torch.equal(found, torch.cat([recognizer(face[None]) for face in faces]))
    with pytest.raises(FacecloakError, match="black box and gives no gradient"):
        recognizer(faces.requires_grad_())
    with pytest.raises(FacecloakError, match="gives no gradient, so it can only judge: name it under held_out"):
        load_recognizer("dlib", differentiable=True)


def test_without_the_packages_the_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "face_recognition_models", None)
    monkeypatch.setattr("facecloak.recognizers.dlib_resnet.find_spec", lambda name: None)
    with pytest.raises(FacecloakError, match=r"needs two packages: pip install .facecloak\[dlib\]"):
        weights_file("dlib")
    entry = next(entry for entry in facecloak.list_recognizers() if entry.name == "dlib")
    assert not entry.present and entry.kind == "package"


@pytest.mark.skipif(not PAIRS.is_dir(), reason="needs photos of real faces in $FACECLOAK_SHARED")
def test_it_tells_real_people_apart(recognizer):
    """On 24 people with two photos each: true accepts at 1 % of false ones, and far fewer without alignment."""
    suite = facecloak.load_suite("celeba_hq_pairs")
    names = [source for source in suite.load_sources(24) if source.second]
    sides = [[read_image(path) for path in paths] for paths in zip(*((s.path, s.second) for s in names), strict=True)]
    first, second = (embed(recognizer, photos, [suite.crop] * len(photos)) for photos in sides)
    similar = first @ second.T
    strangers = similar[~torch.eye(len(names), dtype=torch.bool)]
    assert float((similar.diagonal() > strangers.quantile(0.99)).float().mean()) > 0.85


@pytest.mark.skipif(not PAIRS.is_dir(), reason="needs photos of real faces in $FACECLOAK_SHARED")
def test_it_judges_pictures_of_any_tool(tmp_path):
    """Real rates on real photos, at thresholds measured first: coarse pixels hide people, the photos do not."""
    suite = facecloak.load_suite("celeba_hq_pairs")
    for number, source in enumerate(suite.load_sources(12)):
        person = tmp_path / "people" / f"{number}"
        person.mkdir(parents=True)
        for name, path in (("1", source.path), ("2", source.second)):
            shutil.copy(path, person / f"{name}{path.suffix}")
        if number < 4:
            keep(tmp_path / "originals", number, source.path)
            keep(tmp_path / "others", number, source.second)
            keep(tmp_path / "coarse", number, source.path, side=16)
    settings = read_yaml(FOLDER / "celeba_hq_pairs.yaml")
    settings |= {"recognizers": [*settings["recognizers"], "dlib"], "held_out": ["dlib"], "fars": [0.1],
                 "thresholds": str(tmp_path / "thresholds.json")}  # fmt: skip
    (tmp_path / "with_dlib.yaml").write_text(to_yaml(settings))
    facecloak.calibrate(
        str(tmp_path / "with_dlib.yaml"), tmp_path / "thresholds.json", recognizers=["dlib"],
        photos=tmp_path / "people", crop=",".join(map(str, suite.crop)),
    )  # fmt: skip
    rates = {}
    for name in ("originals", "coarse"):
        found = facecloak.evaluate(
            tmp_path / "originals", tmp_path / name, others=tmp_path / "others", suite=str(tmp_path / "with_dlib.yaml"),
            black_boxes=["dlib"], objective="obfuscation", name=name, out=tmp_path / f"run_{name}",
        )  # fmt: skip
        rates[name] = found.summary(far=0.1).iloc[0]
        assert found.check() == []
    assert rates["originals"]["psr"] == rates["originals"]["psr_clean"] <= 20, rates
    assert rates["coarse"]["psr"] >= rates["coarse"]["psr_clean"] + 30, rates


def keep(folder, number, path, side=None):
    """A photo as PNG, in blocks if ``side`` says into how many it is cut."""
    folder.mkdir(exist_ok=True)
    photo = Image.fromarray(read_image(path))
    if side:
        photo = photo.resize((side, side), Image.Resampling.BOX).resize(photo.size, Image.Resampling.NEAREST)
    photo.save(folder / f"{number}.png")
