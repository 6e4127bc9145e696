"""DiffAM: Sun et al., "Diffusion-based Adversarial Makeup Transfer for Facial Privacy Protection", CVPR 2024."""
