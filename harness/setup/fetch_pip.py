"""The pip that build.lock pins, from the package index: Debian and Ubuntu keep ensurepip elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html
import http.client
import os
import re
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from harness.errors import without_credentials
from harness.process.variables import CERTIFICATES
from harness.setup.environments import SetupError, say

INDEX = "https://pypi.org/simple"
CERTIFI = "/usr/lib/python3/dist-packages/certifi/cacert.pem"
GET_CERTIFICATES = (
    "Install some (apt-get install ca-certificates), or name a bundle, such as that of the package "
    f"python3-certifi: PIP_CERT={CERTIFI}"
)


def require_named_certificates() -> None:
    """Refuse a variable for certificates that leads nowhere: nothing falls back to less than it asks."""
    for name in CERTIFICATES:
        path = os.environ.get(name)
        if path and not os.access(path, os.R_OK):
            raise SetupError(
                f"{name}={path}: there is no such file to read. Correct it, or unset it to use the "
                f"system's certificates. {GET_CERTIFICATES}"
            )


def fetch_pip(folder: Path, lock: Path) -> Path:
    """Download the pip wheel pinned in a lock file from the package index into `folder`."""
    version, digests = pinned(lock.read_text(encoding="utf-8"), "pip")
    wheel = f"pip-{version}-py3-none-any.whl"
    page_url = (os.environ.get("PIP_INDEX_URL") or INDEX).rstrip("/") + "/pip/"
    link = re.search(rf'href="([^"#]*\b{re.escape(wheel)})["#]', _get(page_url).decode())
    if link is None:
        raise SetupError(
            f"{without_credentials(page_url)} does not offer {wheel}. "
            f"Set PIP_INDEX_URL to an index that does, such as {INDEX}"
        )
    url = urljoin(page_url, html.unescape(link[1]))
    data = _get(url)
    _require_sha256(data, digests, without_credentials(url))
    path = folder / wheel
    path.write_bytes(data)
    return path


def pinned(lock_text: str, name: str) -> tuple[str, set[str]]:
    """The version and the sha256 digests that a lock file's text has for one package."""
    entry = re.search(
        rf"^{re.escape(name)}==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{{64}})+)$", lock_text, re.M
    )
    if entry is None:
        raise SetupError(f"requirements/build.lock does not pin {name}; run requirements/lock.sh")
    return entry[1], set(re.findall(r"[0-9a-f]{64}", entry[2]))


def _require_sha256(data: bytes, digests: set[str], source: str) -> None:
    """Refuse data whose sha256 is none of the locked ones."""
    digest = hashlib.sha256(data).hexdigest()
    if digest not in digests:
        raise SetupError(
            f"{source} has sha256 {digest}, and requirements/build.lock allows only "
            f"{', '.join(sorted(digests))}. The download is damaged or not the package that was "
            "locked: try again, or name another index with PIP_INDEX_URL"
        )


class _Redirect(HTTPRedirectHandler):
    """Follows to where HTTPS stays HTTPS; credentials are not sent on (see `_get`)."""

    def redirect_request(
        self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        if req.type == "https" and urlsplit(newurl).scheme != "https":
            raise ValueError(f"it leads on to {without_credentials(newurl)}, which is not HTTPS")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _get(url: str) -> bytes:
    """The body at `url`; the proxy variables and credentials in the URL are honoured."""
    bare = without_credentials(url)
    try:
        parts = urlsplit(url)
        request = Request(bare)
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            header = f"Basic {base64.b64encode(login.encode()).decode()}"
            request.add_unredirected_header("Authorization", header)
        opener = build_opener(
            HTTPSHandler(context=_tls(parts.scheme, "@" in parts.netloc)), _Redirect
        )
        with opener.open(request, timeout=60) as response:
            return bytes(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise SetupError(
            f"cannot fetch {bare}: {error}. Check the network (https_proxy, PIP_CERT), "
            f"or name a mirror with PIP_INDEX_URL. Without certificates: {GET_CERTIFICATES}"
        ) from error


def _tls(scheme: str, credentials: bool) -> ssl.SSLContext:
    """Trust what PIP_CERT, SSL_CERT_FILE or the system names.

    A small Debian has no certificates at all. There the one file fetched here may come over a
    connection that nobody vouches for, since its locked sha256 vouches for the file, and pip then
    brings certificates of its own. But nothing secret is sent over such a connection.
    """
    require_named_certificates()
    bundle = os.environ.get("PIP_CERT") or None
    context = ssl.create_default_context(cafile=bundle)
    if scheme != "https" or bundle or _system_has_certificates():
        return context
    if credentials:
        raise SetupError(
            "this system has no certificates, so nobody vouches for the index in PIP_INDEX_URL, and "
            f"its credentials are not sent. {GET_CERTIFICATES}"
        )
    say(
        "warning: this system has no certificates (apt-get install ca-certificates): pip is fetched "
        "over a connection that nobody vouches for, and held to its locked sha256"
    )
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _system_has_certificates() -> bool:
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile or (paths.capath and os.listdir(paths.capath)))
