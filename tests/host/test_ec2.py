"""The instance metadata service, played by real servers on loopback: right, hanging, and broken."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness import PROJECT
from harness.facts.machine_facts import Instance
from harness.host import ec2
from helpers.command_line import PATIENCE_S, TINY, CommandLine, load

TOKEN = "AQAEAL0123456789-token=="
ANSWERS = {
    "/latest/meta-data/instance-type": "c7i.metal-24xl",
    "/latest/meta-data/placement/region": "us-gov-west-1",
    "/latest/meta-data/instance-id": "i-0123456789abcdef0",
    "/latest/meta-data/ami-id": "ami-0fedcba9876543210",
    "/latest/meta-data/placement/availability-zone": "us-gov-west-1b",
    "/latest/meta-data/instance-life-cycle": "on-demand",
}
ASKED = [  # the last two are answered on a Dedicated Host, and before a spot instance goes
    *ANSWERS,
    "/latest/meta-data/placement/host-id",
    "/latest/meta-data/spot/instance-action",
]
KNOWN = {
    "instance_type": "c7i.metal-24xl",
    "region": "us-gov-west-1",
    "instance_id": hashlib.sha256(b"i-0123456789abcdef0").hexdigest()[:16],
    "ami": "ami-0fedcba9876543210",
    "availability_zone": "us-gov-west-1b",
    "tenancy": "default or dedicated",
    "purchase": "on-demand",
    "interruption": None,
    "reason": None,
}
NOTHING = Path("/nonexistent")  # a file system that tells nothing of the machine


class Imds(BaseHTTPRequestHandler):
    """IMDSv2: a token for a lifetime, and nothing without the token."""

    server: Service

    def do_PUT(self) -> None:
        self.server.seen.append(f"PUT {self.path}")
        lifetime = self.headers["X-aws-ec2-metadata-token-ttl-seconds"] or ""
        if self.path != "/latest/api/token" or not 1 <= int(lifetime or 0) <= 21600:
            return self.answer(400, "")
        if int(self.headers["Content-Length"] or 0):
            return self.answer(413, "")  # something was sent
        self.answer(200, self.server.token)

    def do_GET(self) -> None:
        self.server.seen.append(f"GET {self.path}")
        if self.headers["X-aws-ec2-metadata-token"] != TOKEN:
            return self.answer(401, "")
        told = self.server.answers.get(self.path)
        self.answer(404 if told is None else 200, told or "")

    def answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *told: Any) -> None:
        pass


class Service(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Imds)
        self.token = TOKEN
        self.answers = dict(ANSWERS)
        self.seen: list[str] = []

    @property
    def environment(self) -> dict[str, str]:
        return {ec2.ENDPOINT_VARIABLE: f"http://127.0.0.1:{self.server_port}"}


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for an answer that comes, however busy the machine is."""
    monkeypatch.setattr(ec2, "LIMIT_S", PATIENCE_S)


@pytest.fixture
def service(patient: None) -> Iterator[Service]:
    with Service() as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture
def speaking() -> Iterator[Callable[[Callable[[socket.socket], None]], dict[str, str]]]:
    """Return a function that starts a server which does to each connection what it is given."""
    listening: list[socket.socket] = []

    def start(speak: Callable[[socket.socket], None]) -> dict[str, str]:
        made = socket.create_server(("127.0.0.1", 0))
        listening.append(made)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = made.accept()
                    with suppress(OSError), connection:
                        speak(connection)

        threading.Thread(target=serve, daemon=True).start()
        return {ec2.ENDPOINT_VARIABLE: f"http://127.0.0.1:{made.getsockname()[1]}"}

    yield start
    for each in listening:
        each.close()


def test_type_and_region_with_a_token(service: Service) -> None:
    assert ec2.describe(NOTHING, service.environment) == Instance(**KNOWN)
    assert service.seen == ["PUT /latest/api/token", *(f"GET {path}" for path in ASKED)]


def test_a_spot_instance_that_is_taken_back_on_a_dedicated_host(service: Service) -> None:
    notice = '{"action": "terminate", "time": "2026-01-18T08:22:00Z"}'
    service.answers |= {
        "/latest/meta-data/instance-life-cycle": "spot",
        "/latest/meta-data/placement/host-id": "h-0123456789abcdef0",
        "/latest/meta-data/spot/instance-action": notice,
    }
    told = ec2.describe(NOTHING, service.environment)
    assert (told.purchase, told.tenancy, told.interruption) == ("spot", "host", notice)
    assert told.reason is None and "i-0123" not in json.dumps(told.stored)


def test_a_wrong_token_is_refused(service: Service) -> None:
    service.token = "another"
    found = ec2.describe(NOTHING, service.environment)
    assert (found.instance_type, found.region) == (None, None)
    assert "answered with 401" in found.reason


def test_what_was_learnt_before_it_went_wrong_is_kept(service: Service) -> None:
    del service.answers["/latest/meta-data/placement/region"]
    found = ec2.describe(NOTHING, service.environment)
    assert (found.instance_type, found.region) == ("c7i.metal-24xl", None)
    assert found.availability_zone == "us-gov-west-1b"  # what is known behind it is kept as well
    assert "placement/region was answered with 404" in found.reason


