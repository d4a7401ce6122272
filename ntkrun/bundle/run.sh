#!/bin/sh
# Runs what this bundle was made for, without network; further settings are passed on:  sh run.sh checkpoint_minutes=2
#
#   PYTHON  the interpreter, Python @PYTHON@ (python3 by default)
#   OUT     where results go (results beside this script by default); at the end OUT/cells.tar.gz holds all finished cells,
#           for stage=merge from=cells.tar.gz at home
#
# The wheels are installed once, into site beside this script, or into a temporary folder where nothing may be written
# there.  The exit code is ntkrun's.
set -u
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd) || exit 2
python=${PYTHON:-python3}
out=${OUT:-$here/results}

"$python" -c 'import lzma, sys; sys.exit("%d.%d" % sys.version_info[:2] != "@PYTHON@")' || {
    echo "error: this bundle is for Python @PYTHON@ with lzma, and $python is not that: set PYTHON=/path/to/python@PYTHON@" >&2
    exit 2
}
mkdir -p "$out" || exit 2
out=$(CDPATH='' cd -- "$out" && pwd) || exit 2

# What came over is what was bundled.
"$python" - "$here" <<'END' || exit 2
import hashlib, json, pathlib, sys

here = pathlib.Path(sys.argv[1])
wrong = []
for name, told in json.loads((here / "manifest.json").read_text())["files"].items():
    path = here / name
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != told["sha256"]:
        wrong.append(name)
if wrong:
    sys.exit("error: not as it was bundled: " + ", ".join(wrong) + "; copy the bundle here again")
END

site=$here/site
made=
if [ ! -d "$site" ]; then
    if [ -w "$here" ]; then
        part=$here/site.$$
    else
        made=$(mktemp -d) && part=$made/site.$$ && site=$made/site || exit 2
    fi
    # --no-compile: what is imported is compiled as it is imported
    "$python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-index --no-deps --no-compile \
        --target "$part" "$here"/wheels/*.whl || {
        rm -rf "$part" "$made"
        echo "error: $python cannot install the wheels of this bundle" >&2
        exit 2
    }
    # two that start at once: the first to get here wins, and the other's is the same
    if [ -d "$site" ] || ! mv "$part" "$site" 2>/dev/null; then rm -rf "$part" "$site/site.$$"; fi
fi

export PYTHONPATH="$site:$here/own${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 NTKRUN_IMAGES="$here/images"

# In the background, so that a request to stop reaches ntkrun, which saves first, and not only this shell.
"$python" -P -m ntkrun.cli @COMMAND@ stage=run results_dir="$out" "$@" &
child=$!
trap 'kill -TERM "$child" 2>/dev/null' HUP INT TERM
trap 'kill -USR1 "$child" 2>/dev/null' USR1
trap 'kill -USR2 "$child" 2>/dev/null' USR2
while :; do
    wait "$child"
    code=$?
    kill -0 "$child" 2>/dev/null || break
done
trap '' HUP INT TERM USR1 USR2

"$python" - "$out" <<'END' || { echo "error: the finished cells in $out could not be packed" >&2; [ "$code" -ne 0 ] || code=1; }
import pathlib, sys, tarfile

out = pathlib.Path(sys.argv[1])
cells = sorted(path for path in out.glob("*/*/cells/*.parquet") if not path.name.startswith("."))
part = out / ".cells.tar.gz"
with tarfile.open(part, "w:gz") as archive:
    for path in cells:
        archive.add(path, path.relative_to(out).as_posix())
part.replace(out / "cells.tar.gz")
print(f"{len(cells)} finished cells are packed in {out / 'cells.tar.gz'}")
END
[ -z "$made" ] || rm -rf "$made"
exit "$code"
