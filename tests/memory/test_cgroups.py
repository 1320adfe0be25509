"""What the kernel's texts say, as they stand on real machines and in containers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfkit.memory.cgroups import Group, groups_of, limit_of, working_set

V2 = "0::/system.slice/app.service\n"
V2_MOUNT = "31 24 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "12:cpu,cpuacct:/\n9:memory:/docker/abc\n1:name=systemd:/x\n0::/\n"
V1_MOUNTS = """\
30 23 0:26 / /sys/fs/cgroup rw shared:5 - tmpfs tmpfs rw,mode=755
35 30 0:32 / /sys/fs/cgroup/memory rw shared:16 - cgroup cgroup rw,memory
36 30 0:33 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
41 30 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""


def test_version_2_with_all_above_it():
    assert groups_of(V2, V2_MOUNT) == [
        Group(2, "/sys/fs/cgroup/system.slice/app.service"),
        Group(2, "/sys/fs/cgroup/system.slice"),
        Group(2, "/sys/fs/cgroup"),
    ]


def test_version_1_beside_an_empty_version_2():
    assert groups_of(V1, V1_MOUNTS) == [
        Group(1, "/sys/fs/cgroup/memory/docker/abc"),
        Group(1, "/sys/fs/cgroup/memory/docker"),
        Group(1, "/sys/fs/cgroup/memory"),
        Group(2, "/sys/fs/cgroup/unified"),
    ]


@pytest.mark.parametrize(
    ("root", "path"),
    [
        ("/docker/abc", "/docker/abc"),  # the host's path, and that alone is mounted
        ("/", "/"),  # a namespace of its own
        ("/docker/abc", "/"),  # one that was joined
        ("/", "/../other"),  # outside of the namespace
        ("/docker/ab", "/docker/abc"),  # a neighbour with a longer name
    ],
)
def test_in_a_container_what_is_mounted_is_the_container(root, path):
    mount = f"35 30 0:32 {root} /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
    assert groups_of(f"0::{path}\n", mount) == [Group(2, "/sys/fs/cgroup")]


def test_below_what_is_mounted():
    mount = "35 30 0:32 /kubepods /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
    assert [group.directory for group in groups_of("0::/kubepods/pod1\n", mount)] == [
        "/sys/fs/cgroup/pod1",
        "/sys/fs/cgroup",
    ]


def test_a_path_with_signs_that_are_escaped():
    mount = "35 30 0:32 / /mnt/my\\040groups rw - cgroup2 cgroup rw\n"
    assert groups_of("0::/a:b\n", mount)[0].directory == "/mnt/my groups/a:b"


@given(st.text(), st.text())
def test_no_text_is_too_odd(cgroup, mountinfo):
    assert isinstance(groups_of(cgroup, mountinfo), list)


@pytest.mark.parametrize(
    ("text", "limit"),
    [("max\n", None), ("419430400\n", 419430400), ("9223372036854771712\n", None), ("", None), ("0\n", None)],
)
def test_limits(text, limit):
    assert limit_of(text) == limit


def test_names_of_files_differ():
    assert Group(1, "/x").limit_files == ("memory.limit_in_bytes",)
    assert Group(2, "/x").limit_files == ("memory.max", "memory.high")
    assert {Group(1, "/x").usage_file, Group(2, "/x").usage_file} == {"memory.usage_in_bytes", "memory.current"}


STAT_V2 = b"anon 9437184\nfile 314572800\nshmem 20\ninactive_file 200000000\nactive_file 100000000\nslab 1"
STAT_V1 = b"inactive_file 1\nactive_file 2\ntotal_inactive_file 200\ntotal_active_file 100\n"


def test_the_working_set_is_usage_without_file_cache():
    assert working_set(b"324000000\n", STAT_V2, 2) == 24_000_000
    assert working_set(b"1000\n", STAT_V1, 1) == 700
    assert working_set(b"10\n", STAT_V1, 1) == 0  # read at different moments


@pytest.mark.parametrize(("usage", "stat"), [(b"", STAT_V2), (b"10", b""), (b"10", b"xinactive_file 5\n")])
def test_what_cannot_be_read_is_an_error(usage, stat):
    with pytest.raises(ValueError):
        working_set(usage, stat, 2)


@given(st.dictionaries(st.sampled_from(["anon", "file", "slab", "workingset_refault"]), st.integers(0, 2**50)))
def test_the_figures_are_found_among_others(others):
    figures = others | {"inactive_file": 3, "active_file": 4}
    stat = "".join(f"{name} {value}\n" for name, value in figures.items()).encode()
    assert working_set(b"100", stat, 2) == 93
