"""Write this folder's files for one version of MXNet 1; run by that version, never by the tests.

python3.6 -m venv old && old/bin/pip install mxnet==1.2.1.post1 'numpy==1.14.6' && old/bin/python make.py
"""

# ruff: noqa: B905 - the Python of these versions has no strict=
import json
import sys

import mxnet as mx
import numpy as np

VERSION = mx.__version__
GRID = np.arange(2 * 3 * 16 * 16, dtype="float64").reshape(2, 3, 16, 16)
IMAGES = (np.sin(GRID * 0.37) * 1.5).astype("float32")


def waves(shape, step):
    """Return values that no other file's weights have."""
    return mx.nd.array(np.sin(np.arange(int(np.prod(shape))) * step + 1).reshape(shape))


def module():
    """Batch norm, convolutions, a sum, and the loss of the Module API."""
    data = mx.sym.Variable("data")
    x = mx.sym.BatchNorm(data, fix_gamma=True, eps=2e-5, name="bn_data")
    x = mx.sym.Convolution(x, num_filter=4, kernel=(3, 3), pad=(1, 1), no_bias=True, name="conv0")
    x = mx.sym.BatchNorm(x, fix_gamma=False, eps=2e-5, momentum=0.9, name="bn0")
    x = mx.sym.Activation(x, act_type="relu", name="relu0")
    x = x + mx.sym.Convolution(x, num_filter=4, kernel=(3, 3), pad=(1, 1), name="conv1")
    x = mx.sym.Pooling(x, global_pool=True, kernel=(7, 7), pool_type="avg", name="pool1")
    x = mx.sym.FullyConnected(mx.sym.Flatten(x), num_hidden=10, name="fc1")
    return mx.sym.SoftmaxOutput(x, name="softmax")


def varied():
    """Operators whose attributes hold 0 for a side that stays, and an input with an unknown side."""
    data = mx.sym.Variable("data", shape=(0, 3, 16, 16))
    x = mx.sym.Convolution(data, num_filter=8, kernel=(3, 3), stride=(2, 2), pad=(1, 1), name="c0")
    x = mx.sym.LRN(mx.sym.LeakyReLU(x, act_type="prelu", name="p0"), nsize=3)
    a, b = mx.sym.SliceChannel(x, num_outputs=2, axis=1)
    pool = {"kernel": (3, 3), "stride": (2, 2), "pooling_convention": "full"}
    a = mx.sym.Pooling(a, pool_type="max", **pool)
    x = mx.sym.Concat(a, mx.sym.Pooling(b, pool_type="avg", **pool), dim=1)
    s = mx.sym.Pooling(x, global_pool=True, kernel=(1, 1), pool_type="avg")
    s = mx.sym.FullyConnected(mx.sym.Reshape(s, shape=(0, -1)), num_hidden=8, name="se")
    x = mx.sym.broadcast_mul(x, mx.sym.Reshape(mx.sym.sigmoid(s), shape=(0, 0, 1, 1)))
    x = mx.sym.transpose(mx.sym.Dropout(x, p=0.3), axes=(0, 2, 3, 1))
    x = mx.sym.slice_axis(mx.sym.mean(x, axis=(1, 2)), axis=1, begin=0, end=None)
    x = mx.sym.FullyConnected(mx.sym.L2Normalization(x) * 3 + 0.5, num_hidden=10, name="fc")
    return mx.sym.SoftmaxOutput(x, name="softmax")


def save_checkpoint(stem, epoch, symbol):
    shapes, _, others = symbol.infer_shape(data=IMAGES.shape)
    args = {
        name: waves(shape, 0.7 + number * 0.01)
        for number, (name, shape) in enumerate(zip(symbol.list_arguments(), shapes))
        if name not in ("data", "softmax_label")
    }
    aux = {
        name: waves(shape, 0.3) + (1.5 if "var" in name else 0)
        for name, shape in zip(symbol.list_auxiliary_states(), others)
    }
    mx.model.save_checkpoint(stem, epoch, symbol, args, aux)
    bound = symbol.simple_bind(mx.cpu(), grad_req="null", data=IMAGES.shape)
    bound.copy_params_from(args, aux)
    keep_scores(stem, bound.forward(is_train=False, data=mx.nd.array(IMAGES))[0])


def keep_scores(stem, scores):
    with open(stem + "-scores.json", "w") as out:
        json.dump(scores.asnumpy().tolist(), out)


def gluon_network():
    from mxnet.gluon import nn

    net = nn.HybridSequential(prefix="net_")
    with net.name_scope():
        net.add(nn.Conv2D(4, 3, padding=1), nn.BatchNorm(), nn.Activation("relu"))
        net.add(nn.GlobalAvgPool2D(), nn.Flatten(), nn.Dense(10))
    net.initialize()
    net.hybridize()
    return net


def fill(net, half=False):
    """Give a network that has run weights of its own; with ``half`` such as float16 holds exactly."""
    for number, (name, parameter) in enumerate(sorted(net.collect_params().items())):
        values = np.sin(np.arange(int(np.prod(parameter.shape))) * 0.7 + number + 1)
        values = values.reshape(parameter.shape).astype("float16" if half else "float32")
        values = values.astype("float32")
        parameter.set_data(mx.nd.array(1.5 + values if "var" in name else values))


def export_gluon(stem):
    net, images = gluon_network(), mx.nd.array(IMAGES)
    net(images)
    fill(net)
    keep_scores(stem, net(images))
    net.export(stem, 3)
    net.save_parameters(stem + "-own.params")


def export_half(stem):
    """float16 runs on a GPU alone: the scores are those of the same weights in float32."""
    net, images = gluon_network(), mx.nd.array(IMAGES)
    net(images)
    fill(net, half=True)
    keep_scores(stem, net(images))
    net.cast("float16")
    net(mx.sym.var("data")).save(stem + "-symbol.json")
    named = net.collect_params().items()
    prefix = {name: "aux:" if "running" in name else "arg:" for name, _ in named}
    mx.nd.save(stem + "-0003.params", {prefix[name] + name: p.data() for name, p in named})


def quantize(stem):
    from mxnet.contrib.quantization import quantize_model

    symbol, args, aux = mx.model.load_checkpoint("module-" + VERSION, 10)
    symbol = symbol.get_backend_symbol("MKLDNN_QUANTIZE")
    images = mx.io.NDArrayIter(IMAGES, np.zeros(2), 2)
    made = quantize_model(
        symbol, args, aux, calib_mode="naive", calib_data=images, quantized_dtype="auto",
        num_calib_examples=2, label_names=("softmax_label",), ctx=mx.cpu(),
    )  # fmt: skip
    made = (made[0].get_backend_symbol("MKLDNN_QUANTIZE"), *made[1:])
    mx.model.save_checkpoint(stem, 0, *made)


if __name__ == "__main__":
    if sys.argv[1:] == ["np"]:  # 1.9.1 with NumPy's semantics writes the newest magic number
        mx.npx.set_np()
        net, images = gluon_network(), mx.np.array(IMAGES)
        keep_scores("npgluon-" + VERSION, net(images))
        net.export("npgluon-" + VERSION, 3)
        sys.exit()
    save_checkpoint("module-" + VERSION, 10, module())
    if VERSION >= "1":
        save_checkpoint("varied-" + VERSION, 7, varied())
    if VERSION >= "1.2":
        export_gluon("gluon-" + VERSION)
    if VERSION >= "1.9":
        export_half("gluon16-" + VERSION)
        quantize("quantized-" + VERSION)
        two = mx.nd.array([[1, 2], [3, 4]])
        mx.nd.save("list-" + VERSION + ".params", [two, two])
