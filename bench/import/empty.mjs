// The baseline: a file with nothing in it.
