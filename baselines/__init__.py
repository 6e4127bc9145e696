"""Baselines, one file each. A new one is its file and one line here."""

BASELINES = {
    "none": "baselines.naive:NoProtection",
    "blur": "baselines.naive:Blur",
    "pixelate": "baselines.naive:Pixelate",
    "mask": "baselines.naive:Mask",
}
