"""KeyboardInterrupt at any place: no hook stays that does anything, and the next use loads."""

import builtins
import sys

import pytest
from interrupting import FIRST, STEP, interrupted

import perfkit
from perfkit.lazyload import block, native

ORDINARY = builtins.__import__


def strike_everywhere(scene, least):
    """Play ``scene(struck, at)`` with an interrupt at the first place, the second, and so on."""
    at, place = FIRST, True
    while place is not None:
        place = scene(lambda operation, at=at: interrupted(operation, at), at)
        at += STEP
    assert at > least, "hardly anything was interrupted"


@pytest.mark.skipif(native.is_there, reason="the interpreter's own lazy imports do this")
def test_a_block_that_is_interrupted(site):
    site.write("X_heavy", "value = 7")
    block_of = "with perfkit.lazy_imports():\n    import X_heavy as heavy\n    from X_pack import part\n"
    code = compile(site.name(block_of), "<block>", "exec")
    site.write("X_pack.", "")
    site.write("X_pack.part", "value = 'part'")
    exec(code, {"__name__": "program", "perfkit": perfkit})  # loads what blocks need

    def scene(struck, at):
        names = {"__name__": "program", "perfkit": perfkit}
        place = struck(lambda: exec(code, names))
        if builtins.__import__ is not ORDINARY:  # it struck where __exit__ began
            assert place.endswith("__exit__")
        later = {"__name__": "later"}
        exec(site.name("import X_pack as pack"), later)
        assert type(later["pack"]).__name__ == "module"
        sys.modules.pop(site.name("X_pack"))
        again = {"__name__": "program", "perfkit": perfkit}
        exec(code, again)
        assert builtins.__import__ is ORDINARY
        assert block._blocks == ()
        assert again["heavy"].value == 7
        assert again["part"].value == "part"
        for name in site.loaded():
            del sys.modules[site.name(name)]
        return place

    strike_everywhere(scene, least=20)


@pytest.mark.parametrize("how", ["heavy = perfkit.lazy('X_heavy', hint='x')", "from X_pack import heavy"])
def test_a_first_use_that_is_interrupted(site, how):
    site.write("X_heavy", "value = 7")
    site.write("X_pack.", "")
    site.write("X_pack.heavy", "value = 7")
    in_block = how if "perfkit" in how else f"with perfkit.lazy_imports():\n    {how}"
    code = compile(site.name(in_block), "<declaration>", "exec")
    use = compile("heavy.value", "<use>", "eval")

    def scene(struck, at):
        names = {"__name__": "program", "perfkit": perfkit}
        exec(code, names)
        kept = names["heavy"]
        place = struck(lambda: eval(use, names))
        assert eval(use, names) == 7
        assert kept.value == 7
        [entry] = [each for each in perfkit.lazy_report().loaded if each.name == site.name(kept.__name__)]
        assert entry.seconds > 0
        for name in site.loaded():
            del sys.modules[site.name(name)]
        perfkit.lazyload.ledger.ledger._records.clear()
        return place

    strike_everywhere(scene, least=15)
