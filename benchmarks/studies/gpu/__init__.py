"""`python -m benchmarks.studies.gpu`: exactness, speed and memory on a CUDA GPU, in one call and without a network.

Run it in the root of a clone: the models of Stable Diffusion 2's size have random weights and are in tests/reference.
It takes under 8 minutes on an H100; a part that would begin later than `--seconds` is left out, and the table says so.
"""

# what a machine with torch, torchvision, pytorch-lightning, torchmetrics, transformers and matplotlib lacks, to be
# carried as wheels: the study imports nothing else (no wandb, optuna, insightface, onnx2torch)
PACKAGES = ("diffusers", "facenet-pytorch", "jsonargparse", "orjson", "filelock", "rich", "shtab")
