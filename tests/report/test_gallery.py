"""The page of a scale: parsed, and opened in a real browser where there is one."""

import json
import os
import re
import shutil
import struct
import zlib
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from processes import ran

from ntkrun.experiments.claims import Verdict
from ntkrun.report import gallery
from ntkrun.report.gallery import symbols, write_gallery
from ntkrun.runner.store import READ_ONLY

DEVIATION = """figure,panel,curve,unit,points,paper_points,median,largest,signed_median,note
fig1,loss,train_network,of the panel,3,4,0.0125,0.25,-0.0125,another draw
fig1,loss,test_network,of the panel,0,4,,,,another draw
fig1,rmse,empirical_kernel,octaves,4,4,0.375,1.5,0.375,
"""
VOID = {"meta", "link", "img", "br", "hr", "input"}
HOSTILE = "<script>document.title='owned'</script> & n^-1/2"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def png(width: int, height: int) -> bytes:
    """A grey picture."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = (b"\x00" + b"\x80" * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def cell(seed: int) -> dict:
    return {
        "cell": f"seed={seed}",
        "settings": {"experiment": "fig1", "scale": "cpu", "seed": seed, "model": {"width": 64, "name": "fc"}},
        "code": {"ntkrun": "0.1.0", "commit": "0123456789abcdef", "dirty": False},
        "python": "3.11.7",
        "packages": {"jax": "0.9"},
        "device": {"platform": "cpu", "kind": "cpu", "used": 1},
        "finished": "2026-01-02T03:04:05.678+00:00",
        "wall_seconds": 90.0,
        "facts": {"data": {"name": "mnist", "source": "tfds", "fingerprint": "ab" * 32}} if seed else {},
    }


def put_report(folder: Path, verdicts: list[str], why: str = "theory +- .1") -> None:
    folder.mkdir(parents=True)
    records = [
        asdict(Verdict(f"{folder.name}.{i}", folder.name, "eq (5)", "theory", "-1", -1.2, None, -1.0, verdict, why))  # type: ignore[arg-type]
        for i, verdict in enumerate(verdicts)
    ]
    provenance = {
        "title": f"Figure of {folder.name}",
        "departures": {
            "differs": ["n = 64 instead of 2048"],
            "converted": ["eta = 0.02 for the printed 0.01"],
            "why": ["twice our loss"],
            "ours": ["512 test images"],
            "alone": "",
        },
        "stand_in_data": [],
        "missing_cells": ["seed=9"],
        "drawn_by": {"ntkrun": "0.1.0", "commit": None, "dirty": None},
        "cells": [cell(0), cell(1)],
    }
    (folder / "claims.json").write_text(json.dumps(records))
    (folder / "provenance.json").write_text(json.dumps(provenance))
    (folder / "figure.png").write_bytes(png(600, 200))
    (folder / "figure.pdf").write_bytes(b"%PDF-1.4")
    (folder / "table.parquet").write_bytes(b"PAR1")
    (folder / "deviation.csv").write_text(DEVIATION)


@pytest.fixture
def at_scale(tmp_path: Path) -> Path:
    put_report(tmp_path / "cpu" / "figs10", ["pass"])
    put_report(tmp_path / "cpu" / "figs2", ["pass", "not_judged"])
    put_report(tmp_path / "cpu" / "fig1", ["pass", "fail", "fail"], HOSTILE)
    (tmp_path / "cpu" / "fig3" / "cells").mkdir(parents=True)  # computed, not reported
    return tmp_path / "cpu"


class Page(HTMLParser):
    """Every element and its attributes; the nesting must close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.stack: list[str] = []
        self.feed(text)
        self.close()
        assert not self.stack

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag, self.getpos()

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_every_link_leads_to_a_file_or_an_element_and_nothing_comes_from_a_network(at_scale):
    page = Page(write_gallery(at_scale).read_text())
    links = [a["href"] for a in page.all("a")] + [i["src"] for i in page.all("img")]
    assert len(links) > 3 * 6
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    for link in links:
        parts = urlsplit(link)
        assert not parts.scheme and not parts.netloc, link
        assert parts.fragment in ids if parts.fragment else (at_scale / parts.path).is_file(), link
    assert [attributes["href"] for attributes in page.all("link")] == ["data:,"]
    assert not any("src" in attributes for attributes in page.all("script"))
    assert not re.search(r"@import|url\(|https?://", (at_scale / "index.html").read_text())


