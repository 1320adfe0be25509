"""Durations as people read them."""

__all__ = ["format_seconds"]

_UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


def format_seconds(seconds: float) -> str:
    """Return a duration in the unit that suits it, such as ``"1.25 ms"``: three digits, from 1000 s on all."""
    for size, unit in _UNITS:
        value = seconds / size
        if abs(value) >= 0.9995:
            return f"{value:,.0f} {unit}" if abs(value) >= 999.5 else f"{value:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns" if abs(seconds) >= 1e-9 else "0 s"
