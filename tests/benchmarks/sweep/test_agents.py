"""W&B's agents, without a server."""

import os
import subprocess
import sys

import pytest

from benchmarks.sweep.agents import path_with_python


@pytest.mark.parametrize("known", ["/usr/bin:/bin", None])
def test_what_an_agent_calls_python_is_this_interpreter_even_where_there_is_only_a_python3(
    monkeypatch, tmp_path, known
):
    only = tmp_path / "my bin" / "python3"
    only.parent.mkdir()
    only.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    only.chmod(0o755)
    monkeypatch.setenv("PATH", known) if known else monkeypatch.delenv("PATH")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(only))
        with path_with_python() as path:
            call = ["/usr/bin/env", "python", "-c", "import sys, numpy; print(sys.prefix)"]
            called = subprocess.run(call, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert called.stdout.strip() == sys.prefix, called.stderr
    assert not os.path.exists(path.split(os.pathsep)[0])
