"""Decoding a prepared TFDS directory (ArrayRecord files) without TensorFlow."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from ntkrun.data.sources.image_set import ImageSet, check_image_set, fingerprint_of
from ntkrun.data.sources.locate import NAMES, fetch_command
from ntkrun.data.sources.tfds_messages import errors_only
from ntkrun.errors import UserError

# Decoded dictionaries of one read; a thousand of them are a few MB.
_READ_AT_ONCE = 1000


def read_records(directory: Path) -> ImageSet:
    """Decode both splits of `<data_dir>/<name>/<version>`, or of a set's configuration, `<name>/<configuration>/<version>`:
    about 0.1 ms an image.

    Raises:
        UserError: naming the directory when its description or its records cannot be read, or hold other counts or
            shapes than they announce.
    """
    name = directory.parent.name
    again = fetch_command(name) if name in NAMES else "prepare it again"
    _check_file_format(directory, again)
    with errors_only():
        try:
            builder = _builder(directory)
            name = "/".join(filter(None, [builder.info.name, builder.info.config_name]))
            _check_features(builder, name)
            splits = [_read_split(builder, split) for split in ("train", "test")]
            counts = (builder.info.splits["train"].num_examples, builder.info.splits["test"].num_examples)
            class_names = tuple(builder.info.features["label"].names)
        # TFDS, protobuf, Riegeli and PIL each raise their own kinds over the same cause: files that are not what
        # they should be.
        except UserError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:160]
            raise UserError(f"cannot read {directory} ({reason}); remove it and {again}") from error
    (train_images, train_labels), (test_images, test_labels) = splits
    arrays = (train_images, train_labels, test_images, test_labels)
    images = ImageSet(name, name, "tfds", *arrays, class_names=class_names, fingerprint=fingerprint_of(arrays))
    return check_image_set(images, counts, str(directory))


def record_files(directory: Path) -> list[Path]:
    """Every file of the prepared directory, sorted: the records and their description."""
    try:
        return sorted(path for path in directory.iterdir() if path.is_file())
    except OSError as error:
        raise UserError(f"cannot read {directory} ({error.strerror}); correct its permissions") from error


def _check_features(builder: Any, name: str) -> None:
    """UserError unless it has a train and a test split of 8-bit images of one size, each with a label."""
    features, splits = dict(builder.info.features.items()), sorted(builder.info.splits)
    image, label = features.get("image"), features.get("label")
    if not {"train", "test"} <= set(splits):
        raise UserError(f"data.name={name} has the splits {', '.join(splits)}: it needs train and test")
    if image is None or label is None or not hasattr(label, "names"):
        raise UserError(
            f"data.name={name} has the features {', '.join(sorted(features))}: it needs image and a class, label"
        )
    if None in image.shape or image.np_dtype != np.uint8:
        raise UserError(
            f"data.name={name} has images of {np.dtype(image.np_dtype).name} {image.shape}: they must be uint8, all of one size"
        )


def _check_file_format(directory: Path, again: str) -> None:
    info = directory / "dataset_info.json"
    try:
        file_format = json.loads(info.read_text()).get("fileFormat", "tfrecord")
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"cannot read {info}; remove {directory} and {again}") from error
    if file_format != "array_record":
        raise UserError(
            f"{directory} holds {file_format} files, which need TensorFlow to read; "
            f"set NTKRUN_DATA_DIR to a new directory and {again}, as array_record"
        )


def _builder(directory: Path) -> Any:
    import tensorflow_datasets as tfds

    return tfds.builder_from_directory(directory)


def _read_split(builder: Any, split: str) -> tuple[np.ndarray, np.ndarray]:
    source = builder.as_data_source(split=split)
    shape = builder.info.features["image"].shape
    images = np.empty((len(source), *shape), np.uint8)
    labels = np.empty(len(source), np.int64)
    for first in range(0, len(source), _READ_AT_ONCE):
        rows = range(first, min(first + _READ_AT_ONCE, len(source)))
        for row, example in zip(rows, source.__getitems__(rows), strict=True):
            if example["image"].shape != shape:
                raise ValueError(f"image {row} of {split} has shape {example['image'].shape}, not {shape}")
            images[row], labels[row] = example["image"], example["label"]
    images.flags.writeable = labels.flags.writeable = False
    return images, labels
