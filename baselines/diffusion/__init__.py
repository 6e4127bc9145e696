"""Attacks in the latent space of a diffusion model that is not trained for them."""
