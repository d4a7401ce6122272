"""Images and labels as a prepared set of TFDS, written by TFDS's own builder of that name, without TensorFlow.

TFDS needs TensorFlow for two steps alone: to read the source files, and to encode an array as PNG.  Here the arrays are there,
and it is given PNG bytes.  Its writer puts the examples into an order that hashes of their positions decide: the order, and
with it the fingerprint of the images, is the same as in a set that TFDS has prepared by itself.
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ntkrun.data.sources.source_files import Decoded
from ntkrun.data.sources.tfds_messages import errors_only
from ntkrun.types import NumpyArray


def write_records(name: str, data_dir: Path, decoded: Decoded, advance: Callable[[int], object]) -> Path:
    """Write `<data_dir>/<name>/<version>` as ArrayRecord files and return it.  advance: told of every example."""
    import tensorflow_datasets as tfds

    published: Any = tfds.builder_cls(name)

    class Builder(published, skip_registration=True):  # pyright: ignore[reportGeneralTypeIssues, reportCallIssue]
        """The set as TFDS knows it, its version, features and description, from arrays in place of files."""

        __module__ = published.__module__  # is written into dataset_info.json

        def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
            if decoded.class_names:
                self.info.features["label"].names = decoded.class_names
            return {split: self._generate_examples(split) for split in decoded.splits}

        def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
            with_id = "id" in self.info.features
            for index, (image, label) in enumerate(zip(*decoded.splits[split], strict=True)):
                example = {"image": _png(image), "label": int(label)}
                yield index, example | ({"id": f"{split}_{index:05d}"} if with_id else {})
                advance(1)

    Builder.name = name
    builder = Builder(data_dir=str(data_dir), file_format="array_record")
    said = io.StringIO()  # of bars and sizes that it does not know
    with errors_only(), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        # without the option older versions ask Google Cloud Storage for a prepared copy
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    return data_dir / name / str(builder.version)


def _png(image: NumpyArray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "png")
    return buffer.getvalue()
