"""Cloaks of pixels: a photo's, or a person's, features are moved far away within a budget of visible change."""
