"""Baselines, one file each. To add one, write its file and add one line here."""

BASELINES = {
    "none": "baselines.naive:NoProtection",
    "blur": "baselines.naive:Blur",
    "pixelate": "baselines.naive:Pixelate",
    "mask": "baselines.naive:Mask",
    "pgd": "baselines.noise.pgd:PGD",
    "mi_fgsm": "baselines.noise.mi_fgsm:MIFGSM",
    "ti_dim": "baselines.noise.ti_dim:TIDIM",
    "tip_im": "baselines.noise.tip_im:TIPIM",
    "lowkey": "baselines.cloaks.lowkey:LowKey",
    "fawkes": "baselines.cloaks.fawkes:Fawkes",
    "opom": "baselines.cloaks.opom:OPOM",
    "chameleon": "baselines.cloaks.chameleon:Chameleon",
    "diffam": "baselines.diffam.method:DiffAM",
    "adv_diffusion": "baselines.diffusion.adv_diffusion:AdvDiffusion",
    "hspace": "baselines.diffusion.hspace:HSpace",
    "diffprivate": "baselines.diffusion.diffprivate:DiffPrivate",
    "diffaim": "baselines.diffusion.diffaim:DiffAIM",
}