def test_pictures_have_their_size_and_a_text_that_says_what_is_in_them(at_scale):
    images = Page(write_gallery(at_scale).read_text()).all("img")
    assert len(images) == 3
    for image in images:
        assert (image["width"], image["height"]) == ("600", "200") and "(a" in image["alt"]


def test_figures_stand_in_the_papers_order_with_verdicts_and_minutes(at_scale):
    text = write_gallery(at_scale).read_text()
    page = Page(text)
    assert [attributes["id"] for attributes in page.all("article")] == ["fig1", "figs2", "figs10"]
    rows = [attributes["data-verdict"] for attributes in page.all("tr") if "data-verdict" in attributes]
    assert sorted(rows) == ["fail", "fail", "not_judged", "pass", "pass", "pass"]
    assert "2, 3.0 minutes together" in text and "1 of 3 cells are not there" in text
    assert (
        "n = 64 instead of 2048" in text
        and "η = 0.02 for the printed 0.01 (twice our loss)" in text
        and "-1.2 ≤ x" in text
    )


def test_the_distance_from_the_paper_is_there_by_panel_and_curve(at_scale):
    text = write_gallery(at_scale).read_text()
    assert text.count("<code>loss</code>, % of the panel; another draw") == 3
    assert re.search(r"train_network</code></td><td[^>]*>3 of 4</td>\s*<td[^>]*>1\.2</td>\s*<td[^>]*>25\.0</td>", text)
    assert re.search(r"test_network</code></td><td[^>]*>0 of 4</td>\s*<td[^>]*>not run</td>", text)
    assert re.search(r"empirical_kernel</code></td><td[^>]*>4 of 4</td>\s*<td[^>]*>0\.38</td>\s*<td[^>]*>1\.50", text)
    (at_scale / "figs2" / "deviation.csv").unlink()
    (at_scale / "fig1" / "deviation.csv").write_text(DEVIATION.replace("0.375", "none"))
    text = write_gallery(at_scale).read_text()
    assert text.count("<code>loss</code>, % of the panel; another draw") == 1 and "the report cannot be read" in text


def test_a_claim_that_reads_a_curve_that_a_setting_was_fitted_to_is_counted_apart(at_scale):
    path = at_scale / "fig1" / "claims.json"
    fitted = [[], ["fig1/ntk_change_vs_time/n256"], []]
    records = json.loads(path.read_text())
    path.write_text(json.dumps([record | {"fitted_to": ids} for record, ids in zip(records, fitted, strict=True)]))
    text = write_gallery(at_scale).read_text()
    assert text.count("<b>No test:</b> a setting was fitted to fig1/ntk_change_vs_time/n256") == 1
    assert "of <b>4</b> judged claims" in text and '<span class="fail">0 of 1</span> passed that read' in text
    assert "✗ failed (2)" in text, "a fitted claim that fails is among those that failed"


def test_a_claim_has_its_sentence_and_why_it_fails_or_is_not_judged_beside_it(at_scale):
    path = at_scale / "fig1" / "claims.json"
    told = [
        {"sentence": "It falls like n^-1/2."},
        {"verdict": "fail", "reason": "too <few> channels"},
        {"verdict": "not_judged", "reason": "data.classes changed"},
    ]
    records = [record | more for record, more in zip(json.loads(path.read_text()), told, strict=True)]
    path.write_text(json.dumps(records))
    text = write_gallery(at_scale).read_text()
    assert "It falls like n<sup>-1/2</sup>.<br>" in text
    assert text.count("Why it fails:") == 1 and text.count("Why it is not judged:") == 1
    assert "<b>Why it fails:</b> too &lt;few&gt; channels" in text
    assert "<b>Why it is not judged:</b> data.classes changed" in text


