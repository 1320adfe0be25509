"""The errors of perfkit: one root, and each error also the builtin that callers already catch.

::

    PerfkitError
    ├── BreakerOpen               (ConnectionError)         the call was not made: its circuit breaker is open
    ├── CacheDumpError
    │   ├── CacheDumpCorrupt      (ValueError)              the file is no dump of a cache, or not a whole one
    │   └── CacheDumpRefused      (TypeError)               an entry holds something that a dump has no form for
    ├── DatabaseError
    │   ├── DatabaseBusy          (sqlite3.OperationalError, TimeoutError)  another process kept the database locked
    │   ├── DatabaseClosed        (sqlite3.ProgrammingError)  used after close()
    │   ├── DatabaseCorrupt       (sqlite3.DatabaseError)   the file is no SQLite database; it was not touched
    │   ├── DatabaseForked        (RuntimeError)            opened before a fork, used in the child
    │   ├── DatabaseLoopError     (RuntimeError)            used in another event loop than its own
    │   ├── DatabaseNewer         (RuntimeError)            the file has more migrations than the program
    │   ├── StreamExpired         (TimeoutError)            a stream was open for longer than its max_age
    │   ├── TooManyParameters     (sqlite3.OperationalError)  a statement has more parameters than SQLite takes
    │   ├── TransactionRefused    (sqlite3.ProgrammingError)  a statement or call that belongs into transaction()
    │   └── TransactionTimeout    (TimeoutError)            a transaction() was not over in time; it was rolled back
    ├── LazyImportError           (ImportError)             a module that was declared lazily could not be imported
    │   ├── LazyModuleNotFound    (ModuleNotFoundError)     it, or one that it needs, is not installed
    │   └── LazyRequirementUnmet                            another version is installed than is asked for
    ├── MailError                 (smtplib.SMTPException)   of mail pools
    │   ├── DeliveryUnknown                                 a mail was handed over, and nobody knows what became of it
    │   ├── MailConnectionLost    (smtplib.SMTPServerDisconnected, ConnectionError)  in the middle; nothing was sent
    │   ├── MailProtocolError                               what the server says is not SMTP
    │   ├── MailRefused           (smtplib.SMTPResponseException)  the server said no: to the connection, or below
    │   │   ├── DeliveryRefused                             to a mail: its sender, its content or every recipient
    │   │   └── MailAuthRefused   (smtplib.SMTPAuthenticationError)  to the password
    │   ├── MailTimeout           (smtplib.SMTPServerDisconnected, TimeoutError)  no answer in time; nothing was sent
    │   ├── MailUnsupported       (smtplib.SMTPNotSupportedError)  the server doesn't offer what is needed
    │   └── MailUntrusted         (ssl.SSLCertVerificationError)  the server's certificate is not trusted
    ├── MemoryPressure            (MemoryError)             a guard didn't let the work begin: too little memory
    ├── PackError                 (TypeError)               packed() has no form for something in the value
    ├── PoolError
    │   ├── NotLent               (ValueError)              what was given back is not lent by this pool
    │   ├── PoolClosed            (RuntimeError)            the pool was closed
    │   ├── PoolFull              (TimeoutError)            as many as may wait for a connection do so already
    │   ├── PoolLoopError         (RuntimeError)            an AsyncPool in another event loop than its own
    │   ├── PoolReentered         (RuntimeError)            in the midst of what a pool does; it would hang
    │   └── PoolTimeout           (TimeoutError)            no connection came free in time
    ├── UnpackError               (ValueError)              not what packed() made, or of a type that isn't registered
    └── StateFileError
        ├── StateFileConflict     (RuntimeError)            somebody wrote since the version that save() was based on
        ├── StateFileCorrupt      (json.JSONDecodeError)    the file is not JSON; it was not touched
        ├── StateFileEncodeError  (TypeError, ValueError)   the document holds something that JSON has no form for
        ├── StateFileLockError    (RuntimeError)            a change would wait for itself, or is carried over a fork
        └── StateFileTimeout      (TimeoutError)            the lock was not had in time

An error of a part lives in the part and is loaded from here on first use. Facts are attributes; every error pickles
with them. Exceptions of the caller's own functions pass through perfkit unwrapped.
"""

