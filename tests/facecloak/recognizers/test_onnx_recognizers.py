"""ONNX recognizers: black box and surrogate compute what the graph describes, on made-up and on real files."""

import hashlib
import json
import warnings

import numpy as np
import onnx2torch
import onnxruntime
import pytest
import torch
from insightface.model_zoo.arcface_onnx import ArcFaceONNX

from facecloak.errors import FacecloakError
from facecloak.io import read_image
from facecloak.recognizers import load_recognizer, onnx
from facecloak.recognizers.thresholds import area_under_curve, cosine_matrix

VARIANTS = {
    "outside_rgb": {"mean": 127.5, "std": 128.0},
    "outside_bgr_flat": {"mean": 100.0, "std": 50.0, "color": "BGR", "pool": False},
    "inside_rgb": {"mean": 127.5, "std": 127.5, "inside": True},
    "inside_bgr": {"mean": 110.0, "std": 60.0, "inside": True, "color": "BGR"},
    "guessed_inside": {"mean": 127.5, "std": 127.5, "decoy": True},
    "one_face": {"mean": 127.5, "std": 127.5, "one_face": True},
    "one_face_flat": {"mean": 127.5, "std": 127.5, "one_face": True, "pool": False},
}
# torch warns about how onnx2torch indexes, also when the copy is used
pytestmark = pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")

REAL = ("edgeface_xs", "mobileface_v2", "mobilefacenet_y1", "reid0095")


def faces(count=3, size=30, dtype=torch.float32):
    x = torch.rand(count, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return (x * 2 - 1).to(dtype)


def fails(name, differentiable=False) -> str:
    with pytest.raises(FacecloakError) as caught:
        load_recognizer(name, differentiable)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", VARIANTS)
def test_black_box_and_surrogate_give_what_the_graph_means(make_onnx, name):
    expected = make_onnx(name, **VARIANTS[name])(faces())
    for differentiable in (False, True):
        recognizer = load_recognizer(name, differentiable)
        assert recognizer.differentiable is differentiable
        torch.testing.assert_close(recognizer(faces()), expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(recognizer(faces())[:1], recognizer(faces()[:1]), rtol=0, atol=1e-5)


def test_a_black_box_keeps_the_callers_dtype(make_onnx):
    expected = make_onnx("box", 127.5, 127.5)(faces())
    embeddings = load_recognizer("box", differentiable=False)(faces(dtype=torch.float64))
    assert embeddings.dtype == torch.float64
    torch.testing.assert_close(embeddings.float(), expected, rtol=0, atol=1e-5)


def test_loading_and_using_a_surrogate_leaves_the_warning_filters_alone(make_onnx):
    make_onnx("copied", 127.5, 127.5, pool=False)
    before = list(warnings.filters)
    load_recognizer("copied", differentiable=True)(faces())
    assert warnings.filters == before


@pytest.mark.parametrize(
    ("kind", "there", "chosen"),
    [
        ("cpu", ["CUDAExecutionProvider", "CPUExecutionProvider"], ["CPUExecutionProvider"]),
        ("cuda", ["CPUExecutionProvider"], ["CPUExecutionProvider"]),
        (
            "cuda",
            ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
            [("CUDAExecutionProvider", {"use_tf32": "0"}), "CPUExecutionProvider"],
        ),
    ],
)
def test_a_black_box_computes_on_the_gpu_where_onnxruntime_can(monkeypatch, kind, there, chosen):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: there)
    assert onnx._providers(kind) == chosen


def test_a_black_box_that_cannot_compute_on_the_gpu_says_so_once(make_onnx, weights, monkeypatch, caplog):
    make_onnx("box", 127.5, 127.5)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    onnx._say_once.cache_clear()
    onnx._session(weights / "box.onnx", "cpu")
    assert not caplog.messages
    for _ in range(2):
        onnx._session(weights / "box.onnx", "cuda")
    assert len(caplog.messages) == 1 and "run on the CPU" in caplog.text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_black_box_answers_on_the_device_of_its_input(make_onnx):
    expected = make_onnx("box", 127.5, 127.5)(faces())
    embeddings = load_recognizer("box", differentiable=False, device="cuda")(faces().cuda())
    assert embeddings.device.type == "cuda"
    torch.testing.assert_close(embeddings.cpu(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["outside_bgr_flat", "inside_rgb", "one_face"])
def test_the_surrogates_gradient_is_the_slope(make_onnx, name):
    make_onnx(name, **VARIANTS[name])
    recognizer = load_recognizer(name, differentiable=True).double()
    x = faces(2, dtype=torch.float64).requires_grad_()
    towards = torch.ones(16, dtype=torch.float64)
    direction = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    (recognizer(x) @ towards).sum().backward()
    with torch.no_grad():
        step = 1e-6 * direction
        slope = ((recognizer(x + step) - recognizer(x - step)) @ towards).sum() / 2e-6
    assert slope.abs() > 1e-3
    torch.testing.assert_close((x.grad * direction).sum(), slope, rtol=1e-5, atol=1e-7)


def test_insightface_would_guess_wrong_without_the_sidecar(make_onnx, weights):
    make_onnx("inside", 127.5, 127.5, inside=True)
    make_onnx("outside", 127.5, 127.5, decoy=True)
    assert ArcFaceONNX(str(weights / "inside.onnx")).input_mean == 127.5  # right is 0
    assert ArcFaceONNX(str(weights / "outside.onnx")).input_mean == 0.0  # right is 127.5


@pytest.mark.parametrize("differentiable", [False, True])
def test_an_insightface_that_ignores_the_sidecar_is_found_out(make_onnx, monkeypatch, differentiable):
    make_onnx("inside", 127.5, 127.5, inside=True)
    fixed = property(lambda self: 127.5, lambda self, value: None)
    monkeypatch.setattr(ArcFaceONNX, "input_mean", fixed, raising=False)
    assert "does not apply the sidecar's mean 0.0 and std 1.0" in fails("inside", differentiable)


def test_a_wrong_conversion_is_found_out(make_onnx, monkeypatch):
    make_onnx("converted", 127.5, 127.5)
    convert = onnx2torch.convert

    def slightly_wrong(graph):
        network = convert(graph)
        with torch.no_grad():
            next(network.parameters()).mul_(1.01)
        return network

    monkeypatch.setattr(onnx2torch, "convert", slightly_wrong)
    load_recognizer("converted", differentiable=False)
    assert "cannot be a surrogate" in fails("converted", differentiable=True)


def test_another_file_than_the_sidecars(make_onnx, weights):
    make_onnx("swapped", 127.5, 127.5)
    other = weights / "swapped.onnx"
    other.write_bytes(other.read_bytes() + b"\0")
    message = fails("swapped")
    expected = json.loads((weights / "swapped.json").read_text())["sha256"]
    assert str(other) in message and f"expected {expected}" in message


def test_a_missing_file(make_onnx, weights):
    make_onnx("gone", 127.5, 127.5)
    (weights / "gone.onnx").unlink()
    assert "needs gone.onnx" in fails("gone") and str(weights) in fails("gone")


@pytest.mark.parametrize("differentiable", [False, True])
def test_a_file_that_is_no_onnx(make_onnx, weights, differentiable):
    text = b"<html>"
    make_onnx("html", 127.5, 127.5, sidecar={"sha256": hashlib.sha256(text).hexdigest()})
    (weights / "html.onnx").write_bytes(text)
    assert "html.onnx: cannot be run" in fails("html", differentiable)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embedding_dim": 17}, "embedding_dim is 17"),
        ({"input_size": 32}, "cannot be run as its sidecar says"),
        ({"embedding_dim": "16"}, "embedding_dim must be int, got '16'"),
        ({"input_size": True}, "input_size must be int, got True"),
        ({"input_size": 0}, "input_size must be positive, got 0"),
        ({"std": 0}, "std must be positive, got 0"),
        ({"mean": float("nan")}, "not valid JSON"),
        ({"mean": [127.5] * 3}, "mean must be int or float"),
        ({"color": "rgb"}, "color must be RGB or BGR, got 'rgb'"),
        ({"sha256": "abc"}, "sha256 must be 64 hexadecimal digits, got 'abc'"),
        ({"file": "../other.onnx"}, "file must be a file name without a folder"),
        ({"name": "another"}, "name must be the file's own name, sidecar"),
    ],
)
def test_a_wrong_sidecar(make_onnx, changes, message):
    make_onnx("sidecar", 127.5, 127.5, sidecar=changes)
    assert message in fails("sidecar")