def test_of_a_report_that_does_not_tell_its_departures_none_are_made_up(at_scale):
    path = at_scale / "fig1" / "provenance.json"
    told = json.loads(path.read_text())
    del told["departures"]
    path.write_text(json.dumps(told))
    assert "stage=report</code> makes it again" in write_gallery(at_scale).read_text()


def test_figures_that_are_not_there_are_named(at_scale):
    text = write_gallery(at_scale).read_text()
    assert re.search(r"not yet: fig2, fig3, fig4, figs1, figs3, .*figs9, theorem21\.", text)


def test_what_a_file_holds_stays_text(at_scale):
    page = Page(write_gallery(at_scale).read_text())
    assert len(page.all("script")) == 1


def test_one_damaged_report_is_named_and_hides_no_other(at_scale):
    (at_scale / "figs2" / "claims.json").write_text('[{"id": ')
    page = write_gallery(at_scale)
    assert "the report cannot be read" in page.read_text()
    assert len(Page(page.read_text()).all("img")) == 2


def changed(path: Path, *keys, value) -> str:
    """The JSON of a file with one of its values replaced."""
    content = json.loads(path.read_text())
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return json.dumps(content)


DEEP = "[" * 100_000
FOREIGN = {
    "provenance.json": [
        "", "[]", "5", "null", "\xff", DEEP, '{"cells": [{}]}', '{"cells": {"a": 1}}',
        *(("cells", 0, "settings", value) for value in ([], "a", None)),
        *(("cells", 0, "packages", value) for value in ([], None)),
        *(("cells", 0, name, None) for name in ("facts", "code", "device", "wall_seconds")),
        ("cells", 0, "wall_seconds", 10**400), ("departures_from_paper", 5), ("missing_cells", 5), ("title", None),
    ],
    "claims.json": ["{}", "5", DEEP, '[{"id": 1}]', (0, "kind", "foo"), (0, "verdict", "maybe"), (0, "measured", "x")],
    "deviation.csv": ["\0", "panel\n1\n", f"panel,unit\n{'x' * 200_000},octaves\n"],
    "figure.png": ["", "GIF89a"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("file", "content"),
    [(file, content) for file, contents in FOREIGN.items() for content in contents],
    ids=lambda x: str(x)[:40],
)
def test_whatever_a_report_holds_the_others_are_shown(at_scale, file, content):
    path = at_scale / "figs2" / file
    text = content if isinstance(content, str) else changed(path, *content[:-1], value=content[-1])
    path.write_text(text, encoding="latin-1")
    page = write_gallery(at_scale).read_text()
    shown = {image["src"] for image in Page(page).all("img")}
    assert shown >= {"fig1/figure.png", "figs10/figure.png"}
    assert "the report cannot be read" in page or "figs2/figure.png" in shown


def test_a_report_that_ends_while_the_page_is_written_is_on_it(at_scale, monkeypatch):
    written, write = [], gallery.write_bytes

    def interrupted(path: Path, content: bytes) -> None:
        if not written:
            put_report(at_scale / "figs9", ["pass"])
        written.append(path)
        write(path, content)

    monkeypatch.setattr(gallery, "write_bytes", interrupted)
    assert 'id="figs9"' in write_gallery(at_scale).read_text() and len(written) == 2


def of_run(folder: Path, verdicts: list[str], width: int, measured: float) -> None:
    """A report of a run with its own width and measured claims."""
    put_report(folder, verdicts)
    told, claims = (json.loads((folder / f"{name}.json").read_text()) for name in ("provenance", "claims"))
    for one in told["cells"]:
        one["settings"]["model"]["width"] = width
    command = f"ntkrun experiment=fig1 'model.width=[{width},9]' scale=cpu"
    told["run"] = {"name": folder.name, "changed": {"model.width": [width, 9]}, "command": command}
    claims = [claim | {"id": f"fig1.{i}", "measured": measured if i else 1.0} for i, claim in enumerate(claims)]
    (folder / "provenance.json").write_text(json.dumps(told))
    (folder / "claims.json").write_text(json.dumps(claims))


def test_the_runs_of_an_experiment_stand_side_by_side_with_what_differs_and_how_each_is_made(tmp_path):
    at_scale = tmp_path / "cpu"
    put_report(tmp_path / "reference" / "cpu" / "fig1", ["pass"])
    put_report(tmp_path / "reference" / "cpu" / "fig2", ["pass"])
    (tmp_path / "reference" / READ_ONLY).touch()
    of_run(at_scale / "fig1" / "default", ["pass", "pass"], 64, 0.5)
    of_run(at_scale / "fig1" / "narrow", ["pass", "fail"], 32, 0.25)
    text = write_gallery(at_scale).read_text()
    page = Page(text)
    assert [a["id"] for a in page.all("article")] == ["fig1-shipped", "fig1-default", "fig1-narrow", "fig2-shipped"]
    assert len(page.all("figure")) == 3 and len(page.all("section")) == 1, "fig2 has one run"
    for image in page.all("img"):
        assert (at_scale / image["src"]).is_file()
    beside = text.partition("<section")[2].partition("</section>")[0]
    rows = [re.sub(r"<[^>]+>|\s+", " ", row).split() for row in re.findall(r"<tr>(.*?)</tr>", beside, flags=re.DOTALL)]
    assert rows[0] == ["what", "differs", "shipped", "default", "narrow"]
    assert ["model.width", "64", "64", "32"] in rows and ["fig1.1", ",", "measured", "-", "0.5", "0.25"] in rows
    assert not any(row[0] in ("seed", "model.name") for row in rows), "what is the same is left out"
    assert "ntkrun experiment=fig1 &#39;model.width=[32,9]&#39; scale=cpu" in text and "model.width=[32, 9]" in text


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("Theta_hat_0 - Theta <= n^-1/2", "Θ̂<sub>0</sub> - Θ ≤ n<sup>-1/2</sup>"),
        ("sigma_w^2, theta_t, f_lin, sqrt(eta)", "σ<sub>w</sub><sup>2</sup>, θ<sub>t</sub>, f<sub>lin</sub>, √(η)"),  # noqa: RUF001
        ("docs/figure_s4.md, time_per_eta, `beta_1`", "docs/figure_s4.md, time_per_eta, <code>beta_1</code>"),
    ],
)
def test_words_become_the_papers_symbols_and_names_stay(text, html):
    assert symbols(text) == html