from perfkit._base.first_use import on_first_use

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from perfkit.caching.errors import CacheDumpCorrupt as CacheDumpCorrupt
    from perfkit.caching.errors import CacheDumpError as CacheDumpError
    from perfkit.caching.errors import CacheDumpRefused as CacheDumpRefused
    from perfkit.lazyload.errors import LazyImportError as LazyImportError
    from perfkit.lazyload.errors import LazyModuleNotFound as LazyModuleNotFound
    from perfkit.lazyload.errors import LazyRequirementUnmet as LazyRequirementUnmet
    from perfkit.memory.errors import MemoryPressure as MemoryPressure
    from perfkit.pooling.errors import NotLent as NotLent
    from perfkit.pooling.errors import PoolClosed as PoolClosed
    from perfkit.pooling.errors import PoolError as PoolError
    from perfkit.pooling.errors import PoolFull as PoolFull
    from perfkit.pooling.errors import PoolLoopError as PoolLoopError
    from perfkit.pooling.errors import PoolReentered as PoolReentered
    from perfkit.pooling.errors import PoolTimeout as PoolTimeout
    from perfkit.pooling.smtp_errors import DeliveryRefused as DeliveryRefused
    from perfkit.pooling.smtp_errors import DeliveryUnknown as DeliveryUnknown
    from perfkit.pooling.smtp_errors import MailAuthRefused as MailAuthRefused
    from perfkit.pooling.smtp_errors import MailConnectionLost as MailConnectionLost
    from perfkit.pooling.smtp_errors import MailError as MailError
    from perfkit.pooling.smtp_errors import MailProtocolError as MailProtocolError
    from perfkit.pooling.smtp_errors import MailRefused as MailRefused
    from perfkit.pooling.smtp_errors import MailTimeout as MailTimeout
    from perfkit.pooling.smtp_errors import MailUnsupported as MailUnsupported
    from perfkit.pooling.smtp_errors import MailUntrusted as MailUntrusted
    from perfkit.resilience.errors import BreakerOpen as BreakerOpen
    from perfkit.sqlite.errors import DatabaseBusy as DatabaseBusy
    from perfkit.sqlite.errors import DatabaseClosed as DatabaseClosed
    from perfkit.sqlite.errors import DatabaseCorrupt as DatabaseCorrupt
    from perfkit.sqlite.errors import DatabaseError as DatabaseError
    from perfkit.sqlite.errors import DatabaseForked as DatabaseForked
    from perfkit.sqlite.errors import DatabaseLoopError as DatabaseLoopError
    from perfkit.sqlite.errors import DatabaseNewer as DatabaseNewer
    from perfkit.sqlite.errors import PackError as PackError
    from perfkit.sqlite.errors import StreamExpired as StreamExpired
    from perfkit.sqlite.errors import TooManyParameters as TooManyParameters
    from perfkit.sqlite.errors import TransactionRefused as TransactionRefused
    from perfkit.sqlite.errors import TransactionTimeout as TransactionTimeout
    from perfkit.sqlite.errors import UnpackError as UnpackError
    from perfkit.statefile.errors import StateFileConflict as StateFileConflict
    from perfkit.statefile.errors import StateFileCorrupt as StateFileCorrupt
    from perfkit.statefile.errors import StateFileEncodeError as StateFileEncodeError
    from perfkit.statefile.errors import StateFileError as StateFileError
    from perfkit.statefile.errors import StateFileLockError as StateFileLockError
    from perfkit.statefile.errors import StateFileTimeout as StateFileTimeout

