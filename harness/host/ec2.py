"""The EC2 instance that this machine is, from EC2's metadata service (IMDSv2).

Asked only where the machine's own data say that it is EC2, or where AWS's variable names an endpoint.
A token is fetched, then a few words; nothing is sent of the run, no proxy is used, and the answer is
waited for ``LIMIT_S`` at most. What goes wrong is a reason, never an error. The instance's id is kept
as a digest: it tells machines apart, and names none to a reader.
See "Use the Instance Metadata Service" and "Instance metadata categories" in the Amazon EC2 User Guide.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from harness.facts.machine_facts import Instance

ROOT = Path("/")
LIMIT_S = 0.5  # for all of it; the service is on the host and answers in milliseconds
LONGEST = 512  # bytes of a believable answer; tokens have 56
ENDPOINT = "http://169.254.169.254"
ENDPOINT_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
DISABLED_VARIABLE = "AWS_EC2_METADATA_DISABLED"
TOKEN = "/latest/api/token"
TTL = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
TOKEN_HEADER = "X-aws-ec2-metadata-token"
DATA = "/latest/meta-data/"
REGION = r"[a-z]{2,4}(-[a-z]+)+-\d+"
FACTS = {  # by attribute of an instance: where the service says it, and the form of a believable answer
    "instance_type": ("instance-type", re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")),
    "region": ("placement/region", re.compile(REGION)),
    "instance_id": ("instance-id", re.compile(r"i-[0-9a-f]{8,32}")),
    "ami": ("ami-id", re.compile(r"ami-[0-9a-f]{8,32}")),
    "availability_zone": (
        "placement/availability-zone",
        re.compile(rf"{REGION}[a-z0-9-]*"),
    ),
    "purchase": ("instance-life-cycle", re.compile(r"[a-z]+(-[a-z]+)*")),
}
HOST = "placement/host-id"  # answered on Dedicated Hosts alone; nothing else tells the tenancy
INTERRUPTION = "spot/instance-action"  # answered where EC2 is about to take a spot instance back
ID_DIGITS = 16  # of the digest of an instance's id
TELLTALES = {  # files of the kernel, and how they begin on EC2
    "sys/class/dmi/id/sys_vendor": "amazon ec2",  # Nitro and bare metal
    "sys/class/dmi/id/product_uuid": "ec2",  # readable by root alone
    "sys/hypervisor/uuid": "ec2",  # Xen
}
NO_ANSWER = f"no answer within {LIMIT_S:g} s; in a container the instance's hop limit must be 2"


def describe(root: Path = ROOT, environment: Mapping[str, str] = os.environ) -> Instance:
    """Return the instance that this machine is; takes ``LIMIT_S`` at most and raises nothing.

    Args:
        root: of the file system, so that a copied tree can stand for a machine.
        environment: AWS_EC2_METADATA_SERVICE_ENDPOINT names another endpoint and has it asked on
            any machine; AWS_EC2_METADATA_DISABLED=true has none asked.
    """
    if environment.get(DISABLED_VARIABLE, "").lower() == "true":
        return Instance(reason=f"{DISABLED_VARIABLE}=true")
    named = environment.get(ENDPOINT_VARIABLE)
    if not named and not is_ec2(root):
        return Instance(reason="not on EC2")
    try:
        url = urlsplit(named or ENDPOINT)
        host, port = url.hostname, url.port
    except ValueError:
        host = None
    if not host or url.scheme != "http":
        return Instance(reason=f"{ENDPOINT_VARIABLE} is no http://HOST[:PORT]")
    connection = http.client.HTTPConnection(host, port, timeout=LIMIT_S)
    found: list[Instance] = []
    # in a thread, since a timeout of the socket is one of each read and a name may take long to resolve
    asking = threading.Thread(
        target=lambda: found.append(_asked(connection, url.path.rstrip("/"))), daemon=True
    )
    asking.start()
    asking.join(LIMIT_S)
    instance = found[0] if found else Instance(reason=NO_ANSWER)
    _shut(connection)  # afterwards, since the thread then answers with the error that this gives it
    return instance


def is_ec2(root: Path = ROOT) -> bool:
    """Say whether the kernel's data on this machine are those of an EC2 instance."""
    for name, beginning in TELLTALES.items():
        try:
            text = (root / name).read_text(errors="replace")
        except OSError:
            continue
        if text.strip().lower().startswith(beginning):
            return True
    return False


def _asked(connection: http.client.HTTPConnection, base: str) -> Instance:
    known: dict[str, str] = {}
    missing: list[str] = []
    try:
        token = {TOKEN_HEADER: _answer(connection, "PUT", base + TOKEN, TTL) or ""}
        for name, (path, form) in FACTS.items():
            text = _answer(connection, "GET", base + DATA + path, token)
            if text is None:
                missing.append(f"{DATA}{path} was answered with 404")
                continue
            if not form.fullmatch(text):
                return Instance(**known, reason=f"{DATA}{path} is {text[:40]!r}")
            known[name] = _digest(text) if name == "instance_id" else text
        is_on_host = _answer(connection, "GET", base + DATA + HOST, token) is not None
        known["tenancy"] = "host" if is_on_host else "default or dedicated"
        notice = _answer(connection, "GET", base + DATA + INTERRUPTION, token)
        if notice is not None:
            known["interruption"] = " ".join(notice.split())
    except TimeoutError:
        return Instance(**known, reason=NO_ANSWER)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Instance(**known, reason=f"{type(error).__name__}: {error}"[:200])
    finally:
        connection.close()
    return Instance(**known, reason=missing[0] if missing else None)


def _digest(instance_id: str) -> str:
    return hashlib.sha256(instance_id.encode()).hexdigest()[:ID_DIGITS]


def _answer(
    connection: http.client.HTTPConnection, verb: str, path: str, headers: Mapping[str, str]
) -> str | None:
    """Return the body of an answer; None where the service has no such fact (404).

    Raises:
        OSError, http.client.HTTPException: there is none.
        ValueError: it is refused, not text, or longer than ``LONGEST``.
    """
    connection.request(verb, path, headers=dict(headers))
    response = connection.getresponse()
    body = response.read(LONGEST + 1)
    if response.status == http.client.NOT_FOUND and verb == "GET":
        return None
    if response.status != http.client.OK:
        raise ValueError(f"{verb} {path} was answered with {response.status}")
    if len(body) > LONGEST:
        raise ValueError(f"{verb} {path} was answered with more than {LONGEST} bytes")
    return body.decode("ascii").strip()


def _shut(connection: http.client.HTTPConnection) -> None:
    """End what a thread may still be waiting for."""
    sock = connection.sock
    if sock is not None:
        with suppress(OSError):  # it has ended by itself
            sock.shutdown(socket.SHUT_RDWR)
