"""Parsers of configuration and lists: good inputs, and what feeds one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np


def prices(folder: Path) -> list[bytes]:
    from harness.config import CONF

    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{b}: &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in pairwise("abcdefghi")
    )
    return [(CONF / "prices.yaml").read_bytes(), bomb.encode() + b"machines: *i\n",
            b"dated: 2026\nsource: x\ncurrency: USD\nmachines: {m: 1.5}\nec2: {r: {t: 2}}\n"]  # fmt: skip


def feed_prices(data: bytes, folder: Path) -> None:
    from harness.compare.pricing.price_file import read_prices

    path = folder / "prices.yaml"
    path.write_bytes(data)
    found = read_prices(path)
    for price in (*found.machines.values(), *(p for of in found.ec2.values() for p in of.values())):
        assert 0 < price < float("inf")


def published(folder: Path) -> list[bytes]:
    from harness.table.published.reference import FOLDER, TABLE

    return [(FOLDER / TABLE).read_bytes()]


def feed_published(data: bytes, folder: Path) -> None:
    from harness.table.published.reference import read_reference

    path = folder / "published_table.csv"
    path.write_bytes(data)
    for values in read_reference(path).values():
        assert all(value is None or np.isfinite(value) for value in values.values())


def overrides(folder: Path) -> list[bytes]:
    return [
        text.encode()
        for text in (
            "method=[fp32,int8_inc_mse]",
            "workload.images=128\nworkload.batch_size=32\ntuning.tolerance=0.01",
            "workload=custom\nworkload.rec=/x/a.rec\nworkload.network=resnet18_v1",
            "threads=kmp\nthreads.count=2\nprotocol=careful\nprotocol.sweep=[1,8]",
            "experiment=paper\nrun.id=a-b\nmachine=m\n~method.fp32",
            "+tuning.new=1\nworkload.transform.mean=[0.1,0.2,0.3]\nbaseline=fp32",
            "workload.rec=${oc.env:HOME}/x.rec\nrun.cache_limit_gb=1.5",
        )
    ]


def feed_overrides(data: bytes, folder: Path) -> None:
    from harness.config import compose_config

    words = data.decode("utf-8", "replace").split("\n")
    compose_config([word for word in words if "=" in word or word.startswith("~")])


def configurations(folder: Path) -> list[bytes]:
    return [
        b"# @package method.mine\nlabel: mine\n_target_: my.Method\nmode: smart\n",
        b"# @package method.mine\ndefaults:\n  - /inc_options@options: shared\n  - _self_\n"
        b"label: mine\n_target_: harness.methods.inc.Tuned\nstrategy: mse\n",
    ]


def feed_configuration(data: bytes, folder: Path) -> None:
    from harness.config import compose_config

    (folder / "conf" / "method").mkdir(parents=True, exist_ok=True)
    (folder / "conf" / "method" / "mine.yaml").write_bytes(data)
    compose_config(["method=[fp32,mine]"], [folder / "conf"])
