"""``require="numpy>=2"``: is the package that is installed the one that is asked for? Its metadata tells."""

from __future__ import annotations

__all__ = ["check", "objection"]


def check(require: object) -> None:
    """Raise TypeError or ValueError for what is plainly no requirement; the rest is read when it is needed."""
    if not isinstance(require, str):
        raise TypeError(f"require must be a str such as 'numpy>=2', not {type(require).__name__}")
    if not require[:1].isalnum() or not any(sign in require for sign in "<>=!~"):
        raise ValueError(
            f"require must be a package and its versions, such as 'numpy>=2' or 'numpy>=2,<3', not {require!r}"
        )


def objection(require: str) -> str | None:
    """Say what is wrong with what is installed, None for nothing. Nothing is imported but what reads metadata.

    Raises ValueError if the requirement is none.
    """
    from importlib import metadata

    from packaging.requirements import InvalidRequirement, Requirement

    try:
        asked = Requirement(require)
    except InvalidRequirement as error:
        raise ValueError(f"require must be a package and its versions, such as 'numpy>=2,<3': {error}") from None
    if asked.marker and not asked.marker.evaluate():
        return None
    try:
        about = metadata.metadata(asked.name)
    except metadata.PackageNotFoundError:
        return (
            f"{require} is required, and no package {asked.name!r} is installed "
            "(require names it as pip does, which may differ from the module's name)"
        )
    if "Version" not in about:
        return f"{require} is required, and {asked.name} is installed without a version"
    found = about["Version"]
    if asked.specifier.contains(found, prereleases=True):
        return None
    return f"{require} is required, and {asked.name} {found} is installed"
