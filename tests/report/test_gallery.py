"""The pages of a scale: parsed, and opened in a real browser where there is one."""

import base64
import hashlib
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

import numpy as np
import pytest
from processes import ran

from ntkrun.experiments.claims import Verdict
from ntkrun.report import gallery
from ntkrun.report.gallery import write_gallery
from ntkrun.report.page_html import PAPER, symbols
from ntkrun.runner.store import READ_ONLY

DEVIATION = """figure,panel,curve,unit,points,paper_points,median,largest,signed_median,note
fig1,loss,train_network,of the panel,3,4,0.0125,0.25,-0.0125,another draw
fig1,loss,test_network,of the panel,0,4,,,,another draw
fig1,rmse,empirical_kernel,octaves,4,4,0.375,1.5,0.375,
"""
VOID = {"meta", "link", "img", "br", "hr", "input"}
HOSTILE = "<script>document.title='owned'</script> & n^-1/2"
CURVES = {
    "panels": [
        {
            "title": "loss",
            "x": {"label": "time t", "log": 10.0},
            "y": {"label": "loss", "log": 0},
            "left_out": {"single network": "12 of 100"},
            "abscissae": [[1, 10, 100], [1, 100]],
            "series": [
                {"name": "network", "colour": "#0072b2", "line": "solid", "paper": False, "at": 0, "y": [4, 2, 1]},
                {
                    "name": f"paper: {HOSTILE}",
                    "colour": "#777777",
                    "line": "none",
                    "paper": True,
                    "note": "n",
                    "at": 1,
                    "y": [4, 0],
                },
            ],
        },
        {
            "title": "accuracy of a network that has a longer name than fits beside anything else on a phone",
            "x": {"label": "time t", "log": 0},
            "y": {"label": "accuracy", "log": 0},
            "left_out": {},
            "abscissae": [[0, 100]],
            "series": [
                {"name": "network", "colour": "#000000", "line": "dashed", "paper": False, "at": 0, "y": [0, 1]}
            ],
        },
    ]
}
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
    (folder / "thumbnail.png").write_bytes(png(400, 280))
    (folder / "curves.json").write_text(json.dumps(CURVES))


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


def written(at_scale: Path) -> dict[str, str]:
    """The pages by name."""
    write_gallery(at_scale)
    return {path.name: path.read_text() for path in sorted(at_scale.glob("*.html"))}


def test_every_link_leads_to_a_file_or_an_element_and_nothing_comes_from_a_network(at_scale):
    pages = written(at_scale)
    assert set(pages) == {"index.html", "fig1.html", "figs2.html", "figs10.html"}
    parsed = {name: Page(text) for name, text in pages.items()}
    ids = {name: [told["id"] for _, told in page.elements if "id" in told] for name, page in parsed.items()}
    for name, page in parsed.items():
        links = [a["href"] for a in page.all("a")] + [i["src"] for i in page.all("img")]
        assert links.count(PAPER) == 1 and len(set(ids[name])) == len(ids[name])
        for link in (link for link in links if link != PAPER):
            parts = urlsplit(link)
            assert not parts.scheme and not parts.netloc, link
            assert (at_scale / parts.path).is_file(), link
            assert not parts.fragment or parts.fragment in ids[parts.path or name], link
        assert [told["href"] for told in page.all("link")] == ["data:,"]
        assert not any("src" in told for told in page.all("script"))
        text = re.sub(r"https://(arxiv.org/abs|github.com/leeoniya)/", "", pages[name])
        assert not re.search(r"@import|url\(|https?://", text)


def test_pictures_have_their_size_and_a_text_that_says_what_is_in_them(at_scale):
    (image,) = Page(written(at_scale)["fig1.html"]).all("img")
    assert (image["width"], image["height"]) == ("600", "200") and "(a" in image["alt"]
    small = Page((at_scale / "index.html").read_text()).all("img")
    assert [image["src"] for image in small] == [f"{name}/thumbnail.png" for name in ("fig1", "figs2", "figs10")]
    (at_scale / "fig1" / "thumbnail.png").unlink()
    small = Page(written(at_scale)["index.html"]).all("img")
    assert small[0]["src"] == "fig1/figure.png", "a report of an earlier version"


