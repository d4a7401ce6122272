"""The shipped results at the paper's size in one file, with an index of claims, as an archive such as Zenodo takes them.

    python scripts/archive.py [--scales paper gpu] [--into dist]        make archive

ntkrun-<version>-results.zip has

    reference/<scale>/<experiment>/     cells, pictures, claims, distances and provenance, as in results/reference
    claims.csv                          every claim of every scale: sentence, source, band, measured value, verdict
    README.md, CITATION.cff, LICENSE    results/README.md, how to cite it, how it may be used
    SHA256SUMS                          of all of these, for `sha256sum --check`

Equal results give equal bytes: files are in the order of their names, and dated as zip's first day.
"""

import argparse
import csv
import hashlib
import io
import json
import zipfile
from pathlib import Path

import ntkrun

ROOT = Path(__file__).parent.parent
COLUMNS = (
    "scale",
    "figure",
    "id",
    "combination",
    "sentence",
    "source",
    "low",
    "high",
    "measured",
    "verdict",
    "fitted_to",
    "reason",
)
EPOCH = (1980, 1, 1, 0, 0, 0)


def claims_index(results: dict[str, bytes]) -> bytes:
    """claims.csv of the files by name, of which those called claims.json are read."""
    text = io.StringIO()
    rows = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    rows.writeheader()
    for name, content in results.items():
        if Path(name).name == "claims.json":
            for claim in json.loads(content):
                rows.writerow(claim | {"scale": Path(name).parts[1], "fitted_to": " ".join(claim["fitted_to"])})
    return text.getvalue().encode()


def contents(root: Path, scales: list[str]) -> dict[str, bytes]:
    """What the archive has, by name.  Raises SystemExit where a scale has no shipped results."""
    found: dict[str, bytes] = {}
    for scale in scales:
        folder = root / "results" / "reference" / scale
        if not folder.is_dir():
            raise SystemExit(f"there are no shipped results of scale={scale}: {folder}")
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        found |= {path.relative_to(root / "results").as_posix(): path.read_bytes() for path in files}
    found["claims.csv"] = claims_index(found)
    for name, path in {"README.md": "results/README.md", "CITATION.cff": "CITATION.cff", "LICENSE": "LICENSE"}.items():
        found[name] = (root / path).read_bytes()
    sums = (f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(found.items()))
    return found | {"SHA256SUMS": "".join(sums).encode()}


def write(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)


def main() -> None:
    parser = argparse.ArgumentParser(description="The shipped results at the paper's size in one file.")
    parser.add_argument("--scales", nargs="+", default=["paper", "gpu"], help="folders of results/reference")
    parser.add_argument("--into", type=Path, default=ROOT / "dist", help="folder of the archive")
    given = parser.parse_args()
    path = given.into / f"ntkrun-{ntkrun.__version__}-results.zip"
    files = contents(ROOT, given.scales)
    write(path, files)
    print(f"{path}: {len(files)} files, {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
