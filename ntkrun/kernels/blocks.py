"""A kernel in blocks of examples, which may be kept in a folder and found there when the computation goes on."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from ntkrun.devices.placement import working_bytes
from ntkrun.errors import UserError
from ntkrun.models.constants import digest
from ntkrun.types import AnyArray, Array, Params, check_number

ByLayer = dict[str, Array]
WHOLE = ""  # the one key where layers are not told apart
Blocks = tuple[list[slice], list[slice]]  # the examples of x1, and those of x2, that are worked on together
Block = Callable[[Array, Array | None], ByLayer]  # of some examples of x1 with some of x2; None: with themselves


def slices(n: int, most: int) -> list[slice]:
    """As few and as equal slices of n examples as hold at most `most` each."""
    size = -(-n // -(-n // most))
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def blocks_within(bytes_per_example: int, x1: Any, x2: Any, memory_bytes: int | None) -> Blocks:
    """The examples of x1 and of x2 (None: x1) that are worked on together, both within the memory (None: the device's)."""
    if memory_bytes is not None:
        check_number("memory, in bytes,", memory_bytes, above=0)
    most = max(1, int((memory_bytes or working_bytes()) // (2 * bytes_per_example)))
    return slices(x1.shape[0], most), slices((x1 if x2 is None else x2).shape[0], most)


def mirrored(kernel: Array) -> Array:
    """Theta[i, j, a, b] = Theta[j, i, b, a]."""
    return kernel.swapaxes(0, 1) if kernel.ndim == 2 else kernel.transpose(1, 0, 3, 2)


def in_blocks(block: Block, x1: Array, x2: Array | None, blocks: Blocks, kept: "KeptBlocks | None" = None) -> ByLayer:
    """`block` of all pairs of blocks, put together; of x1 with itself (x2 = None) those on and below the diagonal."""
    rows, columns = blocks
    if len(rows) == len(columns) == 1 and kept is None:
        return block(x1, x2)
    if isinstance(x1, Tracer):
        return _looped(block, x1, x2, blocks)
    found: list[list[ByLayer]] = [[{} for _ in columns] for _ in rows]
    for i, some in enumerate(rows):
        for j, others in enumerate(columns):
            if x2 is None and j > i:
                continue
            second = x1[others] if x2 is None else x2[others]
            pair = x1[some], None if x2 is None and i == j else second
            found[i][j] = block(*pair) if kept is None else kept.block(i, j, block, *pair)
            if x2 is None and j < i:
                found[j][i] = {layer: mirrored(one) for layer, one in found[i][j].items()}
    return {
        layer: jnp.concatenate([jnp.concatenate([one[layer] for one in row], axis=1) for row in found], axis=0)
        for layer in found[0][0]
    }


def _looped(block: Block, x1: Array, x2: Array | None, blocks: Blocks) -> ByLayer:
    """The same inside a caller's program, as loops over blocks: unrolled, its compilation would grow with their number."""
    first = _of_blocks(x1, blocks[0])
    second = first if x2 is None else _of_blocks(x2, blocks[1])
    n1, n2 = len(first), len(second)

    def pair(at: tuple[Array, Array]) -> ByLayer:
        return block(first[at[0]], second[at[1]])

    i, j = np.tril_indices(n1, -1) if x2 is None else np.indices((n1, n2)).reshape(2, -1)
    off = jax.lax.map(pair, (i, j))
    within = jax.lax.map(lambda x: block(x, None), first) if x2 is None else None
    rows, columns = len(x1), len(x1 if x2 is None else x2)
    found = {}
    for layer, some in off.items():
        whole = jnp.zeros((n1, n2, *some.shape[1:]), some.dtype).at[i, j].set(some)
        if within is not None:
            whole = whole.at[np.arange(n1), np.arange(n1)].set(within[layer]).at[j, i].set(jax.vmap(mirrored)(some))
        whole = whole.swapaxes(1, 2)
        found[layer] = whole.reshape(n1 * whole.shape[1], n2 * whole.shape[3], *whole.shape[4:])[:rows, :columns]
    return found


def _of_blocks(x: Array, blocks: list[slice]) -> Array:
    """(blocks, examples of a block, ...); the last is filled up with zeros."""
    size = blocks[0].stop
    padded = jnp.pad(x, ((0, size * len(blocks) - len(x)), *((0, 0),) * (x.ndim - 1)))
    return padded.reshape(len(blocks), size, *x.shape[1:])


def kernel_hash(params: Params, x1: Array, x2: Array | None, settings: object) -> str:
    """Of all parameters by their paths, of both inputs and of settings that print alike."""
    named = [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path((params, x1, x2))]
    told = [(name, digest(np.asarray(leaf))) for name, leaf in named]
    return hashlib.sha256(json.dumps([told, repr(settings)]).encode()).hexdigest()


class KeptBlocks:
    """Blocks of one kernel in a folder: `kernel.json` says of which, `block_<i>_<j>.npz` are those that are finished.

    A file appears under its name when it is whole.  Two processes may work in one folder: they do the same.
    """

    def __init__(self, folder: str | Path, kernel: str, outputs: AnyArray, blocks: Blocks) -> None:
        """kernel   hash of all that the kernel is determined by but the code of the function
        outputs  of the function on the first examples, which tell that it is the same one
        blocks   as the memory at hand suggests them; those of the folder's first call are taken

        Raises `UserError` where the folder holds another kernel, or cannot be written.
        """
        self.folder = Path(folder).expanduser()
        self.blocks = blocks
        told = {"kernel": kernel, "outputs": np.asarray(outputs, np.float64).tolist()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            there = sorted(path.name for path in self.folder.iterdir() if not path.name.startswith("."))
            if not there:
                starts = [[[part.start, part.stop] for part in side] for side in blocks]
                self._write("kernel.json", json.dumps(told | {"blocks": starts}).encode())
            else:
                self._compare(told, there)
        except OSError as error:
            raise UserError(f"resume_in={folder} cannot be written ({error.strerror}): name another folder") from error

    def _compare(self, told: dict, there: Sequence[str]) -> None:
        other = UserError(
            f"resume_in={self.folder} holds something else ({there[0]}): other parameters, inputs, settings or another "
            "function; name a new folder"
        )
        if "kernel.json" not in there:
            raise other
        try:
            first = json.loads((self.folder / "kernel.json").read_text())
        except ValueError:
            raise other from None
        # the same function compiled for another machine rounds differently
        if first["kernel"] != told["kernel"] or not np.allclose(
            first["outputs"], told["outputs"], rtol=1e-3, atol=1e-6
        ):
            raise other
        rows, columns = ([slice(*part) for part in side] for side in first["blocks"])
        self.blocks = rows, columns

    def block(self, i: int, j: int, block: Block, x1: Array, x2: Array | None) -> ByLayer:
        """The block of the folder, else computed and kept."""
        path = self.folder / f"block_{i}_{j}.npz"
        if path.exists():
            try:
                with np.load(path, allow_pickle=False) as file:
                    return {str(layer): jnp.asarray(file[f"kernel_{n}"]) for n, layer in enumerate(file["layers"])}
            except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
                raise UserError(f"{path} is damaged: delete it, and it is computed again") from error
        found = jax.block_until_ready(block(x1, x2))
        self._write(path.name, found)
        return found

    def _write(self, name: str, content: bytes | ByLayer) -> None:
        aside = self.folder / f".{name}.{os.getpid()}"
        with aside.open("wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                arrays: dict[str, Any] = {f"kernel_{n}": np.asarray(one) for n, one in enumerate(content.values())}
                np.savez(file, layers=np.array(list(content)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self.folder / name)