def test_figures_stand_in_the_papers_order_with_verdicts_and_minutes(at_scale):
    pages = written(at_scale)
    cards = [told for told in Page(pages["index.html"]).all("li") if "data-state" in told]
    assert [(card["id"], card["data-state"]) for card in cards] == [
        ("fig1", "fail"),
        ("figs2", "pass"),
        ("figs10", "pass"),
    ]
    assert pages["index.html"].count(">Incomplete: 1 of 3 cells are not there") == 3, "a thumbnail does not say it"
    assert "1 of 3 passed" in pages["index.html"] and "0.38 octaves from the paper" in pages["index.html"]
    assert [a["href"] for a in Page(pages["figs2.html"]).all("a")][:3] == ["index.html", "fig1.html", "figs10.html"]
    text = pages["fig1.html"]
    rows = [told["data-verdict"] for told in Page(text).all("tr") if "data-verdict" in told]
    assert rows == ["pass", "fail", "fail"]
    assert "2, 3.0 minutes together" in text and "1 of 3 cells are not there" in text
    assert (
        "n = 64 instead of 2048" in text
        and "η = 0.02 for the printed 0.01 (twice our loss)" in text
        and "-1.2 ≤ x" in text
    )


def test_the_distance_from_the_paper_is_there_by_panel_and_curve(at_scale):
    text = written(at_scale)["fig1.html"]
    assert text.count("<code>loss</code>, % of the panel; another draw") == 1
    assert re.search(r"train_network</code></td><td[^>]*>3 of 4</td>\s*<td[^>]*>1\.2</td>\s*<td[^>]*>25\.0</td>", text)
    assert re.search(r"test_network</code></td><td[^>]*>0 of 4</td>\s*<td[^>]*>not run</td>", text)
    assert re.search(r"empirical_kernel</code></td><td[^>]*>4 of 4</td>\s*<td[^>]*>0\.38</td>\s*<td[^>]*>1\.50", text)
    (at_scale / "figs2" / "deviation.csv").unlink()
    (at_scale / "fig1" / "deviation.csv").write_text(DEVIATION.replace("0.375", "none"))
    pages = written(at_scale)
    assert "the report cannot be read" in pages["fig1.html"] and "damaged" in pages["index.html"]
    assert "of the panel" not in pages["figs2.html"]


def test_a_claim_that_reads_a_curve_that_a_setting_was_fitted_to_is_counted_apart(at_scale):
    path = at_scale / "fig1" / "claims.json"
    fitted = [[], ["fig1/ntk_change_vs_time/n256"], []]
    records = json.loads(path.read_text())
    path.write_text(json.dumps([record | {"fitted_to": ids} for record, ids in zip(records, fitted, strict=True)]))
    pages = written(at_scale)
    text = pages["fig1.html"]
    assert text.count("<b>No test:</b> a setting was fitted to fig1/ntk_change_vs_time/n256") == 1
    assert "<b>4</b> claims that are judged" in pages["index.html"]
    assert '<span class="fail">0 of 1</span> passed that read' in pages["index.html"]
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
    text = written(at_scale)["fig1.html"]
    assert "It falls like n<sup>-1/2</sup>.<br>" in text
    assert text.count("Why it fails:") == 1 and text.count("Why it is not judged:") == 1
    assert "<b>Why it fails:</b> too &lt;few&gt; channels" in text
    assert "<b>Why it is not judged:</b> data.classes changed" in text


