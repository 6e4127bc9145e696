"""facecloak: methods that cloak a face photo from face recognition, and one harness that measures them."""

__version__ = "0.2.0"
