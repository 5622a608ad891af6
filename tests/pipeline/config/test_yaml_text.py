"""YAML that unfolds, or never ends: one line, at once."""

import pytest
import yaml

from pipeline import ConfigError, JobConfig
from pipeline.config.yaml_text import read_yaml

LEVELS = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
LEVELS += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
CHAIN = ["a0: &a0 [x]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 60))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 200_000, "nested more than 32 levels deep"),
        ("{a: " * 200_000, "nested more than 32 levels deep"),
        ("- " * 200_000, "nested more than 32 levels deep"),
        ("\n".join(LEVELS), "more than 100,000 values, aliases unfolded"),
        ("\n".join(CHAIN), "nested more than 32 levels deep, aliases unfolded"),
        ("a: &a [*a]", r"\*a stands within what it refers to"),
        ("x" * 2**21, "2,097,152 characters; at most 1,048,576 are read"),
        ("2026-99-99", "a date, a number or a tag that cannot be read"),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(yaml.YAMLError, match=message) as caught:
        read_yaml(text)
    assert "\n" not in str(caught.value)


def test_aliases_that_people_write() -> None:
    text = "base: &base {a: 1, b: [2, 3]}\nother:\n  <<: *base\n  b: &b [*base, *base]\n"
    assert read_yaml(text) == yaml.safe_load(text)
    assert read_yaml("") is None


def test_an_override_is_refused_in_one_line(tmp_path: object) -> None:
    file = f"{tmp_path}/job.yaml"
    with open(file, "w") as out:
        out.write("input: {path: x}\nmodel: m\noutput: {path: y}\n")
    with pytest.raises(ConfigError, match=r"^tokenizer: the value is not YAML: nested more than 32 levels deep$"):
        JobConfig.load("score", file, ["tokenizer=" + "[" * 5000])
    with pytest.raises(ConfigError, match="tokenizer: ") as caught:
        JobConfig.load("score", file, [f"tokenizer=[{', '.join(['x' * 50] * 5000)}]"])
    assert len(str(caught.value)) < 1000, "not the whole value"
