// Something for the program to import from a file before the clock starts.
