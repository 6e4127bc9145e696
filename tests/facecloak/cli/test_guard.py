"""How a command ends: which results it reports as kept, its advice, and output that is not read to its end."""

import errno
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from facecloak.cli import main as main_module
from facecloak.cli.arguments import EXAMPLES, make_parser
from facecloak.cli.guard import guarded
from facecloak.cli.main import ENDS, main
from facecloak.errors import FacecloakError
from tests.forked import Forked

PRINTS = """
import sys
from rich.console import Console
from facecloak.cli.arguments import EXAMPLES, make_parser
from facecloak.cli.guard import guarded
def run():
    print("x" * 100_000)
    Console().print("y" * 40)
    print("done", file=sys.stderr)
    return 1
sys.exit(guarded(run))
"""


def without_a_reader(*command):
    """A command whose standard output is a pipe that is already closed at the other end."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run([sys.executable, *command], stdout=writing, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(writing)


def test_a_reader_that_leaves_does_not_end_the_command():
    result = without_a_reader("-c", PRINTS)
    assert (result.returncode, result.stderr) == (1, "done\n")


def test_listing_to_a_reader_that_leaves_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    result = Forked(lambda: main(["list"]), stdout=writing).wait()
    os.close(writing)
    assert (result.returncode, result.stderr) == (0, "")


def test_what_is_printed_arrives_whole_and_in_order():
    result = subprocess.run([sys.executable, "-c", PRINTS], capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stdout.replace("\n", "") == "x" * 100_000 + "y" * 40


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux's device that is always full")
def test_output_to_a_full_disk_is_an_error_in_words():
    with open("/dev/full", "w") as full:
        result = subprocess.run([sys.executable, "-c", PRINTS], stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == "error: No space left on device."


INTERRUPTED = KeyboardInterrupt()
FULL = OSError(errno.ENOSPC, "No space left on device", "a.png")
MEMORY = RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")


def ends_with(error, monkeypatch, capsys, command):
    """The output of a command when an error occurs."""

    def fail(module, options):
        raise error

    monkeypatch.setattr(main_module, "_run", fail)
    assert main(command) == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("error", [INTERRUPTED, FULL, MEMORY])
@pytest.mark.parametrize(
    ("command", "kept"),
    [
        (["benchmark", "pocket"], "Finished images are kept"),
        (["protect", "a.png", "--out", "b"], "Finished photos are kept"),
        (["sweep", "a.yaml"], "Finished trials are kept"),
        (["list"], None),
        (["demo"], None),
        (["evaluate", "--originals", "a", "--protected", "b"], None),
        (["leaderboard", "a"], None),
    ],
)
def test_only_commands_that_keep_something_say_so(monkeypatch, capsys, error, command, kept):
    said = ends_with(error, monkeypatch, capsys, command)
    assert kept in said if kept else "kept" not in said
    assert said.startswith("error: ") and said.count("\n") == 1


@pytest.mark.parametrize(("command", "has_it"), [(["benchmark", "pocket"], True), (["list"], False)])
def test_a_batch_size_is_named_only_where_there_is_one(monkeypatch, capsys, command, has_it):
    assert ("--batch-size" in ends_with(MEMORY, monkeypatch, capsys, command)) == has_it


def test_what_is_said_at_the_end_belongs_to_a_command():
    assert {name for name in ENDS if not hasattr(import_module(f"facecloak.cli.{name}"), "run")} == set()


def test_an_error_of_the_program_is_not_hidden():
    for error in (ZeroDivisionError(), RuntimeError("shapes differ"), OSError("no number")):

        def fail(error=error):
            raise error

        with pytest.raises(type(error)):
            guarded(fail)


def test_a_users_error_is_one_line(capsys):
    def fail():
        raise FacecloakError("a.png: no such file.")

    assert guarded(fail) == 2
    assert capsys.readouterr().err == "error: a.png: no such file.\n"


@pytest.mark.parametrize("example", [example for examples in EXAMPLES.values() for example in examples])
def test_the_examples_of_help_can_be_typed(example):
    arguments = example.partition(" | ")[0].split()[1:]
    options, rest = make_parser().parse_known_args(arguments)
    assert all(argument.startswith("--facecloak.") for argument in rest) and hasattr(options, "command")


def test_every_command_has_two_examples_or_more_and_a_completion(capsys):
    commands = {path.stem for path in Path(main_module.__file__).parent.glob("*.py")}
    commands -= {"__init__", "__main__", "main", "arguments", "guard", "together"}
    assert set(EXAMPLES) == commands and all(len(examples) >= 2 for examples in EXAMPLES.values())
    with pytest.raises(SystemExit):
        main(["--print-completion", "bash"])
    said = capsys.readouterr().out
    assert all(command in said for command in commands) and "complete -" in said