@pytest.mark.parametrize("told", ["<html>", "", "c7i.large extra", "x" * (ec2.LONGEST + 1), "é.a"])
def test_an_answer_that_is_no_type(service: Service, told: str) -> None:
    service.answers["/latest/meta-data/instance-type"] = told
    found = ec2.describe(NOTHING, service.environment)
    assert (found.instance_type, found.region) == (None, None)
    assert found.reason and len(found.reason) < 250


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\0\xff" * 40000,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n" + b"x" * 1_000_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nab\r\ncd\r\n",  # a token of two lines
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_garbage(speaking: Any, answer: bytes) -> None:
    found = ec2.describe(NOTHING, speaking(lambda connection: connection.sendall(answer)))
    assert (found.instance_type, found.region) == (None, None)
    assert found.reason and len(found.reason) < 250


def test_a_server_that_hangs(speaking: Any) -> None:
    ended = threading.Event()
    environment = speaking(lambda connection: ended.wait(PATIENCE_S))
    found = ec2.describe(NOTHING, environment)
    assert not ended.is_set()  # it would hang still
    assert found == Instance(instance_type=None, region=None, reason=ec2.NO_ANSWER)
    assert ec2.LIMIT_S < 1
    ended.set()


def test_a_server_that_answers_a_byte_at_a_time(speaking: Any) -> None:
    """No read of it ever takes long; all together would take for ever."""
    ended = threading.Event()

    def drip(connection: socket.socket) -> None:
        while not ended.wait(0.02):
            connection.sendall(b"H")

    found = ec2.describe(NOTHING, speaking(drip))
    assert found.reason == ec2.NO_ANSWER
    ended.set()


def test_nobody_listens(patient: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = ec2.describe(NOTHING, {ec2.ENDPOINT_VARIABLE: f"http://127.0.0.1:{port}"})
    assert found.reason.startswith("ConnectionRefusedError")


@pytest.mark.parametrize("url", ["https://127.0.0.1", "127.0.0.1:80", "http://:80", "http://a:b"])
def test_an_endpoint_that_is_none(url: str) -> None:
    found = ec2.describe(NOTHING, {ec2.ENDPOINT_VARIABLE: url})
    assert found.reason == "AWS_EC2_METADATA_SERVICE_ENDPOINT is no http://HOST[:PORT]"


@pytest.mark.parametrize(
    ("name", "text", "is_it"),
    [
        ("sys/class/dmi/id/sys_vendor", "Amazon EC2\n", True),
        ("sys/class/dmi/id/product_uuid", "EC2E1916-9099-7CAF-FD21-012345ABCDEF\n", True),
        ("sys/hypervisor/uuid", "ec2e1916-9099-7caf-fd21-012345abcdef\n", True),
        ("sys/class/dmi/id/sys_vendor", "QEMU\n", False),
        ("sys/hypervisor/uuid", "45e12aec-dcd1-b213-94ed-012345abcdef\n", False),
    ],
)
def test_telltales(tmp_path: Path, name: str, text: str, is_it: bool) -> None:
    assert not ec2.is_ec2(tmp_path)
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(text)
    assert ec2.is_ec2(tmp_path) == is_it


def looked(root: Path, **environment: str) -> tuple[dict[str, Any], list[str]]:
    """Describe the instance in a process of its own; return that and what it did with sockets."""
    code = (
        "import json, sys\n"
        "seen = []\n"
        "sys.addaudithook(lambda event, _: event.startswith('socket.') and seen.append(event))\n"
        "from pathlib import Path\n"
        f"from harness.host import ec2; ec2.LIMIT_S = {PATIENCE_S}\n"
        f"print(json.dumps([ec2.describe(Path({str(root)!r})).stored, seen]))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, check=True
    )
    found, seen = json.loads(told.stdout)
    return found, seen


def test_outside_ec2_no_socket_is_made(tmp_path: Path) -> None:
    found, seen = looked(tmp_path)
    assert found == {**dict.fromkeys(KNOWN), "reason": "not on EC2"}
    assert seen == []


def test_turned_off_no_socket_is_made(tmp_path: Path, service: Service) -> None:
    (tmp_path / "sys/hypervisor").mkdir(parents=True)
    (tmp_path / "sys/hypervisor/uuid").write_text("ec2")
    found, seen = looked(tmp_path, **service.environment, AWS_EC2_METADATA_DISABLED="true")
    assert found["reason"] == "AWS_EC2_METADATA_DISABLED=true"
    assert seen == service.seen == []


def test_no_proxy_is_used(tmp_path: Path, service: Service, speaking: Any) -> None:
    asked: list[bytes] = []
    proxy = speaking(lambda connection: asked.append(connection.recv(100)))[ec2.ENDPOINT_VARIABLE]
    found, _ = looked(tmp_path, **service.environment, http_proxy=proxy, HTTP_PROXY=proxy)
    assert found["instance_type"] == "c7i.metal-24xl"
    assert not asked


@pytest.mark.slow
def test_a_run_records_the_instance(
    cli: CommandLine, service: Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    patience = f"from harness.host import ec2\nec2.LIMIT_S = {PATIENCE_S}\n"
    (tmp_path / "sitecustomize.py").write_text(patience)
    monkeypatch.setenv("PYTHONPATH", f"{PROJECT}:{tmp_path}")
    for name, value in service.environment.items():
        monkeypatch.setenv(name, value)
    ended = cli("method=[mine]", *TINY)
    assert ended.code == 0, ended.err
    told = load(ended.folder.path / "plan.json")["machine"]["ec2"]
    assert told == KNOWN
    monkeypatch.delenv(ec2.ENDPOINT_VARIABLE)  # where it does not answer, a run goes on
    again = cli(f"run.id={ended.folder.id}", *TINY)
    assert again.code == 0, again.err
    assert load(ended.folder.path / "plan.json")["machine"]["ec2"] == told
