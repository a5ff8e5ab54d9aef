"""Networks from every form in which people keep them, and the zoo's weights over HTTP."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import BUNDLED
from harness.errors import InputError
from harness.session import environment_of
from test_bad_input import Refused

NETWORK = "mobilenet0.25"  # the zoo's smallest
CLASSES = 10
RANDOM_SCORES = f"""
import mxnet as mx
from harness.workloads.models import custom
mx.random.seed(5)
net = custom({NETWORK!r}, None, None, {CLASSES}, True)
print(net(mx.np.ones((1, 3, 32, 32))).asnumpy().tobytes().hex())
"""


@dataclass
class Saved:
    """A network as MXNet saved it, and the scores of two images."""

    folder: Path
    images: Any
    scores: np.ndarray
    weights: dict[str, Any]

    def gives_the_same(self, net: Any) -> bool:
        return np.array_equal(net(self.images).asnumpy(), self.scores)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    import mxnet as mx
    from mxnet.gluon.model_zoo.vision import get_model

    folder = tmp_path_factory.mktemp("saved")
    mx.random.seed(1)
    net = get_model(NETWORK, classes=CLASSES)
    net.initialize()
    net.hybridize()
    images = mx.np.random.uniform(size=(2, 3, 32, 32))
    scores = net(images).asnumpy()
    assert len(np.unique(scores)) == 2 * CLASSES
    net.save_parameters(str(folder / "own.params"))
    net.export(str(folder / "pair"))
    weights = dict(mx.npx.load(str(folder / "own.params")))
    legacy = {name: mx.nd.array(value.asnumpy()) for name, value in weights.items()}
    mx.nd.save(str(folder / "legacy.params"), legacy)
    prefixed = {("aux:" if "running" in k else "arg:") + k: v for k, v in legacy.items()}
    mx.nd.save(str(folder / "legacy_pair.params"), prefixed)
    return Saved(folder, images, scores, weights)


@pytest.mark.parametrize("name", ["own", "pair-0000", "legacy", "legacy_pair"])
def test_weights_in_every_format(saved: Saved, name: str) -> None:
    from harness.workloads.models import custom, zoo

    params = str(saved.folder / f"{name}.params")
    begins = Path(params).read_bytes()[:2]
    assert begins == (b"\x12\x01" if name.startswith("legacy") else b"PK")
    assert saved.gives_the_same(zoo(NETWORK, CLASSES, params, download=False))
    assert saved.gives_the_same(custom(NETWORK, None, params, CLASSES, random_weights=False))
    symbol = str(saved.folder / "pair-symbol.json")
    assert saved.gives_the_same(custom(None, symbol, params, CLASSES, random_weights=False))


def test_weights_are_used_although_random_ones_are_allowed(saved: Saved) -> None:
    from harness.workloads.models import custom

    params = str(saved.folder / "own.params")
    assert saved.gives_the_same(custom(NETWORK, None, params, CLASSES, random_weights=True))


def test_random_weights_are_the_same_in_every_process() -> None:
    import mxnet as mx

    from harness.workloads.models import custom

    def scores() -> bytes:
        net = custom(NETWORK, None, None, CLASSES, random_weights=True)
        return bytes(net(mx.np.ones((1, 3, 32, 32))).asnumpy().tobytes())

    first = scores()
    mx.random.seed(77)
    np.random.seed(77)
    mx.np.random.uniform(size=(3,))
    assert scores() == first
    other = subprocess.run(
        [sys.executable, "-c", RANDOM_SCORES],
        env=environment_of({}, {"run": {"cache": ""}}, ()),
        capture_output=True,
        text=True,
        check=True,
    )
    assert bytes.fromhex(other.stdout.strip()) == first


def renamed(saved: Saved, name: str, old: str, new: str) -> Path:
    """Write the symbol with a node of another name."""
    graph = json.loads((saved.folder / "pair-symbol.json").read_text())
    for node in graph["nodes"]:
        node["name"] = new if node["name"] == old else node["name"]
    path = saved.folder / f"{name}-symbol.json"
    path.write_text(json.dumps(graph))
    return path


def test_input_of_any_name(saved: Saved) -> None:
    from harness.workloads.models import custom

    symbol = renamed(saved, "picture", "data", "picture")
    params = str(saved.folder / "pair-0000.params")
    assert saved.gives_the_same(custom(None, str(symbol), params, CLASSES, random_weights=False))


def test_weights_without_one(saved: Saved) -> None:
    from harness.workloads.models import custom

    symbol = renamed(saved, "lacks", "features.0.weight", "features.0.kernel")
    params = str(saved.folder / "pair-0000.params")
    with pytest.raises(InputError, match=r"inputs without weights: data, features\.0\.kernel"):
        custom(None, str(symbol), params, CLASSES, random_weights=False)


@dataclass
class Repository:
    """A server of the zoo's files on this machine."""

    url: str = ""
    answers: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    short_by: int = 0


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    kept = Repository()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            kept.asked.append(self.path)
            answer = kept.answers.get(self.path)
            self.send_response(404 if answer is None else 200)
            self.send_header("Content-Length", str(len(answer or b"")))
            self.end_headers()
            self.wfile.write((answer or b"")[: len(answer or b"") - kept.short_by])

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        kept.url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("MXNET_GLUON_REPO", f"{kept.url}/")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.setenv(name, "127.0.0.1")
        yield kept
        server.shutdown()


