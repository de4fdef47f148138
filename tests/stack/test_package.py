"""The zip of the functions."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from chattifier import package
from chattifier.package import NAME, Sources


def test_it_has_both_packages_below_the_folder_that_is_named_as_the_file(tmp_path: Path) -> None:
    archive = package.build(Sources.installed(), tmp_path)
    assert archive.name == f"{NAME}.zip"
    with zipfile.ZipFile(archive) as zipped:
        names = zipped.namelist()
    assert f"{NAME}/src/chat_functions/main.py" in names
    assert f"{NAME}/src/chat_functions/schema.cql" in names
    assert f"{NAME}/src/pulsar_data/topics.py" in names
    assert all(name.startswith(f"{NAME}/src/") for name in names)
    assert not [name for name in names if name.endswith(".pyc")]


def test_with_its_dependencies_it_has_a_wheel_for_every_locked_one(tmp_path: Path) -> None:
    lock = Path(__file__).parents[2] / "locks" / "functions.txt"
    with zipfile.ZipFile(package.build(Sources.installed(), tmp_path, lock)) as zipped:
        wheels = [Path(name).name for name in zipped.namelist() if name.startswith(f"{NAME}/deps/")]
    packed = {wheel.split("-")[0].lower().replace("_", "-") for wheel in wheels}
    unconditional = re.findall(r"^([a-z0-9.-]+)==[^ ]+ \\$", lock.read_text(), re.MULTILINE)
    assert {"cassandra-driver", "redis", "pydantic", "ratelimit"} <= set(unconditional) <= packed


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = (package.build(Sources.installed(), tmp_path / name) for name in ("one", "other"))
    assert package.digest(one) == package.digest(other)


def test_a_change_of_a_source_changes_the_bytes(tmp_path: Path) -> None:
    functions = tmp_path / "functions"
    (functions / "chat_functions").mkdir(parents=True)
    source = functions / "chat_functions" / "main.py"
    source.write_text("one = 1\n")
    before = package.digest(package.build(Sources.installed(functions), tmp_path / "before"))
    source.write_text("one = 2\n")
    assert package.digest(package.build(Sources.installed(functions), tmp_path / "after")) != before
