"""Sections of a config: YAML, overrides, and one line that names the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, SecretStr, model_validator
from typing_extensions import Self

from pipeline import ConfigError, JobConfig
from pipeline.config.base import Section, read_values


class Inner(Section):
    size: int = Field(1, ge=1, description="how large it is")
    name: str = Field(description="what it is called")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.name == "odd":
            raise ValueError("inner.name: 'odd' is of no use; choose another")
        return self


class Storage(Section):
    key: SecretStr | None = Field(None, min_length=5, description="a secret")


class Toy(Section):
    inner: Inner = Inner(name="x")
    maybe: Inner | None = None
    either: str | list[int] | None = Field(None, description="a name, or numbers")
    storage: Storage = Storage()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "toy.yaml"
    path.write_text("inner: {size: 2, name: a}\n")
    return path


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("inner.size=3", {"inner": {"size": 3, "name": "a"}}),
        ("inner.name=[1, b]", {"inner": {"size": 2, "name": [1, "b"]}}),
        ("inner.name=a=b", {"inner": {"size": 2, "name": "a=b"}}),
        ("inner.name=", {"inner": {"size": 2, "name": None}}),
        ("a.b.c=true", {"inner": {"size": 2, "name": "a"}, "a": {"b": {"c": True}}}),
        ("inner={size: 5}", {"inner": {"size": 5}}),
    ],
)
def test_overrides(file: Path, override: str, values: dict[str, Any]) -> None:
    assert read_values(str(file), [override]) == values


def test_later_overrides_win(file: Path) -> None:
    assert read_values(str(file), ["inner.size=3", "inner.size=4"])["inner"]["size"] == 4


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("inner.size", "'inner.size' is not key=value, as in output.path=scores/"),
        ("=3", "'=3' is not key=value, as in output.path=scores/"),
        ("inner.size.x=3", "inner.size.x: size is a int, it has no key 'x'"),
        ("inner.name={", "inner.name: the value is not YAML: "),
    ],
)
def test_overrides_that_are_none(file: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_values(str(file), [override])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"key: hunter2: oops\n", "not YAML: mapping values are not allowed here in line 1, column 13"),
        (b"a: [", "not YAML: "),
        (b"- 1\n", "holds list, not keys and values"),
        (b"", "holds NoneType, not keys and values"),
        (b"a: \xff\n", "cannot be read: "),
        (b"a: \0\n", "not YAML: "),
    ],
)
def test_files_that_are_no_config(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_values(str(file))
    assert str(caught.value).startswith(f"{file}: {message}")
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value), "a line may hold a secret"


@pytest.mark.parametrize("content", [b"id,photo,title\n1,a.jpg,a cat\n", b"PAR1\x00\xff", b"a: b: c\n"])
def test_a_table_in_place_of_a_config(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "shop.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_values(str(path))
    assert str(caught.value).endswith(
        f"; name a YAML file with the config; `vilt init score {path}` writes one if this is a table"
    )


@pytest.mark.parametrize(
    ("values", "hint"),
    [
        ({"image": "photo"}, "image: unknown key; did you mean input.image? the keys here are "),
        ({"path": "x"}, "path: unknown key; did you mean input.path or texts.path or output.path? the keys"),
        (
            {"input": {"path": "x", "model": "m"}},
            "input.model: unknown key; did you mean model? the keys here are ",
        ),
        ({"tsak": "score"}, "tsak: unknown key; did you mean 'task'? the keys here are input"),
        ({"price": 3}, "price: unknown key; the keys here are input"),
    ],
)
def test_a_key_of_another_section(values: dict[str, Any], hint: str) -> None:
    base = {"tasks": ["score"], "input": {"path": "in"}, "model": "m", "output": {"path": "out"}}
    with pytest.raises(ConfigError) as caught:
        JobConfig.checked({**base, **values}, "job.yaml")
    assert str(caught.value).startswith(f"job.yaml: {hint}")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file$"):
        read_values(str(tmp_path / "nowhere.yaml"))
    with pytest.raises(ConfigError, match=r": cannot be read: "):
        read_values(str(tmp_path))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"iner": 1}, "iner: unknown key; did you mean 'inner'? the keys here are inner, maybe, either, storage"),
        (
            {"inner": {"name": "a", "sizee": 1}},
            "inner.sizee: unknown key; did you mean 'size'? the keys here are size, name",
        ),
        ({"maybe": {"zz": 1, "name": "a"}}, "maybe.zz: unknown key; the keys here are size, name"),
        ({"inner": {}}, "inner.name: missing; it is the what it is called"),
        ({"inner": {"name": "a", "size": 0}}, "inner.size: 0 is wrong; input should be greater than or equal to 1"),
        ({"inner": {"name": "odd"}}, "inner.name: 'odd' is of no use; choose another"),
        (
            {"inner": {"name": 1, "size": "x"}},
            "inner.size: 'x' is wrong; input should be a valid integer, unable to "
            "parse string as an integer (and 1 more)",
        ),
        (
            {"either": [1, "x"]},
            "either: 'x' is wrong; input should be a valid integer, unable to parse string as an integer",
        ),
        ({"either": 5}, "either: 5 is wrong; input should be a valid string"),
    ],
)
def test_wrong_values_are_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Toy.checked(values, "toy.yaml")
    assert str(caught.value) == f"toy.yaml: {message}"


def test_secrets_are_not_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        Toy.checked({"storage": {"key": "1234"}})
    assert "1234" not in str(caught.value)
    assert str(caught.value).startswith("config: storage.key: the value is wrong; ")
    with pytest.raises(ConfigError) as caught:
        Toy.checked({"storage": "hunter2"})
    assert "hunter2" not in str(caught.value)
