import os

import pytest

from braidmq.host import watched_files
from braidmq.host.watched_files import WatchedFiles, changed


@pytest.fixture
def source(tmp_path):
    for name in ("app.py", "package/part.py", "text.txt", ".git/hook.py", "__pycache__/app.py", "venv/lib/its.py"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("1")
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    return tmp_path


def names(source, paths):
    return {os.path.relpath(path, source) for path in paths}


def test_python_files_are_watched_but_for_those_that_nobody_edits(source):
    assert names(source, WatchedFiles([source]).look()) == {"app.py", "package/part.py"}


def test_a_file_may_be_named_and_a_place_be_named_twice(source):
    assert names(source, WatchedFiles([source / "app.py", source / "app.py"]).look()) == {"app.py"}


def test_what_is_not_there_has_no_files(source):
    assert WatchedFiles([source / "nothing"]).look() == {}


def test_files_that_come_go_or_change_are_told(source):
    files = WatchedFiles([source])
    before = files.look()
    assert changed(before, files.look()) == set()
    (source / "new.py").touch()
    (source / "package" / "part.py").unlink()
    (source / "app.py").write_text("22")
    assert names(source, changed(before, files.look())) == {"new.py", "package/part.py", "app.py"}


def test_a_file_that_another_one_has_replaced_has_changed_whatever_its_time_and_size(source):
    """As editors write: into a new file that takes the name of the old one."""
    files = WatchedFiles([source])
    before, times = files.look(), (source / "app.py").stat()
    (source / "other").write_text("2")
    os.utime(source / "other", ns=(times.st_atime_ns, times.st_mtime_ns))
    (source / "other").rename(source / "app.py")
    assert names(source, changed(before, files.look())) == {"app.py"}


def test_no_more_files_are_watched_than_the_limit(source, monkeypatch):
    monkeypatch.setattr(watched_files, "FILES_MAX", 1)
    assert len(WatchedFiles([source]).look()) == 1