_PARTS = {
    "BreakerOpen": "perfkit.resilience.errors",
    "CacheDumpCorrupt": "perfkit.caching.errors",
    "CacheDumpError": "perfkit.caching.errors",
    "CacheDumpRefused": "perfkit.caching.errors",
    "DatabaseBusy": "perfkit.sqlite.errors",
    "DatabaseClosed": "perfkit.sqlite.errors",
    "DatabaseCorrupt": "perfkit.sqlite.errors",
    "DatabaseError": "perfkit.sqlite.errors",
    "DatabaseForked": "perfkit.sqlite.errors",
    "DatabaseLoopError": "perfkit.sqlite.errors",
    "DatabaseNewer": "perfkit.sqlite.errors",
    "DeliveryRefused": "perfkit.pooling.smtp_errors",
    "DeliveryUnknown": "perfkit.pooling.smtp_errors",
    "LazyImportError": "perfkit.lazyload.errors",
    "LazyModuleNotFound": "perfkit.lazyload.errors",
    "LazyRequirementUnmet": "perfkit.lazyload.errors",
    "MailAuthRefused": "perfkit.pooling.smtp_errors",
    "MailConnectionLost": "perfkit.pooling.smtp_errors",
    "MailError": "perfkit.pooling.smtp_errors",
    "MailProtocolError": "perfkit.pooling.smtp_errors",
    "MailRefused": "perfkit.pooling.smtp_errors",
    "MailTimeout": "perfkit.pooling.smtp_errors",
    "MailUnsupported": "perfkit.pooling.smtp_errors",
    "MailUntrusted": "perfkit.pooling.smtp_errors",
    "MemoryPressure": "perfkit.memory.errors",
    "NotLent": "perfkit.pooling.errors",
    "PackError": "perfkit.sqlite.errors",
    "PoolClosed": "perfkit.pooling.errors",
    "PoolError": "perfkit.pooling.errors",
    "PoolFull": "perfkit.pooling.errors",
    "PoolLoopError": "perfkit.pooling.errors",
    "PoolReentered": "perfkit.pooling.errors",
    "PoolTimeout": "perfkit.pooling.errors",
    "StateFileConflict": "perfkit.statefile.errors",
    "StateFileCorrupt": "perfkit.statefile.errors",
    "StateFileEncodeError": "perfkit.statefile.errors",
    "StateFileError": "perfkit.statefile.errors",
    "StateFileLockError": "perfkit.statefile.errors",
    "StateFileTimeout": "perfkit.statefile.errors",
    "StreamExpired": "perfkit.sqlite.errors",
    "TooManyParameters": "perfkit.sqlite.errors",
    "TransactionRefused": "perfkit.sqlite.errors",
    "TransactionTimeout": "perfkit.sqlite.errors",
    "UnpackError": "perfkit.sqlite.errors",
}

__all__ = ["PerfkitError", *_PARTS]  # noqa: PLE0604 (a list of str, drawn from the table)


class PerfkitError(Exception):
    """The root of the errors that are perfkit's own: not of wrong arguments, nor of what mappings raise.

    Subclasses take a message and keyword facts, which become attributes. They pickle and copy with both, whatever the
    constructor of the builtin beside them asks for.
    """

    def __init__(self, message: str = "", **facts: object) -> None:
        Exception.__init__(self, message)  # not super(): the builtin beside us may want arguments of its own
        self.__dict__.update(facts)

    def __reduce__(self) -> "tuple[Any, ...]":
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(cls: "type[PerfkitError]", args: "tuple[Any, ...]", facts: "dict[str, Any]") -> PerfkitError:
    """Make an error again without its constructor: builtins such as JSONDecodeError want arguments of their own."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(facts)
    return error


if not TYPE_CHECKING:  # or type checkers would take any name for one of ours
    __getattr__ = on_first_use(globals(), _PARTS)


def __dir__() -> list[str]:
    return sorted(__all__)
