"""What counts as sent."""

from types import SimpleNamespace

from benchmarks.tracking import folders


def test_only_what_the_server_was_seen_to_have_counts_as_sent(tmp_path):
    """W&B's client leaves its own mark after uploads that failed as well."""
    what = SimpleNamespace(stem="pgd-1", content="abc", out=tmp_path, files=[])
    folder = tmp_path / "wandb" / f"offline-run-20261130_120000-{folders.run_id(what)}"
    folder.mkdir(parents=True)
    (folder / folders.WRITTEN).write_text(str(tmp_path.resolve()))
    assert folders.find_written(what) == folder
    (folder / "run-pgd-1-abc.wandb.synced").touch()
    assert folders.find_sent(what) is None
    assert folders.find_written(what) is None  # it is written again: the client would skip it
    (folder / folders.SENT).touch()
    assert folders.find_sent(what) == folder
