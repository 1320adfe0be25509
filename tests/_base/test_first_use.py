"""Names that are loaded when they are first asked for."""

import pytest

import perfkit
from perfkit import pooling


def test_a_name_that_there_is_not_is_refused_with_one_that_is_like_it():
    with pytest.raises(AttributeError, match="module 'perfkit' has no attribute 'Poll'") as caught:
        _ = perfkit.Poll
    assert (caught.value.name, caught.value.obj) == ("Poll", perfkit)  # from which Python suggests Pool
    with pytest.raises(AttributeError, match=r"module 'perfkit\.pooling' has no attribute 'Poll'"):
        _ = pooling.Poll


def test_a_name_is_looked_up_once():
    assert vars(pooling).get("Pool", pooling.Pool) is pooling.Pool
    assert "Pool" in vars(pooling)
