"""The zoo's weights from a server that tells the truth, breaks off, or means harm."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.errors import InputError
from harness.workloads import download
from harness.workloads.download import zoo_weights
from helpers.bundled_images import BUNDLED
from helpers.refusals import Refused
from helpers.saved_network import CLASSES, NETWORK, Saved
from helpers.zoo_server import TLS, Repository, proxy_server, repository_server, zipped

pytestmark = pytest.mark.slow

WEIGHTS = np.random.default_rng(0).bytes(300_000)  # what they are is not looked at here
STEM = f"{NETWORK}-{hashlib.sha1(WEIGHTS).hexdigest()[:8]}"
PATH = f"/gluon/models/{STEM}.zip"


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Repository]:
    from mxnet.gluon.model_zoo import model_store

    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "ca.pem"))
    monkeypatch.setenv("INC_BENCH_CACHE", str(tmp_path))
    monkeypatch.setitem(model_store._model_sha1, NETWORK, hashlib.sha1(WEIGHTS).hexdigest())
    with repository_server() as server:
        monkeypatch.setenv("MXNET_GLUON_REPO", f"{server.url}/")
        server.answers[PATH] = zipped(f"{STEM}.params", WEIGHTS)
        yield server


def left(cache: Path) -> list[str]:
    """Return what is in the folder of models, but for the empty locks."""
    return sorted(path.name for path in (cache / "models").glob("*") if path.suffix != ".lock")


def test_once(repository: Repository, tmp_path: Path) -> None:
    kept = zoo_weights(NETWORK)
    assert kept.read_bytes() == WEIGHTS
    assert zoo_weights(NETWORK) == kept
    assert repository.asked == [PATH]
    assert left(tmp_path) == [kept.name]
    kept.write_bytes(WEIGHTS[:-1])  # damaged: not used
    assert zoo_weights(NETWORK).read_bytes() == WEIGHTS
    assert repository.asked == [PATH, PATH]
    assert left(tmp_path) == [kept.name]


def test_the_network_has_them(
    saved: Saved, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mxnet.gluon.model_zoo import model_store

    from harness.workloads.models import zoo

    weights = (saved.folder / "own.params").read_bytes()
    digest = hashlib.sha1(weights).hexdigest()
    monkeypatch.setitem(model_store._model_sha1, NETWORK, digest)
    stem = f"{NETWORK}-{digest[:8]}"
    path = f"/gluon/models/{stem}.zip"
    repository.answers[path] = zipped(f"{stem}.params", weights)
    assert saved.gives_the_same(zoo(NETWORK, CLASSES, None, download=True))
    assert repository.asked == [path]
    assert saved.gives_the_same(
        zoo(NETWORK, CLASSES, str(saved.folder / "own.params"), download=True)
    )
    assert repository.asked == [path]  # weights in a file need no download


def test_it_goes_on_where_it_broke_off(repository: Repository, tmp_path: Path) -> None:
    repository.breaks = [100_000, 50_000]
    assert zoo_weights(NETWORK).read_bytes() == WEIGHTS
    assert repository.asked_ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert left(tmp_path) == [f"{STEM}.params"]


def test_the_next_start_goes_on_as_well(repository: Repository, tmp_path: Path) -> None:
    repository.breaks = [1000] * download.ATTEMPTS
    with pytest.raises(InputError, match=r"the connection ended after 1000 of .* start again"):
        zoo_weights(NETWORK)
    assert left(tmp_path) == [f"{STEM}.zip.part", f"{STEM}.zip.tag"]
    assert zoo_weights(NETWORK).read_bytes() == WEIGHTS
    assert repository.asked_ranges[-1] == f"bytes={1000 * download.ATTEMPTS}-"


@pytest.mark.parametrize("change", ["another version", "no ranges", "shorter now"])
def test_what_changed_meanwhile_is_fetched_anew(
    repository: Repository, tmp_path: Path, change: str
) -> None:
    whole = repository.answers[PATH]
    repository.breaks = [10_000] * download.ATTEMPTS
    with pytest.raises(InputError):
        zoo_weights(NETWORK)
    if change == "another version":
        repository.tag = '"two"'
        repository.answers[PATH] = b"grown" + whole
    elif change == "no ranges":
        repository.ranges = False
    else:
        (tmp_path / "models" / f"{STEM}.zip.part").write_bytes(whole + b"more")
    assert zoo_weights(NETWORK).read_bytes() == WEIGHTS


def test_through_a_proxy(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy_server() as (address, asked):
        monkeypatch.setenv("https_proxy", address)
        assert zoo_weights(NETWORK).read_bytes() == WEIGHTS
        assert asked == [repository.url.removeprefix("https://")]


def harm(kind: str, repository: Repository) -> None:
    """Make the server do what it should not."""
    path = repository.answers
    if kind == "other weights":
        path[PATH] = zipped(f"{STEM}.params", b"others")
    elif kind == "no zip":
        path[PATH] = b"<html>404</html>"
    elif kind == "another member":
        path[PATH] = zipped("else.params", WEIGHTS)
    elif kind == "a member that climbs":
        path[PATH] = zipped(f"../../../{STEM}.params", WEIGHTS)
    elif kind == "damaged":
        data = bytearray(path[PATH])
        data[len(data) // 2 : len(data) // 2 + 200] = bytes(200)
        path[PATH] = bytes(data)
    elif kind == "nothing":
        path.clear()
    elif kind == "too long":
        repository.length = download.MOST_BYTES + 1
    elif kind == "a bomb":
        path[PATH] = zipped(f"{STEM}.params", bytes(download.MOST_BYTES + 1))
    elif kind == "plain HTTP":
        repository.redirect = "http://localhost:9/x.zip"
    elif kind == "a local file":
        repository.redirect = "file:///etc/passwd"
    elif kind == "in circles":
        repository.redirect = f"{repository.url}{PATH}"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("other weights", "have SHA-1 .*, expected .*: not used"),
        ("no zip", "not a zip file"),
        ("another member", "does not hold"),
        ("a member that climbs", "does not hold"),
        ("damaged", "could not be fetched"),
        ("nothing", "404"),
        ("too long", "at most 1000000 are taken"),
        ("a bomb", "more than the 1000000 bytes"),
        ("plain HTTP", "is not HTTPS"),
        ("a local file", "is not HTTPS|is not allowed"),
        ("in circles", "infinite loop|302"),
    ],
)
def test_what_is_refused(
    repository: Repository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    said: str,
) -> None:
    monkeypatch.setattr(download, "MOST_BYTES", 1_000_000)
    harm(kind, repository)
    with pytest.raises(InputError, match=said) as caught:
        zoo_weights(NETWORK)
    assert f"{repository.url}{PATH}" in str(caught.value)
    assert "workload.params=FILE" in str(caught.value)
    assert left(tmp_path) == []
    assert not list(tmp_path.glob(f"**/{STEM}.params"))


def test_nobody_whom_to_trust(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(InputError, match="CERTIFICATE_VERIFY_FAILED"):
        zoo_weights(NETWORK)
    assert repository.asked == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:1", "is not HTTPS"),
        ("file:///nowhere", "is not HTTPS"),
        ("nowhere", "is not HTTPS"),
        ("https://127.0.0.1:1", "Connection refused"),
        ("http://me:secret@127.0.0.1:1", "is not HTTPS"),
    ],
)
def test_nobody_there(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str, said: str
) -> None:
    monkeypatch.setenv("MXNET_GLUON_REPO", url)
    shown = url.replace("me:secret@", "")
    with pytest.raises(
        InputError, match=rf"could not be fetched from {shown}/gluon.*{said}"
    ) as found:
        zoo_weights(NETWORK)
    assert "secret" not in str(found.value)
    assert left(tmp_path) == []


def test_network_that_the_zoo_has_no_weights_of(repository: Repository) -> None:
    with pytest.raises(InputError, match=r"no weights for nosuch: give workload\.params=FILE"):
        zoo_weights("nosuch")
    assert repository.asked == []


def test_from_the_command_line(repository: Repository, tmp_path: Path) -> None:
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
        names=(f"{repository.url}{path}", "have SHA-1", "workload.params=FILE"),
    )
    assert repository.asked == [path]
    assert left(refused.cache) == []
