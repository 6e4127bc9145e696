"""Typed settings, YAML and the settings hash."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import pytest

from facecloak.config import parse_settings, read_yaml, settings_hash, to_yaml
from facecloak.errors import FacecloakError


@dataclass(frozen=True)
class Settings:
    """One field of each kind that methods use."""

    lr: float = 0.1
    steps: int = 3
    checkpointing: bool = False
    decoder: str | None = None
    precision: Literal["float32", "bf16"] = "float32"

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise FacecloakError("steps must be 0 at least.")


@pytest.mark.parametrize(
    ("values", "arguments", "expected"),
    [
        ({}, [], {}),
        ({"lr": 1}, [], {"lr": 1.0}),
        ({"lr": 0.5, "steps": 4}, ["steps=7"], {"lr": 0.5, "steps": 7}),
        ({}, ["lr=1e-3"], {"lr": 0.001}),
        ({"lr": "1e-3"}, [], {"lr": 0.001}),  # how YAML reads 1e-3
        ({}, ["lr=-2"], {"lr": -2.0}),
        ({}, ["checkpointing=true"], {"checkpointing": True}),
        ({"checkpointing": True}, ["checkpointing=false"], {"checkpointing": False}),
        ({}, ["precision=bf16"], {"precision": "bf16"}),
        ({}, ["decoder=models/a=b c"], {"decoder": "models/a=b c"}),
        ({"decoder": "x"}, ["decoder=null"], {"decoder": None}),
        ({"decoder": None}, [], {"decoder": None}),
        ({}, ["lr=1", "lr=2"], {"lr": 2.0}),
    ],
)
def test_values_and_typed_strings_become_fields(values, arguments, expected):
    parsed = parse_settings(Settings, values, arguments)
    assert parsed == Settings(**expected)
    for field, value in expected.items():
        assert type(getattr(parsed, field)) is type(value)


@pytest.mark.parametrize(
    ("values", "arguments"),
    [
        ({"steps": 2.5}, []),
        ({"steps": True}, []),
        ({"lr": True}, []),
        ({"lr": [1]}, []),
        ({"decoder": 3}, []),
        ({"checkpointing": 1}, []),
        ({"checkpointing": 0}, []),
        ({"precision": "fp8"}, []),
        ({}, ["steps=2.5"]),
        ({}, ["steps="]),
        ({}, ["lr=fast"]),
        ({}, ["lr"]),
        ({}, ["checkpointing=0"]),
        ({}, ["checkpointing=1"]),
        ({}, ["checkpointing=maybe"]),
        ({}, ["precision=fp8"]),
        ({"lr": None}, []),
        ({"checkpointing": None}, []),
        ({}, ["steps=null"]),
        ({}, ["steps=-1"]),
    ],
)
def test_a_value_of_the_wrong_type_is_one_line_with_the_field(values, arguments):
    with pytest.raises(FacecloakError) as caught:
        parse_settings(Settings, values, arguments, name="toy")
    field = [*values, *(argument.split("=")[0] for argument in arguments)][0]
    assert field in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("values", "arguments"), [({"stps": 1}, []), ({}, ["stps=1"])])
def test_an_unknown_field_is_met_with_the_nearest_one(values, arguments):
    with pytest.raises(FacecloakError, match=r"setting of toy named 'stps'.*Did you mean 'steps'\?.*Known: .*lr"):
        parse_settings(Settings, values, arguments, name="toy")


@pytest.mark.parametrize("field", ["lr.x", "", 1])
def test_a_field_that_is_no_name_is_unknown(field):
    with pytest.raises(FacecloakError, match="no setting"):
        parse_settings(Settings, {field: 1})


def test_parsed_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse_settings(Settings, {}).lr = 2.0


def test_yaml_is_read_as_typed_values(tmp_path):
    (tmp_path / "a.yaml").write_text("lr: 0.5\nchild: {steps: 4, tiny: true}\n")
    assert read_yaml(tmp_path / "a.yaml") == {"lr": 0.5, "child": {"steps": 4, "tiny": True}}


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"a: [1, 2", "not valid YAML"),
        (b"a: \xff", "not valid YAML"),
        (b"!!python/object/apply:os.system ['true']", "not valid YAML"),
        (b"- a\n- b\n", "expected a mapping"),
        (b"just words", "expected a mapping"),
        (b"", "expected a mapping"),
        (None, "no such file"),
    ],
)
def test_yaml_that_is_no_mapping_is_one_line_with_the_path(tmp_path, content, word):
    if content is not None:
        (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(FacecloakError, match=word) as caught:
        read_yaml(tmp_path / "a.yaml")
    assert str(tmp_path / "a.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_named_as_yaml_is_said_to_be_one(tmp_path):
    with pytest.raises(FacecloakError, match="a folder"):
        read_yaml(tmp_path)


def test_the_hash_depends_on_values_only():
    first = settings_hash({"lr": 0.1, "child": {"a": 1, "b": 2}})
    assert first == settings_hash({"child": {"b": 2, "a": 1}, "lr": 0.1})
    assert settings_hash(Settings()) == settings_hash(dataclasses.asdict(Settings()))
    assert settings_hash(parse_settings(Settings, {"lr": 1})) == settings_hash(parse_settings(Settings, {}, ["lr=1.0"]))


def test_every_changed_field_changes_the_hash():
    changes = [{}, {"lr": 0.2}, {"steps": 4}, {"checkpointing": True}, {"decoder": "x"}, {"precision": "bf16"}]
    assert len({settings_hash(Settings(**change)) for change in changes}) == len(changes)


def test_a_key_that_stands_twice_is_refused_wherever_it_stands(tmp_path):
    file = tmp_path / "twice.yaml"
    file.write_text("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n")
    with pytest.raises(FacecloakError, match=r"c is there twice.*line 5"):
        read_yaml(file)
    file.write_text("a: {c: 1}\nb: {c: 1}\n")
    assert read_yaml(file) == {"a": {"c": 1}, "b": {"c": 1}}


@pytest.mark.parametrize(
    ("text", "number"),
    [("1e-4", 1e-4), ("1E3", 1000.0), ("-2e+5", -2e5), ("1.5e3", 1500.0), (".5e1", 5.0), ("1_000e-3", 1.0), ("3", 3)],
)
def test_numbers_are_read_as_yaml_1_2_writes_them(tmp_path, text, number):
    (tmp_path / "a.yaml").write_text(f"a: {text}\nb: [{text}]\nc: '{text}'\n")
    value = read_yaml(tmp_path / "a.yaml")
    assert value == {"a": number, "b": [number], "c": text}
    assert type(value["a"]) is type(number)


@pytest.mark.parametrize("text", ["1e", "e5", "1e5x", "1.2.3e4", "deadbeef", "1e-", "12e4-1"])
def test_what_only_begins_like_a_number_is_text(tmp_path, text):
    (tmp_path / "a.yaml").write_text(f"a: {text}\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": text}


def test_text_that_looks_like_a_number_survives_writing_and_reading(tmp_path):
    value = {"b": ["1e5", "1e-4", "3", 1e-4, 1e22, "yes", "", "é"], "1e5": {"a": None}}
    (tmp_path / "a.yaml").write_text(to_yaml(value), encoding="utf-8")
    assert read_yaml(tmp_path / "a.yaml") == value
    assert list(read_yaml(tmp_path / "a.yaml")) == ["b", "1e5"]


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("1: a\n", r"the key 1 is not text: put it in quotes.*line 1"),
        ("a: {.nan: 1}\n", "the key nan is not text"),
        ("a: {null: 1}\n", "the key None is not text"),
        ("a: {? [b] : 1}\n", "unhashable key"),
        ("a: &a [*a]\n", "contains itself"),
        ("a: &a {<<: *a}\n", "contains itself"),
        (LAUGHS, "100000 values"),
        (f"a: {'[' * 60}{']' * 60}\n", "40 levels"),
        (f"a: {'[' * 1000}", "nested too deeply"),
        ("a: 2026-13-45\n", "not what its form or tag says"),
        ("a: !!int x\n", "not what its form or tag says"),
        ("a: !!bool x\n", "not what its form or tag says"),
        (f"a: {'9' * 5000}\n", "not what its form or tag says"),
        ('a: "\\ud800"\n', "not what its form or tag says"),
        ("#" * 2**20 + "\na: 1\n", "larger than 1 MiB"),
    ],
)
def test_odd_yaml_is_one_line_with_the_path(tmp_path, content, word):
    (tmp_path / "a.yaml").write_text(content)
    with pytest.raises(FacecloakError, match=word) as caught:
        read_yaml(tmp_path / "a.yaml")
    assert str(caught.value).startswith(f"{tmp_path / 'a.yaml'}: ")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_anchors_and_merged_mappings_are_read(tmp_path):
    (tmp_path / "a.yaml").write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a\n")
    assert read_yaml(tmp_path / "a.yaml") == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": {"x": 1, "y": 2}}


@dataclass(frozen=True)
class Part:
    """A part of a whole."""

    name: str
    sizes: list[float] = dataclasses.field(default_factory=list)


@dataclass(frozen=True)
class Whole:
    """Settings with a dataclass and with a list of them."""

    first: Part
    parts: list[Part] = dataclasses.field(default_factory=list)
    weights: dict[str, float] = dataclasses.field(default_factory=dict)
    seed: int = 1


def test_nested_settings_become_dataclasses():
    values = {"first": {"name": "a"}, "parts": [{"name": "b", "sizes": [1, 2.5]}], "seed": 2}
    assert parse_settings(Whole, values) == Whole(Part("a"), [Part("b", [1.0, 2.5])], seed=2)
    assert parse_settings(Whole, values, ["seed=3"]).seed == 3
    whole = parse_settings(Whole, values)
    assert parse_settings(Whole, dataclasses.asdict(whole)) == whole


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "first is missing"),
        ({"first": None}, "first needs a value"),
        ({"first": 3}, '"first": Expected a mapping of names to values. Got value: 3'),
        ({"first": {}}, "first.name is missing"),
        ({"first": {"name": {}}}, '"first.name": Expected'),
        ({"parts": {}}, '"parts": Expected a list'),
        ({"parts": [{"name": "b"}, {"nam": "c"}]}, r"'parts\[1\].nam'.*Did you mean 'parts\[1\].name'"),
        ({"parts": [{"name": None}]}, r"parts\[0\].name needs a value"),
        ({"parts": [[]]}, r'"parts\[0\]": Expected a mapping'),
        ({"parts": [{"name": "b", "sizes": [1, math.nan]}]}, r"parts\[0\].sizes\[1\] must be a finite number"),
        ({"parts": [{"name": "b", "sizes": ["1e400"]}]}, r"parts\[0\].sizes\[0\] must be a finite number, got inf"),
        ({"weights": {"a": 10**400}}, "weights.a is too large a number"),
        ({"seed": -1}, "seed must be between 0 and"),
        ({"seed": 2.5}, '"seed": Expected a'),
        ({"seed": 2**63}, "seed is too large a number"),
    ],
)
def test_a_wrong_value_in_nested_settings_is_named_with_its_place(values, message):
    if "first" not in values and values:
        values = {"first": {"name": "a"}, **values}
    with pytest.raises(FacecloakError, match=message) as caught:
        parse_settings(Whole, values, name="toy")
    assert "toy" in str(caught.value) and "\n" not in str(caught.value)
