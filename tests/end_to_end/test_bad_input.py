"""Whatever is wrong with the input is refused at once: exit code 2, and one paragraph that names it.

Nothing is left in the results, and nothing was measured.
"""

from __future__ import annotations

import shutil
import signal
import struct
from pathlib import Path

import numpy as np
import pytest

from helpers.bundled_images import BUNDLED
from helpers.record_files import gradient, packed, write_record
from helpers.refusals import Refused

RECORD = BUNDLED / "fashion_mnist_test.rec"
PARAMS = BUNDLED / "resnet50v2_w4.params"
UNPINNED = ("workload.rec_sha256=null", "workload.params_sha256=null")
CUSTOM = ("workload=custom", f"workload.rec={RECORD}", "workload.classes=10")
SMALL = ("workload.transform.resize=32", "workload.transform.crop=32")


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("nosuch", ("nosuch", "run, table, report", "nightly", "--help")),
        ("--nosuch", ("--nosuch", "--help")),
        ("--conf=x", ("--conf=x", "--help")),
        ("--conf", ("--conf needs a folder",)),
        ("table", ("run=", "--help")),
        ("recover", ("run=", "method=", "trial=", "--help")),
    ],
)
def test_command_line(word: str, names: tuple[str, ...], capsys: pytest.CaptureFixture) -> None:
    """In this process: ``main`` is what the command line calls, and these go no further."""
    from harness.cli import main

    before = signal.getsignal(signal.SIGTERM)
    try:
        assert main([word]) == 2
    finally:
        signal.signal(signal.SIGTERM, before)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert all(name in err for name in names)


def test_run_that_is_not_there(refused: Refused) -> None:
    refused("table", "run=nosuch", names=("no run nosuch", str(refused.results), "none yet"))


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("nosuch=1", ("nosuch: there is no such key", "workload")),
        ("tuning.nosuch=1", ("tuning.nosuch", "criterion, tolerance")),
        ("method=[fp32,nosuch]", ("method=nosuch", "int8_smart_naive")),
        ("method=", ("method=", "int8_smart_naive")),
        ("method=[]", ("no method is chosen", "method=[fp32,...]")),
        ("method=5", ("method=5",)),
        ("workload=nosuch", ("workload=nosuch", "bundled, custom, imagenet")),
        ("experiment=nosuch", ("experiment=nosuch", "paper, resnet18, smoke")),
        ("threads=nosuch", ("threads=nosuch", "kmp, none, omp")),
        ("threads.policy=nosuch", ("threads.policy=nosuch", "omp, kmp or none")),
        *(
            (f"threads.count={n}", (f"threads.count={n}", "a whole number from 1 up"))
            for n in ("0", "-1", "1.5", "abc", "true")
        ),
        *(
            (f"workload.batch_size={n}", (f"workload.batch_size={n}", "whole number of at least 1"))
            for n in ("0", "-1", "1.5", "abc", "null", "true")
        ),
        ("workload.tuning.batches=0", ("workload.tuning.batches=0", "at least 1")),
        ("workload.classes=1", ("workload.classes=1", "at least 2")),
        ("workload.transform.crop=65", ("crop=65", "resize=64")),
        ("workload.transform.crop=0", ("workload.transform.crop=0", "at least 1")),
        ("workload.transform.crop=half", ("workload.transform.crop=half", "at least 1")),
        ("workload.transform.resize=null", ("workload.transform.resize=null", "at least 1")),
        ("workload.transform.keep_ratio=abc", ("keep_ratio=abc", "true or false")),
        ("workload.transform.mean=0.5", ("workload.transform.mean=0.5", "three numbers")),
        ("workload.transform.std=[0.2,0.2,0]", ("workload.transform.std", "above 0")),
        ("tuning.max_trials=0", ("tuning.max_trials=0", "at least 1")),
        ("tuning.max_trials=true", ("tuning.max_trials=true", "at least 1")),
        ("tuning.criterion=foo", ("tuning.criterion=foo", "relative or absolute")),
        ("tuning.tolerance=-0.1", ("tuning.tolerance=-0.1", "at least 0")),
        ("tuning.tolerance=nan", ("tuning.tolerance=nan", "at least 0")),
        ("workload.rec=", ("workload.rec=", "path")),
        ("run.id=a/b", ("run.id=a/b", "plain name")),
        ("run.id=..", ("run.id=..", "plain name")),
        ("machine=a/b", ("machine=a/b", "plain name")),
        ("run.cache=null", ("run.cache=null", "folder")),
    ],
)
def test_configuration(word: str, names: tuple[str, ...]) -> None:
    """In this process: ``compose_config`` is what the command line calls first."""
    from harness.config import compose_config
    from harness.errors import InputError
    from harness.host.threads import resolve
    from harness.host.topology import read_topology

    with pytest.raises(InputError) as caught:
        resolve(compose_config([word]).config.stored["threads"], read_topology(), None)
    assert "\n" not in str(caught.value)
    for part in names:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["nosuch=1"], ("nosuch",)),
        (["method=[fp32,nosuch]"], ("method=nosuch",)),
        (["threads.count=0"], ("threads.count=0",)),
        (["workload.batch_size=abc"], ("workload.batch_size=abc",)),
        (["workload.batch_size=2000"], ("workload.tuning.batches=9", "18000", "10000", "lower")),
        (["workload.images=0"], ("workload.images=0", "10000")),
        (["workload.images=10001"], ("workload.images=10001", "10000")),
        (["workload.images=true"], ("workload.images=True", "10000")),
        (["workload.params_sha256=0"], ("workload.params_sha256", "expected 0", str(PARAMS))),
        (["workload.classes=5"], (str(RECORD), "has label 9", "workload.classes")),
        (["workload.params=/nowhere/x"], ("workload.params=/nowhere/x", "no such file")),
        (["workload.rec=/nowhere/x.rec"], ("/nowhere/x.rec does not exist", "workload.rec")),
        (["workload.tuning.source=/nowhere/x"], ("/nowhere/x", "workload.tuning.source")),
        (["workload=imagenet"], ("imagenet", "needs workload.rec=")),
        (["workload=custom"], ("custom", "needs workload.rec=")),
    ],
)
def test_refused_before_mxnet_is_started(
    refused: Refused, words: list[str], names: tuple[str, ...]
) -> None:
    refused(*words, names=names)


