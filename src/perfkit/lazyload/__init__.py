"""Imports that wait for their first use, and `lazy_report` of what became of them."""

from perfkit._base.first_use import on_first_use

TYPE_CHECKING = False
if TYPE_CHECKING:
    from perfkit.lazyload.block import lazy_imports as lazy_imports
    from perfkit.lazyload.declaring import lazy as lazy
    from perfkit.lazyload.report import LazyImport as LazyImport
    from perfkit.lazyload.report import LazyReport as LazyReport
    from perfkit.lazyload.report import LazyStats as LazyStats
    from perfkit.lazyload.report import lazy_report as lazy_report
    from perfkit.lazyload.stub import attach_stub as attach_stub

# Each on first use: a part that is for starting quickly has to.
_HOMES = {
    "LazyImport": ".report",
    "LazyReport": ".report",
    "LazyStats": ".report",
    "attach_stub": ".stub",
    "lazy": ".declaring",
    "lazy_imports": ".block",
    "lazy_report": ".report",
}

__all__ = [
    "LazyImport",
    "LazyReport",
    "LazyStats",
    "attach_stub",
    "lazy",
    "lazy_imports",
    "lazy_report",
]


if not TYPE_CHECKING:  # or type checkers would take any name for one of ours
    __getattr__ = on_first_use(globals(), _HOMES)


def __dir__() -> list[str]:
    return sorted(__all__)
