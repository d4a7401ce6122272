"""Networks as people write them, small: for images (n, 28, 28, 1), `n_outputs` or another field for the number of outputs."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx


class MnistCnn(nn.Module):
    """Convolutions, pooling, a readout."""

    n_outputs: int = 2

    @nn.compact
    def __call__(self, x):
        x = nn.avg_pool(nn.relu(nn.Conv(2, (3, 3), strides=(4, 4))(x)), (2, 2), strides=(2, 2))
        x = nn.relu(nn.Conv(3, (3, 3))(x))
        return nn.Dense(self.n_outputs)(x.reshape(len(x), -1))


class LeNet(nn.Module):
    """Convolutions without padding, tanh, average pooling, two dense layers."""

    n_outputs: int = 2

    @nn.compact
    def __call__(self, x):
        for channels in (2, 3):
            x = nn.avg_pool(jnp.tanh(nn.Conv(channels, (5, 5), padding="VALID")(x)), (2, 2), strides=(2, 2))
        x = jnp.tanh(nn.Dense(4)(x.reshape(len(x), -1)))
        return nn.Dense(self.n_outputs)(x)


class ResNet(nn.Module):
    """A stem and one residual block, normalised by running averages or by groups."""

    n_outputs: int = 2
    norm: str = "batch"

    @nn.compact
    def __call__(self, x, train: bool = True):
        def normalised(x):
            if self.norm == "group":
                return nn.GroupNorm(num_groups=2)(x)
            return nn.BatchNorm(use_running_average=not train)(x)

        x = nn.Conv(4, (3, 3), strides=(7, 7), use_bias=False)(x)
        inner = nn.Conv(4, (3, 3), use_bias=False)(nn.relu(normalised(x)))
        x = x + nn.Conv(4, (3, 3), use_bias=False)(nn.relu(normalised(inner)))
        return nn.Dense(self.n_outputs)(jnp.mean(nn.relu(x), axis=(1, 2)))


class Mixer(nn.Module):
    """MLP-Mixer: patches, an MLP over patches, an MLP over channels."""

    n_outputs: int = 2

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(4, (14, 14), strides=(14, 14))(x).reshape(len(x), -1, 4)
        tokens = jnp.swapaxes(nn.LayerNorm()(x), 1, 2)
        x = x + jnp.swapaxes(nn.Dense(x.shape[1])(nn.gelu(nn.Dense(3)(tokens))), 1, 2)
        x = x + nn.Dense(4)(nn.gelu(nn.Dense(5)(nn.LayerNorm()(x))))
        return nn.Dense(self.n_outputs)(jnp.mean(x, axis=1))


class ViT(nn.Module):
    """Patches, a class token, positions, one encoder block with dropout, and a second output: the tokens."""

    num_classes: int = 2

    @nn.compact
    def __call__(self, x, deterministic: bool):
        x = nn.Conv(4, (14, 14), strides=(14, 14))(x).reshape(len(x), -1, 4)
        token = self.param("token", nn.initializers.normal(0.5), (1, 1, 4))
        x = jnp.concatenate([jnp.broadcast_to(token, (len(x), 1, 4)), x], axis=1)
        x = x + self.param("positions", nn.initializers.normal(0.5), (1, x.shape[1], 4))
        x = x + nn.MultiHeadDotProductAttention(num_heads=2)(nn.LayerNorm()(x), deterministic=deterministic)
        x = x + nn.Dropout(0.3, deterministic=deterministic)(nn.Dense(4)(nn.gelu(nn.Dense(6)(nn.LayerNorm()(x)))))
        return nn.Dense(self.num_classes)(nn.LayerNorm()(x)[:, 0]), x


class ConvMixer(nn.Module):
    """Patches, a depthwise convolution around which the input is added, a pointwise one."""

    n_outputs: int = 2

    @nn.compact
    def __call__(self, x, use_running_average: bool = False):
        def normalised(x):
            return nn.BatchNorm(use_running_average)(nn.gelu(x))

        x = normalised(nn.Conv(4, (7, 7), strides=(7, 7))(x))
        x = x + normalised(nn.Conv(4, (3, 3), feature_group_count=4)(x))
        return nn.Dense(self.n_outputs)(jnp.mean(normalised(nn.Conv(4, (1, 1))(x)), axis=(1, 2)))


class Siren(nn.Module):
    """Sines with the frequency 30 in the first layer, and a uniform initialization by fan-in."""

    n_outputs: int = 2

    @nn.compact
    def __call__(self, x):
        x = x.reshape(len(x), -1)
        for layer, (features, frequency) in enumerate(((6, 30.0), (6, 1.0))):
            bound = 1 / x.shape[-1] if layer == 0 else (6 / x.shape[-1]) ** 0.5
            drawn = lambda key, shape, dtype, b=bound: jax.random.uniform(key, shape, dtype, -b, b)  # noqa: E731
            x = jnp.sin(frequency * nn.Dense(features, kernel_init=drawn)(x))
        return nn.Dense(self.n_outputs)(x)


class NnxMlp(nnx.Module):
    """A list of layers, one of which is used twice."""

    def __init__(self, width: int = 4, n_outputs: int = 2, *, rngs: nnx.Rngs):
        self.first = nnx.Linear(28 * 28, width, rngs=rngs)
        self.inner = nnx.List([nnx.Linear(width, width, rngs=rngs)])
        self.readout = nnx.Linear(width, n_outputs, rngs=rngs)

    def __call__(self, x):
        x = jnp.tanh(self.first(x.reshape(len(x), -1)))
        for layer in (*self.inner, *self.inner):
            x = jnp.tanh(layer(x))
        return self.readout(x)


class NnxCnn(nnx.Module):
    """A convolution, running averages, dropout."""

    def __init__(self, n_outputs: int = 2, *, rngs: nnx.Rngs):
        self.conv = nnx.Conv(1, 3, (5, 5), strides=(7, 7), rngs=rngs)
        self.norm = nnx.BatchNorm(3, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.readout = nnx.Linear(3, n_outputs, rngs=rngs)

    def __call__(self, x):
        x = self.drop(nnx.relu(self.norm(self.conv(x))))
        return self.readout(jnp.mean(x, axis=(1, 2)))


# class -> its fields, the arguments of its call, which of several outputs, how many outputs it has by default
ARCHITECTURES = {
    "MnistCnn": {},
    "LeNet": {},
    "ResNet": {"call": {"train": False}},
    "ResNetGroupNorm": {"class": "ResNet", "fields": {"norm": "group"}},
    "Mixer": {},
    "ViT": {"call": {"deterministic": True}, "output": 0, "fields": {"num_classes": 2}},
    "ConvMixer": {"call": {"use_running_average": True}},
    "Siren": {},
    "NnxMlp": {},
    "NnxCnn": {},
}
