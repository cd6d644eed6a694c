import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from expo_gateway.data_dir import LOCK, THROWAWAY_PREFIX, open_data_dir
from expo_gateway.errors import CannotStart, SettingsError


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_named_directory_is_made_for_its_owner_only_and_stays(tmp_path: Path) -> None:
    with open_data_dir(tmp_path / "a" / "data") as directory:
        (directory / "x").touch()

    assert (directory / "x").exists()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_a_second_process_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    with (
        open_data_dir(tmp_path),
        pytest.raises(CannotStart, match=rf"in use by another expo-gateway \(process {os.getpid()}\); .*--data"),
        open_data_dir(tmp_path),
    ):
        pass


def test_once_the_first_has_ended_the_next_gets_it(tmp_path: Path) -> None:
    with open_data_dir(tmp_path):
        pass

    with open_data_dir(tmp_path) as directory:
        assert directory == tmp_path


def test_what_is_no_directory_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with (
        pytest.raises(SettingsError, match=r"store\.data: got .*file, .* wanted a writable directory"),
        open_data_dir(tmp_path / "file"),
    ):
        pass


def test_a_throwaway_goes_at_the_end(temp: Path) -> None:
    with open_data_dir(None) as directory:
        assert directory.parent == temp
        (directory / "x").touch()

    assert not list(temp.iterdir())


def test_a_throwaway_of_a_killed_process_is_removed_by_the_next(temp: Path) -> None:
    die = (
        "import os; from expo_gateway.data_dir import *; opened = open_data_dir(None); opened.__enter__(); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", die], env=os.environ | {"TMPDIR": str(temp)}, timeout=20, check=False)
    left = list(temp.iterdir())

    with open_data_dir(None):
        assert len(left) == 1
        assert not left[0].exists()


def test_what_is_not_ours_beyond_doubt_is_left_alone(temp: Path) -> None:
    unlocked = temp / f"{THROWAWAY_PREFIX}without-lock"
    unlocked.mkdir()
    elsewhere = temp / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / LOCK).touch()
    (temp / f"{THROWAWAY_PREFIX}link").symlink_to(elsewhere)
    with open_data_dir(None) as running, open_data_dir(None):
        assert running.exists()

    assert unlocked.exists()
    assert elsewhere.exists()