def test_a_page_tells_the_panels_that_are_drawn(at_scale):
    """A sweep has others than those of the figure's docstring, and its run stands beside others."""
    docstring = "means and error bars over networks"
    assert docstring in written(at_scale)["fig1.html"]
    put_report(at_scale / "fig1" / "swept", ["pass"])
    path = at_scale / "fig1" / "swept" / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"panels": "(a) of n^-1/2 and <more>."}))
    text = written(at_scale)["fig1.html"]
    swept = text.partition('<article id="fig1-swept"')[2]
    said = "<b>Panels.</b> (a) of n<sup>-1/2</sup> and &lt;more&gt;."
    assert said in swept and docstring not in swept and text.count(said) == 1
    assert "<b>Panels.</b>" in text.partition("<article")[0]


def test_of_a_report_that_does_not_tell_its_departures_none_are_made_up(at_scale):
    path = at_scale / "fig1" / "provenance.json"
    told = json.loads(path.read_text())
    del told["departures"]
    path.write_text(json.dumps(told))
    assert "stage=report</code> makes it again" in written(at_scale)["fig1.html"]


def test_figures_that_are_not_there_are_named(at_scale):
    text = written(at_scale)["index.html"]
    assert re.search(r"not yet: fig2, fig3, fig4, figs1, figs3, .*figs9, theorem21\.", text)


