"""Make the bundled workload: Fashion-MNIST as a record of JPEGs, and a ResNet50v2 trained on it.

    python -m benchmarks.bundled.make record    # fashion_mnist_test.rec and .idx
    python -m benchmarks.bundled.make train     # trained.params, half an hour on 2 cores
    python -m benchmarks.bundled.make rescale   # resnet50v2_w4.params and rescale.json

The source is the directory of Debian's package ``dataset-fashion-mnist`` (MIT licence); ``--source``
names another copy. Its four files are verified by SHA-256 before they are used. The record is
reproduced byte for byte; training starts from ``--seed`` and reproduces the accuracy, not the last
bit of the weights, because the order of OpenMP's sums is not fixed.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

HERE = Path(__file__).parent
SOURCE = Path("/usr/share/datasets/fashion-mnist")
SOURCE_SHA256 = {  # of the unpacked files: packagers compress them anew
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
JPEG_QUALITY = 85
RESIZE, CROP = 64, 56  # conf/workload/bundled.yaml says the same; a test compares them
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
LAYERS = [3, 4, 6, 3]
CHANNELS = [16, 64, 128, 256, 512]  # a quarter of ResNet50v2's 64, 256, 512, 1024, 2048
CLASSES = 10


def read_idx(source: Path, name: str) -> npt.NDArray[Any]:
    """Return the array of a gzipped IDX file of unsigned bytes, after checking its SHA-256.

    Raises:
        SystemExit: the file is missing or is not the published one.
    """
    path = source / name
    if not path.is_file():
        raise SystemExit(
            f"{path} is missing: install Debian's dataset-fashion-mnist or give --source"
        )
    raw = gzip.decompress(path.read_bytes())
    digest = hashlib.sha256(raw).hexdigest()
    if digest != SOURCE_SHA256[name]:
        raise SystemExit(f"{path} unpacks to SHA-256 {digest}, expected {SOURCE_SHA256[name]}")
    dimensions = raw[3]
    shape = np.frombuffer(raw, ">u4", count=dimensions, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def encode_jpeg(image: npt.NDArray[Any]) -> bytes:
    """Return a (28, 28) uint8 image as a grayscale JPEG."""
    import cv2

    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return bytes(cv2.imencode(".jpg", image, options)[1])


def make_record(source: Path, out: Path) -> None:
    """Write the 10,000 test images, in their published order, as an indexed record."""
    from mxnet import recordio

    images = read_idx(source, "t10k-images-idx3-ubyte.gz")
    labels = read_idx(source, "t10k-labels-idx1-ubyte.gz")
    stem = out / "fashion_mnist_test"
    writer = recordio.MXIndexedRecordIO(f"{stem}.idx", f"{stem}.rec", "w")
    for key, (image, label) in enumerate(zip(images, labels)):
        header = recordio.IRHeader(0, float(label), key, 0)
        writer.write_idx(key, recordio.pack(header, encode_jpeg(image)))
    writer.close()


def network() -> Any:
    """Return the untrained network: ResNet50v2's topology at a quarter of its width."""
    from mxnet.gluon.model_zoo.vision.resnet import BottleneckV2, ResNetV2

    return ResNetV2(BottleneckV2, LAYERS, CHANNELS, classes=CLASSES)


def pretrained(params: str) -> Any:
    """Return the network with weights from a file; conf/workload/bundled.yaml names this.

    Raises:
        harness.errors.InputError: the file is missing or is of another network.
    """
    from harness.workloads.models import load_parameters

    net = network()
    load_parameters(net, Path(params), "the bundled network")
    return net


