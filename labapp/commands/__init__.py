"""What can be asked from a command line: words become a call, with progress, and errors of one sentence."""
