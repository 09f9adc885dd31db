"""What do diagnostics share: a net left as it was, features of its layers, intervals, nets taken apart."""
