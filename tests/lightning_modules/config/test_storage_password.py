"""A database's password is taken out of what is typed, whatever it looks like."""

import os

import pytest

from lightning_modules.config import command_line
from lightning_modules.config.storage_password import PASSWORD, split_password, take_password


@pytest.mark.parametrize(
    ("url", "rest", "password"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me@host/db", "secret"),
        ("postgresql+psycopg2://me:s:e@c/r@host:1/db", "postgresql+psycopg2://me@host:1/db",
         "s:e@c/r"),
        ("postgresql://me:p%40ss@host/db?sslmode=require", "postgresql://me@host/db?sslmode=require",
         "p@ss"),
        ("postgresql://me@host/db?password=secret", "postgresql://me@host/db", "secret"),
        ("postgresql:///db?user=me&password=secret&port=1", "postgresql:///db?user=me&port=1",
         "secret"),
        ("postgresql://host/db?password=secret&user=me", "postgresql://host/db?user=me", "secret"),
        ("postgresql://:secret@host/db", "postgresql://@host/db", "secret"),
        ("postgresql://me:@host/db", "postgresql://me@host/db", ""),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db", None),
        ("postgresql://host:5432/db", "postgresql://host:5432/db", None),
        ("postgresql://host:5432/db?user=me@x", "postgresql://host:5432/db?user=me@x", None),
        ("sqlite:////a/b@c/study.db", "sqlite:////a/b@c/study.db", None),
        ("sqlite:////a:b/c@d/study.db", "sqlite:////a:b/c@d/study.db", None),
    ],
)  # fmt: skip
def test_urls(url, rest, password):
    assert split_password(url) == (rest, password)


@pytest.mark.parametrize(
    ("word", "rest", "password"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me@host/db", "secret"),
        ("'postgresql://me:se,cret@host/db'", "'postgresql://me@host/db'", "se,cret"),
        (r"'postgresql://me:it\'s@host/db'", "'postgresql://me@host/db'", "it's"),
        ('"postgresql://host/db?password=a=b"', '"postgresql://host/db"', "a=b"),
    ],
)
def test_words_of_the_command_line(monkeypatch, word, rest, password):
    monkeypatch.delenv(PASSWORD, raising=False)
    for key in ("hydra.sweeper.storage", "+hydra.sweeper.storage", "++hydra.sweeper.storage"):
        words = take_password(["-m", f"{key}={word}", "seed=1"])
        assert words == ["-m", f"{key}={rest}", "seed=1"]
        assert os.environ[PASSWORD] == password


def test_no_word_is_changed_without_a_password(monkeypatch):
    monkeypatch.delenv(PASSWORD, raising=False)
    words = ["-m", "hydra.sweeper.storage=sqlite:///a:b@c.db", "data.root=http://me:secret@host/"]
    assert take_password(words) == words
    assert PASSWORD not in os.environ


def test_nothing_is_said_of_it(monkeypatch):
    monkeypatch.setenv(PASSWORD, "")
    word = "hydra.sweeper.storage=postgresql://me:se(cret@host/d(b"
    expanded = command_line.expand(["-m", "hydra/sweeper=optuna", word])
    assert os.environ[PASSWORD] == "se(cret" and not any("cret" in one for one in expanded)
