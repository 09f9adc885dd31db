"""One file, one quantity, one formula, one reference: what is measured on a net, its features and its maps."""
