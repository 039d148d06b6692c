// Read with import(), so that the loader is ready.
