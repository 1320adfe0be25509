"""A simulated file system whose stamps tick: a settled reading that `stat` still fits is what the file holds."""

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from perfkit.statefile.fingerprint import is_settled, same_file

TICKS = [1, 4_000_000, 10_000_000, 1_000_000_000, 2_000_000_000]


@dataclass(frozen=True)
class Stat:
    st_mtime_ns: int
    st_ctime_ns: int
    st_ino: int
    st_size: int = 17
    st_dev: int = 1


@dataclass
class Disk:
    """One file of constant size; ``content`` counts its writes, which is what a reader must not be wrong about."""

    tick: int
    now: int = 10**18
    content: int = 0

    def __post_init__(self):
        self.stat = Stat(self._stamp(), self._stamp(), st_ino=7)

    def _stamp(self):
        return self.now // self.tick * self.tick

    def wait(self, ns):
        self.now += ns

    def write(self, how):
        self.content += 1
        stamp = self._stamp()
        changed = replace(self.stat, st_ctime_ns=stamp)
        if how != "mtime put back":
            changed = replace(changed, st_mtime_ns=stamp)
        if how == "replaced":  # ext4 hands the same number out again at every second replace
            changed = replace(changed, st_ino=7 if self.stat.st_ino == 8 else 8)
        self.stat = changed


STEPS = st.lists(
    st.one_of(
        st.sampled_from(["in place", "replaced", "mtime put back"]),
        st.integers(0, 30_000_000),
        st.integers(0, 3_000_000_000),
    ),
    max_size=12,
)


def apply(disk, steps):
    for step in steps:
        if isinstance(step, int):
            disk.wait(step)
        else:
            disk.write(step)


@given(st.sampled_from(TICKS), STEPS, STEPS)
def test_a_settled_reading_that_stat_fits_is_current(tick, before, after):
    disk = Disk(tick)
    apply(disk, before)
    read, seen, read_at = disk.content, disk.stat, disk.now
    for step in after:
        apply(disk, [step])
        if is_settled(seen, read_at) and same_file(disk.stat, seen):
            assert disk.content == read


def test_the_simulation_catches_the_naive_rule():
    disk = Disk(tick=1_000_000_000)
    seen = disk.stat
    disk.write("in place")
    assert same_file(disk.stat, seen), "the content changed and stat does not show it"
    assert not is_settled(seen, disk.now)


@given(st.sampled_from(TICKS))
def test_a_file_left_alone_settles(tick):
    disk = Disk(tick)
    disk.wait(4_100_000_000)
    assert is_settled(disk.stat, disk.now)


def test_a_stamp_in_the_future_never_settles():
    assert not is_settled(Stat(2 * 10**18 + 5, 10**18, 7), 10**18 + 10**10)
