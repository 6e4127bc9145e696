"""Typed settings, YAML and the settings hash."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

import pytest

from facecloak.config import parse_settings, read_yaml, settings_hash
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
    with pytest.raises(FacecloakError, match=r"c stands there twice.*line 5"):
        read_yaml(file)
    file.write_text("a: {c: 1}\nb: {c: 1}\n")
    assert read_yaml(file) == {"a": {"c": 1}, "b": {"c": 1}}
