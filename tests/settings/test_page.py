"""docs/settings.md is what the settings' types and the base configurations say."""

import importlib.util

import pytest

from ntkrun.settings.runs import KINDS
from ntkrun.settings.schema import described


@pytest.fixture(scope="module")
def script(root):
    spec = importlib.util.spec_from_file_location("settings_page", root / "scripts" / "settings_page.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_not_stale(script, root):
    assert (root / "docs" / "settings.md").read_text() == script.page(), "run make settings-page"


def test_every_setting_of_every_kind_of_run_has_its_line(script):
    page = script.page()
    for kind in KINDS:
        for one in described(kind):
            assert f"| `{'.'.join(one.path)}` |" in page


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "integer", "minimum": 1}, "whole number >= 1"),
        ({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}]}, "number > 0 or `null`"),
        ({"enum": ["mse", "cross_entropy"], "type": "string"}, "`mse` or `cross_entropy`"),
        ({"const": "own", "type": "string"}, "`own`"),
    ],
)
def test_what_a_value_may_be_is_said_in_words(script, schema, said):
    assert script.words(schema) == said
