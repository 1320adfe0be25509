"""What a statement is, by its first word."""

import pytest

from perfkit.sqlite.statements import Kinds, first_word

WORDS = {
    "select 1": "SELECT",
    "  \n\tInsert INTO t": "INSERT",
    "-- a comment\nVACUUM": "VACUUM",
    "/* one */ /* two\n */ -- three\n pragma user_version": "PRAGMA",
    ";; attach 'x' AS y": "ATTACH",
    "vacuum;": "VACUUM",
    "": "",
    "-- nothing": "",
    "/* not closed": "",
    "(select 1)": "",
}


@pytest.mark.parametrize("sql", WORDS)
def test_the_first_word(sql):
    assert first_word(sql) == WORDS[sql]


@pytest.mark.parametrize("sql", ["VACUUM", "/**/vacuum into 'x'", "ATTACH 'x' AS y", "detach y", "PRAGMA optimize"])
def test_what_runs_alone(sql):
    assert Kinds()[sql] is True


@pytest.mark.parametrize("sql", ["SELECT 1", "BEGIN", "vacuumed", "WITH x AS (SELECT 1) SELECT * FROM x", "-- VACUUM"])
def test_what_shares(sql):
    assert Kinds()[sql] is False


def test_no_end_of_statements_is_remembered():
    kinds = Kinds()
    for number in range(10_000):
        assert kinds[f"INSERT INTO t VALUES ({number})"] is False
    assert len(kinds) <= 2000


@pytest.mark.parametrize("sql", [b"SELECT 1", None, 5])
def test_what_is_no_statement(sql):
    with pytest.raises(TypeError, match="sql must be a str"):
        Kinds()[sql]


def test_a_long_comment_takes_no_long_time():
    assert first_word("-- " + "x" * 100_000 + "\n" * 100_000 + "VACUUM") == "VACUUM"
    assert first_word("/*" * 50_000) == ""
