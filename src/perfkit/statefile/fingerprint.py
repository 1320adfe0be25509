"""When a cached reading may be served without reading again: pure, the clock and ``stat`` passed in.

Modification time and size alone serve stale data: stamps tick in 4 ms or 1 s steps on many file systems, inodes are
reused, and tools such as ``rsync -t`` put old times back. So a reading counts as *settled* only if every stamp was old
when it began. A write that comes after that reading has a change time (ctime) of at least that moment, later than the
one that was kept, and a reused inode was born after it too. This is the racy-entry rule of Git's index
(Documentation/technical/racy-git), with ctime.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from os import stat_result  # its shape alone: nothing here looks at a file

__all__ = ["COARSE_SLACK_NS", "SLACK_NS", "is_settled", "same_file"]

# One tick of the coarsest common stamps below a second (exFAT: 10 ms; Linux at 100 Hz: 10 ms; Windows: 15.6 ms).
SLACK_NS = 20_000_000
# Stamps without a fraction may come in steps of 1 s (ext3, HFS+) or 2 s (FAT).
COARSE_SLACK_NS = 2_000_000_000
_SECOND_NS = 1_000_000_000


def same_file(a: "stat_result", b: "stat_result") -> bool:
    """Tell whether nothing that ``stat`` shows of identity, size and stamps differs."""
    return (
        a.st_mtime_ns == b.st_mtime_ns
        and a.st_ctime_ns == b.st_ctime_ns
        and a.st_ino == b.st_ino
        and a.st_size == b.st_size
        and a.st_dev == b.st_dev
    )


def is_settled(stat: "stat_result", read_at_ns: int) -> bool:
    """Tell whether every later write must show in ``stat``.

    ``read_at_ns`` is the stamping clock before the file was opened.
    """
    newest = max(stat.st_mtime_ns, stat.st_ctime_ns)
    slack = SLACK_NS if newest % _SECOND_NS else COARSE_SLACK_NS
    return newest + slack < read_at_ns