def damaged_records(folder: Path) -> dict[str, tuple[str, ...]]:
    """Write records that cannot be used; return what must be said of each, by its file's name."""
    image = RECORD.read_bytes()[32:400]
    good = packed(1, image, 0)
    (folder / "folder.rec").mkdir()
    (folder / "empty.rec").touch()
    (folder / "truncated.rec").write_bytes(RECORD.read_bytes()[:100_000])
    (folder / "text.rec").write_text("These are only notes.\n" * 10)
    (folder / "damaged.rec").write_bytes(good + b"oops" + good[4:])
    (folder / "outside.rec").write_bytes(good + packed(10, image, 1))
    (folder / "vector.rec").write_bytes(packed(0, struct.pack("<2f", 1, 2) + image, 0, flag=2))
    (folder / "other_idx.rec").write_bytes(good * 2)
    shutil.copy(RECORD.with_suffix(".idx"), folder / "other_idx.idx")
    return {
        "folder.rec": ("Is a directory", "workload.rec"),
        "empty.rec": ("is empty", "make or copy it again"),
        "truncated.rec": ("is truncated", "copy or make the file again"),
        "text.rec": ("is no RecordIO file", "make it again"),
        "damaged.rec": (f"is damaged at byte {len(good)}", "copy it again"),
        "outside.rec": ("record 1", "label 10", "0 .. 9", "workload.classes"),
        "vector.rec": ("record 0", "list of 2 labels", "one label an image"),
        "other_idx.rec": ("other_idx.idx does not index", "2 records", "delete it"),
    }


def test_records_that_cannot_be_used(refused: Refused, tmp_path: Path) -> None:
    for name, names in damaged_records(tmp_path).items():
        refused(*UNPINNED, f"workload.rec={tmp_path / name}", names=(name, *names))


def test_files_that_may_not_be_read_or_written(refused: Refused, tmp_path: Path) -> None:
    shutil.copy(RECORD, tmp_path / "mine.rec")
    shutil.copy(PARAMS, tmp_path / "mine.params")
    for name in ("mine.rec", "mine.params"):
        (tmp_path / name).chmod(0)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    for word, names in [
        (f"workload.rec={tmp_path / 'mine.rec'}", ("mine.rec", "Permission denied", "permissions")),
        (f"workload.params={tmp_path / 'mine.params'}", ("mine.params", "Permission denied")),
        (f"run.results={closed}", (str(closed), "run.results=DIR")),
        (f"run.cache={closed}", (str(closed), "run.cache=DIR")),
    ]:
        refused(*UNPINNED, word, names=names)


@pytest.mark.parametrize("key", ["run.results", "run.cache"])
def test_file_in_the_place_of_a_folder(refused: Refused, tmp_path: Path, key: str) -> None:
    (tmp_path / "file").touch()
    refused(f"{key}={tmp_path / 'file' / 'in'}", names=(str(tmp_path / "file"), f"give {key}=DIR"))
    assert (tmp_path / "file").read_bytes() == b""


