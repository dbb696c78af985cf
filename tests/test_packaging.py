"""What a user installs: one top-level name, everything under it, nothing beside it."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"astrasim": "astrasim", "systems": "astrasim/systems", "demos": "astrasim/demos", "perf": "astrasim/perf"}
VERSION_FOLDER = "astrasim-0.1.0"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with an sdist, and a wheel built from that sdist: so what the wheel has, the sdist has."""
    # Built from a copy, because setuptools leaves build/ behind and would pack what an earlier build left there.
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in (*FOLDERS, "tests", "typings"):
        litter = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=litter)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, check=False, cwd=out, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> set[str]:
    (path,) = built.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return set(archive.namelist())


def test_the_wheel_installs_one_top_level_name(wheel: set[str]) -> None:
    assert {name.partition("/")[0] for name in wheel} == {"astrasim", f"{VERSION_FOLDER}.dist-info"}


def test_the_wheel_has_every_module_of_the_tree_and_no_other(wheel: set[str]) -> None:
    modules = {
        f"{installed}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, installed in FOLDERS.items()
        for path in (ROOT / folder).rglob("*.py")
    }
    assert modules == {name for name in wheel if name.endswith(".py")}, "is a new subpackage missing in pyproject.toml?"


def test_the_wheel_is_typed_and_carries_no_stubs(wheel: set[str]) -> None:
    assert "astrasim/py.typed" in wheel
    assert not [name for name in wheel if name.endswith(".pyi")]


def test_the_sdist_carries_no_stubs_and_no_second_copy(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = archive.getnames()
    assert f"{VERSION_FOLDER}/systems/__init__.py" in names
    assert not [name for name in names if name.endswith(".pyi") or "/typings" in name or "/astrasim/systems" in name]


@pytest.mark.parametrize("package", ["systems", "demos", "perf"])
def test_a_package_refuses_to_be_imported_under_its_folder_name(package: str) -> None:
    done = python(f"import {package}", cwd=ROOT)
    assert done.returncode != 0
    assert f"ImportError: '{package}' was imported as '{package}': write 'import astrasim.{package}'" in done.stderr
    assert "two copies" in done.stderr


@pytest.mark.parametrize("elsewhere", [True, False], ids=["from elsewhere", "from the source tree"])
def test_the_packages_are_imported_under_their_installed_names(elsewhere: bool, tmp_path: Path) -> None:
    done = python("import astrasim.perf, astrasim.demos, astrasim.systems", cwd=tmp_path if elsewhere else ROOT)
    assert done.returncode == 0, done.stderr


def test_the_folders_stay_off_everyones_path(tmp_path: Path) -> None:
    done = python("import systems", cwd=tmp_path)
    assert "ModuleNotFoundError: No module named 'systems'" in done.stderr


def python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], check=False, cwd=cwd, capture_output=True, text=True)
