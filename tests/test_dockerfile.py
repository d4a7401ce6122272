"""The Dockerfile copies what there is and what an installation needs; an image is built by hand (docs/install.md)."""

import json
import re
import tomllib

import pytest


@pytest.fixture(scope="module")
def steps(root) -> list[tuple[str, str]]:
    """(instruction, its text), in order; continued lines as one."""
    text = re.sub(r"\\\n", " ", (root / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in lines)]


def texts(steps, instruction: str) -> list[str]:
    return [text for name, text in steps if name == instruction]


@pytest.fixture(scope="module")
def copied(steps) -> set[str]:
    return {source for text in texts(steps, "COPY") for source in text.split()[:-1]}


def test_what_is_copied_is_there_and_let_through(root, copied):
    let_through = (root / ".dockerignore").read_text().split()
    assert all((root / source).exists() for source in copied)
    assert {line[1:] for line in let_through if line.startswith("!")} == copied


def test_what_the_wheel_is_made_of_is_copied(root, steps, copied):
    project = tomllib.loads((root / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {*wheel["packages"], *wheel["force-include"], project["project"]["readme"], "pyproject.toml"} <= copied
    installs = [text for text in texts(steps, "RUN") if "pip install" in text]
    assert [re.findall(r"-c (\S+)", text) for text in installs] == [["constraints.txt"]] and "constraints.txt" in copied
    assert texts(steps, "FROM") == ["python:3.11-slim"], "the Python of constraints.txt"


def test_it_runs_ntkrun_as_a_user_without_rights_who_may_write_where_volumes_are(root, steps):
    names = [name for name, _ in steps]
    (user,) = texts(steps, "USER")
    assert user != "root" and names.index("USER") > max(at for at, name in enumerate(names) if name == "RUN")
    (entry,) = texts(steps, "ENTRYPOINT")
    assert set(json.loads(entry)) <= set(tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"])
    (made,) = [text for text in texts(steps, "RUN") if "useradd" in text]
    assert re.search(rf"useradd .* {user} ", made)
    owned = re.search(rf"chown -R {user} ([^&]+)", made)
    volumes = json.loads(texts(steps, "VOLUME")[0])
    assert owned and all(any(volume.startswith(folder) for folder in owned[1].split()) for volume in volumes)
    assert all(volume in re.findall(r"[/\w]+", made) for volume in volumes)


def test_arguments_that_comments_name_are_taken(root, steps):
    text = (root / "Dockerfile").read_text() + (root / "docs" / "install.md").read_text()
    named = set(re.findall(r"--build-arg (\w+)=", text))
    taken = {argument.split("=")[0] for argument in texts(steps, "ARG")}
    assert named and named <= taken and all(f"${{{argument}}}" in text for argument in taken)