def test_refusal_leaves_what_was_there(refused: Refused) -> None:
    kept = refused.results / "machine" / "mine" / "thesis.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    with pytest.raises(AssertionError):  # the results are not empty, rightly
        refused("machine=machine", "run.id=mine", "workload.rec=/nowhere", names=("/nowhere",))
    assert kept.read_text() == "mine"
    assert [path.name for path in kept.parent.iterdir()] == ["thesis.txt"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of weights and symbols that do not fit."""
    import mxnet as mx
    from mxnet.gluon.model_zoo.vision import get_model

    folder = tmp_path_factory.mktemp("models")
    network = get_model("mobilenet0.25", classes=7)
    network.initialize()
    network.hybridize()
    network(mx.np.zeros((1, 3, 32, 32)))
    network.save_parameters(str(folder / "other.params"))
    network.export(str(folder / "seven"))
    weights = mx.npx.load(str(PARAMS))
    name = sorted(name for name in weights if name.endswith("weight"))[5]
    values = weights[name].asnumpy()
    values.flat[3] = np.nan
    mx.npx.savez(str(folder / "nan.params"), **{**weights, name: mx.np.array(values)})
    (folder / "nan.txt").write_text(name)
    (folder / "text.params").write_text("These are only notes.\n" * 10)
    (folder / "empty.params").touch()
    (folder / "truncated.params").write_bytes(PARAMS.read_bytes()[:200_000])
    (folder / "text-symbol.json").write_text("These are only notes.\n")
    (folder / "other-symbol.json").write_text('{"nodes": 5}')
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("text", "it begins with b'These"),
        ("empty", "it is empty"),
        ("truncated", "not a zip file"),
        ("other", "do not fit the bundled network"),
    ],
)
def test_weights_that_do_not_load(refused: Refused, models: Path, name: str, said: str) -> None:
    path = models / f"{name}.params"
    refused(*UNPINNED, f"workload.params={path}", names=(f"the weights {path}", said, "heck"))


@pytest.mark.slow
def test_weights_with_nan(refused: Refused, models: Path) -> None:
    message = refused(
        *UNPINNED, f"workload.params={models / 'nan.params'}", names=("NaN", "workload.params")
    )
    assert (models / "nan.txt").read_text() in message


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], ("workload.network", "workload.symbol")),
        (
            ["workload.network=resnet18_v1", "workload.symbol={seven-symbol.json}"],
            ("workload.network", "workload.symbol"),
        ),
        (
            ["workload.network=nosuch", "workload.random_weights=true"],
            ("workload.network=nosuch", "resnet50_v2"),
        ),
        (
            ["workload.network=resnet18_v1"],
            ("no weights for resnet18_v1", "workload.params=", "workload.random_weights=true"),
        ),
        (
            ["workload.network=resnet50_v2", "workload.params={other.params}"],
            ("other.params do not fit resnet50_v2", "workload.params"),
        ),
        (
            ["workload.network=mobilenet0.25", "workload.params={other.params}"],
            ("other.params do not fit mobilenet0.25", "(10,", "(7,", "workload.classes"),
        ),
        (["workload.symbol={seven-symbol.json}"], ("seven-symbol.json", "workload.params=")),
        (
            ["workload.symbol={text-symbol.json}", "workload.params={seven-0000.params}"],
            ("text-symbol.json cannot be read", "workload.symbol"),
        ),
        (
            ["workload.symbol={other-symbol.json}", "workload.params={seven-0000.params}"],
            ("other-symbol.json cannot be read", "workload.symbol"),
        ),
        (
            ["workload.symbol={seven-symbol.json}", "workload.params={text.params}"],
            ("text.params are damaged or no file that MXNet wrote", "workload.params"),
        ),
        (
            ["workload.symbol={seven-symbol.json}", "workload.params={seven-0000.params}"],
            ("7 classes", "workload.classes is 10"),
        ),
    ],
)
def test_custom_workload(
    refused: Refused, models: Path, words: list[str], names: tuple[str, ...]
) -> None:
    given = [word.replace("{", f"{models}/").replace("}", "") for word in words]
    refused(*CUSTOM, *SMALL, *given, names=names)


@pytest.mark.slow
def test_imagenet_without_weights(refused: Refused) -> None:
    refused(
        "workload=imagenet",
        f"workload.rec={RECORD}",
        names=("no weights for resnet50_v2", "workload.params=", "workload.download=true"),
    )


@pytest.mark.slow
def test_image_that_does_not_decode(refused: Refused, tmp_path: Path) -> None:
    """Only decoding tells; the plan is on disk by then, and no row was begun."""
    import cv2

    image = bytes(cv2.imencode(".jpg", gradient(60, 60))[1])
    record = write_record(tmp_path / "broken.rec", [image] * 3 + [b"no image"])
    refused(
        *UNPINNED,
        f"workload.rec={record}",
        "workload.batch_size=4",
        "workload.tuning.batches=1",
        names=("image 3 of", str(record), "at byte", "does not decode", "replace it"),
        planned=True,
    )
    assert [path.suffix for path in refused.cache.glob("*/*")] == [".lock"]
