import os

os.environ["WANDB_MODE"] = "disabled"  # but where a test asks for it
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two processes run tests side by side, see addopts
