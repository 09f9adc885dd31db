"""labapp: see and measure how gradients and representations travel through deep vision networks."""

__version__ = "0.1.0"