def test_what_a_file_holds_stays_text(at_scale):
    """Titles, names of runs, claims, settings and curves; and the page runs no script but its own."""
    folder = at_scale / "fig1" / HOSTILE.replace("/", "'\"")
    put_report(folder, ["pass"], HOSTILE)
    told = json.loads((folder / "provenance.json").read_text())
    told["run"] = {"name": HOSTILE, "changed": {HOSTILE: HOSTILE}, "command": HOSTILE}
    told["cells"][0]["settings"][HOSTILE] = HOSTILE
    (folder / "provenance.json").write_text(json.dumps(told | {"title": HOSTILE, "stand_in_data": [HOSTILE]}))
    for name, text in written(at_scale).items():
        page = Page(text)
        assert "owned" in text or name not in ("index.html", "fig1.html")
        scripts = [told for told in page.all("script") if told.get("type") != "application/json"]
        assert len(scripts) == 2 and not any(key.startswith("on") for _, told in page.elements for key in told)
        (policy,) = (m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
        bodies = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
        hashes = [base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in bodies]
        assert policy.startswith("script-src " + " ".join(f"'sha256-{one}'" for one in hashes) + ";")


def test_one_damaged_report_is_named_and_hides_no_other(at_scale):
    (at_scale / "figs2" / "claims.json").write_text('[{"id": ')
    pages = written(at_scale)
    assert "the report cannot be read" in pages["figs2.html"]
    assert len(Page(pages["index.html"]).all("img")) == 2


def test_a_page_is_written_where_something_changed_and_nowhere_else(at_scale):
    written(at_scale)
    before = {path.name: path.stat().st_ino for path in at_scale.glob("*.html")}

    def rewritten() -> set[str]:
        written(at_scale)
        now = {path.name: path.stat().st_ino for path in at_scale.glob("*.html")}
        changed = {name for name in now if now[name] != before.get(name)}
        before.clear()
        before.update(now)
        return changed

    assert rewritten() == set()
    path = at_scale / "figs2" / "claims.json"
    content = path.read_bytes()
    path.write_bytes(content)
    assert rewritten() == set(), "the same report, written again"
    path.write_text(content.decode().replace("theory +- .1", "other"))
    assert rewritten() == {"figs2.html", "index.html"}
    (at_scale / "fig1.html").write_text("cut off")
    assert rewritten() == {"fig1.html"}


def test_the_page_of_a_report_that_is_gone_is_removed_and_no_page_of_others(at_scale):
    written(at_scale)
    (at_scale / "mine.html").write_text("<p>mine</p>")
    shutil.rmtree(at_scale / "figs2")
    pages = written(at_scale)
    assert set(pages) == {"index.html", "fig1.html", "figs10.html", "mine.html"}
    assert "figs2.html" not in pages["index.html"] + pages["fig1.html"]


def test_the_same_figure_at_other_scales_stands_beside_and_links_back(at_scale):
    put_report(at_scale.parent / "gpu" / "fig1" / "default", ["pass", "fail", "pass"])
    path = at_scale.parent / "gpu" / "fig1" / "default" / "provenance.json"
    path.write_text(path.read_text().replace('"width": 64', '"width": 2048'))
    text = written(at_scale)["fig1.html"]
    assert 'href="../gpu/fig1/default/figure.png"' in text, "there is no page at scale=gpu yet"
    there = written(at_scale.parent / "gpu")["fig1.html"]
    assert 'href="../cpu/fig1.html"' in there and "../cpu/fig1/thumbnail.png" in there
    here = (at_scale / "fig1.html").read_text()
    assert 'href="../gpu/fig1.html"' in here and "scale=gpu" in here, "written anew with the page of the other scale"
    rows = [re.sub(r"<[^>]+>|\s+", " ", row).split() for row in re.findall(r"<tr>(.*?)</tr>", here, flags=re.DOTALL)]
    assert ["model.width", "64", "2048"] in rows
    (data,) = re.findall(r'id="data">(.*?)</script>', here)
    assert [run["name"] for run in json.loads(data)["runs"]] == ["without a name", "scale=gpu"]


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
    "curves.json": [
        "", "[]", DEEP, '{"panels": 5}', ("panels", 0, "abscissae", []), ("panels", 0, "x", "log", "2"),
        ("panels", 0, "series", 0, "at", 7),
        ("panels", 0, "series", 0, "y", [1, 2]), ("panels", 0, "series", 0, "y", ["<b>", 1, 2]), ("panels", 0, "left_out", []),
        ("panels", 0, "series", 0, "colour", "url(http://elsewhere/x.png)"), ("panels", 0, "series", 0, "line", "wavy"),
    ],
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
    pages = written(at_scale)
    shown = {image["src"] for page in pages.values() for image in Page(page).all("img")}
    assert shown >= {"fig1/figure.png", "figs10/figure.png", "fig1/thumbnail.png"}
    assert "the report cannot be read" in pages["figs2.html"] or "figs2/figure.png" in shown


def test_a_report_that_ends_while_the_page_is_written_is_on_it(at_scale, monkeypatch):
    done, write = [], gallery.write_bytes

    def interrupted(path: Path, content: bytes) -> None:
        if path.name == "index.html" and not done:
            put_report(at_scale / "figs9", ["pass"])
            done.append(path)
        write(path, content)

    monkeypatch.setattr(gallery, "write_bytes", interrupted)
    pages = written(at_scale)
    assert done and 'href="figs9.html"' in pages["index.html"] and 'id="figs9"' in pages["figs9.html"]


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
    pages = written(at_scale)
    text = pages["fig1.html"]
    page = Page(text)
    assert [a["id"] for a in page.all("article")] == ["fig1-default", "fig1-shipped", "fig1-narrow"]
    assert "side by side" not in pages["fig2.html"], "fig2 has one run"
    for image in page.all("img"):
        assert (at_scale / image["src"]).is_file()
    rows = [re.sub(r"<[^>]+>|\s+", " ", row).split() for row in re.findall(r"<tr>(.*?)</tr>", text, flags=re.DOTALL)]
    assert rows[0] == ["what", "differs", "default", "shipped", "narrow"]
    assert ["model.width", "64", "64", "32"] in rows and ["fig1.1", ",", "measured", "0.5", "-", "0.25"] in rows
    beside = text.partition('class="differing"')[2].partition("</table>")[0]
    assert "seed" not in beside and "model.name" not in beside, "what is the same is left out"
    command = "ntkrun experiment=fig1 &#39;model.width=[32,9]&#39; scale=cpu"
    assert f"Made by <code>{command}</code>" in text and "model.width=[32, 9]" in text
    (card,) = (told for told in Page(pages["index.html"]).all("li") if told.get("id") == "fig1")
    assert card["data-state"] == "fail" and "fig1.html#fig1-narrow" in pages["index.html"]


def test_of_very_many_runs_a_page_holds_the_curves_of_the_first_and_says_so(at_scale):
    for place in range(15):
        of_run(at_scale / "fig1" / f"run{place:02}", ["pass"], place, 0.5)
    text = written(at_scale)["fig1.html"]
    (data,) = re.findall(r'id="data">(.*?)</script>', text)
    assert len(json.loads(data)["runs"]) == 12 and "The curves of 12 runs are here, those of 4 more are not." in text
    assert len(Page(text).all("article")) == 16


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


def browse(page: Path, profile: Path) -> tuple[str, str]:
    """The page as Chromium has it after loading, and what Chromium logs."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"]
    page_options = [
        f"--user-data-dir={profile}",
        "--window-size=500,900",
        "--virtual-time-budget=3000",
        "--dump-dom",
        page.as_uri(),
    ]
    environment = {**os.environ, "DBUS_SESSION_BUS_ADDRESS": "disabled:"}
    run = ran(str(CHROMIUM), *options, *page_options, env=environment)
    assert run.returncode == 0, run.stderr
    return run.stdout, run.stderr


PROBE = """<script>addEventListener("load", async function () {
  var drawn = function () { return new Promise(done => setTimeout(done, 50)); };
  var seen = {}, open = function (what) { return [...document.querySelectorAll(what)].filter(e => e.offsetParent).length; };
  var by = function (id) { return document.getElementById(id); };
  var widths = async function (wide) {  // of the page in a window so wide, and of what sticks out of it
    var frame = document.createElement("iframe");
    frame.style.cssText = "border: 0; height: 800px; width: " + wide + "px";
    frame.srcdoc = PAGE;
    document.body.appendChild(frame);
    await new Promise(done => { frame.onload = done; });
    await drawn();
    var root = frame.contentDocument.documentElement;
    return [frame.contentWindow.innerWidth, root.scrollWidth - root.clientWidth];
  };
  CLICKS
  document.body.setAttribute("data-seen", JSON.stringify(seen)); });</script></body>"""
ON_INDEX = """
  seen.widths = [...document.images].map(i => i.naturalWidth);
  document.querySelector('button[data-state="fail"]').click(); seen.failed = open("li.card");
  document.querySelector('button[data-state=""]').click(); seen.all = open("li.card");
  by("search").value = "figs10.0"; by("search").dispatchEvent(new Event("input"));
  seen.found = open("li.card"); seen.said = by("found").textContent;
  seen.phone = await widths(390);
"""
ON_FIGURE = """
  seen.widths = [...document.images].map(i => i.naturalWidth);
  document.querySelector('button[data-verdict="fail"]').click(); seen.rows = open("tr[data-verdict]");
  seen.panels = by("panel").options.length; seen.charts = open(".chart canvas");
  by("runs").querySelectorAll("input")[1].click(); seen.beside = open(".chart canvas");
  seen.wide = [...document.querySelectorAll(".chart")].every(box => box.querySelector("canvas").offsetWidth <= box.clientWidth);
  await drawn();
  document.querySelector(".chart").dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"}));
  await drawn();
  seen.keyed = by("reading-x").textContent;
  seen.read = [...document.querySelectorAll("#reading td.number")].map(cell => cell.textContent);
  seen.names = [...document.querySelectorAll("#reading button")].map(button => button.children[1].textContent);
  document.querySelector('button[data-show="ours"]').click();
  seen.pressed = [...document.querySelectorAll("#reading button")].map(button => button.getAttribute("aria-pressed"));
  by("panel").value = "1"; by("panel").dispatchEvent(new Event("change"));
  seen.shown = document.querySelector("#reading button").getAttribute("aria-pressed");
  seen.second = document.querySelectorAll("#reading tr").length;
  var filter = function () { return getComputedStyle(document.images[0]).filter; };
  seen.light = filter(); by("theme").click(); seen.dark = filter(); seen.button = by("theme").textContent;
  seen.phone = await widths(390); seen.title = document.title;
"""


def probed(page: Path, clicks: str, profile: Path, more: str = "") -> tuple[dict, str]:
    """What a script saw that clicked through the page, with the page's own scripts alone and those of the probe."""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(), count=1)
    inside = json.dumps(text).replace("<", r"\u003c")
    copy = page.with_name(f"probed-{page.name}")
    copy.write_text(text.replace("</body>", more + PROBE.replace("CLICKS", clicks).replace("PAGE", inside)))
    dom, log = browse(copy, profile)
    copy.unlink()
    return json.loads(Page(dom).all("body")[0]["data-seen"]), log


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (apt install chromium)")
def test_a_browser_filters_and_searches_the_figures(at_scale, tmp_path):
    page = write_gallery(at_scale)
    seen, log = probed(page, ON_INDEX, tmp_path / "profile")
    assert seen == {
        "widths": [400] * 3,
        "failed": 1,
        "all": 3,
        "found": 1,
        "said": "1 of 3 figures",
        "phone": [390, 0],
    }
    assert "CONSOLE" not in log
    # the same eyes see a picture that is not there and an error
    (at_scale / "fig1" / "thumbnail.png").write_bytes(b"no picture")
    seen, log = probed(page, ON_INDEX, tmp_path / "profile", "<script>console.error('oh')</script>")
    assert seen["widths"] == [0, 400, 400] and "CONSOLE" in log


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (apt install chromium)")
def test_a_browser_reads_the_curves_of_two_scales_side_by_side_and_turns_dark(at_scale, tmp_path):
    put_report(at_scale.parent / "gpu" / "fig1" / "default", ["pass"])
    page = write_gallery(at_scale).with_name("fig1.html")
    seen, log = probed(page, ON_FIGURE, tmp_path / "profile")
    assert "CONSOLE" not in log
    assert seen["widths"] == [600, 400, 400] and (seen["rows"], seen["panels"]) == (2, 2)
    assert (seen["charts"], seen["beside"], seen["wide"], seen["second"]) == (1, 2, True, 1)
    # one step of a hundredth of the axis, whose margins are .04 of its two decades, to the right of its middle
    x = float(seen["keyed"].removeprefix("time t = "))
    assert np.log10(x) == pytest.approx(1 + 0.01 * 2.16, abs=0.005)
    # between 2 at t = 10 and 1 at t = 100, and between 4 and 0, on the straight line of the axes
    share = np.log10(x) - 1
    assert [float(value) for value in seen["read"]] == pytest.approx(
        [2 - share] * 2 + [4 - 2 * (1 + share)] * 2, abs=2e-3
    )
    assert seen["shown"] == "true", "whatever its name is"
    assert seen["names"] == ["network", f"paper: {HOSTILE}"] and seen["pressed"] == ["true", "false"]
    assert seen["light"] == "none" and seen["dark"].startswith("invert(") and seen["button"] == "light"
    assert seen["phone"] == [390, 0], "nothing scrolls sideways"
    assert "owned" not in seen["title"]


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium (apt install chromium)")
def test_a_browser_runs_no_script_that_is_not_the_pages_own(at_scale, tmp_path):
    page = write_gallery(at_scale)
    page.write_text(page.read_text().replace("</body>", "<script>document.body.id = 'owned'</script></body>"))
    dom, log = browse(page, tmp_path / "profile")
    assert Page(dom).all("body") == [{}] and "Content Security Policy" in log
    assert not any("hidden" in told for told in Page(dom).all("div")), "its own did run"
