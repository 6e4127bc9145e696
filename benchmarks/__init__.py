"""The benchmark: suites, runner, judge, leaderboard. Only the benchmark decides what succeeded."""

from importlib.metadata import entry_points

from baselines import BASELINES
from facecloak.registry import Registry

METHODS = Registry(
    "method",
    {"facecloak": "facecloak.cloak.method:FaceCloak", "facecloak:fast": "facecloak.cloak.fast:FastCloak"},
    BASELINES,
    # methods of other packages: [project.entry-points."facecloak.methods"] mine = "package.module:Mine"
    {entry.name: entry.value for entry in entry_points(group="facecloak.methods")},
    base="facecloak.method:ProtectionMethod",
)