def zipped(name: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


@pytest.fixture
def published(
    saved: Saved, repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[bytes], str]:
    """Return a function that puts weights on the server as the zoo's, whose digest is known."""
    from mxnet.gluon.model_zoo import model_store

    digest = hashlib.sha1((saved.folder / "own.params").read_bytes()).hexdigest()
    monkeypatch.setitem(model_store._model_sha1, NETWORK, digest)
    monkeypatch.setenv("INC_BENCH_CACHE", str(tmp_path))
    stem = f"{NETWORK}-{digest[:8]}"

    def publish(weights: bytes) -> str:
        path = f"/gluon/models/{stem}.zip"
        repository.answers[path] = zipped(f"{stem}.params", weights)
        return path

    return publish


def left(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "models").glob("*"))


def test_download_once(
    saved: Saved, repository: Repository, published: Callable[[bytes], str], tmp_path: Path
) -> None:
    from harness.workloads.download import zoo_weights
    from harness.workloads.models import zoo

    weights = (saved.folder / "own.params").read_bytes()
    path = published(weights)
    assert saved.gives_the_same(zoo(NETWORK, CLASSES, None, download=True))
    kept = zoo_weights(NETWORK)
    assert kept.read_bytes() == weights
    assert repository.asked == [path]
    assert left(tmp_path) == [kept.name]
    kept.write_bytes(weights[:-1])  # damaged: not used
    assert zoo_weights(NETWORK).read_bytes() == weights
    assert repository.asked == [path, path]
    assert left(tmp_path) == [kept.name]


def test_weights_in_a_file_need_no_download(
    saved: Saved, repository: Repository, published: Callable[[bytes], str]
) -> None:
    from harness.workloads.models import zoo

    published(b"others")
    params = str(saved.folder / "own.params")
    assert saved.gives_the_same(zoo(NETWORK, CLASSES, params, download=True))
    assert repository.asked == []


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("other weights", "has SHA-1 .*, expected .*: not used; check the mirror"),
        ("no zip", "could not be fetched .*not a zip file"),
        ("cut", "could not be fetched"),
        ("another member", "could not be fetched .*no item named"),
        ("damaged", "could not be fetched"),
        ("nothing", "could not be fetched .*404"),
    ],
)
def test_download_that_fails(
    saved: Saved,
    repository: Repository,
    published: Callable[[bytes], str],
    tmp_path: Path,
    kind: str,
    said: str,
) -> None:
    from harness.workloads.download import zoo_weights

    weights = (saved.folder / "own.params").read_bytes()
    path = published(b"others" if kind == "other weights" else weights)
    if kind == "no zip":
        repository.answers[path] = b"<html>404</html>"
    elif kind == "cut":
        repository.short_by = 1000
    elif kind == "another member":
        repository.answers[path] = zipped("else.params", weights)
    elif kind == "damaged":
        data = bytearray(repository.answers[path])
        data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
        repository.answers[path] = bytes(data)
    elif kind == "nothing":
        repository.answers.clear()
    with pytest.raises(InputError, match=said) as caught:
        zoo_weights(NETWORK)
    assert f"{repository.url}{path}" in str(caught.value)
    assert "workload.params=FILE" in str(caught.value)
    assert repository.asked == [path]
    assert left(tmp_path) == []


def test_download_from_nobody(
    published: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from harness.workloads.download import zoo_weights

    published(b"")
    for url, said in [
        ("http://127.0.0.1:1", "Connection refused"),
        ("nowhere", "unknown url type"),
        ("file:///nowhere", "No such file"),
    ]:
        monkeypatch.setenv("MXNET_GLUON_REPO", url)
        with pytest.raises(InputError, match=rf"could not be fetched from {url}/gluon.*{said}"):
            zoo_weights(NETWORK)
    assert left(tmp_path) == []


def test_network_that_the_zoo_has_no_weights_of(repository: Repository) -> None:
    from harness.workloads.download import zoo_weights

    with pytest.raises(InputError, match=r"no weights for nosuch: give workload\.params=FILE"):
        zoo_weights("nosuch")
    assert repository.asked == []


@pytest.mark.slow
def test_download_from_the_command_line(repository: Repository, tmp_path: Path) -> None:
    """The mirror reaches the worker, and weights that are not the zoo's stop the run."""
    from mxnet.gluon.model_zoo import model_store

    stem = f"resnet50_v2-{model_store.short_hash('resnet50_v2')}"
    path = f"/gluon/models/{stem}.zip"
    repository.answers[path] = zipped(f"{stem}.params", b"others")
    refused = Refused(tmp_path)
    refused(
        "workload=imagenet",
        f"workload.rec={BUNDLED / 'fashion_mnist_test.rec'}",
        "workload.download=true",
        names=(f"{repository.url}{path} has SHA-1", "workload.params=FILE"),
    )
    assert repository.asked == [path]
    assert left(refused.cache) == []
