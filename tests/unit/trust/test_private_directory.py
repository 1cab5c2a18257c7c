import os
from pathlib import Path

import pytest

from braidmq.errors import ConfigError
from braidmq.trust import private_directory
from braidmq.trust.authority import Authority
from braidmq.trust.private_directory import check, check_way

NOBODY = 65534


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755, 0o711])
def test_a_directory_that_only_its_owner_may_write_is_all_right(tmp_path, mode):
    tmp_path.chmod(mode)
    check(tmp_path)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720, 0o702, 0o1777])
def test_a_directory_that_others_may_write_is_refused_with_its_mode_and_what_to_type(tmp_path, mode):
    tmp_path.chmod(mode)
    with pytest.raises(ConfigError, match=rf"has mode {mode:04o}, so that others .* run `chmod 700 {tmp_path}`"):
        check(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_directory_of_another_user_is_refused_but_not_to_root(tmp_path, monkeypatch):
    os.chown(tmp_path, NOBODY, -1)
    check(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
    check(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 1)
    with pytest.raises(ConfigError, match=r"belongs to another user, .* run this as that user \(`sudo -u USER`\)"):
        check(tmp_path)
    with pytest.raises(ConfigError, match="belongs to another user"):  # who may see nothing of what is in it
        Authority.open(tmp_path)


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o2777])
def test_a_way_that_others_may_change_is_refused(tmp_path, mode):
    open_to_all = tmp_path / "open"
    (open_to_all / "between").mkdir(parents=True)
    open_to_all.chmod(mode)
    for last in ("net", "between/net"):
        with pytest.raises(ConfigError, match=rf"{open_to_all} has mode {mode:04o}.*`chmod go-w {open_to_all}`"):
            check_way(open_to_all / last)


def test_a_way_through_a_link_in_a_place_that_others_may_change_is_refused(tmp_path):
    (tmp_path / "net").mkdir(mode=0o700)
    (tmp_path / "open").mkdir()
    (tmp_path / "open/link").symlink_to(tmp_path / "net")
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(ConfigError):
        check_way(tmp_path / "open/link")


@pytest.mark.parametrize("mode", [0o1777, 0o755, 0o700])
def test_a_way_with_a_sticky_bit_is_all_right(tmp_path, mode):
    tmp_path.chmod(mode)
    check_way(tmp_path / "net")
    check_way(tmp_path / "not/there/yet/net")


def test_a_group_may_write_above_only_if_it_is_the_user_s_alone(tmp_path, monkeypatch):
    (tmp_path / "of-group").mkdir()
    (tmp_path / "of-group").chmod(0o775)
    monkeypatch.setattr(private_directory, "_is_own_group", lambda group: True)
    check_way(tmp_path / "of-group/net")
    monkeypatch.setattr(private_directory, "_is_own_group", lambda group: False)
    with pytest.raises(ConfigError, match="has mode 0775"):
        check_way(tmp_path / "of-group/net")


def test_an_authority_is_neither_made_nor_opened_where_others_may_write(tmp_path):
    directory = tmp_path / "net"
    Authority.create(directory)
    directory.chmod(0o777)
    with pytest.raises(ConfigError, match="mode 0777"):
        Authority.open(directory)
    empty = tmp_path / "empty"
    empty.mkdir()
    empty.chmod(0o777)
    with pytest.raises(ConfigError, match="mode 0777"):
        Authority.create(empty)
    assert list(Path(empty).iterdir()) == []
