"""The wheel holds the two packages, and nothing generic that another project may have too."""

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel, built from this checkout without asking any index."""
    pytest.importorskip("hatchling", reason="an offline build needs the backend in this environment")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [built] = folder.glob("*.whl")
    with zipfile.ZipFile(built) as opened:
        yield opened


def test_top_level(wheel):
    """Only the two packages and their metadata reach site-packages."""
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"asap_proto", "asap_adapters"}
    assert len(top) == 3


def test_every_module_is_there(wheel):
    """Each module of the checkout is in the wheel, and each package says that it is typed."""
    names = set(wheel.namelist())
    for root, package in ((ROOT, "asap_proto"), (ROOT / "adapters", "asap_adapters")):
        for module in (root / package).rglob("*.py"):
            assert module.relative_to(root).as_posix() in names
        assert f"{package}/py.typed" in names
    assert not [name for name in names if "__pycache__" in name or name.endswith((".pyc", ".orig"))]


def test_metadata(wheel):
    """The core's needs are the three it is meant to have; everything else is an extra."""
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    told = Parser().parsestr(wheel.read(name).decode())
    needs = [need for need in told.get_all("Requires-Dist") if "extra ==" not in need]
    assert {need.partition(">")[0] for need in needs} == {"attrs", "cattrs", "orjson"}
    assert set(told.get_all("Provides-Extra")) >= {"asyncio", "trio", "sync", "server", "cli", "all"}
    assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())