PROBE = """<script>addEventListener("load", function () {
  document.querySelector('button[data-verdict="fail"]').click();
  var open = function (what) { return [...document.querySelectorAll(what)].filter(e => e.offsetParent).length; };
  var seen = {widths: [...document.images].map(i => i.naturalWidth), rows: open("tr[data-verdict]"),
              figures: open("article"), overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth};
  document.body.setAttribute("data-seen", JSON.stringify(seen)); });</script></body>"""


def browse(page: Path, profile: Path) -> tuple[str, str]:
    """The page as Chromium has it after loading, and what Chromium logs."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"]
    page_options = [f"--user-data-dir={profile}", "--window-size=500,900", "--dump-dom", page.as_uri()]
    environment = {**os.environ, "DBUS_SESSION_BUS_ADDRESS": "disabled:"}
    run = ran(str(CHROMIUM), *options, *page_options, env=environment)
    assert run.returncode == 0, run.stderr
    return run.stdout, run.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (apt install chromium)")
def test_a_browser_shows_the_pictures_filters_and_has_nothing_to_complain_about(at_scale, tmp_path):
    text = write_gallery(at_scale).read_text()
    probed = at_scale / "probed.html"
    probed.write_text(text.replace("</body>", PROBE))
    dom, log = browse(probed, tmp_path / "profile")
    seen = json.loads(Page(dom).all("body")[0]["data-seen"])
    assert seen == {"widths": [600] * 3, "rows": 2, "figures": 1, "overflow": 0}
    assert "CONSOLE" not in log
    # the same eyes see a picture that is not there and an error
    (at_scale / "fig1" / "figure.png").write_bytes(b"no picture")
    probed.write_text(text.replace("</body>", "<script>console.error('oh')</script>" + PROBE))
    dom, log = browse(probed, tmp_path / "profile")
    assert json.loads(Page(dom).all("body")[0]["data-seen"])["widths"] == [0, 600, 600]
    assert "CONSOLE" in log
