"""The version, which pyproject.toml takes from here, so that a copied folder knows it, too."""

__version__ = "0.1.0"