@pytest.mark.parametrize(
    ("text", "message"),
    [("[]", "not a mapping"), ('{"name": "x"}', "the fields file, sha256"), ("{", "not valid JSON")],
)
def test_a_json_that_is_no_sidecar(weights, text, message):
    (weights / "x.json").write_text(text)
    assert message in fails("x") and "x.json" in fails("x")


@pytest.fixture(scope="module", params=REAL)
def real(request, shared):
    """(crop box in 256-px photos, black box, surrogate) of a file in the shared folder."""
    if not (shared / f"weights/{request.param}.onnx").is_file():
        pytest.skip(f"{shared}/weights/{request.param}.onnx is not there")
    sidecar = json.loads((shared / f"weights/{request.param}.json").read_text())
    box = sidecar["reference_on_200_celeba_pairs"]["crop_box_of_256"]
    return box, *(load_recognizer(request.param, differentiable) for differentiable in (False, True))


def test_real_files_tell_people_apart_by_either_route(real, shared):
    (x0, y0, x1, y1), black_box, surrogate = real
    folder = shared / "data/celeba_hq_pairs"
    people = sorted(path.name for path in (folder / "test").glob("*.png"))[:12]
    if not people:
        pytest.skip(f"{folder} is not there")
    embeddings = []
    for side in ("train", "test"):
        photos = np.stack([read_image(folder / side / name)[y0:y1, x0:x1] for name in people])
        x = torch.from_numpy(photos).permute(0, 3, 1, 2).float() / 127.5 - 1
        with torch.no_grad():
            embeddings.append(black_box(x))
            torch.testing.assert_close(surrogate(x), embeddings[-1], rtol=0, atol=1e-4)
    cosines = cosine_matrix(*embeddings)
    genuine, impostor = np.diag(cosines), cosines[~np.eye(len(people), dtype=bool)]
    assert area_under_curve(genuine, impostor) > 0.9
    assert genuine.mean() > impostor.mean() + 0.2


def test_real_surrogates_have_a_gradient(real):
    _, _, surrogate = real
    x = faces(2, 120).requires_grad_()
    surrogate(x)[:, 0].sum().backward()
    assert x.grad.abs().sum((1, 2, 3)).min() > 0 and x.grad.isfinite().all()
