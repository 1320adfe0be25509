"""Pools: connections that are kept and shared."""

from perfkit.pooling.threads import Pool

__all__ = ["Pool"]
