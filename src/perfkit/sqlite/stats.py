"""What a database tells of itself."""

from __future__ import annotations

from dataclasses import dataclass

from perfkit._base.latency_summary import LatencySummary

__all__ = ["DatabaseStats", "LatencySummary"]


@dataclass(frozen=True, slots=True)
class DatabaseStats:
    """One database's figures since it was opened, in this process alone.

    Attributes:
        name: what the database is called.
        path: the file.
        writes: operations that were carried out by the writer, failed ones too.
        batches: how often the writer took what waited, for a transaction each.
        mean_batch: how many operations were in one, on the average.
        max_batch: how many were in the largest.
        commits: seconds a batch took, from its begin until it was as durable as asked; count, mean, percentiles.
        pending: operations that wait for the writer now.
        waits: how many calls had to wait because ``max_pending`` operations waited already.
        wal_bytes: size of the WAL file now, in bytes. It is kept for reuse, so it seldom shrinks.
        checkpoints: how often the WAL was moved into the database, beside what SQLite does by itself.
        busy_retries: how often another process's lock was tried again.
        transactions: ``transaction()`` blocks that were begun.
        reads: queries answered by readers; with ``readers=0`` they are among the writes.
        streams: streams open now.
        oldest_reader: seconds that the longest query or stream has been reading; it keeps the WAL from being emptied.
    """

    name: str
    path: str
    writes: int
    batches: int
    mean_batch: float
    max_batch: int
    commits: LatencySummary
    pending: int
    waits: int
    wal_bytes: int
    checkpoints: int
    busy_retries: int
    transactions: int
    reads: int
    streams: int
    oldest_reader: float

    GAUGES = frozenset({"mean_batch", "max_batch", "pending", "wal_bytes", "streams", "oldest_reader"})
    COLUMNS = ("writes", "batches", "mean_batch", "commits", "pending", "wal_bytes", "transactions", "reads", "streams")

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.writes:,} writes in {self.batches:,} batches ({self.mean_batch:.1f} each),"
            f" commit p50 {self.commits.p50 * 1e3:.2f} ms, p99 {self.commits.p99 * 1e3:.2f} ms;"
            f" {self.reads:,} reads; {self.pending:,} pending"
        )
