"""The harness: suites, runner, judge, leaderboard. It alone decides what succeeded."""

from baselines import BASELINES
from facecloak.registry import Registry

METHODS = Registry(
    "method",
    {"facecloak": "facecloak.cloak.method:FaceCloak"},
    BASELINES,
    base="facecloak.method:ProtectionMethod",
)