def decoded(images: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return (n, 64, 64) uint8: what the harness's own pipeline gives before the crop."""
    import mxnet as mx

    out = np.empty((len(images), RESIZE, RESIZE), dtype=np.uint8)
    for i, image in enumerate(images):
        pixels = mx.image.imdecode(encode_jpeg(image), flag=1).as_np_ndarray()
        out[i] = mx.npx.image.resize(pixels, (RESIZE, RESIZE), False, 1).asnumpy()[:, :, 0]
    return out


def as_batch(gray: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return (n, 3, h, w) normalised float32 of (n, h, w) uint8."""
    scaled = gray[:, None].astype(np.float32) / 255.0
    normalised: npt.NDArray[Any] = (scaled - MEAN[:, None, None]) / STD[:, None, None]
    return normalised


def augmented(gray: npt.NDArray[Any], rng: np.random.Generator) -> npt.NDArray[Any]:
    """Return (n, 56, 56): one random crop, a random mirror and a random erased patch per image."""
    out = np.empty((len(gray), CROP, CROP), dtype=np.uint8)
    offsets = rng.integers(0, RESIZE - CROP + 1, size=(len(gray), 2))
    for i, (top, left) in enumerate(offsets):
        view = gray[i, top : top + CROP, left : left + CROP]
        out[i] = view[:, ::-1] if rng.random() < 0.5 else view
        if rng.random() < 0.3:
            side = rng.integers(8, 24, size=2)
            at = rng.integers(0, CROP - side)
            out[i, at[0] : at[0] + side[0], at[1] : at[1] + side[1]] = rng.integers(0, 256)
    return out


def central(gray: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the (n, 56, 56) central crops, as the validation pipeline takes them."""
    edge = (RESIZE - CROP) // 2
    return gray[:, edge : edge + CROP, edge : edge + CROP]


def settle(net: Any, gray: npt.NDArray[Any], batches: int = 100, batch: int = 256) -> None:
    """Re-estimate the batch norms' running statistics on images as they are validated.

    Two reasons. MXNet updates running statistics in the backward pass, and the first batch norm,
    with neither weights nor an input that wants a gradient, has none: its statistics would stay 0
    and 1. And those of the others were taken on mirrored, shifted and partly erased images.
    """
    import mxnet as mx
    from mxnet import autograd

    pixels = as_batch(central(gray[: 10 * batch]))
    net.features[0].running_mean.set_data(mx.np.array(pixels.mean(axis=(0, 2, 3))))
    net.features[0].running_var.set_data(mx.np.array(pixels.var(axis=(0, 2, 3))))
    for start in range(0, batches * batch, batch):
        data = mx.np.array(as_batch(central(gray[start : start + batch])))
        with autograd.record():
            total = net(data).sum()
        total.backward()


def accuracy(net: Any, gray: npt.NDArray[Any], labels: npt.NDArray[Any], batch: int = 250) -> float:
    """Return the top-1 accuracy on the central crops."""
    import mxnet as mx

    centre = central(gray)
    right = 0
    for start in range(0, len(centre), batch):
        scores = net(mx.np.array(as_batch(centre[start : start + batch]))).asnumpy()
        right += int((scores.argmax(1) == labels[start : start + batch]).sum())
    return right / len(centre)


def train(source: Path, out: Path, seed: int, epochs: int, batch: int, peak_rate: float) -> None:
    """Train from ``seed`` with SGD, Nesterov momentum and a one-cycle cosine rate; save the weights."""
    import mxnet as mx
    from mxnet import autograd, gluon

    mx.npx.set_np()
    mx.np.random.seed(seed)
    rng = np.random.default_rng(seed)
    images = decoded(read_idx(source, "train-images-idx3-ubyte.gz"))
    labels = read_idx(source, "train-labels-idx1-ubyte.gz")
    test_images = decoded(read_idx(source, "t10k-images-idx3-ubyte.gz"))
    test_labels = read_idx(source, "t10k-labels-idx1-ubyte.gz")

    net = network()
    net.initialize(mx.init.Xavier(rnd_type="gaussian", factor_type="in", magnitude=2))
    net.hybridize(static_alloc=True, static_shape=True)
    loss_of = gluon.loss.SoftmaxCrossEntropyLoss()
    options = {"learning_rate": peak_rate, "momentum": 0.9, "wd": 5e-4}
    trainer = gluon.Trainer(net.collect_params(), "nag", options)
    steps = epochs * (len(images) // batch)
    warm = steps // 10
    step = 0
    for epoch in range(epochs):
        began, total = time.monotonic(), 0.0
        order = rng.permutation(len(images))
        for start in range(0, len(order) - batch + 1, batch):
            rise = min(1.0, (step + 1) / warm)
            fall = 0.5 * (1 + np.cos(np.pi * max(0, step - warm) / (steps - warm)))
            trainer.set_learning_rate(peak_rate * rise * fall)
            rows = order[start : start + batch]
            data = mx.np.array(as_batch(augmented(images[rows], rng)))
            with autograd.record():
                loss = loss_of(net(data), mx.np.array(labels[rows]))
            loss.backward()
            trainer.step(batch)
            total += float(loss.mean().asnumpy())
            step += 1
        print(
            f"epoch {epoch + 1}/{epochs}: loss {total / (len(images) // batch):.4f}, "
            f"{time.monotonic() - began:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    settle(net, images)
    print(f"top-1 on the test images: {accuracy(net, test_images, test_labels):.4f}")
    net.save_parameters(str(out / "trained.params"))


def rescale(source: Path, out: Path, decades: float) -> None:
    """Rescale the first convolution's channels without changing the function; save the weights.

    ``features.2`` (the batch norm behind the first convolution) gets gamma and beta times s_c, and
    ``features.5.0.bn1``, the only reader of what ReLU and max-pooling pass on, gets running mean
    times s_c and variance v -> (v + eps) * s_c**2 - eps. ReLU and max-pooling are positively
    homogeneous, so s_c cancels. s_c runs from 10**-decades to 10**decades in even steps of its
    logarithm, the larger the more strongly the channel responds to the first 64 test images.
    """
    import mxnet as mx

    net = network()
    net.load_parameters(str(out / "trained.params"))
    images = decoded(read_idx(source, "t10k-images-idx3-ubyte.gz")[:64])
    response = mx.np.array(as_batch(central(images)))
    for layer in range(4):  # batch norm, convolution, batch norm, ReLU
        response = net.features[layer](response)
    strongest = response.asnumpy().max(axis=(0, 2, 3)).argsort()
    scale = np.empty(CHANNELS[0], dtype=np.float32)
    scale[strongest] = np.logspace(-decades, decades, CHANNELS[0])
    apply_scale(net, scale)
    net.save_parameters(str(out / "resnet50v2_w4.params"))
    story = {"layer": "features.2", "reader": "features.5.0.bn1", "scale": scale.tolist()}
    (out / "rescale.json").write_text(json.dumps(story, indent=1) + "\n")


def apply_scale(net: Any, scale: npt.NDArray[Any]) -> None:
    """Multiply the first convolution's channels by ``scale`` and undo it in the next batch norm."""
    import mxnet as mx

    first, reader = net.features[2], net.features[5][0].bn1
    epsilon = reader._kwargs["eps"]
    first.gamma.set_data(mx.np.array(first.gamma.data().asnumpy() * scale))
    first.beta.set_data(mx.np.array(first.beta.data().asnumpy() * scale))
    reader.running_mean.set_data(mx.np.array(reader.running_mean.data().asnumpy() * scale))
    variance = (reader.running_var.data().asnumpy() + epsilon) * scale**2 - epsilon
    # may be negative for a channel that is nearly always 0; only its sum with epsilon counts
    reader.running_var.set_data(mx.np.array(variance))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=["record", "train", "rescale"])
    parser.add_argument("--source", type=Path, default=SOURCE)
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--seed", type=int, default=9527)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--peak-rate", type=float, default=0.2)
    parser.add_argument("--decades", type=float, default=1.2)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.step == "record":
        make_record(options.source, options.out)
    elif options.step == "train":
        train(
            options.source,
            options.out,
            options.seed,
            options.epochs,
            options.batch,
            options.peak_rate,
        )
    else:
        rescale(options.source, options.out, options.decades)


if __name__ == "__main__":
    main()
