"""FaceCloak: adversarial latent codes of a diffusion model (Salar et al., CVPR 2025, arXiv 2503.10350)."""
