// Read with require(), so that the loader is ready.
