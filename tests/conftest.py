import os

os.environ["WANDB_MODE"] = "disabled"  # but where a test asks for it
