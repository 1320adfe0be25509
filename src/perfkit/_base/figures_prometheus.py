"""Figures in the text format that Prometheus scrapes (exposition format 0.0.4), written without its client."""

from __future__ import annotations

import math
from collections.abc import Mapping

from perfkit._base.figures import is_figures, is_summary, items, sound, told_apart, unused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    Labels = tuple[tuple[str, str], ...]
    Sample = tuple[str, str, str, Labels, float]  # the metric, its type, what is behind its name, labels, value

__all__ = ["exposed"]

_ABOUT: tuple[tuple[str, Any], ...] = (("GAUGES", ()), ("STATES", {}), ("UNIT", ""))
_QUANTILES = (("0.5", "p50"), ("0.9", "p90"), ("0.95", "p95"), ("0.99", "p99"), ("0.999", "p999"))


def exposed(snapshots: Iterable[Any]) -> str:
    """Return all figures as metrics, those of one name together, as the format wants it."""
    metrics: dict[str, list[str]] = {}
    for kind, name, figures in told_apart(snapshots):
        for metric, type_, end, labels, value in _samples(f"perfkit_{_snake(kind)}", (("name", name),), figures):
            lines = metrics.setdefault(metric, [f"# TYPE {metric} {type_}"])
            lines.append(f"{metric}{end}{{{_labels(labels)}}} {_number(value)}")
    return "".join(f"{line}\n" for lines in metrics.values() for line in lines)


def _samples(prefix: str, labels: Labels, figures: Any) -> Iterator[Sample]:
    gauges, states, unit = (getattr(figures, name, other) for name, other in _ABOUT)
    for field, value in items(figures):
        name = f"{prefix}_{field}" + (f"_{unit}" if unit else "")
        if isinstance(value, bool):
            yield name, "gauge", "", labels, float(value)
        elif isinstance(value, int | float):
            yield from _of_number(name, labels, value, is_gauge=bool(unit) or field in gauges)
        elif field in states:
            yield from ((name, "gauge", "", (*labels, (field, word)), float(word == value)) for word in states[field])
        elif is_summary(value):
            yield from _of_summary(f"{name}_seconds", labels, value, is_gauge=field in gauges)
        else:
            yield from _of_many(name, field, labels, value)


def _of_number(name: str, labels: Labels, value: float, *, is_gauge: bool) -> Iterator[Sample]:
    if is_gauge:
        yield name, "gauge", "", labels, value
    else:
        yield f"{name}_total", "counter", "", labels, value


def _of_summary(name: str, labels: Labels, summary: Any, *, is_gauge: bool) -> Iterator[Sample]:
    """Yield percentiles, sum and count; of a window the first alone, for the others would go down."""
    kind = "gauge" if is_gauge else "summary"
    for quantile, field in _QUANTILES:
        value = getattr(summary, field) if summary.count else math.nan
        yield name, kind, "", (*labels, ("quantile", quantile)), value
    if not is_gauge:
        yield name, kind, "_sum", labels, summary.total
        yield name, kind, "_count", labels, summary.count


def _of_many(name: str, field: str, labels: Labels, value: Any) -> Iterator[Sample]:
    """Yield what is in a figure that is more than a number; nothing for a text, which is no metric."""
    if isinstance(value, Mapping):
        for key, number in value.items():
            yield f"{name}_total", "counter", "", (*labels, ("reason", str(key))), number
    elif is_figures(value):
        yield from _samples(name, labels, value)
    elif isinstance(value, tuple) and value and all(is_figures(one) for one in value):
        met: set[tuple[str, str]] = set()
        for one in value:
            yield from _of_one(name, field, labels, one, met)
    elif isinstance(value, tuple | list | set | frozenset):
        yield name, "gauge", "", labels, len(value)


def _of_one(name: str, field: str, labels: Labels, one: Any, met: set[tuple[str, str]]) -> Iterator[Sample]:
    """Yield the figures of one of many; which one says its first, in a label."""
    (first, said), *_ = items(one)
    label = field.removesuffix("s") if first == "name" else first
    for sample in _samples(name, (*labels, (label, unused(sound(said), met, field))), one):
        if sample[0] != f"{name}_{first}_total":
            yield sample


def _snake(kind: str) -> str:
    return kind.replace(" ", "_")


def _labels(labels: Labels) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
